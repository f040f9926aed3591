//! The simulator: real tunnels, a network that misbehaves by seed, and virtual time that jumps to the next event.
//!
//! ```text
//!  applications ── client 0 ──.                 .── bridge 0 ──.
//!  applications ── client 1 ───>  each client  ────  bridge 1  ───── server ── target
//!                             '   to each       '── bridge 2 ──'
//!                                 bridge
//! ```
//! A run is a seed and the calls of its test: the same again give the same packets at the same times. What must hold in every
//! run is checked at every step: each datagram is delivered at most once, unchanged, to whom it was sent
//! ([`traffic`]), at the instant at which its first copy arrives ([`promise`]), and nobody who has not returned a token is
//! sent more than was received from there ([`attacker`]).
//! A test is one function on a [`Sim`], usually for several [`seeds`].

pub mod attacker;
mod carry;
pub mod host;
mod look;
pub mod network;
mod promise;
pub mod reload;
pub mod rogue;
pub mod scenario;
pub mod seeds;
pub mod setup;
pub mod traffic;
pub mod villain;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use mptunnel::tunnel::LISTENER;
use mptunnel::tunnel::link::{Link, NameId, SocketId};
use rand::{RngExt, rngs::StdRng};

use attacker::{Account, Attacker};
use host::{Host, HostId, SERVER, is_local};
use network::Bridge;
use promise::{Arrival, Promise};
use traffic::{App, Ledger, Way};

/// The limits that README.md states: half-open handshakes, and what waits, in datagrams and octets.
const MAX_PENDING: usize = 1024;
const MAX_WAITING: usize = 256;
const MAX_WAITING_LEN: usize = 262_144;

/// More turns than this at one instant: a tunnel's timer stands still.
const MOST_TURNS: u32 = 1000;

/// See the module.
pub struct Sim {
    base: Instant,
    /// Time since the start.
    pub now: Duration,
    turns: u32,
    queue: BTreeMap<(Duration, u64), Happening>,
    order: u64,
    rng: StdRng,
    hosts: Vec<Host>,
    /// Whose sockets have which addresses, but for the clients' listeners, which no packet reaches from outside.
    sockets: HashMap<SocketAddr, (HostId, SocketId)>,
    /// The bridges.
    pub bridges: Vec<Bridge>,
    names: HashMap<String, setup::Answers>,
    name_delay: Duration,
    server: SocketAddr,
    /// The server's own target, and those of the clients' forwards.
    targets: Vec<SocketAddr>,
    /// Whether the target sends a datagram back for each that it gets.
    pub echo: bool,
    /// The addresses that the target has seen each application at, in order.
    flows: HashMap<App, Vec<SocketAddr>>,
    owners: HashMap<SocketAddr, App>,
    /// The applications that have spoken to each process of their clients.
    lives: HashSet<(App, u64)>,
    /// When the first and the last of those datagrams were sent that have come to the target from an address.
    spans: HashMap<SocketAddr, (Duration, Duration)>,
    /// Sockets towards the target that the server has closed, and when.
    pub closed: Vec<(Duration, SocketAddr)>,
    ledger: Ledger,
    promise: Promise,
    streams: Vec<Stream>,
    /// Somebody on the way.
    pub attacker: Option<Box<dyn Attacker>>,
    /// What the server has sent to whom.
    pub account: Account,
    /// A hash of all packets that arrived, and when: two runs of a seed are the same when this is.
    pub trace: u64,
}

/// Datagrams at regular times.
#[derive(Clone, Debug)]
pub struct Stream {
    /// Whose.
    pub app: App,
    /// Which way.
    pub way: Way,
    /// How often.
    pub every: Duration,
    /// How many at a time.
    pub burst: usize,
    /// How long each is.
    pub len: RangeInclusive<usize>,
}

impl Stream {
    /// So many short datagrams a second, one at a time.
    pub fn new(app: App, way: Way, per_second: u32) -> Self {
        Self { app, way, every: Duration::from_secs(1) / per_second, burst: 1, len: 40..=120 }
    }
}

enum Happening {
    /// A packet comes to whoever has this socket.
    Arrival {
        from: SocketAddr,
        to: SocketAddr,
        sent: Duration,
        octets: Vec<u8>,
    },
    Tick(usize),
    Answer(HostId, u64, NameId, setup::Answer),
}

impl Sim {
    /// The time by a process's clock.
    fn instant_at(&self, host: HostId) -> Instant {
        self.instant() - self.hosts[host].behind
    }

    /// Has a client's machine, with its applications, sleep for a while. Its clock goes on meanwhile, or
    /// stands still: systems differ.
    pub fn suspend_client(&mut self, client: usize, time: Duration, clock_goes_on: bool) {
        self.hosts[client + 1].asleep = true;
        self.run_for(time);
        let host = &mut self.hosts[client + 1];
        host.asleep = false;
        host.behind += if clock_goes_on { Duration::ZERO } else { time };
    }

