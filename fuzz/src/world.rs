//! A client and a server, real tunnels both, and the network between them.
//!
//! ```text
//!  applications ── client ── bridges 192.0.2.x ── 198.51.100.x: server ── target
//!                                  strangers, an insider ──^
//! ```
//! A packet that leaves a tunnel waits on the line until it is told to arrive, or not to. The network can also work as
//! it should, for a time: [`World::run`]. What must hold is checked with each packet, here and in [`check`].
//!
//! [`check`]: crate::check

mod carry;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use mptunnel::tunnel::flow::{FLOW_IDLE_AT_SERVER, MAX_FLOWS};
use mptunnel::tunnel::link::{Link, NameId, SocketId};
use mptunnel::tunnel::{LISTENER, Tunnel};
use rand::{SeedableRng, rngs::StdRng};

use crate::attacker::Account;
use crate::check::Checks;
use crate::insider::{Insider, NAMES};
use crate::setup::{self, Setup};
use crate::traffic::{APP, App, LEAST_LEN, Ledger, Way};

/// One of the two processes.
pub type End = usize;
/// mpclient.
pub const CLIENT: End = 0;
/// mpserver.
pub const SERVER: End = 1;

/// No socket of the client's: a packet for it is lost.
const NO_SOCKET: SocketId = SocketId(u32::MAX);
/// Packets that can be picked to be repeated or altered.
const REMEMBERED: usize = 64;
/// What a step may cause: what waited for a session (256 datagrams) on every path, and some control packets.
const MOST_PACKETS: usize = 256 * setup::MOST_BRIDGES + 16;
/// All flows of the three insiders and some of the client end at once.
const MOST_EVENTS: usize = 5 * MAX_FLOWS;
/// Turns at one instant until nothing is due.
const MOST_TURNS: u32 = 10;

/// A packet on its way to a tunnel.
#[derive(Clone)]
pub struct Flight {
    /// Who gets it.
    pub to: End,
    /// As what it is received.
    pub link: Link,
    /// When it left.
    pub sent: Duration,
    /// The packet.
    pub octets: Rc<[u8]>,
}

/// A process.
pub struct Process {
    /// What it is.
    pub tunnel: Tunnel,
    /// Its open sockets.
    pub open: BTreeSet<SocketId>,
    /// The client's listeners.
    listeners: BTreeMap<SocketAddr, SocketId>,
    /// Sockets that could not be opened. The tunnel may close them, to no effect.
    failed: BTreeSet<SocketId>,
}

/// Whose datagrams come to the target from a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// An application's.
    App(App),
    /// Those of the insider with this name.
    Insider(u8),
}

/// See the module.
pub struct World {
    setup: Setup,
    base: Instant,
    now: Duration,
    starts: u64,
    ends: [Process; 2],
    /// Packets on their way.
    pub line: VecDeque<Flight>,
    /// Packets that were seen lately.
    pub seen: VecDeque<Flight>,
    /// The addresses that the server sees, and which socket and bridge of the client is behind each.
    outer: BTreeMap<SocketAddr, (SocketId, u8)>,
    next_port: u16,
    /// Who has which socket towards the target, and the target's address there.
    owners: BTreeMap<SocketId, (Owner, SocketAddr)>,
    ledger: Ledger,
    account: Account,
    checks: Checks,
    asked: VecDeque<(End, NameId)>,
    /// So many sockets cannot be opened.
    pub failing: u8,
    /// A client that breaks the rules.
    pub insider: Insider,
}

impl World {
    /// Both processes just started.
    pub fn new(setup: Setup) -> Self {
        let base = Instant::now();
        let ends = [CLIENT, SERVER].map(|end| Process::new(base, &setup, end, end as u64));
        let insider = setup.insider();
        let (line, seen, outer, owners, ledger, account, asked) = Default::default();
        let checks = Checks::new(&setup);
        let (now, starts, next_port, failing) = (Duration::ZERO, 2, 1024, 0);
        let mut world = Self {
            setup,
            base,
            now,
            starts,
            ends,
            line,
            seen,
            outer,
            next_port,
            owners,
            ledger,
            account,
            checks,
            asked,
            failing,
            insider,
        };
        world.tick();
        world
    }

    fn instant(&self) -> Instant {
        self.base + self.now
    }

    // ---- what happens to the processes ----

