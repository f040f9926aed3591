//! A client's flows: where applications send to, which target that leads to, and what the server
//! says of each flow.

use std::collections::VecDeque;
use std::hash::Hasher;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use log::Level;
use siphasher::sip::SipHasher24;

use super::Client;
use crate::tunnel::change::Change;
use crate::tunnel::chronicle::Kind;
use crate::tunnel::fabric::{Fabric, LISTENER};
use crate::tunnel::flow::{Flow, Flows, State};
use crate::tunnel::link::{Event, Link, PeerId, SocketId, Target};
use crate::tunnel::peer::Peer;
use crate::tunnel::role::Forward;
use crate::tunnel::session::Session;
use crate::tunnel::wire::{FlowId, Header, Label, Open, Opened, Reject, Verdict};

/// Listeners besides the first.
pub const MAX_FORWARDS: usize = 64;
/// Flows that are asked for again at a time, ...
const ASKED_AT_ONCE: usize = 64;
/// ... and how soon the next are: 10,000 flows take less than a second.
const ASK_EVERY: Duration = Duration::from_millis(5);
/// Those that were not answered are asked for again after this time, ...
const ROUND: Duration = Duration::from_millis(200);
/// ... so often.
const ROUNDS: u32 = 5;
/// Targets whose refusal was told are remembered, so many.
const TOLD: usize = 1024;

/// A socket that applications send to.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) socket: SocketId,
    pub(super) address: SocketAddr,
    pub(super) target: Target,
}

impl Listener {
    /// Whether it does what this forward asks.
    fn is_of(&self, forward: &Forward) -> bool {
        let target = matches!(&self.target, Target::Named(target) if *target == forward.target);
        target && self.address == forward.listen
    }
}

/// The flows that are asked for again, since the server may be another process.
#[derive(Debug, Default)]
pub(super) struct Reopening {
    queue: VecDeque<FlowId>,
    rounds_left: u32,
    /// When the next are asked for.
    at: Option<Instant>,
}

impl Reopening {
    fn begin(&mut self, at: Instant) {
        self.rounds_left = ROUNDS;
        self.at = Some(self.at.map_or(at, |known| known.min(at)));
    }

    pub(super) fn at(&self) -> Option<Instant> {
        self.at
    }
}

/// How long the server is left alone with a flow after it has refused it.
fn pause(verdict: Verdict) -> Duration {
    match verdict {
        Verdict::NotAllowed => Duration::from_secs(30),
        Verdict::Limit => Duration::from_secs(5),
        Verdict::NoAddress | Verdict::NoSocket => Duration::from_secs(1),
        Verdict::Open | Verdict::Unknown => Duration::ZERO,
    }
}

/// Names an application behind a listener of a machine, in this client and in any that takes its place.
pub(super) fn label(machine: &str, listener: SocketAddr, application: SocketAddr) -> Label {
    // No secret: it is to be the same in every process.
    let mut hasher = SipHasher24::new_with_key(b"mptunnel label 1");
    hasher.write(format!("{machine} {listener} {application}").as_bytes());
    Label(hasher.finish())
}

/// A flow that the server does not know yet.
///
/// # Errors
/// There are as many as there may be.
pub(super) fn new_flow(
    now: Instant,
    local: Link,
    label: Label,
    target: Target,
    flows: &mut Flows,
) -> Result<Flow, Reject> {
    if flows.is_full() {
        return Err(Reject::FlowLimit);
    }
    let open = Open { flow: flows.free_id(), label, port: 0, target };
    Ok(Flow::new(now, local, open, State::Opening))
}

impl Client {
    /// Gives an application's address a flow.
    pub fn open_flow(
        &mut self,
        now: Instant,
        local: Link,
        fabric: &mut Fabric,
    ) -> Result<(PeerId, FlowId), Reject> {
        let listener = self.listeners.iter().find(|listener| listener.socket == local.socket);
        let Listener { address, target, .. } = listener.ok_or(Reject::UnknownFlow)?;
        let flows = &mut fabric.peers[self.peer.0].flows;
        let label = label(&self.machine, *address, local.remote);
        let flow = new_flow(now, local, label, target.clone(), flows)?;
        let id = flow.open.flow;
        fabric.add_flow(self.peer, flow);
        Ok((self.peer, id))
    }

