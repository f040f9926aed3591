//! What only mpserver does: answer handshakes and probes, and give each flow a socket towards its
//! target.
//!
//! An init is answered without making anybody a client: its session waits among the pending ones,
//! bounded in number and time. The client proves by its first probe that it has the session's keys
//! and got the response; then the session belongs to the peer whose client id the probe names, a
//! new one or one that asked for new keys. A client that falls silent is forgotten with its flows.
//!
//! A client is who holds a key and knows a client id: with a key for each client (`--keys`), nobody
//! comes to another's peer, whatever ids he knows. A key that is taken out of the file takes all with
//! it that was made with it.

mod flows;
mod keys;
mod leaving;
mod successors;
mod target;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use log::Level;

use super::allow::Allowed;
use super::chronicle::Kind;
use super::fabric::{Fabric, HOUSEKEEPING};
use super::handshake;
use super::keyring::KeyId;
use super::link::{Endpoint, Link, PeerId, SocketId};
use super::outbox::To;
use super::pace::Pace;
use super::path::{Arrival, MAX_PATHS, Path, Probed};
use super::role::ServerRole;
use super::session::Session;
use super::snapshot::Status;
use super::stats::Spoken;
use super::token::Tokens;
use super::wire::{
    self, ClientId, Control, FlowId, Header, INIT_LEN, InitHeader, RESPONSE_LEN, Reject, SessionId, Type,
};
pub use keys::MAX_OF_NAME;
use keys::{NamesHandshakes, who};
use successors::Places;
use target::{Names, OwnTarget};

/// Clients at one server.
pub const MAX_PEERS: usize = 4096;
/// Handshakes that wait for their client's first probe.
pub const MAX_PENDING: usize = 1024;
/// Inits whose copies still find their answer: those of pending handshakes, and of clients that have
/// come since.
const MAX_ANSWERED: usize = MAX_PENDING + MAX_PEERS;
/// A handshake is answered this often, and so many at once. Each takes some 75 µs: a flood of them that
/// had to be answered as it comes would hold up everybody's datagrams until the limit above is
/// reached. A thousand clients that all come at once are still connected within two seconds.
const HANDSHAKE_EVERY: Duration = Duration::from_micros(250);
const HANDSHAKES_AT_ONCE: u32 = 20;
/// How long they wait. Also how long a late copy of an init finds its answer.
const PENDING_FOR: Duration = Duration::from_secs(5);
/// A client that nothing authentic came from for this long is forgotten: as long as its flows would
/// last.
const PEER_IDLE: Duration = super::flow::FLOW_IDLE_AT_SERVER;
/// See the module.
pub struct Server {
    listen: SocketAddr,
    target: OwnTarget,
    allowed: Allowed,
    names: Names,
    /// Whose sockets are being opened.
    opening: HashMap<SocketId, (PeerId, FlowId)>,
    places: Places,
    pending: HashMap<SessionId, Pending>,
    answered: HashMap<Box<[u8; INIT_LEN]>, ([u8; RESPONSE_LEN], Instant)>,
    clients: HashMap<(KeyId, ClientId), PeerId>,
    tokens: Tokens,
    /// How often handshakes are answered.
    handshakes: Pace,
    names_handshakes: NamesHandshakes,
    housekeeping: Instant,
    /// When paths are to be chosen anew, for the clients that want it quick.
    steer_at: Option<Instant>,
}

/// A handshake that was answered.
struct Pending {
    session: Session,
    /// The key that it was made with.
    key: KeyId,
    until: Instant,
}