    // ---- what a test does ----

    /// Starts the server.
    pub fn start_server(&mut self) {
        self.account.forget();
        self.start(SERVER);
    }

    /// Kills the server.
    pub fn kill_server(&mut self) {
        self.kill(SERVER);
    }

    /// Starts a client.
    pub fn start_client(&mut self, client: usize) {
        self.start(client + 1);
    }

    /// Kills a client. Its applications stay.
    pub fn kill_client(&mut self, client: usize) {
        self.kill(client + 1);
    }

    /// Ends a client in order: what it still sends is under way when it is gone. Its applications stay.
    pub fn stop_client(&mut self, client: usize) {
        let host = client + 1;
        let now = self.instant_at(host);
        let tunnel = self.hosts[host].tunnel.as_mut().expect("the client runs");
        tunnel.leave(now);
        self.flush();
        self.kill(host);
    }

    fn start(&mut self, host: HostId) {
        let now = self.instant_at(host);
        self.hosts[host].start(now);
    }

    fn kill(&mut self, host: HostId) {
        for address in self.hosts[host].kill() {
            self.sockets.remove(&address);
        }
    }

    /// Sends one datagram. From the target it goes where the application was last seen, if it was.
    pub fn send(&mut self, app: App, way: Way, len: usize) {
        match way {
            Way::Up if self.hosts[app.client + 1].asleep => {}
            Way::Up => {
                let mut datagram = self.ledger.send(self.now, app, way, len);
                let now = self.instant_at(app.client + 1);
                let host = &mut self.hosts[app.client + 1];
                let to = listener(app);
                let socket = host.sockets.iter().find(|(_, address)| **address == to).map(|(id, _)| *id);
                // Before its first turn, a process has opened nothing.
                let socket = socket.unwrap_or(LISTENER);
                let link = Link { socket, remote: application(app), local: None };
                if let Some(tunnel) = &mut host.tunnel {
                    self.lives.insert((app, host.starts));
                    tunnel.handle_input(now, link, &mut datagram);
                }
            }
            Way::Down => {
                let Some(&to) = self.flow_addresses(app).last() else { return };
                let datagram = self.ledger.send(self.now, app, way, len);
                self.inject(self.now, self.target_of(app), to, datagram);
            }
        }
    }

    /// Begins to send at regular times. Returns the stream's number.
    pub fn stream(&mut self, stream: Stream) -> usize {
        let first = self.now + stream.every.mul_f64(self.rng.random());
        self.streams.push(stream);
        let number = self.streams.len() - 1;
        self.at(first, Happening::Tick(number));
        number
    }

    /// Streams both ways for an application.
    pub fn streams(&mut self, app: App, per_second: u32) -> [usize; 2] {
        [Way::Up, Way::Down].map(|way| self.stream(Stream::new(app, way, per_second)))
    }

    /// Ends streams.
    pub fn stop<const N: usize>(&mut self, streams: [usize; N]) {
        for stream in streams {
            self.streams[stream].burst = 0;
        }
    }

    /// Has a packet arrive, from whatever address.
    pub fn inject(&mut self, at: Duration, from: SocketAddr, to: SocketAddr, octets: Vec<u8>) {
        self.at(at, Happening::Arrival { from, to, sent: self.now, octets });
    }

    /// Lets time pass.
    pub fn run_for(&mut self, time: Duration) {
        let until = self.now + time;
        while self.step(until) {}
    }

    /// Lets time pass until something holds. Returns how long that took, or `None` where it was not so within `limit`.
    pub fn run_until(
        &mut self,
        limit: Duration,
        mut holds: impl FnMut(&mut Self) -> bool,
    ) -> Option<Duration> {
        let start = self.now;
        loop {
            if holds(self) {
                return Some(self.now - start);
            }
            if !self.step(start + limit) {
                return None;
            }
        }
    }

    /// Lets a stream's echoes bring all paths of all clients into use.
    pub fn warm_up(&mut self) {
        for client in 0..self.clients() {
            let app = App { client, number: 0 };
            let stream = self.stream(Stream::new(app, Way::Up, 20));
            let connected = self.run_until(Duration::from_secs(5), |sim| !sim.flow_addresses(app).is_empty());
            assert!(connected.is_some(), "client {client} could not connect within 5 s");
            self.stop([stream]);
        }
        self.run_for(Duration::from_secs(2));
    }

    // ---- time ----

    fn at(&mut self, at: Duration, what: Happening) {
        self.order += 1;
        self.queue.insert((at, self.order), what);
    }