    /// Takes what the server says of a flow.
    pub fn handle_opened(
        &mut self,
        now: Instant,
        link: Link,
        header: Header,
        sealed: &mut [u8],
        fabric: &mut Fabric,
    ) -> Result<(), Reject> {
        let peer = &mut fabric.peers[self.peer.0];
        let opened = peer.take(now, link, header, sealed, Session::take_opened)?;
        // In the session before, it may be another process that has said so.
        if peer.sessions.is_current(header.session) {
            self.answered(now, header.counter, opened, fabric)?;
        }
        Ok(())
    }

    fn answered(
        &mut self,
        now: Instant,
        counter: u64,
        opened: Opened,
        fabric: &mut Fabric,
    ) -> Result<(), Reject> {
        let peer = &mut fabric.peers[self.peer.0];
        let flow = peer.flows.get_mut(opened.flow).ok_or(Reject::UnknownFlow)?;
        if flow.newest.is_some_and(|newest| counter < newest) {
            return Ok(());
        }
        flow.newest = Some(counter);
        match opened.verdict {
            Verdict::Open => {
                flow.state = State::Open;
                flow.address = opened.address;
                flow.open.port = opened.port;
                peer.send_waiting(now, &mut fabric.outbox);
            }
            Verdict::Unknown => flow.state = State::Opening,
            verdict => {
                flow.state = State::Refused(verdict, now + pause(verdict));
                let target = flow.open.target.clone();
                self.tell(now, target, verdict, fabric);
            }
        }
        Ok(())
    }

    /// Says why a target cannot be had, once.
    fn tell(&mut self, now: Instant, target: Target, verdict: Verdict, fabric: &mut Fabric) {
        // The limit is the same whatever the target.
        let told = (if verdict == Verdict::Limit { Target::Default } else { target }, verdict);
        if self.told.contains(&told) || self.told.len() >= TOLD {
            return;
        }
        let target = &told.0;
        let text = match verdict {
            Verdict::NotAllowed => format!(
                "mpserver does not allow the target {target}: datagrams to it are dropped until mpserver is \
                 started with --allow-target {target}"
            ),
            Verdict::NoAddress => {
                format!(
                    "mpserver finds no address of the target {target}: datagrams to it are dropped until its name has \
                     one there"
                )
            }
            Verdict::Limit => "mpserver has as many applications of this client as its --max-flows allows: \
                               datagrams of further ones are dropped"
                .to_owned(),
            Verdict::NoSocket => {
                format!("mpserver cannot open a socket towards the target {target}: its log tells why")
            }
            Verdict::Open | Verdict::Unknown => return,
        };
        fabric.chronicle.tell(now, Level::Warn, Kind::Refused.of(self.peer), text);
        self.told.insert(told);
    }

    // ---- listeners ----

