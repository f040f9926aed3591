//! What only mpclient does: find the server through its bridges, begin handshakes, and probe its
//! paths.
//!
//! It starts with a handshake over every bridge that has an address; the first response wins. The
//! new session is used once a probe sealed with it was answered, so a replayed response or a server
//! that died in between costs nothing. From then on each path is probed: often while data flows,
//! seldom while nothing does. When no path answers any more, while one would have long since, the
//! server may have been restarted: a handshake begins, and the old session stays in use until the
//! new one works, or until it is answered after all. New keys are asked for the same way, at the
//! latest every [`REKEY_AFTER`].

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use log::{debug, info, warn};
use rand::RngExt;

use super::bridge::Way;
use super::fabric::{Fabric, HOUSEKEEPING};
use super::handshake::Initiator;
use super::link::{Link, PeerId, SocketId};
use super::outbox::To;
use super::path::{Path, USABLE_FOR};
use super::probing::{Phase, Probing};
use super::role::Bridge;
use super::session::Session;
use super::silence::Silence;
use super::wire::{ClientId, Control, FlowId, Header, Reject, SessionId, Type};

/// New keys are asked for when the old ones are this old: early enough before
/// [`SESSION_LIFETIME`](super::peer::SESSION_LIFETIME) to survive minutes in which nothing gets
/// through.
pub const REKEY_AFTER: Duration = Duration::from_secs(12 * 60);
/// A path is called silent no earlier than this long after its last reply.
const SILENT_AFTER: Duration = Duration::from_secs(3);
/// The first repetition of an init; each further one comes after twice as long ...
const INIT_FIRST: Duration = Duration::from_millis(100);
/// ... up to this: a server that starts is to be found within a second, however long it was away.
const INIT_LONGEST: Duration = Duration::from_millis(400);
/// An init is made anew when it was not answered for this long: long enough for any round trip.
const INIT_LIFETIME: Duration = Duration::from_secs(10);
/// How long a new session may take to prove itself.
const CONFIRM_WITHIN: Duration = Duration::from_secs(3);

/// See the module.
pub struct Client {
    id: ClientId,
    peer: PeerId,
    ways: Vec<Way>,
    probing: Probing,
    handshake: Option<Handshake>,
    confirm_by: Option<Instant>,
    /// Since when, and why, a new session is wanted, over all inits that this takes.
    trying: Option<(Instant, Why)>,
    silence: Silence,
    housekeeping: Instant,
}

struct Handshake {
    initiator: Initiator,
    since: Instant,
    attempts: u32,
    next: Instant,
    why: Why,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// There is no session.
    Start,
    /// The server does not answer.
    Lost,
    /// The keys are old.
    Rekey,
}

impl Client {
    /// A client whose bridges are yet to be looked up.
    pub fn new(now: Instant, bridges: Vec<Bridge>, fabric: &mut Fabric) -> Self {
        let id = ClientId(fabric.rng.random());
        let peer = fabric.add_peer(now, id);
        fabric.peers[peer.0].paths = bridges.iter().map(|_| Path::default()).collect();
        let probing = Probing::new(now, bridges.len());
        let ways = (0..).zip(bridges).map(|(path, bridge)| Way::new(now, path, bridge)).collect();
        Self {
            id,
            peer,
            ways,
            probing,
            handshake: None,
            confirm_by: None,
            trying: None,
            silence: Silence::default(),
            housekeeping: now,
        }
    }

    /// Gives an application's address a flow.
    pub fn open_flow(
        &mut self,
        now: Instant,
        local: Link,
        fabric: &mut Fabric,
    ) -> Result<(PeerId, FlowId), Reject> {
        let flows = &mut fabric.peers[self.peer.0].flows;
        if flows.is_full() {
            return Err(Reject::FlowLimit);
        }
        let flow = flows.free_id();
        fabric.add_flow(now, self.peer, flow, local);
        Ok((self.peer, flow))
    }

