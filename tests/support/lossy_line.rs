//! One direction of a lossy bridge: what becomes of each packet, and when it leaves.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use rand::{RngExt, rngs::StdRng};

/// What a line of limited rate holds back before it drops.
const RATE_QUEUE: Duration = Duration::from_millis(200);
/// Packets under way in one direction, at most: five seconds of 50,000 a second.
const QUEUE_LIMIT: usize = 250_000;
/// A line that has nothing to send sleeps for this long; longer figures overflow some systems' clocks.
const MAX_WAIT: Duration = Duration::from_secs(3600);

/// A lock is poisoned only by a panic of a thread that held it.
pub(super) const NO_PANIC: &str = "no thread of the bridge panics while it holds a lock";

/// What a bridge does to the packets of each direction. The default does nothing to them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Faults {
    /// The part of the packets that is lost, 0 to 1.
    pub loss: f64,
    /// The mean number of packets that are lost in a row. Independent losses come in runs of 1 / (1 - loss);
    /// any figure up to that, such as 1, gives independent losses. A greater one makes the losses come in
    /// bursts (a Gilbert model), as many in all.
    pub mean_burst: f64,
    /// How long a packet takes.
    pub delay: Duration,
    /// A random time from nothing to this is added to each packet's delay.
    pub jitter: Duration,
    /// Whether jitter may change the packets' order. Otherwise a packet waits for the one before it, which
    /// makes the mean delay longer.
    pub reorder: bool,
    /// The part of the packets that arrives twice, 0 to 1.
    pub duplicate: f64,
    /// Bits a second of UDP contents that pass; what would wait longer than 200 ms is dropped.
    pub rate_bps: Option<u64>,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            loss: 0.0,
            mean_burst: 1.0,
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            reorder: false,
            duplicate: 0.0,
            rate_bps: None,
        }
    }
}

/// What has become of the packets of one direction. Once none is under way, `received` is
/// `dropped + forwarded`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Direction {
    /// Packets that came in.
    pub received: u64,
    /// Packets that went no further: lost, too many for the rate, unsendable, or the bridge was dead.
    pub dropped: u64,
    /// Packets that were sent on. Second copies are not counted here.
    pub forwarded: u64,
    /// Second copies that were sent on.
    pub duplicated: u64,
    /// The mean time from a packet's arrival to its sending, measured.
    pub mean_delay: Duration,
}

/// One direction: decides what becomes of each packet and keeps it until it is due.
pub(super) struct Line<T> {
    state: Mutex<LineState<T>>,
    changed: Condvar,
}

pub(super) struct LineState<T> {
    faults: Faults,
    rng: StdRng,
    /// Whether the line is in a run of losses.
    in_burst: bool,
    dead: bool,
    stopped: bool,
    queue: BinaryHeap<Reverse<Queued<T>>>,
    /// Packets have left the queue that are not sent yet, so another must not overtake them.
    sending: bool,
    arrivals: u64,
    /// When the packet before is due.
    last_due: Option<Instant>,
    /// When a line of limited rate will have sent all it has taken.
    free_at: Option<Instant>,
    counts: Direction,
    delay_sum: Duration,
}

/// A packet under way. The order is that of sending.
struct Queued<T> {
    due: Instant,
    /// Packets that are due at the same time leave in the order of their arrival.
    arrival: u64,
    arrived: Instant,
    is_second_copy: bool,
    destination: T,
    octets: Vec<u8>,
}

