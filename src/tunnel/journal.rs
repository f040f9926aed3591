//! What became of the datagrams of the last minutes, second by second: over which paths each went,
//! and by which it came. Any question about losses is put here: of a path, of a set of paths taken
//! together, of two that fail at the same time.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::arrivals::{Outcome, Tally};
use super::set::PathSet;

/// How far back the journal goes.
pub const KEPT: Duration = Duration::from_secs(300);
const SECOND: Duration = Duration::from_secs(1);
/// Different outcomes kept of a second. More than 8 paths with different fates make; what is beyond
/// is not counted.
const OUTCOMES: usize = 128;
/// ... and of all that is kept, so that a peer whose packets take ever other paths can't make what is asked
/// expensive.
const KINDS: usize = 1024;

/// Datagrams that went over the same paths and came by the same; fewer than none where some are taken off
/// others.
#[derive(Clone, Copy, Debug)]
struct Alike {
    sent: PathSet,
    arrived: PathSet,
    count: i64,
}

/// Of the datagrams that went over all of `set`: how many came by none of it. Of the empty set: how many
/// did not come at all.
fn tally(outcomes: impl Iterator<Item = Alike>, set: PathSet) -> Tally {
    let tried = outcomes.filter(|Alike { sent, .. }| set.within(*sent));
    let (sent, lost) = tried.fold((0, 0), |(sent, lost), Alike { arrived, count, .. }| {
        let is_lost = if set.is_empty() { arrived.is_empty() } else { (arrived & set).is_empty() };
        (sent + count, if is_lost { lost + count } else { lost })
    });
    Tally { sent: sent.unsigned_abs(), lost: lost.unsigned_abs() }
}

#[derive(Debug)]
struct Second {
    since: Instant,
    outcomes: Vec<(PathSet, PathSet, u32)>,
}

impl Second {
    fn outcomes(&self) -> impl Iterator<Item = Alike> {
        self.outcomes.iter().map(|&(sent, arrived, count)| Alike { sent, arrived, count: count.into() })
    }

    fn tally(&self, set: PathSet) -> Tally {
        tally(self.outcomes(), set)
    }
}

/// The outcomes of all seconds but the newest, each kind once. Hundreds of seconds have few kinds: what is
/// asked about all of them, each second and for each snapshot, is soon found out.
#[derive(Debug, Default)]
struct Sum(BTreeMap<(PathSet, PathSet), i64>);

impl Sum {
    /// What finds no room is taken out of the second too: only what was added will be subtracted.
    fn add(&mut self, second: &mut Second) {
        second.outcomes.retain(|&(sent, arrived, count)| {
            let kind = (sent, arrived);
            let fits = self.0.len() < KINDS || self.0.contains_key(&kind);
            if fits {
                *self.0.entry(kind).or_default() += i64::from(count);
            }
            fits
        });
    }

