//! Which paths are to carry the datagrams that come to us: what the user asked for, applied to what
//! the journal says. Whoever receives chooses, since only the receiver sees what each path brought;
//! the sender is told, and sends over all when it has not been told for a while.
//!
//! With a target, the fewest paths are wanted whose *joint* loss stays under it, paths that fail
//! together counted as what they are. All paths are wanted when unsure: at the start, with few
//! datagrams, and for a while after the losses of the last ten seconds came near the target.

use std::time::{Duration, Instant};

use super::arrivals::{Arrivals, SETTLED_AFTER, Tally};
use super::journal::Journal;
use super::role::{Copies, LossTarget};
use super::set::PathSet;

/// A target holds for each stretch of this length.
pub const WINDOW: Duration = Duration::from_secs(10);
/// With fewer watched datagrams in a window than this nothing is sure.
const FEW: u64 = 200;
/// A set is good enough when windows lose less than this part of what they may, nearly always.
const RESERVE: f64 = 0.8;
/// When this part of what a window may lose is lost, all paths are wanted ...
const SPENT: f64 = 0.5;
/// ... for this long: then the window is clean again.
const CAUTION: Duration = WINDOW;
/// A set that lost more than the target in one of the last windows is not good enough.
const REMEMBERED: Duration = Duration::from_secs(30);
/// The chosen paths are left for others this often at most: each change costs a little certainty, and
/// the search some time.
const SEARCH_EVERY: Duration = Duration::from_secs(2);
/// Of how many paths, the best by themselves, sets are formed: 63 sets.
const CANDIDATES: usize = 6;
/// A datagram is missed no earlier than this after a later one arrived, besides what the paths
/// differ in delay.
const PATIENCE: Duration = Duration::from_millis(100);
/// A path that loses a greater part, either way, is called lossy. Without a target, the others are too bad for a
/// backup to stay idle when they lose this.
pub const BEARABLE: f64 = 0.01;
/// A path is dead when half of the datagrams of this time are missing.
const DEAD_AFTER: Duration = Duration::from_millis(400);
/// Fewer missing datagrams than this mean nothing by themselves.
const MISSED: u64 = 3;
/// Paths whose losses differ by less than this are ordered by delay.
const LOSS_STEP: f64 = 0.005;
/// How sure it is to be that a window stays under the target: the normal quantile of 99.5 %.
const WINDOW_QUANTILE: f64 = 2.6;
/// How sure it is to be that a loss is not above what was measured: the quantile of 95 %.
const MEASURE_QUANTILE: f64 = 1.6;

/// What the user wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// How many copies.
    pub copies: Copies,
    /// The paths that stay idle while the others do.
    pub backups: PathSet,
}

impl Policy {
    /// Whether there is nothing to choose.
    pub fn is_everything(&self) -> bool {
        self.copies == Copies::All && self.backups.is_empty()
    }

    /// The paths that are not backups; all, if there are only backups.
    pub fn ordinary(&self, usable: PathSet) -> PathSet {
        let ordinary = usable - self.backups;
        if ordinary.is_empty() { usable } else { ordinary }
    }
}

/// The choice, and what is remembered for the next.
#[derive(Debug, Default)]
pub struct Choice {
    wanted: PathSet,
    /// The last that was not all: what all paths are left for when the trouble is over.
    held: PathSet,
    /// When each usable path began to be it: what it did before says nothing.
    joined: [Option<Instant>; PathSet::LIMIT],
    /// When the paths were last searched for better ones.
    searched: Option<Instant>,
    /// Until when all ordinary paths are wanted.
    cautious: Option<Instant>,
    /// Until when the backups are wanted too.
    desperate: Option<Instant>,
}

