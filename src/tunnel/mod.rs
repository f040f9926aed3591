//! The tunnel: a packet switch between local links (applications, the target) and path links
//! (bridges), without sockets, clock or hidden randomness. `now` and a generator are passed in; out
//! come packets to send, sockets to open or close, names to look up, and the next deadline.
//!
//! ```text
//!  local link ──> flow ──> session: seal once ──> outbox ──> every usable path
//!  path link ──> parse ──> session: window ─> open ─> window ──> flow ──> outbox ──> local link
//! ```
//!
//! One turn of the event loop: `handle_timeout`, `handle_input` for what was received, then
//! `poll_event` and `poll_transmit` until both have no more, then wait until `poll_timeout`.

pub mod aead;
pub mod allow;
pub mod arrivals;
mod bridge;
pub mod change;
pub mod choice;
pub mod chronicle;
mod client;
mod fabric;
pub mod flow;
mod handshake;
pub mod health;
pub mod journal;
pub mod key;
pub mod keyring;
pub mod link;
pub mod meter;
pub mod mtu;
mod outbox;
mod pace;
pub mod path;
mod peer;
pub mod probing;
pub mod report;
pub mod role;
mod server;
pub mod session;
mod sessions;
pub mod set;
mod silence;
pub mod snapshot;
pub mod socks5;
pub mod stats;
mod steering;
mod token;
#[cfg(test)]
mod vectors;
mod view;
mod waiting;
pub mod window;
pub mod wire;

use std::fmt;
use std::net::SocketAddr;
use std::time::Instant;

use log::Level;
use rand::rngs::StdRng;

use arrivals::Brought;
use change::Change;
use chronicle::Kind;
use client::Client;
use fabric::Fabric;
pub use fabric::LISTENER;
use flow::{FLOW_IDLE, FLOW_IDLE_AT_SERVER, Limits};
use journal::Journal;
use link::{Bind, Event, Link, NameId, SocketId, Transmit};
use outbox::To;
use probing::Probes;
use role::{Config, Role};
use server::Server;
use session::Session;
use stats::{Counters, Holdings};
use wire::{Header, MAX_DATAGRAM_LEN, Packet, Reject, Type};

/// One end of the tunnel.
pub struct Tunnel {
    side: Side,
    listen: SocketAddr,
    fabric: Fabric,
}

/// What differs between the two programs.
enum Side {
    Client(Box<Client>),
    Server(Box<Server>),
}

impl Tunnel {
    /// A tunnel that begins to work with the first `handle_timeout`. Everything random in it comes
    /// from `rng`.
    pub fn new(now: Instant, config: Config, rng: StdRng) -> Self {
        let flow_limits = match &config.role {
            Role::Client(role) => Limits { most: role.max_flows, idle: FLOW_IDLE },
            Role::Server(role) => Limits { most: role.max_flows, idle: FLOW_IDLE_AT_SERVER },
        };
        let mut fabric = Fabric::new(now, config.security, flow_limits, rng);
        let (side, listen) = match config.role {
            Role::Client(role) => {
                let listen = role.listen;
                (Side::Client(Box::new(Client::new(now, role, &mut fabric))), listen)
            }
            Role::Server(role) => {
                let listen = role.listen;
                (Side::Server(Box::new(Server::new(now, role, &mut fabric))), listen)
            }
        };
        fabric.events.push_front(Event::Open(LISTENER, Bind::Listen(listen)));
        Self { side, listen, fabric }
    }

    /// Takes what can be changed while it runs from a configuration that was read anew: a client's
    /// bridges, how many copies it wants, what it forwards, and who may log in by SOCKS5; a server's keys. A server's
    /// other settings are its arguments, which cannot change. What is different is for [`changes`](Self::changes)
    /// to say.
    pub fn reconfigure(&mut self, now: Instant, config: Config) {
        match (&mut self.side, config.role) {
            (Side::Client(client), Role::Client(role)) => {
                client.listen(role.forwards, &mut self.fabric);
                client.serve_socks5(role.socks5);
                client.reconfigure(now, role.bridges, role.copies, &mut self.fabric);
            }
            (Side::Server(server), Role::Server(_)) => {
                server.take_keys(now, config.security.keys, &mut self.fabric);
            }
            _ => debug_assert!(false, "no tunnel changes sides"),
        }
    }

