//! Which copies of a datagram have arrived: for each data counter the paths that brought it, until
//! it is settled what came of it. So the receiver knows what each path, and each set of paths,
//! would have lost alone, and which of them lose together.
//!
//! A counter is watched from the moment a higher one or itself arrives, and settled after
//! [`SETTLED_AFTER`], when the slowest path has had its time. Where datagrams come faster than
//! there is room, only every second one is watched, or every fourth, and so on. Only counters of
//! authentic packets are noted; what brought them is an address, which a stranger could forge:
//! enough to measure by, and nothing else is done with it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::set::PathSet;
use super::wire::{SessionId, Spread};

/// A copy that is later than this is as good as lost. Longer than any path's delay that is worth
/// its money.
pub const SETTLED_AFTER: Duration = Duration::from_secs(3);
/// Counters watched at a time, 8 octets each: all of 1,000 datagrams a second.
const WATCHED: u64 = 4096;
/// How exactly a counter's age is known.
const MARK: Duration = Duration::from_millis(50);
/// Announcements remembered: one for each change of the last seconds.
const ANNOUNCED: usize = 16;
/// A path's lateness is smoothed over this many datagrams.
const SMOOTHED_OVER: i64 = 32;

/// What came of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The paths it went over.
    pub sent: PathSet,
    /// The paths it came by.
    pub arrived: PathSet,
    /// How many datagrams this one stands for.
    pub weight: u64,
}

/// Lost of sent, in datagrams that were watched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many were sent.
    pub sent: u64,
    /// How many of these were lost.
    pub lost: u64,
}

impl Tally {
    /// The part that was lost. `None` where nothing was sent.
    pub fn loss(self) -> Option<f64> {
        (self.sent > 0).then(|| self.lost as f64 / self.sent as f64)
    }

    /// Counts others in.
    pub fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.lost += other.lost;
    }
}

/// What a path has brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Brought {
    /// Copies.
    pub copies: u64,
    /// Their octets.
    pub octets: u64,
    /// Copies that were the first of their datagram.
    pub first: u64,
    /// Copies that came after one that was sent later.
    pub overtaken: u64,
    /// One past the highest counter.
    next: u64,
    /// How much later than the first copy, in microseconds, smoothed.
    late: i64,
}

