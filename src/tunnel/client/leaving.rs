//! What the server is told of paths that its client does not use any more, so that it sends nothing there and
//! does not take them for dead: of a bridge that was taken out, until it has said that it knows; of all when
//! the program ends, since nobody waits for an answer.

use std::time::Instant;

use super::Client;
use crate::tunnel::fabric::Fabric;
use crate::tunnel::link::Link;
use crate::tunnel::outbox::To;
use crate::tunnel::wire::{Control, Type};

/// A server that answers so many other probes and never says that it knows is of a version that does not.
const TRIES: u32 = 100;
/// How often a program that ends says so over each path: one packet is easily lost.
const FAREWELLS: usize = 3;

/// The paths of which the server has not said yet that it knows.
#[derive(Debug, Default)]
pub(super) struct Leaving(Vec<Left>);

#[derive(Debug)]
struct Left {
    path: usize,
    /// The probe number that was the path's next.
    number: u32,
    /// Answers to other probes that are waited for still.
    tries: u32,
}

impl Leaving {
    /// The path's bridge was taken out.
    pub(super) fn begin(&mut self, path: usize, number: u32) {
        self.end(path);
        self.0.push(Left { path, number, tries: TRIES });
    }

    /// The path has another bridge.
    pub(super) fn end(&mut self, path: usize) {
        self.0.retain(|left| left.path != path);
    }

    /// The server knows, as far as this number.
    pub(super) fn confirmed(&mut self, path: usize, number: u32) {
        self.0.retain(|left| (left.path, left.number) != (path, number));
    }

    /// The server has answered another probe.
    pub(super) fn tried(&mut self) {
        self.0.iter_mut().for_each(|left| left.tries -= 1);
        self.0.retain(|left| left.tries > 0);
    }

    /// Whether the server is told of this path.
    pub(super) fn has(&self, path: usize) -> bool {
        self.0.iter().any(|left| left.path == path)
    }
}

impl Client {
    /// Tells the server over this link of the paths that it should know to be left. One that does not know what
    /// they are left by takes this for any probe, so it says what each does.
    pub(super) fn tell_of_left_paths(&self, now: Instant, link: Link, fabric: &mut Fabric) {
        for Left { path, number, .. } in &self.leaving.0 {
            let left = Control { left: true, number: *number, ..self.said_anyway(*path, now, fabric) };
            self.send(left, link, fabric);
        }
    }

    /// The program ends.
    pub fn leave(&self, now: Instant, fabric: &mut Fabric) {
        let paths = fabric.peers[self.peer.0].paths.iter().enumerate();
        let links: Vec<_> = paths.filter_map(|(path, state)| Some((path, state.link?))).collect();
        // One path after the other: what leaves in one call may be lost as one.
        for _ in 0..FAREWELLS {
            for (path, link) in &links {
                let number = self.probing.next_number(*path);
                let ended = Control { ended: true, number, ..self.said_anyway(*path, now, fabric) };
                self.send(ended, *link, fabric);
            }
        }
    }

    fn send(&self, control: Control, link: Link, fabric: &mut Fabric) {
        let Some(session) = fabric.peers[self.peer.0].sessions.newest() else { return };
        fabric.outbox.push(To::Link(link), |out| session.seal_control(Type::Probe, control, out));
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use rand::{SeedableRng, rngs::StdRng};

    use super::*;
    use crate::tunnel::choice::Policy;
    use crate::tunnel::flow::{FLOW_IDLE, Limits};
    use crate::tunnel::keyring::Keys;
    use crate::tunnel::role::{Bridge, ClientRole, Copies, Security};
    use crate::tunnel::set::PathSet;
    use crate::tunnel::wire::Clock;

    #[test]
    fn a_server_that_never_says_that_it_knows_is_not_told_for_ever() {
        let mut leaving = Leaving::default();
        leaving.begin(1, 7);
        for _ in 1..TRIES {
            leaving.tried();
        }
        leaving.begin(2, 8);
        assert!(leaving.has(1) && leaving.has(2));
        leaving.tried();
        assert!(!leaving.has(1) && leaving.has(2));
    }

    #[test]
    fn a_server_that_takes_it_for_any_probe_takes_nothing_from_it_that_is_not_so() {
        #[expect(clippy::disallowed_methods, reason = "any instant will do")]
        let begin = Instant::now();
        let security = Security { encrypt: true, keys: Keys::None };
        let limits = Limits { most: 9, idle: FLOW_IDLE };
        let mut fabric = Fabric::new(begin, security, limits, StdRng::seed_from_u64(1));
        let address = SocketAddr::from(([192, 0, 2, 1], 4000));
        let backup = Bridge { backup: true, ..address.into() };
        let role =
            ClientRole { copies: Copies::Best(1), ..ClientRole::new(address, vec![address.into(), backup]) };
        let client = Client::new(begin, role, &mut fabric);
        let said = client.said_anyway(0, begin + Duration::from_millis(5), &fabric);
        let policy = Policy { copies: Copies::Best(1), backups: PathSet::one(1) };
        assert_eq!((said.client, said.advice.policy, said.clock), (client.id, policy, Clock(5_000)));
    }

    #[test]
    fn a_late_answer_does_not_end_what_was_begun_after_its_question() {
        let mut leaving = Leaving::default();
        leaving.begin(1, 7);
        leaving.begin(1, 9);
        leaving.confirmed(1, 7);
        assert!(leaving.has(1));
        leaving.confirmed(1, 9);
        assert!(!leaving.has(1));
    }
}