    /// What is different in a configuration that was read anew, whether [`reconfigure`](Self::reconfigure) takes it
    /// on or not.
    pub fn changes(&self, config: &Config) -> Vec<Change> {
        match (&self.side, &config.role) {
            (Side::Client(client), Role::Client(role)) => {
                let listen = Change::of_start("listen", Some(role.listen), Some(self.listen));
                let (keys, running) = (config.security.keys.shared(), self.fabric.security.keys.shared());
                let key = (keys != running).then(Change::of_the_key);
                let most = self.fabric.flow_limits.most;
                let max_flows = Change::of_start("max-flows", Some(role.max_flows), Some(most));
                let settings = [listen, key, max_flows].into_iter().flatten();
                settings.chain(client.changes(role, &self.fabric)).collect()
            }
            _ => self.fabric.security.keys.changes(&config.security.keys).into_iter().collect(),
        }
    }

    /// Takes what was received on a link. It is opened in place.
    #[inline]
    pub fn handle_input(&mut self, now: Instant, link: Link, octets: &mut [u8]) {
        let local = link.socket.listens() == matches!(self.side, Side::Client(_));
        let taken = if local { self.forward(now, link, octets) } else { self.receive(now, link, octets) };
        if let Err(reject) = taken {
            self.fabric.counters.reject(reject);
            // Copies are two packets of three, and nothing to report.
            if reject != Reject::Copy {
                self.report(now, link, octets, reject);
            }
        }
    }

    fn forward(&mut self, now: Instant, link: Link, octets: &[u8]) -> Result<(), Reject> {
        if octets.len() > MAX_DATAGRAM_LEN {
            return Err(Reject::TooLarge);
        }
        let fabric = &mut self.fabric;
        let known = || fabric.locals.get(&(link.socket, link.remote)).copied();
        let (id, flow, datagram) = match &mut self.side {
            // Whose datagrams say themselves where they go.
            Side::Client(client) if link.socket.relays() => client.named_flow(now, link, octets, fabric)?,
            side => {
                let (id, flow) = match (known(), side) {
                    (Some(known), _) => known,
                    (None, Side::Client(client)) => client.open_flow(now, link, fabric)?,
                    (None, Side::Server(_)) => return Err(Reject::UnknownFlow),
                };
                (id, flow, octets)
            }
        };
        if let Side::Client(client) = &mut self.side {
            client.active(now, fabric);
        }
        let peer = &mut fabric.peers[id.0];
        let pushed_out = peer.send(now, flow, link, datagram, &mut fabric.outbox)?;
        let waits = !peer.waiting.is_empty();
        let is_cut = datagram.len() > peer.cut_above;
        fabric.counters.datagrams_sent += 1;
        if let Side::Client(client) = &mut self.side
            && waits
        {
            client.ask_again(now, fabric);
        }
        if pushed_out > 0 {
            (0..pushed_out).for_each(|_| fabric.counters.reject(Reject::QueueFull));
            self.report(now, link, &mut [], Reject::QueueFull);
        }
        if is_cut {
            self.tell_of_cuts(now, id, datagram.len());
        }
        Ok(())
    }

    fn receive(&mut self, now: Instant, link: Link, octets: &mut [u8]) -> Result<(), Reject> {
        match (wire::parse(octets)?, &mut self.side) {
            (Packet::Sealed(header @ Header { kind: Type::Data, .. }, sealed), _) => {
                self.deliver(now, link, header, sealed)
            }
            (Packet::Sealed(header @ Header { kind: Type::Open, .. }, sealed), Side::Server(server)) => {
                server.handle_open(now, link, header, sealed, &mut self.fabric)
            }
            (Packet::Sealed(header @ Header { kind: Type::Opened, .. }, sealed), Side::Client(client)) => {
                client.handle_opened(now, link, header, sealed, &mut self.fabric)
            }
            (Packet::Sealed(header @ Header { kind: Type::Probe, .. }, sealed), Side::Server(server)) => {
                server.handle_probe(now, link, header, sealed, &mut self.fabric)
            }
            (Packet::Sealed(header @ Header { kind: Type::Reply, .. }, sealed), Side::Client(client)) => {
                client.handle_reply(now, link, header, sealed, &mut self.fabric)
            }
            (Packet::Init(init), Side::Server(server)) => {
                server.handle_init(now, link, init, &mut self.fabric)
            }
            (Packet::Response(id, noise), Side::Client(client)) => {
                client.handle_response(now, link, id, noise, &mut self.fabric)
            }
            _ => Err(Reject::Malformed),
        }
    }