impl Server {
    /// A server without clients.
    pub fn new(now: Instant, role: ServerRole, fabric: &mut Fabric) -> Self {
        let (pending, answered, clients) = Default::default();
        let tokens = Tokens::new(now, &mut fabric.rng);
        Self {
            listen: role.listen,
            target: OwnTarget::new(now, role.target),
            allowed: role.allowed,
            names: Names::default(),
            opening: HashMap::new(),
            places: Places::new(),
            pending,
            answered,
            clients,
            tokens,
            handshakes: Pace::new(HANDSHAKE_EVERY, HANDSHAKES_AT_ONCE),
            names_handshakes: NamesHandshakes::default(),
            housekeeping: now,
            steer_at: None,
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant, fabric: &mut Fabric) {
        self.target.look_up(now, fabric);
        if now >= self.housekeeping {
            self.housekeeping = now + HOUSEKEEPING;
            self.pending.retain(|_, pending| now < pending.until);
            self.answered.retain(|_, (_, until)| now < *until);
            fabric.expire(now);
            self.forget_gone_clients(now, fabric);
            self.forget_places(fabric);
            self.names_handshakes.expire(now);
            tell_of_silent_paths(now, fabric);
            self.steer_at.get_or_insert(now);
        }
        if self.steer_at.is_some_and(|at| now >= at) {
            self.steer_at = fabric.steer(now);
        }
        let due = [self.target.look_up_at, self.steer_at].into_iter().flatten();
        fabric.timer = due.fold(self.housekeeping, Instant::min);
    }

    fn forget(&mut self, id: PeerId, fabric: &mut Fabric) {
        let peer = &fabric.peers[id.0];
        self.clients.remove(&(peer.key, peer.client));
        // Whoever has its number next is another one.
        self.opening.retain(|_, (peer, _)| *peer != id);
        self.names.forget(id);
        fabric.remove_peer(id);
    }

    /// Answers an init over the link that it came on, with fewer octets than it has.
    pub fn handle_init(
        &mut self,
        now: Instant,
        link: Link,
        init: &[u8; INIT_LEN],
        fabric: &mut Fabric,
    ) -> Result<(), Reject> {
        let response = match self.answered.get(init) {
            Some((response, _)) => *response,
            None => self.answer(now, init, fabric)?,
        };
        fabric.outbox.push(To::Link(link), |out| out.extend_from_slice(&response));
        Ok(())
    }

    fn answer(
        &mut self,
        now: Instant,
        init: &[u8; INIT_LEN],
        fabric: &mut Fabric,
    ) -> Result<[u8; RESPONSE_LEN], Reject> {
        if self.pending.len() >= MAX_PENDING || self.answered.len() >= MAX_ANSWERED {
            return Err(Reject::HandshakeLimit);
        }
        if self.handshakes.is_busy(now) {
            return Err(Reject::HandshakeRate);
        }
        let claimed = InitHeader::parse(init).1.key;
        if self.names_handshakes.is_busy(now, claimed) {
            return Err(Reject::HandshakeRate);
        }
        let id = fabric.new_session_id(|id| self.pending.contains_key(&id));
        let (keys, key, response) = handshake::respond(&fabric.security, init, id, &mut fabric.rng)?;
        fabric.forget_randomness();
        // One that was made with another key has cost little, and takes nobody's place.
        self.handshakes.note(now);
        if fabric.security.keys.name(key).is_some() {
            self.names_handshakes.note(now, key);
        }
        let until = now + PENDING_FOR;
        let session = Session::new(now, &keys, fabric.security.encrypt);
        self.pending.insert(id, Pending { session, key, until });
        self.answered.insert(Box::new(*init), (response, until));
        Ok(response)
    }

    /// Takes a probe and answers it over the link that it came on, with as many octets.
    pub fn handle_probe(
        &mut self,
        now: Instant,
        link: Link,
        header: Header,
        sealed: &mut [u8],
        fabric: &mut Fabric,
    ) -> Result<(), Reject> {
        if wire::is_padded(sealed) {
            return self.take_padded(link, header, sealed, fabric);
        }
        let (id, (control, copy)) = match fabric.routes.get(&header.session) {
            Some(&id) => {
                let session =
                    fabric.peers[id.0].sessions.get(header.session).ok_or(Reject::UnknownSession)?;
                (id, session.open_control(header, sealed)?)
            }
            None => {
                let pending = self.pending.get_mut(&header.session).ok_or(Reject::UnknownSession)?;
                let opened = pending.session.open_control(header, sealed)?;
                (self.confirm(now, link, header.session, opened.0.client, fabric)?, opened)
            }
        };
        if control.left || control.ended {
            return if copy {
                Err(Reject::Copy)
            } else {
                self.take_leave(now, id, link, header, control, fabric)
            };
        }
        if fabric.peers[id.0].left.is_some() {
            // Its last words have overtaken it, most likely.
            if !copy {
                fabric.peers[id.0].heard = now;
            }
            return Ok(());
        }
        let number = usize::from(control.path);
        if number >= MAX_PATHS {
            return Err(Reject::PathLimit);
        }
        let peer = &mut fabric.peers[id.0];
        if number >= peer.paths.len() {
            peer.paths.resize_with(number + 1, Path::default);
        }
        let proven = self.tokens.prove(now, control.client, control.path, link.remote, control.token);
        let backup = control.advice.policy.backups.has(number);
        let arrival = Arrival { link, number: control.number, copy, proven, backup };
        let probed = peer.paths[number].probed(now, arrival)?;
        if !copy {
            peer.heard = now;
        }
        let tell = match probed {
            Probed { up: true, .. } => Some((Level::Info, Kind::PathUp, "is up from")),
            Probed { moved: true, .. } => Some((Level::Debug, Kind::PathMoved, "comes from")),
            Probed { .. } => None,
        };
        if let Some((level, kind, what)) = tell {
            let who = who(&fabric.security.keys, id, peer.key);
            let text = format_args!("{who}: path {number} {what} {}", link.remote);
            fabric.chronicle.tell_of_others(now, level, kind.of(id), text);
        }
        if !copy && probed.validated {
            peer.steering.note_control(now, header.session, number, control.clock);
        }
        let newest = peer.sessions.is_newest(header.session) && !copy;
        if newest {
            peer.told_whole(now, number, control.whole);
        }
        if peer.sessions.is_newest(header.session)
            && peer.steering.advised(header.session, header.counter, number, &control.advice)
        {
            peer.steering.policy = control.advice.policy;
        }
        let token = self.tokens.give(now, control.client, control.path, link.remote);
        let (validated, count, clock) = (probed.validated, probed.count, fabric.clock(now));
        let peer = &mut fabric.peers[id.0];
        let advice = peer.steering.advice(number);
        // Longer than its probe: only to an address that is proven.
        let spare = peer.is_spare(number);
        let padded = if validated && newest { peer.paths[number].attempt(now, spare) } else { None };
        let whole = peer.paths[number].mtu.say();
        let reply = Control { validated, count, token, clock, advice, whole, ..control };
        let session = peer.sessions.get(header.session).ok_or(Reject::UnknownSession)?;
        if let Some(len) = padded {
            fabric.outbox.push(To::Whole(link), |out| session.seal_padded(Type::Reply, reply, len, out));
        }
        fabric.outbox.push(To::Link(link), |out| session.seal_control(Type::Reply, reply, out));
        peer.update_carriers(now, &mut fabric.outbox);
        Ok(())
    }

    /// Takes a padded probe, which is not answered: that it came whole over its path is all it says.
    fn take_padded(
        &self,
        link: Link,
        header: Header,
        sealed: &mut [u8],
        fabric: &mut Fabric,
    ) -> Result<(), Reject> {
        let id = *fabric.routes.get(&header.session).ok_or(Reject::UnknownSession)?;
        let peer = &mut fabric.peers[id.0];
        let session = peer.sessions.get(header.session).ok_or(Reject::UnknownSession)?;
        let (control, copy) = session.open_control(header, sealed)?;
        if copy {
            return Err(Reject::Copy);
        }
        let path = peer.paths.get_mut(usize::from(control.path)).ok_or(Reject::PathLimit)?;
        if path.link == Some(link) {
            path.mtu.arrived(control.whole.attempt);
        }
        Ok(())
    }

    /// A pending session has proven itself: it becomes its client's current one.
    fn confirm(
        &mut self,
        now: Instant,
        link: Link,
        session: SessionId,
        client: ClientId,
        fabric: &mut Fabric,
    ) -> Result<PeerId, Reject> {
        let key = self.pending.get(&session).ok_or(Reject::UnknownSession)?.key;
        let id = match self.clients.get(&(key, client)) {
            Some(&id) => id,
            None => {
                self.make_room(now, key, fabric)?;
                let id = fabric.add_peer(now, key, client);
                self.clients.insert((key, client), id);
                let who = who(&fabric.security.keys, id, key);
                fabric.chronicle.tell_of_others(
                    now,
                    Level::Info,
                    Kind::Connected.of(id),
                    format_args!("{who} has connected from {}", link.remote),
                );
                id
            }
        };
        let pending = self.pending.remove(&session).ok_or(Reject::UnknownSession)?.session;
        let peer = &mut fabric.peers[id.0];
        if peer.sessions.current().is_some_and(|current| current.since > pending.since) {
            // The client has given this one up, or it would not have begun a newer one: the probe was
            // overtaken.
            return Err(Reject::UnknownSession);
        }
        fabric.routes.insert(session, id);
        let displaced = peer.sessions.begin(pending);
        let forgotten = peer.confirm_next(now);
        for id in displaced.into_iter().chain(forgotten) {
            fabric.routes.remove(&id);
        }
        fabric.counters.handshakes += 1;
        Ok(id)
    }

    /// Where datagrams go that name no target, as the user named it.
    pub fn target(&self) -> &Endpoint {
        &self.target.endpoint
    }

    /// How many datagrams and questions wait for names, and their octets.
    pub fn held(&self) -> (usize, usize) {
        self.names.held()
    }

    /// How many handshakes wait for their client's first probe.
    pub fn half_open(&self) -> usize {
        self.pending.len()
    }

    /// Why a packet for a session that nobody has is refused.
    pub fn unknown_session(&self, session: SessionId) -> Reject {
        if self.pending.contains_key(&session) { Reject::Unconfirmed } else { Reject::UnknownSession }
    }
}

/// Says of paths that have fallen silent that they have.
fn tell_of_silent_paths(now: Instant, fabric: &mut Fabric) {
    for (id, peer) in &mut fabric.peers {
        for number in 0..peer.paths.len() {
            let silent = peer.status(now, number) == Status::Silent;
            let path = &mut peer.paths[number];
            let Some(heard) = path.heard.filter(|_| silent && !path.said_silent) else { continue };
            path.said_silent = true;
            let who = who(&fabric.security.keys, PeerId(id), peer.key);
            let silence = Spoken(now.saturating_duration_since(heard));
            fabric.chronicle.tell_of_others(
                now,
                Level::Info,
                Kind::PathSilent.of(PeerId(id)),
                format_args!("{who}: path {number} is silent: no probe has come for {silence}"),
            );
        }
    }
}