    /// Listens where the configuration says, and no longer where it does not.
    pub fn listen(&mut self, forwards: Vec<Forward>, fabric: &mut Fabric) {
        let (kept, gone): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.listeners).into_iter().partition(|listener| {
                listener.socket == LISTENER || forwards.iter().any(|forward| listener.is_of(forward))
            });
        self.listeners = kept;
        for listener in gone {
            self.end_listener(listener.socket, fabric);
            fabric.events.push_back(Event::Close(listener.socket));
        }
        for forward in forwards {
            if !self.forwards().any(|listener| listener.is_of(&forward)) {
                let socket = fabric.open_listener(forward.listen);
                let target = Target::Named(forward.target);
                self.listeners.push(Listener { socket, address: forward.listen, target });
            }
        }
    }

    /// What is different in these forwards.
    pub(super) fn changed_forwards(&self, forwards: &[Forward]) -> Vec<Change> {
        let gone = self.forwards().filter(|listener| !forwards.iter().any(|forward| listener.is_of(forward)));
        let new = forwards.iter().filter(|forward| !self.forwards().any(|listener| listener.is_of(forward)));
        let gone = gone
            .map(|Listener { address, target, .. }| format!("{address} is no longer forwarded to {target}"));
        let new = new.map(|Forward { listen, target }| format!("{listen} is forwarded to {target}"));
        gone.chain(new).map(Change::at_once).collect()
    }

    /// A warning of the forwards among these that are new and that others than this machine can reach.
    pub(super) fn newly_open(&self, forwards: &[Forward]) -> Vec<Change> {
        let is_open = |forward: &&Forward| !forward.listen.ip().to_canonical().is_loopback();
        let new =
            forwards.iter().filter(|forward| self.forwards().all(|known| known.address != forward.listen));
        let text = |Forward { listen, .. }: &Forward| {
            format!("listening on {listen}: whoever reaches this address can use the tunnel")
        };
        new.filter(is_open).map(|forward| Change::unsafe_at_once(text(forward))).collect()
    }

    /// Where it listens for targets of the client's own, and for which.
    pub fn forwarded(&self) -> impl Iterator<Item = (SocketAddr, &Target)> {
        self.forwards().map(|Listener { address, target, .. }| (*address, target))
    }

    /// The listeners besides the first.
    fn forwards(&self) -> impl Iterator<Item = &Listener> {
        self.listeners.iter().filter(|listener| listener.socket != LISTENER)
    }

    /// A listener could not be opened.
    pub(super) fn listener_failed(&mut self, socket: SocketId, fabric: &mut Fabric) {
        self.listeners.retain(|listener| listener.socket != socket);
        self.end_listener(socket, fabric);
    }

    fn end_listener(&self, socket: SocketId, fabric: &mut Fabric) {
        for local in fabric.peers[self.peer.0].flows.end(|flow| flow.local.socket == socket) {
            fabric.forget_local(local);
        }
    }

    // ---- asking again ----

    /// A new session: the server may be another process, which knows no flow.
    pub(super) fn reopen_all(&mut self, now: Instant, fabric: &mut Fabric) {
        fabric.peers[self.peer.0].flows.reopen();
        self.reopening.queue.clear();
        self.reopening.begin(now);
    }

    /// Datagrams wait for an answer.
    #[inline]
    pub fn ask_again(&mut self, now: Instant, fabric: &mut Fabric) {
        if self.reopening.at.is_none() && fabric.peers[self.peer.0].sessions.current().is_some() {
            self.reopening.begin(now + ROUND);
            fabric.wake_at(now + ROUND);
        }
    }

    /// Asks for the flows that are due.
    pub(super) fn ask_due(&mut self, now: Instant, fabric: &mut Fabric) {
        let peer = &mut fabric.peers[self.peer.0];
        let reopening = &mut self.reopening;
        if reopening.at.is_none_or(|at| now < at) {
            return;
        }
        if reopening.queue.is_empty() {
            reopening.queue = unanswered(peer);
            reopening.rounds_left -= 1;
        }
        for _ in 0..ASKED_AT_ONCE {
            let Some(id) = reopening.queue.pop_front() else { break };
            if peer.flows.get(id).is_some_and(|flow| flow.state == State::Opening) {
                peer.request(now, id, None, &mut fabric.outbox);
            }
        }
        reopening.at = match (reopening.queue.is_empty(), reopening.rounds_left) {
            (false, _) => Some(now + ASK_EVERY),
            (true, 0) => None,
            (true, _) => Some(now + ROUND),
        };
    }
}

/// The flows that are to be asked for though no datagram does: those that were open, for what the
/// target sends, and those whose datagrams wait.
fn unanswered(peer: &Peer) -> VecDeque<FlowId> {
    let waiting = peer.waiting.flows();
    let asks = |flow: &&Flow| {
        flow.state == State::Opening && (flow.open.port != 0 || waiting.contains(&flow.open.flow))
    };
    peer.flows.iter().filter(asks).map(|flow| flow.open.flow).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_the_same_in_every_process_and_another_for_another_application_listener_or_machine() {
        let address = |text: &str| text.parse().expect(text);
        let ours = label("home", address("127.0.0.1:3000"), address("127.0.0.1:4000"));
        // Whoever changes this has restarted clients lose their flows.
        assert_eq!(ours, Label(0xd4ff_0e80_040f_e008));
        assert_ne!(ours, label("home", address("127.0.0.1:3000"), address("127.0.0.1:4001")));
        assert_ne!(ours, label("home", address("127.0.0.1:3001"), address("127.0.0.1:4000")));
        assert_ne!(ours, label("away", address("127.0.0.1:3000"), address("127.0.0.1:4000")));
        assert_ne!(ours, label("home", address("[::1]:3000"), address("127.0.0.1:4000")));
    }
}