    fn deliver(&mut self, now: Instant, link: Link, header: Header, sealed: &mut [u8]) -> Result<(), Reject> {
        let Some(&id) = self.fabric.routes.get(&header.session) else {
            return Err(match &self.side {
                Side::Server(server) => server.unknown_session(header.session),
                Side::Client(_) => Reject::UnknownSession,
            });
        };
        let peer = &mut self.fabric.peers[id.0];
        let (flow, datagram) = peer.take(now, link, header, sealed, Session::open_data)?;
        let Some(local) = peer.flows.deliver(now, flow) else {
            if let Side::Server(server) = &mut self.side {
                server.refuse(now, id, flow, Reject::UnknownFlow, &mut self.fabric);
            }
            return Err(Reject::UnknownFlow);
        };
        if let Side::Client(client) = &mut self.side {
            client.active(now, &mut self.fabric);
        }
        self.fabric.counters.datagrams_received += 1;
        if local.socket.relays() {
            return self.relay(id, flow, local, datagram);
        }
        self.fabric.outbox.push(To::Link(local), |out| out.extend_from_slice(datagram));
        Ok(())
    }

    /// Does what is due at `now`. To be called every turn; costs a comparison when nothing is.
    #[inline]
    pub fn handle_timeout(&mut self, now: Instant) {
        if now < self.fabric.timer {
            return;
        }
        match &mut self.side {
            Side::Client(client) => client.handle_timeout(now, &mut self.fabric),
            Side::Server(server) => server.handle_timeout(now, &mut self.fabric),
        }
    }

    /// Takes the answer to [`Event::Resolve`]: the name's addresses, best first, or why there are
    /// none.
    pub fn handle_resolved(&mut self, now: Instant, name: NameId, answer: Result<Vec<SocketAddr>, String>) {
        match (name, &mut self.side) {
            (NameId::Bridge(_), Side::Client(client)) => {
                client.handle_resolved(now, name, answer, &mut self.fabric);
            }
            (NameId::Target | NameId::Named(_), Side::Server(server)) => {
                server.handle_resolved(now, name, answer, &mut self.fabric);
            }
            _ => debug_assert!(false, "no such name was asked for"),
        }
    }

    /// A socket that was asked for is open, and has this address.
    pub fn handle_socket_open(&mut self, now: Instant, socket: SocketId, address: SocketAddr) {
        if let Side::Server(server) = &mut self.side {
            server.handle_socket_open(now, socket, address, &mut self.fabric);
        }
    }

    /// A socket that was asked for could not be opened.
    pub fn handle_socket_error(&mut self, now: Instant, socket: SocketId) {
        match &mut self.side {
            Side::Client(client) => client.handle_socket_error(now, socket, &mut self.fabric),
            Side::Server(server) => server.handle_socket_error(now, socket, &mut self.fabric),
        }
    }

    /// A path's socket has lost its uplink, or could not be opened for want of it.
    pub fn handle_uplink_lost(&mut self, now: Instant, socket: SocketId, reason: &str) {
        match &mut self.side {
            Side::Client(client) => client.handle_uplink_lost(now, socket, reason, &mut self.fabric),
            Side::Server(_) => debug_assert!(false, "a server's sockets have no uplinks"),
        }
    }

    /// The program ends: a client tells its server, so that it is not taken for one that has lost all its
    /// paths. Nothing else is due any more.
    pub fn leave(&mut self, now: Instant) {
        match &mut self.side {
            Side::Client(client) => client.leave(now, &mut self.fabric),
            // Its clients would only ask for it sooner.
            Side::Server(_) => {}
        }
    }