impl Choice {
    /// Chooses among the paths that the sender can use.
    pub fn choose(
        &mut self,
        now: Instant,
        policy: Policy,
        usable: PathSet,
        arrivals: &Arrivals,
        journal: &Journal,
    ) -> PathSet {
        let ordinary = policy.ordinary(usable);
        for (path, joined) in self.joined.iter_mut().enumerate() {
            match (usable.has(path), &joined) {
                (true, None) => {
                    *joined = Some(now);
                    self.cautious = Some(now + CAUTION);
                }
                (false, Some(_)) => *joined = None,
                _ => {}
            }
        }
        let mut recent = missing(now, self.wanted, arrivals, SETTLED_AFTER);
        recent.add(journal.lost(now, WINDOW - SETTLED_AFTER));
        let lost_part =
            |tally: Tally, part: f64| tally.lost > 0 && tally.lost as f64 >= part * tally.sent as f64;
        let bearable = match policy.copies {
            Copies::Target(target) => SPENT * target.part(),
            Copies::All | Copies::Best(_) => BEARABLE,
        };
        let bad = lost_part(recent, bearable);
        // So many copies are so many, whatever the paths lose; but not over a path that has died.
        let latest = missing(now, self.wanted, arrivals, DEAD_AFTER);
        let dead = latest.lost >= MISSED && lost_part(latest, 0.5);
        if bad && recent.lost >= MISSED && ordinary.within(self.wanted) {
            self.desperate = Some(now + CAUTION);
        }
        if dead || bad && matches!(policy.copies, Copies::Target(_)) {
            self.cautious = Some(now + CAUTION);
        }
        self.cautious.take_if(|until| now >= *until);
        self.desperate.take_if(|until| now >= *until);
        self.wanted = if self.desperate.is_some() {
            usable | policy.backups
        } else if self.cautious.is_some() || recent.sent < FEW && matches!(policy.copies, Copies::Target(_)) {
            ordinary
        } else if self.searched.is_some_and(|at| now.saturating_duration_since(at) < SEARCH_EVERY)
            && self.wanted.within(ordinary)
            && !self.wanted.is_empty()
        {
            self.wanted
        } else {
            self.searched = Some(now);
            match policy.copies {
                Copies::All => ordinary,
                Copies::Best(count) => best(now, count.into(), ordinary, arrivals, journal),
                Copies::Target(target) => self.fewest(now, target, recent.sent, ordinary, arrivals, journal),
            }
        };
        if !ordinary.within(self.wanted) {
            self.held = self.wanted;
        }
        self.wanted
    }

    /// The smallest set that is good enough; of several the one held, or the one that loses least.
    ///
    /// The set held is good enough while it was: what it has lost is held against the limit as it is. Were it to
    /// prove itself all the time, it would be left for more paths by bad luck alone, every fifth time at the loss
    /// that two paths with 1 % have together; and if it gets worse, [`SPENT`] tells soon enough.
    fn fewest(
        &self,
        now: Instant,
        target: LossTarget,
        window: u64,
        ordinary: PathSet,
        arrivals: &Arrivals,
        journal: &Journal,
    ) -> PathSet {
        let bearable = bearable(RESERVE * target.part(), window as f64);
        let enough = (2.0 * MEASURE_QUANTILE.powi(2) / bearable) as u64;
        let good = |set: PathSet| {
            let since = set.iter().filter_map(|path| self.joined[path]).max()?;
            let tally = journal.latest(since, set, enough);
            let remembered = now.checked_sub(REMEMBERED).map_or(since, |at| at.max(since));
            let proven = set == self.held && tally.sent >= enough;
            let loss = if proven { tally.loss()? } else { at_most(tally) };
            (loss <= bearable && journal.worst(remembered, WINDOW, set) <= target.part())
                .then(|| tally.loss().unwrap_or(1.0))
        };
        let mut candidates: Vec<_> = ordinary.iter().collect();
        candidates.sort_by_cached_key(|path| rank(now, *path, arrivals, journal));
        candidates.truncate(CANDIDATES);
        let sets = |count: u32| {
            let sets = (1..1_u32 << candidates.len()).filter(move |bits| bits.count_ones() == count);
            sets.map(|bits| PathSet(bits).iter().map(|at| candidates[at]).collect::<PathSet>())
        };
        for count in 1..ordinary.len() {
            if self.held.len() == count && self.held.within(ordinary) && good(self.held).is_some() {
                return self.held;
            }
            let good = sets(count).filter_map(|set| Some((good(set)?, set)));
            if let Some((_, set)) = good.min_by(|(a, _), (b, _)| a.total_cmp(b)) {
                return set;
            }
        }
        ordinary
    }
}

/// What is missing of the datagrams that are late, but not settled yet and not older than `span`.
fn missing(now: Instant, chosen: PathSet, arrivals: &Arrivals, span: Duration) -> Tally {
    let lateness = chosen.iter().filter_map(|path| arrivals.brought().get(path)).map(|path| path.lateness());
    arrivals.overdue(now, PATIENCE + 2 * lateness.max().unwrap_or_default(), span)
}

