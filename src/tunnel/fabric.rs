//! The switch fabric: what both programs have between their local links and their path links.
//! Peers, the tables that find them, and what is on its way out.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use slab::Slab;

use super::chronicle::Chronicle;
use super::flow::{Flow, Flows, Limits};
use super::keyring::KeyId;
use super::link::{Bind, Event, Link, PeerId, SocketId};
use super::outbox::Outbox;
use super::peer::Peer;
use super::role::Security;
use super::stats::Counters;
use super::wire::{ClientId, Clock, FlowId, SessionId};

/// The socket that a program listens on: applications at mpclient, bridges at mpserver.
pub const LISTENER: SocketId = SocketId(0);

impl SocketId {
    /// Whether the socket is a listener: mpserver's one, or any of mpclient's.
    #[inline]
    pub fn listens(self) -> bool {
        self == LISTENER || self.0 & Self::LISTENS != 0
    }

    /// Whether the socket is a SOCKS5 association's.
    #[inline]
    pub fn relays(self) -> bool {
        self.0 & Self::RELAYS != 0
    }
}

/// How often what only ages is looked at.
pub const HOUSEKEEPING: Duration = Duration::from_secs(1);

/// See the module.
pub struct Fabric {
    /// Whether and how packets are sealed.
    pub security: Security,
    /// Where everything random comes from.
    pub rng: StdRng,
    /// The other ends: one at a client, any number at a server.
    pub peers: Slab<Peer>,
    /// Whose session an id is.
    pub routes: HashMap<SessionId, PeerId>,
    /// Whose flow a local link is.
    pub locals: HashMap<(SocketId, SocketAddr), (PeerId, FlowId)>,
    /// What is to be sent.
    pub outbox: Outbox,
    /// What the event loop is to do.
    pub events: VecDeque<Event>,
    /// What was counted.
    pub counters: Counters,
    /// What has happened.
    pub chronicle: Chronicle,
    /// Whether the configuration that was read again last has mistakes, so that an older one is in use.
    pub reload_refused: bool,
    /// When `handle_timeout` has something to do.
    pub timer: Instant,
    /// When it all began: the hour of our clock.
    pub begun: Instant,
    /// What limits each peer's flows.
    pub flow_limits: Limits,
    next_socket: u32,
}

impl Fabric {
    /// A fabric with nothing in it.
    pub fn new(now: Instant, security: Security, flow_limits: Limits, rng: StdRng) -> Self {
        Self {
            security,
            rng,
            peers: Slab::new(),
            routes: HashMap::new(),
            locals: HashMap::new(),
            outbox: Outbox::default(),
            events: VecDeque::new(),
            counters: Counters::default(),
            chronicle: Chronicle::default(),
            reload_refused: false,
            begun: now,
            timer: now,
            flow_limits,
            next_socket: LISTENER.0 + 1,
        }
    }

    /// What time it is by our clock.
    pub fn clock(&self, now: Instant) -> Clock {
        Clock::after(now.saturating_duration_since(self.begun))
    }

    /// Has a socket opened.
    pub fn open_socket(&mut self, bind: Bind) -> SocketId {
        let socket = self.next_socket();
        self.events.push_back(Event::Open(socket, bind));
        socket
    }

    /// Has a further listener opened.
    pub fn open_listener(&mut self, address: SocketAddr) -> SocketId {
        let socket = SocketId(self.next_socket().0 | SocketId::LISTENS);
        self.events.push_back(Event::Open(socket, Bind::Listen(address)));
        socket
    }

    /// Has the socket of a SOCKS5 association opened, at a port that the system chooses.
    pub fn open_relay(&mut self, address: SocketAddr) -> SocketId {
        let socket = SocketId(self.next_socket().0 | SocketId::LISTENS | SocketId::RELAYS);
        self.events.push_back(Event::Open(socket, Bind::Listen(address)));
        socket
    }

    fn next_socket(&mut self) -> SocketId {
        let socket = SocketId(self.next_socket);
        // A billion sockets on, the numbers of the first are long free.
        self.next_socket = (self.next_socket + 1) % SocketId::RELAYS;
        self.next_socket = self.next_socket.max(LISTENER.0 + 1);
        socket
    }

    /// Has `handle_timeout` called at `when`, if not before.
    pub fn wake_at(&mut self, when: Instant) {
        self.timer = self.timer.min(when);
    }

    /// Has what was drawn so far never be drawn again, not even by who sees the generator's state
    /// later: keys of a handshake came from it.
    pub fn forget_randomness(&mut self) {
        self.rng = StdRng::from_rng(&mut self.rng);
    }

    /// An id for a new session here, hard to guess and not in use.
    pub fn new_session_id(&mut self, taken: impl Fn(SessionId) -> bool) -> SessionId {
        loop {
            let id = SessionId(self.rng.random());
            if !self.routes.contains_key(&id) && !taken(id) {
                return id;
            }
        }
    }

    /// A peer without session or path.
    pub fn add_peer(&mut self, now: Instant, key: KeyId, client: ClientId) -> PeerId {
        let entry = self.peers.vacant_entry();
        let id = PeerId(entry.key());
        entry.insert(Peer::new(now, id, key, client, Flows::new(self.flow_limits)));
        id
    }

    /// Starts a flow between a peer and its local link.
    pub fn add_flow(&mut self, peer: PeerId, flow: Flow) {
        self.locals.insert((flow.local.socket, flow.local.remote), (peer, flow.open.flow));
        self.peers[peer.0].flows.insert(flow);
    }

    /// Forgets the local link of a flow that has ended. A socket that only the flow used is closed.
    pub fn forget_local(&mut self, local: Link) {
        forget_local(&mut self.locals, &mut self.events, local);
    }

    /// What each second brings at every peer: sessions and flows end of age, and what was counted is
    /// noted. A socket that only a flow used is closed with it.
    pub fn expire(&mut self, now: Instant) {
        for (_, peer) in &mut self.peers {
            for id in peer.sessions.expire(now) {
                self.routes.remove(&id);
            }
            for local in peer.flows.expire(now) {
                forget_local(&mut self.locals, &mut self.events, local);
            }
            peer.mark(now);
        }
    }

    /// Finds out which paths are usable, what came of the datagrams that went over them, and which
    /// are to carry. Returns when to do so again, if that is before the next housekeeping.
    pub fn steer(&mut self, now: Instant) -> Option<Instant> {
        let mut next = None;
        for (_, peer) in &mut self.peers {
            next = peer.steering.look(now).into_iter().chain(next).min();
            peer.update_carriers(now, &mut self.outbox);
        }
        next
    }

    /// Forgets a peer with all that is its own.
    pub fn remove_peer(&mut self, id: PeerId) {
        let peer = self.peers.remove(id.0);
        self.chronicle.forget(id, self.security.keys.name(peer.key));
        for session in peer.sessions.ids() {
            self.routes.remove(&session);
        }
        for flow in peer.flows.iter() {
            forget_local(&mut self.locals, &mut self.events, flow.local);
        }
    }
}

fn forget_local(
    locals: &mut HashMap<(SocketId, SocketAddr), (PeerId, FlowId)>,
    events: &mut VecDeque<Event>,
    local: Link,
) {
    locals.remove(&(local.socket, local.remote));
    if !local.socket.listens() {
        events.push_back(Event::Close(local.socket));
    }
}