    /// Ends a process, in order or not, and starts it again.
    pub fn restart(&mut self, end: End, in_order: bool) {
        if in_order {
            let now = self.instant();
            self.ends[end].tunnel.leave(now);
            self.flush(end);
        }
        self.starts += 1;
        self.ends[end] = Process::new(self.instant(), &self.setup, end, self.starts);
        self.asked.retain(|(asker, _)| *asker != end);
        if end == SERVER {
            self.owners.clear();
            self.account.forget();
        } else {
            self.rebind();
        }
        self.tick();
    }

    /// The bridges forget their ports, as a NAT that was rebooted.
    pub fn rebind(&mut self) {
        self.outer.clear();
    }

    /// Answers the look-up that was asked for first, in one of the ways there are; the first is the right one.
    pub fn answer(&mut self, way: u8) {
        let Some((end, name)) = self.asked.pop_front() else { return };
        let address = match name {
            // Names count on.
            NameId::Bridge(number) => setup::bridge((number % u32::from(self.setup.bridges)) as u8),
            NameId::Target => setup::target(),
            NameId::Named(_) => setup::other_target(),
        };
        let answer = match way % 4 {
            0 => Ok(vec![address]),
            1 => Ok(vec![setup::stranger(way), address]),
            2 => Ok(Vec::new()),
            _ => Err("no such host".to_owned()),
        };
        let now = self.instant();
        self.ends[end].tunnel.handle_resolved(now, name, answer);
        self.flush(end);
    }

    /// Lets time pass in which nobody does anything: a machine that was suspended.
    pub fn sleep(&mut self, time: Duration) {
        self.now += time;
        self.tick();
    }

    /// Lets time pass with everything as it should be: packets arrive at once, names are answered.
    pub fn run(&mut self, time: Duration) {
        let until = self.now + time;
        loop {
            self.settle();
            let next = self.ends.iter().map(|end| end.tunnel.poll_timeout()).min().expect("two processes");
            let next = next.saturating_duration_since(self.base);
            if next > until {
                break;
            }
            self.now = self.now.max(next);
            self.tick();
        }
        self.sleep(until - self.now);
    }

    /// Has all arrive that is on its way.
    pub fn settle(&mut self) {
        for _ in 0..1000 + 2 * self.line.len() {
            if !self.asked.is_empty() {
                self.answer(0);
            } else if let Some(flight) = self.line.pop_front() {
                self.deliver(flight);
            } else {
                return;
            }
        }
        panic!("packets go round in circles");
    }

    fn tick(&mut self) {
        let now = self.instant();
        for end in [CLIENT, SERVER] {
            let mut turns = 0;
            while self.ends[end].tunnel.poll_timeout() <= now {
                turns += 1;
                assert!(turns < MOST_TURNS, "at {:?} time stands still", self.now);
                self.ends[end].tunnel.handle_timeout(now);
                self.flush(end);
            }
        }
    }

    // ---- what is sent ----

    /// An application sends a datagram.
    pub fn send_up(&mut self, app: u16, len: usize) {
        let app = App { client: 0, number: app };
        let socket = self.ends[CLIENT].listeners[&setup::listener(app.number)];
        let link = Link { socket, remote: setup::application(app), local: None };
        let datagram = self.datagram(app, Way::Up, len);
        self.input(CLIENT, link, &datagram);
    }

    /// The target sends a datagram to one of the sockets that have sent to it.
    pub fn send_down(&mut self, pick: u8, len: usize) {
        let Some((&socket, &(owner, remote))) =
            self.owners.iter().nth(usize::from(pick) % self.owners.len().max(1))
        else {
            return;
        };
        let datagram = match owner {
            Owner::App(app) => self.datagram(app, Way::Down, len),
            Owner::Insider(name) => vec![0xff, name],
        };
        self.input(SERVER, Link { socket, remote, local: None }, &datagram);
    }

    fn datagram(&mut self, app: App, way: Way, len: usize) -> Vec<u8> {
        match len {
            LEAST_LEN.. => self.ledger.send(self.now, app, way, len),
            _ => self.checks.send_short(way, len),
        }
    }

    /// Someone else than the target sends to a flow's socket at the server.
    pub fn send_astray(&mut self, pick: u8, octets: &[u8]) {
        let socket = SocketId(1 + u32::from(pick % 8));
        self.input(SERVER, Link { socket, remote: setup::passer_by(pick), local: None }, octets);
    }

