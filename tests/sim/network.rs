//! The network between the tunnels: bridges, and in each direction a line that does to packets what the Internet does.
//!
//! A line decides about a packet when it enters. What a limited rate or a path MTU would add belongs into [`Line::pass`].

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::time::Duration;

use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::traffic::Way;

/// What a line does to its packets. The default hands them on at once.
#[derive(Clone, Copy, Debug)]
pub struct Faults {
    /// How long a packet takes.
    pub delay: Duration,
    /// A random time up to this comes on top.
    pub jitter: Duration,
    /// Whether jitter may change the order.
    pub reorder: bool,
    /// The part that is lost.
    pub loss: f64,
    /// The mean number of packets lost in a row (a Gilbert model). Up to 1: each is lost independently.
    pub mean_burst: f64,
    /// The part that arrives twice.
    pub duplicate: f64,
}

impl Default for Faults {
    fn default() -> Self {
        let zero = Duration::ZERO;
        Self { delay: zero, jitter: zero, reorder: false, loss: 0.0, mean_burst: 1.0, duplicate: 0.0 }
    }
}

impl Faults {
    /// Half of a round trip, and independent loss.
    pub fn new(rtt: Duration, loss: f64) -> Self {
        Self { delay: rtt / 2, loss, ..Self::default() }
    }
}

/// One direction of a bridge.
pub struct Line {
    /// What it does to packets from now on.
    pub faults: Faults,
    /// Whether it swallows everything.
    pub dead: bool,
    /// When it swallows everything.
    pub blackouts: Vec<Range<Duration>>,
    /// Data packets that got through.
    pub carried: u64,
    rng: StdRng,
    in_burst: bool,
    latest: Duration,
}

impl Line {
    fn new(faults: Faults, seed: u64) -> Self {
        Self {
            faults,
            dead: false,
            blackouts: Vec::new(),
            carried: 0,
            rng: StdRng::seed_from_u64(seed),
            in_burst: false,
            latest: Duration::ZERO,
        }
    }

    /// When the copies of a packet that enters now arrive: none, one or two.
    pub fn pass(&mut self, now: Duration) -> Vec<Duration> {
        if self.dead || self.blackouts.iter().any(|blackout| blackout.contains(&now)) || self.loses() {
            return Vec::new();
        }
        let copies = 1 + usize::from(self.rng.random_bool(self.faults.duplicate));
        (0..copies).map(|_| self.arrival(now)).collect()
    }

    fn loses(&mut self) -> bool {
        let Faults { loss, mean_burst, .. } = self.faults;
        if mean_burst <= 1.0 {
            return loss > 0.0 && self.rng.random_bool(loss);
        }
        // The chain is in the lossy state for a part `loss` of the packets, and `mean_burst` of them at a time.
        let change = if self.in_burst { 1.0 / mean_burst } else { loss / (1.0 - loss) / mean_burst };
        self.in_burst ^= self.rng.random_bool(change.min(1.0));
        self.in_burst
    }

    fn arrival(&mut self, now: Duration) -> Duration {
        let Faults { delay, jitter, reorder, .. } = self.faults;
        let mut at = now + delay;
        if !jitter.is_zero() {
            at += jitter.mul_f64(self.rng.random());
        }
        if !reorder {
            at = at.max(self.latest);
            self.latest = at;
        }
        at
    }
}

/// A dumb forwarder: to the server each of a client's sockets has a port of its own at the bridge.
pub struct Bridge {
    /// Where clients send to.
    pub address: SocketAddr,
    /// From the clients to the server.
    pub up: Line,
    /// From the server to the clients.
    pub down: Line,
    outer: HashMap<SocketAddr, SocketAddr>,
    inner: HashMap<SocketAddr, SocketAddr>,
    next_port: u16,
}

impl Bridge {
    /// A bridge whose two lines have the same faults but not the same luck.
    pub fn new(address: SocketAddr, faults: Faults, seed: u64) -> Self {
        Self {
            address,
            up: Line::new(faults, seed ^ 1),
            down: Line::new(faults, seed ^ 2),
            outer: HashMap::new(),
            inner: HashMap::new(),
            next_port: 20_000,
        }
    }

    /// The address that the server sees for a client's socket.
    pub fn outer(&mut self, client: SocketAddr) -> SocketAddr {
        let ip: IpAddr = self.address.ip();
        *self.outer.entry(client).or_insert_with(|| {
            let address = SocketAddr::new(ip, self.next_port);
            self.next_port += 1;
            self.inner.insert(address, client);
            address
        })
    }

    /// The client's socket that the server means by this address, if the bridge has not forgotten.
    pub fn inner(&self, outer: SocketAddr) -> Option<SocketAddr> {
        self.inner.get(&outer).copied()
    }

    /// One of its directions.
    pub fn line(&mut self, way: Way) -> &mut Line {
        match way {
            Way::Up => &mut self.up,
            Way::Down => &mut self.down,
        }
    }

    /// Forgets its ports, as a NAT that was rebooted: every client comes from a new one.
    pub fn rebind(&mut self) {
        self.outer.clear();
        self.inner.clear();
    }

    /// Kills both directions, or brings them back.
    pub fn set_dead(&mut self, dead: bool) {
        self.up.dead = dead;
        self.down.dead = dead;
    }

    /// Has nothing pass in either direction for a while.
    pub fn black_out(&mut self, when: Range<Duration>) {
        self.up.blackouts.push(when.clone());
        self.down.blackouts.push(when);
    }
}