    fn subtract(&mut self, second: &Second) {
        for Alike { sent, arrived, count } in second.outcomes() {
            if let Entry::Occupied(mut sum) = self.0.entry((sent, arrived)) {
                *sum.get_mut() -= count;
                if *sum.get() == 0 {
                    sum.remove();
                }
            }
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Journal {
    seconds: VecDeque<Second>,
    /// ... and what all of them but the newest come to.
    sum: Sum,
    /// What there was since the start, by path ...
    paths: Vec<Since>,
    /// ... by all of them together: datagrams, and those that did not come ...
    total: Tally,
    /// ... and datagrams that one path has lost and another brought.
    recovered: u64,
}

/// What became of the datagrams that went over a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Since {
    /// Those that it lost.
    pub lost_by: Tally,
    /// Those that came by no other.
    pub saved: u64,
}

impl Journal {
    /// Writes down what came of a datagram.
    pub fn add(&mut self, now: Instant, outcome: Outcome) {
        let Outcome { sent, arrived, weight } = outcome;
        self.total.add(Tally { sent: weight, lost: if arrived.is_empty() { weight } else { 0 } });
        if arrived != sent && !arrived.is_empty() {
            self.recovered = self.recovered.saturating_add(weight);
        }
        let saved_by = arrived.only().filter(|_| sent.len() > 1);
        for path in sent.iter() {
            if path >= self.paths.len() {
                self.paths.resize(path + 1, Since::default());
            }
            let since = &mut self.paths[path];
            since.lost_by.add(Tally { sent: weight, lost: if arrived.has(path) { 0 } else { weight } });
            if saved_by == Some(path) {
                since.saved = since.saved.saturating_add(weight);
            }
        }
        if self.seconds.back().is_none_or(|last| now.saturating_duration_since(last.since) >= SECOND) {
            self.forget(now);
            if let Some(newest) = self.seconds.back_mut() {
                self.sum.add(newest);
            }
            self.seconds.push_back(Second { since: now, outcomes: Vec::new() });
        }
        let second = self.seconds.back_mut().expect("one was just there");
        let outcomes = &mut second.outcomes;
        match outcomes.iter().position(|(s, a, _)| *s == sent && *a == arrived) {
            Some(at) => outcomes[at].2 = outcomes[at].2.saturating_add(1),
            None if outcomes.len() < OUTCOMES => outcomes.push((sent, arrived, 1)),
            None => {}
        }
    }

    /// Forgets what is too old.
    pub fn forget(&mut self, now: Instant) {
        let old = |second: &Second| now.saturating_duration_since(second.since) >= KEPT;
        while self.seconds.front().is_some_and(old)
            && let Some(second) = self.seconds.pop_front()
            // The newest was not summed up yet.
            && !self.seconds.is_empty()
        {
            self.sum.subtract(&second);
        }
    }

    /// What became of the datagrams since the start that went over a path.
    pub fn since_start(&self, path: usize) -> Since {
        self.paths.get(path).copied().unwrap_or_default()
    }

    /// How many datagrams since the start one path has lost and another brought.
    pub fn recovered(&self) -> u64 {
        self.recovered
    }

    /// All datagrams since the start.
    pub fn total(&self) -> Tally {
        self.total
    }

    /// What a set of paths would have lost within `over` before now, of the datagrams that went over
    /// all of it.
    pub fn lost_by(&self, now: Instant, over: Duration, set: PathSet) -> Tally {
        tally(self.outcomes(now, over), set)
    }

    /// What did not come by any path within `over` before now, whatever it went over.
    pub fn lost(&self, now: Instant, over: Duration) -> Tally {
        self.lost_by(now, over, PathSet::NONE)
    }

    /// As [`Self::lost_by`], of the latest datagrams after `since` that make up `enough` of them, or
    /// of all where there are fewer.
    pub fn latest(&self, since: Instant, set: PathSet, enough: u64) -> Tally {
        let mut tally = Tally::default();
        for second in self.seconds.iter().rev() {
            if tally.sent >= enough || second.since < since {
                break;
            }
            tally.add(second.tally(set));
        }
        tally
    }

    /// The largest part that a set lost in any `over` after `since`.
    pub fn worst(&self, since: Instant, over: Duration, set: PathSet) -> f64 {
        let mut worst: f64 = 0.0;
        let recent: Vec<_> = self.seconds.iter().filter(|second| second.since >= since).collect();
        for (at, first) in recent.iter().enumerate() {
            let window = recent[..=at].iter().filter(|second| first.since - second.since < over);
            let tally = window.fold(Tally::default(), |mut tally, second| {
                tally.add(second.tally(set));
                tally
            });
            worst = worst.max(tally.loss().unwrap_or(0.0));
        }
        worst
    }

    /// How much two paths' losses go together: the correlation coefficient of their losses, over the
    /// datagrams that went over both. `None` where one of them lost nothing or all.
    pub fn correlation(&self, now: Instant, over: Duration, a: usize, b: usize) -> Option<f64> {
        let both = PathSet::one(a) | PathSet::one(b);
        let (mut n, mut lost_a, mut lost_b, mut lost_both) = (0.0, 0.0, 0.0, 0.0);
        for Alike { sent, arrived, count } in self.outcomes(now, over) {
            if both.within(sent) {
                let count = count as f64;
                let (miss_a, miss_b) = (!arrived.has(a), !arrived.has(b));
                n += count;
                lost_a += if miss_a { count } else { 0.0 };
                lost_b += if miss_b { count } else { 0.0 };
                lost_both += if miss_a && miss_b { count } else { 0.0 };
            }
        }
        let (a, b, both) = (lost_a / n, lost_b / n, lost_both / n);
        let spread = (a * (1.0 - a) * b * (1.0 - b)).sqrt();
        (n > 0.0 && spread > 0.0).then(|| (both - a * b) / spread)
    }

    /// What came of the datagrams within `over` before now.
    fn outcomes(&self, now: Instant, over: Duration) -> impl Iterator<Item = Alike> {
        let within = move |second: &&Second| now.saturating_duration_since(second.since) < over;
        // Where all that is kept is asked about, what is summed up is taken, without what has become too old.
        let whole = over >= KEPT;
        let summed = self.seconds.len().saturating_sub(1);
        let single = self.seconds.iter().rev().take(if whole { 1 } else { usize::MAX }).take_while(within);
        let sum = self.sum.0.iter().filter(move |_| whole);
        let sum = sum.map(|(&(sent, arrived), &count)| Alike { sent, arrived, count });
        let old = self.seconds.iter().take(if whole { summed } else { 0 }).take_while(move |it| !within(it));
        let old = old.flat_map(Second::outcomes).map(|alike| Alike { count: -alike.count, ..alike });
        single.flat_map(Second::outcomes).chain(sum).chain(old)
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    fn set(paths: &[usize]) -> PathSet {
        paths.iter().copied().collect()
    }

    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn begin() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_set_is_judged_by_what_went_over_all_of_it() {
        let now = begin();
        let mut journal = Journal::default();
        let all = set(&[0, 1, 2]);
        for (sent, arrived, times) in [
            (all, all, 90),
            (all, set(&[1]), 6),
            (all, set(&[2]), 3),
            (all, set(&[]), 1),
            (set(&[0]), set(&[]), 10),
        ] {
            for _ in 0..times {
                journal.add(now, Outcome { sent, arrived, weight: 1 });
            }
        }
        let lost = |paths: &[usize]| journal.lost_by(now, SECOND, set(paths));
        assert_eq!(lost(&[0]), Tally { sent: 110, lost: 20 });
        assert_eq!(lost(&[1]), Tally { sent: 100, lost: 4 });
        assert_eq!(lost(&[0, 1]), Tally { sent: 100, lost: 4 });
        assert_eq!(lost(&[1, 2]), Tally { sent: 100, lost: 1 });
        assert_eq!(journal.lost(now, SECOND), Tally { sent: 110, lost: 11 });
        let since = [0, 1, 2].map(|path| journal.since_start(path));
        assert_eq!(since.map(|since| since.saved), [0, 6, 3]);
        let lost_by = [(110, 20), (100, 4), (100, 7)].map(|(sent, lost)| Tally { sent, lost });
        assert_eq!(since.map(|since| since.lost_by), lost_by);
        assert_eq!(journal.recovered(), 9);
    }

    #[test]
    fn paths_that_fail_together_are_told_from_those_that_do_not() {
        let now = begin();
        let mut journal = Journal::default();
        for number in 0..10_000_u32 {
            // Paths 0 and 1 share every tenth; path 2 loses every tenth at other times.
            let mut arrived = set(&[0, 1, 2]);
            if number % 10 == 0 {
                arrived = arrived - set(&[0, 1]);
            }
            if number / 10 % 10 == 0 {
                arrived = arrived - set(&[2]);
            }
            journal.add(now, Outcome { sent: set(&[0, 1, 2]), arrived, weight: 1 });
        }
        let correlation = |a, b| journal.correlation(now, SECOND, a, b).expect("both lost some");
        assert!(correlation(0, 1) > 0.99);
        assert!(correlation(0, 2).abs() < 0.05);
        assert_eq!(journal.correlation(now, SECOND, 0, 3), None);
    }

    #[test]
    fn what_is_summed_up_is_what_single_seconds_say() {
        let begin = begin();
        let mut rng = StdRng::seed_from_u64(1);
        let mut journal = Journal::default();
        let mut at = Duration::ZERO;
        for _ in 0..2_000 {
            // Now and then nothing comes for longer than is kept.
            at += Duration::from_millis(if rng.random_ratio(1, 500) {
                310_000
            } else {
                rng.random_range(0..1_500)
            });
            let sent = PathSet(rng.random_range(0..8));
            let arrived = PathSet(rng.random::<u32>()) & sent;
            journal.add(begin + at, Outcome { sent, arrived, weight: 1 });
            at += Duration::from_millis(rng.random_range(0..1_500));
            let now = begin + at;
            if rng.random_ratio(1, 2) {
                journal.forget(now);
            }
            for set in (0..8).map(PathSet) {
                let kept = journal.seconds.iter().filter(|second| now - second.since < KEPT);
                let mut expected = Tally::default();
                kept.for_each(|second| expected.add(second.tally(set)));
                assert_eq!(journal.lost_by(now, KEPT, set), expected);
            }
        }
    }

    #[test]
    fn kinds_beyond_those_kept_are_not_counted_and_make_room_when_they_are_forgotten() {
        let begin = begin();
        let mut journal = Journal::default();
        let mut rng = StdRng::seed_from_u64(1);
        for second in 0..1_000 {
            let now = begin + second * SECOND;
            for _ in 0..200 {
                let sent = PathSet(rng.random::<u32>());
                journal.add(now, Outcome { sent, arrived: sent, weight: 1 });
            }
            assert!(journal.sum.0.len() <= KINDS);
            let single = journal.seconds.iter().map(|second| second.tally(PathSet::NONE));
            let expected = single.fold(Tally::default(), |mut all, tally| {
                all.add(tally);
                all
            });
            assert_eq!(journal.lost(now, KEPT), expected);
        }
        let last = begin + 1_400 * SECOND;
        journal.add(last, Outcome { sent: set(&[0]), arrived: set(&[0]), weight: 1 });
        journal.add(last + SECOND, Outcome { sent: set(&[0]), arrived: PathSet::NONE, weight: 1 });
        assert_eq!(journal.lost(last + SECOND, KEPT), Tally { sent: 2, lost: 1 });
    }

    #[test]
    fn the_worst_window_is_found_and_old_times_are_forgotten() {
        let begin = begin();
        let at = |second: u64| begin + Duration::from_secs(second);
        let mut journal = Journal::default();
        for second in 0..40 {
            for number in 0..100 {
                let lost = second == 20 && number < 50;
                let arrived = if lost { PathSet::NONE } else { set(&[0]) };
                journal.add(at(second), Outcome { sent: set(&[0]), arrived, weight: 1 });
            }
        }
        let worst = journal.worst(begin, Duration::from_secs(10), set(&[0]));
        assert!((worst - 0.05).abs() < 0.001, "{worst}");
        assert_eq!(journal.latest(begin, set(&[0]), 250), Tally { sent: 300, lost: 0 });
        journal.forget(at(320));
        assert_eq!(journal.lost(at(320), KEPT), Tally { sent: 1900, lost: 0 });
    }
}