impl<T: Clone> Line<T> {
    pub(super) fn new(faults: Faults, rng: StdRng) -> Self {
        let mut state = LineState {
            faults,
            rng,
            in_burst: false,
            dead: false,
            stopped: false,
            queue: BinaryHeap::new(),
            sending: false,
            arrivals: 0,
            last_due: None,
            free_at: None,
            counts: Direction::default(),
            delay_sum: Duration::ZERO,
        };
        state.set_faults(faults);
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, LineState<T>> {
        self.state.lock().expect(NO_PANIC)
    }

    pub(super) fn counts(&self) -> Direction {
        let state = self.lock();
        let forwarded = u32::try_from(state.counts.forwarded.max(1)).unwrap_or(u32::MAX);
        Direction { mean_delay: state.delay_sum / forwarded, ..state.counts }
    }

    pub(super) fn stop(&self) {
        self.lock().stopped = true;
        self.changed.notify_all();
    }

    /// Counts a packet that has no client.
    pub(super) fn refuse(&self) {
        let mut state = self.lock();
        state.counts.received += 1;
        state.counts.dropped += 1;
    }

    /// Takes a packet that has just arrived: drops it, sends it at once, or queues it.
    pub(super) fn take(
        &self,
        now: Instant,
        destination: &T,
        octets: &[u8],
        send: impl Fn(&T, &[u8]) -> io::Result<()>,
    ) {
        let mut state = self.lock();
        state.counts.received += 1;
        if state.dead || state.is_lost() || state.queue.len() >= QUEUE_LIMIT {
            state.counts.dropped += 1;
            return;
        }
        let Some(due) = state.due(now, octets.len()) else {
            state.counts.dropped += 1;
            return;
        };
        let duplicate = state.faults.duplicate;
        let second_due = if state.rng.random_bool(duplicate) { state.due(now, octets.len()) } else { None };
        if due <= now && second_due.is_none() && state.queue.is_empty() && !state.sending {
            state.sending = true;
            drop(state);
            let sent = send(destination, octets);
            let mut state = self.lock();
            state.sending = false;
            state.record(now, false, &sent);
            if !state.queue.is_empty() {
                self.changed.notify_one();
            }
            return;
        }
        for (due, is_second_copy) in [(Some(due), false), (second_due, true)] {
            let Some(due) = due else { continue };
            state.arrivals += 1;
            let arrival = state.arrivals;
            let is_first = state.queue.peek().is_none_or(|Reverse(first)| due < first.due);
            let (destination, octets) = (destination.clone(), octets.to_vec());
            let packet = Queued { due, arrival, arrived: now, is_second_copy, destination, octets };
            state.queue.push(Reverse(packet));
            if is_first {
                self.changed.notify_one();
            }
        }
    }

    /// Sends what is due until the line is stopped.
    pub(super) fn run(&self, send: impl Fn(&T, &[u8]) -> io::Result<()>) {
        let mut batch = Vec::new();
        let mut state = self.lock();
        while !state.stopped {
            let now = Instant::now();
            let wait = match state.queue.peek() {
                // Whoever is sending right now will say when it has done so.
                Some(Reverse(first)) if !state.sending => first.due.saturating_duration_since(now),
                _ => Duration::MAX,
            };
            if !wait.is_zero() {
                state = self.changed.wait_timeout(state, wait.min(MAX_WAIT)).expect(NO_PANIC).0;
                continue;
            }
            while state.queue.peek().is_some_and(|Reverse(first)| first.due <= now) {
                batch.extend(state.queue.pop());
            }
            state.sending = true;
            drop(state);
            let sent: Vec<_> =
                batch.iter().map(|Reverse(packet)| send(&packet.destination, &packet.octets)).collect();
            state = self.lock();
            state.sending = false;
            for (Reverse(packet), sent) in batch.drain(..).zip(sent) {
                state.record(packet.arrived, packet.is_second_copy, &sent);
            }
        }
    }
}

impl<T> LineState<T> {
    pub(super) fn set_faults(&mut self, faults: Faults) {
        self.faults = faults;
        // As if the line had always been like this. The part in bursts is that of the lost packets.
        self.in_burst = self.rng.random_bool(faults.loss);
    }

    pub(super) fn set_dead(&mut self, dead: bool) {
        self.dead = dead;
        if dead {
            let under_way = self.queue.drain().filter(|Reverse(packet)| !packet.is_second_copy).count();
            self.counts.dropped += under_way as u64;
        }
    }

    /// Whether the packet that has just arrived is lost. A burst ends after each packet with the probability
    /// 1 / mean length, and begins with the one that makes the overall rate right. With the mean length of
    /// independent losses, 1 / (1 - loss), both come to independent losses.
    fn is_lost(&mut self) -> bool {
        let Faults { loss, mean_burst, .. } = self.faults;
        if loss >= 1.0 {
            return true;
        }
        let end = (1.0 - loss).min(mean_burst.recip());
        let begin = loss * end / (1.0 - loss);
        self.in_burst = self.rng.random_bool(if self.in_burst { 1.0 - end } else { begin });
        self.in_burst
    }

    /// When a packet of `len` octets that has just arrived leaves. `None` if the rate leaves no room for it.
    fn due(&mut self, now: Instant, len: usize) -> Option<Instant> {
        let mut due = now;
        if let Some(rate) = self.faults.rate_bps {
            let begin = self.free_at.map_or(now, |free_at| free_at.max(now));
            if begin.duration_since(now) > RATE_QUEUE {
                return None;
            }
            due = begin + Duration::from_secs_f64(len as f64 * 8.0 / rate.max(1) as f64);
            self.free_at = Some(due);
        }
        due += self.faults.delay + self.faults.jitter.mul_f64(self.rng.random());
        if !self.faults.reorder {
            due = self.last_due.map_or(due, |last_due| due.max(last_due));
            self.last_due = Some(due);
        }
        Some(due)
    }

    fn record(&mut self, arrived: Instant, is_second_copy: bool, sent: &io::Result<()>) {
        match (sent, is_second_copy) {
            (Ok(()), false) => {
                self.counts.forwarded += 1;
                self.delay_sum += arrived.elapsed();
            }
            (Err(_), false) => self.counts.dropped += 1,
            (Ok(()), true) => self.counts.duplicated += 1,
            (Err(_), true) => {}
        }
    }
}

impl<T> Queued<T> {
    fn order(&self) -> (Instant, u64) {
        (self.due, self.arrival)
    }
}

impl<T> PartialEq for Queued<T> {
    fn eq(&self, other: &Self) -> bool {
        self.order() == other.order()
    }
}

impl<T> Eq for Queued<T> {}

impl<T> PartialOrd for Queued<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Queued<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.order().cmp(&other.order())
    }
}