    /// The insider sends a packet.
    pub fn send_inside(&mut self, from: u8, octets: Vec<u8>) {
        let link = Link { socket: LISTENER, remote: Insider::address(from), local: None };
        self.checks.made(SERVER, &octets);
        let flight = Flight { to: SERVER, link, sent: self.now, octets: octets.into() };
        self.remember(&flight);
        self.deliver(flight);
    }

    /// Octets arrive that nobody here made.
    pub fn inject(&mut self, to: End, link: Link, octets: Vec<u8>) {
        self.deliver(Flight { to, link, sent: self.now, octets: octets.into() });
    }

    /// A link as which a packet can be received: mostly one that is known.
    pub fn link(&self, to: End, pick: u8) -> Link {
        let number = usize::from(pick);
        let (socket, remote) = if to == SERVER {
            let known = self.outer.keys().copied();
            let others = [setup::stranger(pick), Insider::address(pick), setup::target()];
            let remote = known.chain(others).cycle().nth(number % (self.outer.len() + 3));
            (LISTENER, remote.expect("there are always others"))
        } else {
            let paths = self.ends[CLIENT].open.iter().copied().filter(|id| !id.listens());
            let socket = paths.chain([NO_SOCKET]).cycle().nth(number % 8).expect("one at least");
            (
                socket,
                if pick < 0xc0 { setup::bridge(pick % self.setup.bridges) } else { setup::stranger(pick) },
            )
        };
        Link { socket, remote, local: None }
    }

    // ---- what is received ----

    /// Takes a packet to its receiver.
    pub fn deliver(&mut self, flight: Flight) {
        let Flight { to, link, sent, octets } = flight;
        if to == SERVER {
            self.account.received(link.remote, sent, &octets);
        } else if !self.ends[CLIENT].open.contains(&link.socket) {
            return;
        } else {
            self.account.arrived(self.now, &octets);
        }
        self.input(to, link, &octets);
    }

    fn input(&mut self, to: End, link: Link, octets: &[u8]) {
        let on_path = link.socket.listens() == (to == SERVER);
        let now = self.instant();
        let before = self.ends[to].tunnel.counters().clone();
        if on_path {
            self.checks.will_receive(to, octets);
        }
        self.ends[to].tunnel.handle_input(now, link, &mut octets.to_vec());
        let after = self.ends[to].tunnel.counters().clone();
        let sent = self.flush(to);
        if on_path {
            self.checks.received(to, octets, &before, &after, sent);
        }
    }

    // ---- the end ----

    /// Whatever the trouble was: once it is over, datagrams flow again, both ways.
    ///
    /// # Panics
    /// Where they do not, or where an insider has more flows than the limit.
    pub fn end(&mut self) {
        for name in 0..NAMES {
            let flows = self.owners.values().filter(|(owner, _)| *owner == Owner::Insider(name));
            assert!(flows.count() <= MAX_FLOWS, "an insider has more flows than the limit");
        }
        self.failing = 0;
        self.settle();
        // A bridge that was looked up in vain, or whose socket could not be opened, is tried again within a minute. What
        // takes longest is a flow that has ended at the client and is in the way, where there are as many as may be,
        // until it is idle at the server: the network here may deliver its last datagram minutes late.
        let patience = FLOW_IDLE_AT_SERVER.as_secs() + 10;
        for _ in 0..patience {
            if self.checks.forged || !self.setup.agreed() || self.flows(Way::Up) && self.flows(Way::Down) {
                return;
            }
            self.run(Duration::from_secs(1));
        }
        panic!("no datagram arrives any more, {patience} s after the trouble");
    }

    /// Whether a datagram arrives at once.
    fn flows(&mut self, way: Way) -> bool {
        let before = self.ledger.record(APP, way).count;
        match way {
            Way::Up => self.send_up(APP.number, 40),
            Way::Down => {
                let last = self.owners.iter().rfind(|(_, (owner, _))| *owner == Owner::App(APP));
                let (&socket, &(_, remote)) = last.expect("a datagram went up");
                let datagram = self.ledger.send(self.now, APP, way, 40);
                self.input(SERVER, Link { socket, remote, local: None }, &datagram);
            }
        }
        self.settle();
        self.ledger.record(APP, way).count > before
    }
}

impl Process {
    fn new(now: Instant, setup: &Setup, end: End, seed: u64) -> Self {
        let tunnel = Tunnel::new(now, setup.config(end), StdRng::seed_from_u64(seed));
        let (open, listeners, failed) = Default::default();
        Self { tunnel, open, listeners, failed }
    }
}
