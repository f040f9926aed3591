//! What the server is told of paths that its client does not use any more, so that it sends nothing there and
//! does not take them for dead: of a bridge that was taken out, until it has said that it knows; of all when
//! the program ends, once over each, since nobody waits for an answer.

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

    /// The server knows, or the path has another bridge.
    pub(super) fn end(&mut self, path: usize) {
        self.0.retain(|left| left.path != path);
    }

    /// The server has answered another probe.
    pub(super) fn tried(&mut self) {
        self.0.iter_mut().for_each(|left| left.tries -= 1);
        self.0.retain(|left| left.tries > 0);
    }
}

impl Client {
    /// Tells the server over this link of the paths that it should know to be left.
    pub(super) fn tell_of_left_paths(&self, link: Link, fabric: &mut Fabric) {
        for Left { path, number, .. } in &self.leaving.0 {
            self.tell_of_left(*path as u8, *number, link, fabric);
        }
    }

    /// The program ends.
    pub fn leave(&self, fabric: &mut Fabric) {
        let paths = fabric.peers[self.peer.0].paths.iter();
        for link in paths.filter_map(|path| path.link).collect::<Vec<_>>() {
            (0..FAREWELLS).for_each(|_| self.tell_of_left(Control::ALL_PATHS, 0, link, fabric));
        }
    }

    fn tell_of_left(&self, path: u8, number: u32, link: Link, fabric: &mut Fabric) {
        let Some(session) = fabric.peers[self.peer.0].sessions.newest() else { return };
        let control = Control { client: self.id, path, left: true, number, ..Control::default() };
        fabric.outbox.push(To::Link(link), |out| session.seal_control(Type::Probe, control, out));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_never_says_that_it_knows_is_not_told_for_ever() {
        let mut leaving = Leaving::default();
        leaving.begin(1, 7);
        for _ in 1..TRIES {
            leaving.tried();
        }
        leaving.begin(2, 8);
        assert_eq!(leaving.0.len(), 2);
        leaving.tried();
        let left: Vec<_> = leaving.0.iter().map(|left| left.path).collect();
        assert_eq!(left, [2]);
    }
}
