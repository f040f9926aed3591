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
/// The chosen paths are left for others this often at most: each change costs a little certainty.
const SETTLE_IN: Duration = Duration::from_secs(2);
/// Of how many paths, the best by themselves, sets are formed: 255 sets.
const CANDIDATES: usize = 8;
/// A datagram is missed no earlier than this after a later one arrived, besides what the paths
/// differ in delay.
const PATIENCE: Duration = Duration::from_millis(100);
/// Without a target, the others are too bad for a backup to stay idle when they lose more.
const BEARABLE: LossTarget = LossTarget(10_000);
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

    fn target(&self) -> LossTarget {
        match self.copies {
            Copies::Target(target) => target,
            Copies::All | Copies::Best(_) => BEARABLE,
        }
    }
}

/// The choice, and what is remembered for the next.
#[derive(Debug, Default)]
pub struct Choice {
    wanted: PathSet,
    /// When each usable path began to be it: what it did before says nothing.
    joined: [Option<Instant>; PathSet::LIMIT],
    changed: Option<Instant>,
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
        let recent = recent(now, self.wanted, arrivals, journal);
        let allowed = policy.target().part() * recent.sent as f64;
        let bad = recent.lost > 0
            && recent.lost as f64 >= SPENT * allowed
            && (recent.lost >= MISSED || policy.copies != Copies::All);
        if bad && self.covers(ordinary) && !(usable | policy.backups).within(ordinary) {
            self.desperate = Some(now + CAUTION);
        }
        if bad {
            self.cautious = Some(now + CAUTION);
        }
        self.cautious.take_if(|until| now >= *until);
        self.desperate.take_if(|until| now >= *until);
        self.wanted = if self.desperate.is_some() {
            usable | policy.backups
        } else if self.cautious.is_some() || recent.sent < FEW && matches!(policy.copies, Copies::Target(_)) {
            ordinary
        } else if self.changed.is_some_and(|at| now.saturating_duration_since(at) < SETTLE_IN)
            && self.wanted.within(ordinary)
            && !self.wanted.is_empty()
        {
            self.wanted
        } else {
            let wanted = match policy.copies {
                Copies::All => ordinary,
                Copies::Best(count) => best(now, count.into(), ordinary, arrivals, journal),
                Copies::Target(target) => self.fewest(now, target, recent.sent, ordinary, arrivals, journal),
            };
            if wanted != self.wanted {
                self.changed = Some(now);
            }
            wanted
        };
        self.wanted
    }

    /// Whether the choice so far takes in all these.
    fn covers(&self, paths: PathSet) -> bool {
        paths.within(self.wanted)
    }

    /// The smallest set that is good enough; of several the one in use, or the one that loses least.
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
            (at_most(tally) <= bearable && journal.worst(remembered, WINDOW, set) <= target.part())
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
            if self.wanted.len() == count && self.wanted.within(ordinary) && good(self.wanted).is_some() {
                return self.wanted;
            }
            let good = sets(count).filter_map(|set| Some((good(set)?, set)));
            if let Some((_, set)) = good.min_by(|(a, _), (b, _)| a.total_cmp(b)) {
                return set;
            }
        }
        ordinary
    }
}

/// What was lost of the datagrams of the last window, those not settled included.
fn recent(now: Instant, chosen: PathSet, arrivals: &Arrivals, journal: &Journal) -> Tally {
    let slowest =
        chosen.iter().filter_map(|path| arrivals.brought().get(path)).map(|path| path.lateness()).max();
    let mut tally = arrivals.overdue(now, PATIENCE + 2 * slowest.unwrap_or_default());
    tally.add(journal.lost(now, WINDOW - SETTLED_AFTER));
    tally
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
