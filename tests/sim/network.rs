//! The network between the tunnels: bridges, and in each direction a line that does to packets what the Internet does.
//!
//! A line decides about a packet when it enters.

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
    /// What the line can carry. `None`: everything at once.
    pub rate: Option<Rate>,
    /// The longest packet that passes, in octets of UDP payload. Longer ones vanish, as where fragments are dropped.
    pub mtu: usize,
    /// The longest packet that passes in one piece. Longer ones pass in several, or vanish where nobody may cut
    /// them: control packets.
    pub whole: usize,
}

/// A limited rate, with a queue in front of it.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// Octets of UDP payload a second.
    pub per_second: u32,
    /// Octets that can wait. A packet that finds no room is dropped (drop-tail).
    pub queue_len: usize,
}

impl Rate {
    /// How long this many octets take.
    pub fn time(&self, len: usize) -> Duration {
        Duration::from_secs_f64(len as f64 / f64::from(self.per_second))
    }
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            reorder: false,
            loss: 0.0,
            mean_burst: 1.0,
            duplicate: 0.0,
            rate: None,
            mtu: usize::MAX,
            whole: usize::MAX,
        }
    }
}

impl Faults {
    /// Half of a round trip, and independent loss.
    pub fn new(rtt: Duration, loss: f64) -> Self {
        Self { delay: rtt / 2, loss, ..Self::default() }
    }
}

/// How a packet crossed a line.
#[derive(Clone, Copy, Debug)]
pub struct Crossing {
    /// When it was sent.
    pub sent: Duration,
    /// When it arrived, or will.
    pub arrived: Option<Duration>,
    /// Octets of UDP payload.
    pub len: usize,
}

/// One direction of a bridge.
pub struct Line {
    /// What it does to packets from now on.
    pub faults: Faults,
    /// Whether it swallows everything.
    pub dead: bool,
    /// When it swallows everything.
    pub blackouts: Vec<Range<Duration>>,
    /// Packets that were sent this way.
    pub entered: u64,
    /// Their octets.
    pub entered_len: u64,
    /// Data packets that were sent this way.
    pub offered: u64,
    /// Data packets that got through.
    pub carried: u64,
    /// How each data packet crossed, if a test wants to know.
    pub log: Option<Vec<Crossing>>,
    rng: StdRng,
    in_burst: bool,
    /// When the last packet of the queue has left.
    sent_until: Duration,
    latest: Duration,
}

impl Line {
    fn new(faults: Faults, seed: u64) -> Self {
        Self {
            faults,
            dead: false,
            blackouts: Vec::new(),
            entered: 0,
            entered_len: 0,
            offered: 0,
            carried: 0,
            log: None,
            rng: StdRng::seed_from_u64(seed),
            in_burst: false,
            sent_until: Duration::ZERO,
            latest: Duration::ZERO,
        }
    }

    /// When the copies of a packet of `len` octets that enters now arrive: none, one or two.
    pub fn pass(&mut self, now: Duration, len: usize) -> Vec<Duration> {
        let black = self.dead || self.blackouts.iter().any(|blackout| blackout.contains(&now));
        if black || len > self.faults.mtu {
            return Vec::new();
        }
        let Some(left) = self.queue(now, len).filter(|_| !self.loses()) else { return Vec::new() };
        let copies = 1 + usize::from(self.rng.random_bool(self.faults.duplicate));
        (0..copies).map(|_| self.arrival(left)).collect()
    }

    /// When a packet that enters now has left the queue, if there is room for it.
    fn queue(&mut self, now: Duration, len: usize) -> Option<Duration> {
        let Some(rate) = self.faults.rate else { return Some(now) };
        let begin = now.max(self.sent_until);
        let end = begin + rate.time(len);
        if end - now > rate.time(rate.queue_len) {
            return None;
        }
        self.sent_until = end;
        Some(end)
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

    fn arrival(&mut self, left: Duration) -> Duration {
        let Faults { delay, jitter, reorder, .. } = self.faults;
        let mut at = left + delay;
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

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn line(faults: Faults) -> Line {
        Line::new(faults, 1)
    }

    #[test]
    fn a_limited_line_sends_one_packet_after_the_other_and_drops_what_finds_no_room() {
        let rate = Rate { per_second: 100_000, queue_len: 350 };
        let mut line = line(Faults { delay: 5 * MS, rate: Some(rate), ..Faults::default() });
        let passed = |line: &mut Line, now: u32| line.pass(MS * now, 100);
        assert_eq!(passed(&mut line, 0), [6 * MS]);
        assert_eq!(passed(&mut line, 0), [7 * MS]);
        assert_eq!(passed(&mut line, 0), [8 * MS]);
        assert!(passed(&mut line, 0).is_empty(), "350 octets have room for three packets");
        assert_eq!(passed(&mut line, 1), [9 * MS], "one has left");
        assert_eq!(passed(&mut line, 50), [56 * MS], "all have left");
    }

    #[test]
    fn a_packet_is_as_long_as_the_mtu_or_vanishes() {
        let mut line = line(Faults { mtu: 1400, ..Faults::default() });
        assert_eq!(line.pass(MS, 1400), [MS]);
        assert!(line.pass(MS, 1401).is_empty());
    }
}
