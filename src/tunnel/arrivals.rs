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

    /// Counts others in. A peer that skips counters makes the numbers as large as it likes.
    pub fn add(&mut self, other: Self) {
        self.sent = self.sent.saturating_add(other.sent);
        self.lost = self.lost.saturating_add(other.lost);
    }
}

/// What a path has brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Brought {
    /// Copies.
    pub copies: u64,
    /// The octets of their packets.
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
        if self.announced.back() == Some(&(session, spread)) {
            return;
        }
        // Before its first datagram, a sender may change its mind and then change it back.
        self.announced.retain(|known| *known != (session, spread));
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
        if counter < self.settled {
            return;
        }
        self.make_room(counter);
        if counter & ((1 << self.shift) - 1) != 0 {
            return;
        }
        let clock = now.saturating_duration_since(self.base.unwrap_or(now)).as_micros() as u32;
        let slot = self.slot(counter);
        let entry = &mut self.entries[slot];
        let brought = &mut self.brought[path];
        if entry.arrived.is_empty() {
            entry.first = clock;
            brought.first = brought.first.saturating_add(1 << self.shift);
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
        let shift = self.shift;
        let first = from.checked_next_multiple_of(1 << shift).unwrap_or(until);
        // Not by step_by, whose step is a usize: on machines of 32 bits a peer could skip so many counters that it were 0.
        let count = until.saturating_sub(first).div_ceil(1 << shift);
        (0..count).map(move |at| first + (at << shift))
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

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: SessionId = SessionId(7);
    const MS: Duration = Duration::from_millis(1);

    fn set(paths: &[usize]) -> PathSet {
        paths.iter().copied().collect()
    }

    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn begin() -> Instant {
        Instant::now()
    }

    /// Arrivals of a sender that uses two paths.
    fn arrivals() -> Arrivals {
        let mut arrivals = Arrivals::default();
        let both = set(&[0, 1]);
        arrivals.announce(SESSION, Spread { sampled: both, chosen: both, since: 0, sample: 0 });
        arrivals
    }

    fn settled(arrivals: &mut Arrivals, now: Instant) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        arrivals.settle(now, |outcome| outcomes.push(outcome));
        outcomes
    }

    #[test]
    fn a_datagram_is_settled_with_the_paths_that_brought_it_in_time() {
        let begin = begin();
        let mut arrivals = arrivals();
        arrivals.note(begin, SESSION, 0, 0, 100);
        arrivals.note(begin + 40 * MS, SESSION, 0, 1, 100);
        // Nothing brings number 1; number 2 shows that it was sent.
        arrivals.note(begin + 100 * MS, SESSION, 2, 1, 100);
        arrivals.note(begin + 200 * MS, SESSION, 3, 1, 100);
        let overdue = |patience| arrivals.overdue(begin + 300 * MS, patience * MS, SETTLED_AFTER);
        assert_eq!((overdue(150), overdue(250)), (Tally { sent: 1, lost: 0 }, Tally::default()));
        assert_eq!(overdue(100), Tally { sent: 3, lost: 1 });
        assert_eq!(settled(&mut arrivals, begin + 2900 * MS), []);
        let outcome = |arrived: &[usize]| Outcome { sent: set(&[0, 1]), arrived: set(arrived), weight: 1 };
        let outcomes = settled(&mut arrivals, begin + 3250 * MS);
        assert_eq!(outcomes, [outcome(&[0, 1]), outcome(&[]), outcome(&[1])]);
        // Too late to be of use, and counted as a copy alone.
        arrivals.note(begin + 3300 * MS, SESSION, 1, 0, 100);
        let [first, second] = arrivals.brought() else { panic!("two paths") };
        assert_eq!((first.copies, first.first, first.overtaken), (2, 1, 0));
        assert_eq!((second.copies, second.first, second.octets), (3, 2, 300));
        assert!(second.lateness() > Duration::ZERO);
    }

    #[test]
    fn what_was_announced_says_which_paths_a_datagram_went_over() {
        let begin = begin();
        let mut arrivals = arrivals();
        arrivals.announce(SESSION, Spread { sampled: set(&[0, 1]), chosen: set(&[0]), since: 2, sample: 2 });
        for counter in 0..8 {
            arrivals.note(begin + 60 * MS * counter, SESSION, counter.into(), 0, 100);
        }
        let sent: Vec<_> =
            settled(&mut arrivals, begin + 10_000 * MS).iter().map(|outcome| outcome.sent.len()).collect();
        // Every fourth is a sample; the last is not known to be over yet.
        assert_eq!(sent, [2, 2, 1, 1, 2, 1, 1]);
    }

    #[test]
    fn a_sender_that_changes_its_mind_back_before_it_begins_is_believed() {
        let begin = begin();
        let mut arrivals = arrivals();
        let both = Spread { sampled: set(&[0, 1]), chosen: set(&[0, 1]), since: 0, sample: 0 };
        let first = Spread { chosen: set(&[0]), sample: 4, ..both };
        for spread in [first, both, both] {
            arrivals.announce(SESSION, spread);
        }
        for counter in 0..3 {
            arrivals.note(begin + 60 * MS * counter, SESSION, counter.into(), 0, 100);
        }
        let outcomes = settled(&mut arrivals, begin + 10_000 * MS);
        assert!(outcomes.len() == 2 && outcomes.iter().all(|outcome| outcome.sent == set(&[0, 1])));
    }

    /// Plays datagrams at a rate, all brought by both paths. Returns how many were settled, and lost.
    fn play(arrivals: &mut Arrivals, from: Instant, first: u64, per_ms: u64, ms: u64) -> (u64, u64) {
        let (mut sent, mut lost) = (0, 0);
        for at in 0..ms {
            let now = from + MS * at as u32;
            for counter in first + at * per_ms..first + (at + 1) * per_ms {
                arrivals.note(now, SESSION, counter, 0, 100);
                arrivals.note(now, SESSION, counter, 1, 100);
            }
            arrivals.settle(now, |outcome| {
                sent += outcome.weight;
                lost += if outcome.arrived.is_empty() { outcome.weight } else { 0 };
            });
        }
        (sent, lost)
    }

    #[test]
    fn at_a_high_rate_some_stand_for_all_and_none_seems_lost() {
        let begin = begin();
        let mut arrivals = arrivals();
        let (sent, lost) = play(&mut arrivals, begin, 0, 20, 10_000);
        assert_eq!(lost, 0);
        assert!((130_000..150_000).contains(&sent), "{sent} of the 140,000 that are older than 3 s");
        assert!(arrivals.shift >= 4 && arrivals.entries.len() == WATCHED as usize);
        // Slower again, more are watched again, in the end.
        let (_, lost) = play(&mut arrivals, begin + 10_000 * MS, 200_000, 1, 60_000);
        assert_eq!((lost, arrivals.shift), (0, 1));
    }

    #[test]
    fn a_peer_that_skips_counters_costs_neither_memory_nor_time() {
        let begin = begin();
        let mut arrivals = arrivals();
        for (at, counter) in [5, 1 << 20, 1 << 40, u64::MAX - 1, 6].into_iter().enumerate() {
            let now = begin + 1000 * MS * at as u32;
            arrivals.note(now, SESSION, counter, at % 2, 100);
            arrivals.overdue(now, MS, SETTLED_AFTER);
            arrivals.settle(now, |_| {});
        }
        arrivals.settle(begin + 10_000 * MS, |_| {});
        assert_eq!(arrivals.entries.len(), WATCHED as usize);
    }
}