    /// One turn at the next instant at which something happens. False when nothing does until `until`.
    fn step(&mut self, until: Duration) -> bool {
        self.flush();
        let due = self.queue.first_key_value().map(|((at, _), _)| *at);
        let timers = self.hosts.iter().filter_map(|host| host.timer(self.base));
        let next = due.into_iter().chain(timers).min().unwrap_or(Duration::MAX).max(self.now);
        if next > until {
            self.now = until;
            return false;
        }
        self.turns = if next == self.now { self.turns + 1 } else { 0 };
        assert!(self.turns < MOST_TURNS, "at {:?} time stands still", self.now);
        self.now = next;
        let now = self.base + next;
        for host in self.hosts.iter_mut().filter(|host| !host.asleep) {
            let now = now - host.behind;
            host.tunnel.iter_mut().for_each(|tunnel| tunnel.handle_timeout(now));
        }
        while let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 <= next) {
            let what = entry.remove();
            self.happen(what);
        }
        self.flush();
        self.promise.assert_kept();
        self.assert_bounded();
        true
    }

    /// A client has a socket for each bridge, and while it is silent the one that answered last; the server one for each application of each process of its clients; nobody
    /// else makes it open one.
    fn assert_bounded(&self) {
        for (number, host) in self.hosts.iter().enumerate() {
            let most = match number {
                SERVER => self.lives.len(),
                _ => 2 * self.bridges.len() + self.targets.len() - 1,
            };
            let open = host.sockets.len();
            assert!(open <= most + 1, "process {number} has {open} sockets, {most} and a listener at most");
            let Some(tunnel) = &host.tunnel else { continue };
            let clients = self.hosts[1..].iter().map(|client| client.starts as usize).sum();
            let peers = if number == SERVER { clients } else { 1 };
            let held = tunnel.holdings();
            let within = held.peers <= peers
                && held.sessions <= 3 * held.peers
                && held.half_open <= MAX_PENDING
                && held.paths <= held.peers * self.bridges.len()
                && held.flows <= self.lives.len()
                && held.waiting <= MAX_WAITING * (held.peers + 1)
                && held.waiting_len <= MAX_WAITING_LEN * (held.peers + 1);
            assert!(within, "process {number}: {held:?}, with at most {peers} peers");
        }
    }

    fn happen(&mut self, what: Happening) {
        match what {
            Happening::Arrival { from, to, sent, octets } => self.arrive(from, to, sent, octets),
            Happening::Tick(number) => {
                let Stream { app, way, every, burst, len } = self.streams[number].clone();
                for _ in 0..burst {
                    let len = self.rng.random_range(len.clone());
                    self.send(app, way, len);
                }
                if burst > 0 {
                    self.at(self.now + every, Happening::Tick(number));
                }
            }
            Happening::Answer(host, start, name, answer) => {
                let (now, host) = (self.instant_at(host), &mut self.hosts[host]);
                if let Some(tunnel) = host.tunnel.as_mut().filter(|_| host.starts == start) {
                    tunnel.handle_resolved(now, name, answer);
                }
            }
        }
    }

    fn arrive(&mut self, from: SocketAddr, to: SocketAddr, sent: Duration, mut octets: Vec<u8>) {
        let Some(&(host, socket)) = self.sockets.get(&to) else { return };
        if self.hosts[host].asleep {
            return;
        }
        let sum = octets
            .iter()
            .fold(self.now.as_nanos() as u64, |sum, octet| sum.rotate_left(5) ^ u64::from(*octet));
        self.trace = self.trace.rotate_left(7) ^ sum;
        match (host, socket) {
            (SERVER, LISTENER) => self.account.received(from, sent, &octets),
            (SERVER, _) => {}
            _ => self.account.arrived(self.now, &octets),
        }
        let link = Link { socket, remote: from, local: Some(to.ip()) };
        let now = self.instant_at(host);
        let tunnel = self.hosts[host].tunnel.as_mut().expect("who has a socket runs");
        if is_local(host, socket) {
            tunnel.handle_input(now, link, &mut octets);
        } else {
            let arrival = Arrival::new(host, &octets, tunnel.counters());
            tunnel.handle_input(now, link, &mut octets);
            self.promise.arrived(&arrival, tunnel.counters());
        }
    }
}

const FIRST_APPLICATION_PORT: u16 = 10_000;

/// Applications from this number on send to a forward's address, a hundred to each.
const FIRST_FORWARDED: u16 = 30_000;
const LISTEN_PORT: u16 = 3000;

/// The first application that speaks with this target; 0 is the server's own.
pub fn forwarded(target: u16) -> u16 {
    target.checked_sub(1).map_or(0, |forward| FIRST_FORWARDED + 100 * forward)
}

/// Which target an application speaks with.
fn target_number(app: App) -> usize {
    app.number.checked_sub(FIRST_FORWARDED).map_or(0, |number| 1 + usize::from(number / 100))
}

/// Where an application sends to.
fn listener(app: App) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], LISTEN_PORT + target_number(app) as u16))
}

fn application(app: App) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], FIRST_APPLICATION_PORT + app.number))
}