/// The best paths, so many.
fn best(now: Instant, count: usize, ordinary: PathSet, arrivals: &Arrivals, journal: &Journal) -> PathSet {
    let mut paths: Vec<_> = ordinary.iter().collect();
    paths.sort_by_cached_key(|path| rank(now, *path, arrivals, journal));
    paths.into_iter().take(count).collect()
}

/// How paths are ordered: by loss, in steps; of equal ones by delay, in milliseconds.
fn rank(now: Instant, path: usize, arrivals: &Arrivals, journal: &Journal) -> (u32, u128) {
    let loss = journal.lost_by(now, WINDOW, PathSet::one(path)).loss();
    let lateness = arrivals.brought().get(path).map(|path| path.lateness().as_millis());
    ((loss.unwrap_or(1.0) / LOSS_STEP) as u32, lateness.unwrap_or(u128::MAX))
}

/// The loss at which a window of this many datagrams stays under a limit, nearly always: the Poisson distribution's, in its normal approximation.
fn bearable(limit: f64, window: f64) -> f64 {
    let half = WINDOW_QUANTILE.powi(2) / (2.0 * window);
    limit + half - WINDOW_QUANTILE * (limit / window + (half / WINDOW_QUANTILE).powi(2)).sqrt()
}

/// The loss that is not exceeded, nearly surely: the upper end of Wilson's interval.
fn at_most(tally: Tally) -> f64 {
    if tally.sent == 0 {
        return 1.0;
    }
    let (n, p) = (tally.sent as f64, tally.lost as f64 / tally.sent as f64);
    let z = MEASURE_QUANTILE;
    let middle = p + z * z / (2.0 * n);
    let spread = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    (middle + spread) / (1.0 + z * z / n)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tunnel::arrivals::Outcome;

    const SECOND: Duration = Duration::from_secs(1);

    fn set(paths: &[usize]) -> PathSet {
        paths.iter().copied().collect()
    }

    /// A receiver with three usable paths that wants 0.1 %, and its clock.
    struct Receiver {
        now: Instant,
        journal: Journal,
        choice: Choice,
    }

    impl Receiver {
        /// A second in which datagrams went over a set: so many, by the paths that brought them. Returns the choice.
        fn second(&mut self, sent: PathSet, brought: &[(PathSet, u32)]) -> PathSet {
            self.now += SECOND;
            for (arrived, count) in brought {
                for _ in 0..*count {
                    self.journal.add(self.now, Outcome { sent, arrived: *arrived, weight: 1 });
                }
            }
            let policy = Policy { copies: Copies::Target(LossTarget(1000)), ..Policy::default() };
            let usable = set(&[0, 1, 2]);
            self.choice.choose(self.now, policy, usable, &Arrivals::default(), &self.journal)
        }
    }

    /// Of three paths, the first two lose nothing together, and each of them does with the third.
    fn two_are_chosen() -> Receiver {
        #[expect(clippy::disallowed_methods, reason = "any instant will do")]
        let now = Instant::now();
        let mut receiver = Receiver { now, journal: Journal::default(), choice: Choice::default() };
        let (all, two) = (set(&[0, 1, 2]), set(&[0, 1]));
        let brought = [(all, 980), (set(&[0]), 10), (set(&[1]), 10)];
        let chosen: Vec<_> = (0..25).map(|_| receiver.second(all, &brought)).collect();
        assert_eq!((chosen[5], chosen[24]), (all, two));
        receiver
    }

    /// 1,000 datagrams over the two, of which one is lost in every so many seconds.
    fn lose_one_in(receiver: &mut Receiver, seconds: u32) -> PathSet {
        let two = set(&[0, 1]);
        let lost = |second| u32::from(second % seconds == 0);
        let chosen = (0..40)
            .map(|second| receiver.second(two, &[(two, 1000 - lost(second)), (PathSet::NONE, lost(second))]));
        chosen.fold(two, |all, chosen| all | chosen)
    }

    #[test]
    fn a_set_in_use_need_not_prove_itself_again() {
        // A quarter of what may be lost is: too much for the upper end of what it could be.
        assert_eq!(lose_one_in(&mut two_are_chosen(), 4), set(&[0, 1]));
    }

    #[test]
    fn a_set_in_use_that_has_become_too_bad_is_left() {
        // A third: half of it within 10 s, which has all paths used at once, is not lost.
        assert_eq!(lose_one_in(&mut two_are_chosen(), 3), set(&[0, 1, 2]));
    }
}