    /// When `handle_timeout` is due.
    pub fn poll_timeout(&self) -> Instant {
        self.fabric.timer
    }

    /// What the event loop is to do next, before it sends.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.fabric.events.pop_front()
    }

    /// What is to be sent next.
    #[inline]
    pub fn poll_transmit(&mut self) -> Option<Transmit<'_>> {
        let peers = &self.fabric.peers;
        self.fabric.outbox.poll(|id, reach| peers.get(id.0).map_or(&[], |peer| peer.carriers(reach)))
    }

    /// Something has happened to the program that the tunnel does not know of.
    pub fn tell(&mut self, now: Instant, level: Level, kind: Kind, text: String) {
        self.fabric.chronicle.tell(now, level, kind, text);
    }

    /// The same of what others can bring about as often as they like: of too much within a minute, nothing is
    /// told but how much it was.
    pub fn tell_of_others(&mut self, now: Instant, level: Level, kind: Kind, text: fmt::Arguments<'_>) {
        self.fabric.chronicle.tell_of_others(now, level, kind, text);
    }

    /// The configuration was read again: whether it has mistakes, so that nothing of it is in use.
    pub fn note_reload(&mut self, refused: bool) {
        self.fabric.reload_refused = refused;
    }

    /// What was counted so far.
    pub fn counters(&self) -> &Counters {
        &self.fabric.counters
    }

    /// What each other end's datagrams did: which paths brought them, and what came of them.
    pub fn received(&self) -> impl Iterator<Item = (&[Brought], &Journal)> {
        self.fabric.peers.iter().map(|(_, peer)| (peer.steering.brought(), peer.steering.journal()))
    }

    /// What became of the probes of a path. A server sends none.
    pub fn probes(&self, now: Instant, path: usize) -> Probes {
        match &self.side {
            Side::Client(client) => client.probes(now, path),
            Side::Server(_) => Probes::default(),
        }
    }

    /// Where a path's bridge may be: the addresses of its name, or its address. A server knows none.
    pub fn addresses(&self, path: usize) -> &[SocketAddr] {
        match &self.side {
            Side::Client(client) => client.addresses(path),
            Side::Server(_) => &[],
        }
    }

    /// What is held at the moment.
    pub fn holdings(&self) -> Holdings {
        let (half_open, (waiting, waiting_len)) = match &self.side {
            Side::Client(_) => (0, (0, 0)),
            Side::Server(server) => (server.half_open(), server.held()),
        };
        let fabric = &self.fabric;
        let sums = Holdings {
            peers: fabric.peers.len(),
            sessions: fabric.routes.len(),
            half_open,
            waiting,
            waiting_len,
            ..Holdings::default()
        };
        fabric.peers.iter().fold(sums, |sums, (_, peer)| {
            let (waiting, waiting_len) = peer.waiting.amount();
            Holdings {
                paths: sums.paths + peer.paths.len(),
                flows: sums.flows + peer.flows.count(),
                waiting: sums.waiting + waiting,
                waiting_len: sums.waiting_len + waiting_len,
                ..sums
            }
        })
    }

    /// What a user calls the other side of a socket, for the log.
    pub fn describe(&self, link: Link) -> String {
        match &self.side {
            Side::Client(client) if !link.socket.listens() => match client.bridge_at(link.socket) {
                Some(bridge) => format!("bridge {bridge}"),
                None => format!("bridge at {}", link.remote),
            },
            Side::Client(_) => format!("application {}", link.remote),
            Side::Server(_) if link.socket == LISTENER => format!("client's address {}", link.remote),
            Side::Server(_) => format!("target {}", link.remote),
        }
    }
}

#[cfg(test)]
impl Tunnel {
    /// A server that nobody has spoken with, for tests of what is made of a tunnel. It listens on 127.0.0.1:1.
    pub(crate) fn quiet_server(now: Instant) -> Self {
        use rand::SeedableRng;

        let [listen, target] = [1, 2].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let role = role::ServerRole::new(listen, target.into()).into();
        let security = role::Security { encrypt: true, keys: keyring::Keys::None };
        Self::new(now, Config { role, security }, StdRng::seed_from_u64(1))
    }
}