impl Brought {
    /// How much later than the first copy this path's copies come.
    pub fn lateness(&self) -> Duration {
        Duration::from_micros(self.late.unsigned_abs())
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    arrived: PathSet,
    /// When the first copy came, in microseconds since `base`, modulo 2^32.
    first: u32,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Arrivals {
    session: Option<SessionId>,
    base: Option<Instant>,
    /// A ring of entries for every 2^`shift`-th counter; empty until used.
    entries: Vec<Entry>,
    shift: u32,
    /// One past the highest counter that has arrived.
    next: u64,
    /// Counters below are settled.
    settled: u64,
    /// What `next` was, and when.
    marks: VecDeque<(Instant, u64)>,
    announced: VecDeque<(SessionId, Spread)>,
    brought: Vec<Brought>,
}

impl Arrivals {
    /// What each path has brought, by number.
    pub fn brought(&self) -> &[Brought] {
        &self.brought
    }

    /// Takes the sender's word about which paths its datagrams go over.
    pub fn announce(&mut self, session: SessionId, spread: Spread) {
        if self.announced.iter().any(|known| *known == (session, spread)) {
            return;
        }
        if self.announced.len() == ANNOUNCED {
            self.announced.pop_front();
        }
        self.announced.push_back((session, spread));
    }

    /// Notes that a path has brought a copy.
    #[inline]
    pub fn note(&mut self, now: Instant, session: SessionId, counter: u64, path: usize, len: usize) {
        if self.session != Some(session) {
            self.begin(now, session, counter);
        }
        if path >= self.brought.len() {
            self.brought.resize_with(path + 1, Brought::default);
        }
        let brought = &mut self.brought[path];
        brought.copies += 1;
        brought.octets += len as u64;
        if counter >= brought.next {
            brought.next = counter + 1;
        } else {
            brought.overtaken += 1;
        }
        if self.marks.back().is_none_or(|(at, _)| now.saturating_duration_since(*at) >= MARK) {
            self.marks.push_back((now, self.next));
        }
        self.next = self.next.max(counter + 1);
        if counter & ((1 << self.shift) - 1) != 0 || counter < self.settled {
            return;
        }
        self.make_room(counter);
        let clock = now.saturating_duration_since(self.base.unwrap_or(now)).as_micros() as u32;
        let slot = self.slot(counter);
        let entry = &mut self.entries[slot];
        let brought = &mut self.brought[path];
        if entry.arrived.is_empty() {
            entry.first = clock;
            brought.first += 1 << self.shift;
        }
        let late = i64::from(clock.wrapping_sub(entry.first));
        brought.late += (late - brought.late) / SMOOTHED_OVER;
        entry.arrived.insert(path);
    }

    /// Settles what has had its time, and hands it to `take`, oldest first.
    pub fn settle(&mut self, now: Instant, mut take: impl FnMut(Outcome)) {
        let had_its_time = |(at, _): &(Instant, u64)| now.saturating_duration_since(*at) >= SETTLED_AFTER;
        let Some(&(_, until)) = self.marks.iter().take_while(|mark| had_its_time(mark)).last() else {
            return;
        };
        self.marks.retain(|mark| !had_its_time(mark));
        for counter in self.watched(self.settled, until) {
            if let Some(outcome) = self.outcome(counter) {
                take(outcome);
            }
            let slot = self.slot(counter);
            self.entries[slot] = Entry::default();
        }
        self.settled = self.settled.max(until);
        self.widen();
    }

    /// What can be said of datagrams that are not settled, but older than `patience`, and not by more
    /// than `span`.
    pub fn overdue(&self, now: Instant, patience: Duration, span: Duration) -> Tally {
        let older = |age: Duration| {
            let old = move |(at, _): &&(Instant, u64)| now.saturating_duration_since(*at) >= age;
            self.marks.iter().rev().find(old).map(|(_, next)| *next)
        };
        let Some(until) = older(patience) else { return Tally::default() };
        let from = older(patience + span).unwrap_or(self.settled).max(self.settled);
        self.watched(from, until).fold(Tally::default(), |mut tally, counter| {
            let arrived = self.entries[self.slot(counter)].arrived;
            tally.add(Tally { sent: 1, lost: u64::from(arrived.is_empty()) });
            tally
        })
    }

    /// Forgets everything about a time in which nothing came.
    pub fn rest(&mut self) {
        self.session = None;
        self.entries = Vec::new();
        self.marks.clear();
    }

    /// Begins with a session's first packet. What was watched in the one before is left unsettled.
    fn begin(&mut self, now: Instant, session: SessionId, counter: u64) {
        self.session = Some(session);
        self.base = Some(now);
        self.entries.clear();
        self.entries.resize(WATCHED as usize, Entry::default());
        self.shift = 0;
        self.next = counter;
        self.settled = counter;
        self.marks.clear();
        self.announced.retain(|(known, _)| *known == session);
        self.brought.iter_mut().for_each(|brought| brought.next = 0);
    }

    /// Watches fewer counters where this one is too far ahead of the oldest.
    fn make_room(&mut self, counter: u64) {
        while (counter >> self.shift) - (self.settled >> self.shift) >= WATCHED {
            let old = std::mem::replace(&mut self.entries, vec![Entry::default(); WATCHED as usize]);
            let old_shift = self.shift;
            let known = (self.settled >> old_shift).saturating_add(WATCHED - 1).min(self.next >> old_shift);
            self.shift += 1;
            for kept in self.watched(self.settled, known << old_shift) {
                let slot = self.slot(kept);
                self.entries[slot] = old[((kept >> old_shift) % WATCHED) as usize];
            }
        }
    }

    /// Watches more counters again where there is room, from the next one on: those that were not
    /// watched before would seem lost.
    fn widen(&mut self) {
        if self.shift > 0 && (self.next - self.settled) >> self.shift < WATCHED / 4 {
            self.shift -= 1;
            self.settled = self.next;
            self.entries.fill(Entry::default());
            self.marks.clear();
        }
    }

    /// The counters of a range that are watched.
    fn watched(&self, from: u64, until: u64) -> impl Iterator<Item = u64> + use<> {
        let step = 1 << self.shift;
        let first = from.checked_next_multiple_of(step).unwrap_or(until);
        (first..until).step_by(step as usize)
    }

    fn slot(&self, counter: u64) -> usize {
        ((counter >> self.shift) % WATCHED) as usize
    }

    fn outcome(&self, counter: u64) -> Option<Outcome> {
        let session = self.session?;
        let holds = |(known, spread): &&(SessionId, Spread)| *known == session && spread.since <= counter;
        let (_, spread) = self.announced.iter().rev().find(holds)?;
        let arrived = self.entries[self.slot(counter)].arrived;
        // What was brought was sent, whatever was announced.
        let sent = spread.of(counter) | arrived;
        Some(Outcome { sent, arrived, weight: 1 << self.shift })
    }
}