    /// Notes that a datagram passes, either way.
    #[inline]
    pub fn active(&mut self, now: Instant, fabric: &mut Fabric) {
        if self.probing.active(now) {
            fabric.wake_at(now);
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant, fabric: &mut Fabric) {
        for path in 0..self.ways.len() {
            if self.ways[path].retry(now, fabric) {
                self.relink(path, now, fabric);
            }
        }
        if now >= self.housekeeping {
            self.housekeeping = now + HOUSEKEEPING;
            fabric.expire(now);
        }
        if self.confirm_by.is_some_and(|by| now >= by) {
            self.confirm_by = None;
            if let Some(id) = fabric.peers[self.peer.0].abandon_next() {
                fabric.routes.remove(&id);
            }
        }
        self.shake_hands(now, fabric);
        for path in 0..self.ways.len() {
            if self.probe_due(path, now, fabric).is_some_and(|due| now >= due) {
                self.probe(path, now, fabric);
            }
        }
        fabric.timer = self.next_timeout(now, fabric);
    }

    fn next_timeout(&self, now: Instant, fabric: &Fabric) -> Instant {
        let mut next = self.housekeeping;
        for (path, way) in self.ways.iter().enumerate() {
            next = next.min(way.retry_at());
            next = self.probe_due(path, now, fabric).map_or(next, |due| next.min(due));
        }
        if let Some(handshake) = &self.handshake {
            next = next.min(handshake.next);
        }
        next = self.probing.next_change(now).map_or(next, |at| next.min(at));
        self.confirm_by.map_or(next, |by| next.min(by))
    }

    // ---- handshakes ----

    fn shake_hands(&mut self, now: Instant, fabric: &mut Fabric) {
        let peer = &fabric.peers[self.peer.0];
        if peer.next().is_some() {
            return;
        }
        let wanted = match peer.current() {
            None => Some(Why::Start),
            Some(_) if self.probing.lost(now) => Some(Why::Lost),
            Some(session) if now.saturating_duration_since(session.since) >= REKEY_AFTER => Some(Why::Rekey),
            Some(_) => None,
        };
        let stale = self
            .handshake
            .as_ref()
            .is_none_or(|handshake| now.saturating_duration_since(handshake.since) >= INIT_LIFETIME);
        if let Some(why) = wanted
            && stale
        {
            let id = fabric.new_session_id(|_| false);
            let initiator = Initiator::new(&fabric.security, id, &mut fabric.rng);
            self.handshake = Some(Handshake { initiator, since: now, attempts: 0, next: now, why });
            self.trying.get_or_insert((now, why));
        }
        self.send_init(now, fabric);
        self.complain(now, fabric);
    }

    fn send_init(&mut self, now: Instant, fabric: &mut Fabric) {
        let Some(handshake) = self.handshake.as_mut().filter(|handshake| now >= handshake.next) else {
            return;
        };
        let wait = INIT_FIRST.saturating_mul(1 << handshake.attempts.min(8)).min(INIT_LONGEST);
        handshake.attempts = handshake.attempts.saturating_add(1);
        // Some spread, so that a server's clients do not all come at once after it was restarted.
        handshake.next = now + wait.mul_f64(fabric.rng.random_range(0.8..1.0));
        for link in fabric.peers[self.peer.0].paths.iter().filter_map(|path| path.link) {
            fabric.outbox.push(To::Link(link), |out| out.extend_from_slice(handshake.initiator.init()));
        }
    }

    fn complain(&mut self, now: Instant, fabric: &Fabric) {
        if let Some((since, _)) = self.trying
            && let Some(text) = self.silence.complaint(now, since, self.ways.len(), &fabric.security)
        {
            warn!("{text}");
        }
    }

    /// Takes a response that came over `link`.
    pub fn handle_response(
        &mut self,
        now: Instant,
        link: Link,
        id: SessionId,
        noise: &[u8],
        fabric: &mut Fabric,
    ) -> Result<(), Reject> {
        let handshake = self.handshake.as_mut().filter(|handshake| handshake.initiator.local_id() == id);
        let keys = handshake.ok_or(Reject::UnknownSession)?.initiator.finish(noise)?;
        self.handshake = None;
        self.confirm_by = Some(now + CONFIRM_WITHIN);
        let session = Session::new(now, &keys, fabric.security.encrypt);
        fabric.routes.insert(keys.local_id, self.peer);
        let peer = &mut fabric.peers[self.peer.0];
        if let Some(displaced) = peer.try_session(session) {
            fabric.routes.remove(&displaced);
        }
        if let Some(path) =
            peer.paths.iter_mut().find(|path| path.link.is_some_and(|ours| ours.socket == link.socket))
        {
            path.heard = Some(now);
        }
        self.probing.hurry();
        fabric.wake_at(now);
        Ok(())
    }

    // ---- probes ----

    /// When the path's next probe is due, if there are a session and a link to send it.
    fn probe_due(&self, path: usize, now: Instant, fabric: &Fabric) -> Option<Instant> {
        let peer = &fabric.peers[self.peer.0];
        peer.paths[path].link?;
        peer.next().or(peer.current())?;
        let seeking = self.handshake.as_ref().is_some_and(|handshake| handshake.why != Why::Rekey);
        let phase = match (self.confirm_by, seeking) {
            (Some(_), _) => Phase::Proving,
            (None, true) => Phase::Seeking,
            (None, false) => Phase::Steady,
        };
        Some(self.probing.due(now, path, peer.paths[path].usable(now), phase))
    }

    fn probe(&mut self, path: usize, now: Instant, fabric: &mut Fabric) {
        let peer = &mut fabric.peers[self.peer.0];
        let Some(link) = peer.paths[path].link else { return };
        let heard = peer.paths[path].heard;
        if heard.is_none_or(|heard| now.saturating_duration_since(heard) >= SILENT_AFTER)
            && let Some(lost) = self.probing.fallen_silent(path)
        {
            if let Some(left_out) = fabric.lines.line(now) {
                let bridge = &self.ways[path].bridge().endpoint;
                warn!("bridge {bridge} is silent: {lost} probes were not answered{left_out}");
            }
            // A new socket cuts off what still comes to the old one. While that may be all there is,
            // it is kept as long as the server sends to it.
            self.ways[path].retry_by(if self.probing.any_up() { now } else { now + USABLE_FOR });
        }
        let Some(session) = peer.newest() else { return };
        let probe = self.probing.probe(now, path, fabric.rng.random_range(0.8..1.2));
        let control = Control {
            client: self.id,
            path: path as u8,
            validated: false,
            number: probe.number,
            count: probe.count,
            token: probe.token,
        };
        fabric.outbox.push(To::Link(link), |out| session.seal_control(Type::Probe, control, out));
    }

    /// Takes a reply.
    pub fn handle_reply(
        &mut self,
        now: Instant,
        header: Header,
        sealed: &mut [u8],
        fabric: &mut Fabric,
    ) -> Result<(), Reject> {
        let peer = &mut fabric.peers[self.peer.0];
        let session = peer.session(header.session).ok_or(Reject::UnknownSession)?;
        let (control, copy) = session.open_control(header, sealed)?;
        if copy {
            return Err(Reject::Copy);
        }
        let path = usize::from(control.path);
        let way = self.ways.get_mut(path).ok_or(Reject::Malformed)?;
        if let Some(rtt) = self.probing.replied(now, path, &control)
            && let Some(left_out) = fabric.lines.line(now)
        {
            let (bridge, ms) = (&way.bridge().endpoint, rtt.as_secs_f64() * 1e3);
            info!("bridge {bridge} is up, round trip {ms:.1} ms{left_out}");
        }
        way.answered(now);
        peer.paths[path].heard = Some(now);
        peer.heard = now;
        if peer.next().is_some_and(|session| session.local_id == header.session) {
            self.confirm(now, fabric);
        } else if !self.probing.lost(now)
            && self.handshake.as_ref().is_some_and(|handshake| handshake.why == Why::Lost)
        {
            // The server was only out of reach.
            self.handshake = None;
            self.trying = None;
            if let Some(text) = self.silence.over() {
                info!("{text}");
            }
        }
        fabric.peers[self.peer.0].update_carriers(now, &mut fabric.outbox);
        fabric.wake_at(now);
        Ok(())
    }

    fn confirm(&mut self, now: Instant, fabric: &mut Fabric) {
        let peer = &mut fabric.peers[self.peer.0];
        if let Some(forgotten) = peer.confirm_next(now) {
            fabric.routes.remove(&forgotten);
        }
        self.confirm_by = None;
        fabric.counters.handshakes += 1;
        match self.trying.take() {
            // Where keys were asked for in vain for long, that was said.
            Some((_, Why::Rekey)) => {
                debug!("new keys are in use");
                if let Some(text) = self.silence.over() {
                    info!("{text}");
                }
            }
            trying => {
                let since = trying.map_or(now, |(since, _)| since);
                info!("{}", self.silence.connected(now, since));
            }
        }
    }

    // ---- bridges ----

    /// Takes the answer to a bridge's look-up.
    pub fn handle_resolved(
        &mut self,
        now: Instant,
        path: u8,
        answer: Result<Vec<SocketAddr>, String>,
        fabric: &mut Fabric,
    ) {
        let path = usize::from(path);
        let Some(way) = self.ways.get_mut(path) else { return };
        let healthy = self.probing.is_up(path);
        if way.resolved(now, answer, healthy, fabric) {
            self.relink(path, now, fabric);
        }
        fabric.wake_at(now);
    }

    /// A bridge's socket could not be opened.
    pub fn handle_socket_error(&mut self, now: Instant, socket: SocketId, fabric: &mut Fabric) {
        let Some(path) = self.ways.iter().position(|way| way.has(socket)) else { return };
        self.ways[path].socket_failed(now, fabric);
        self.relink(path, now, fabric);
        fabric.wake_at(now);
    }

    /// The way to a bridge has changed.
    fn relink(&mut self, path: usize, now: Instant, fabric: &mut Fabric) {
        let peer = &mut fabric.peers[self.peer.0];
        peer.paths[path].relink(self.ways[path].link());
        peer.update_carriers(now, &mut fabric.outbox);
        self.probing.hurry_path(path);
        if let Some(handshake) = &mut self.handshake {
            handshake.next = now;
        }
    }

    /// The bridge behind one of our sockets, as the user named it.
    pub fn bridge_at(&self, socket: SocketId) -> Option<&Bridge> {
        self.ways.iter().find(|way| way.has(socket)).map(Way::bridge)
    }
}
