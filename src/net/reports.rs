//! What the log is told of the whole, apart from what happens: a summary at intervals, and all there is to
//! see at SIGUSR1. How it reads is the caller's matter.

use std::time::{Duration, Instant};

use crate::tunnel::snapshot::Snapshot;

/// Why something is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// An interval is over.
    Interval,
    /// Somebody has asked, with SIGUSR1.
    Asked,
}

type Tell = Box<dyn FnMut(Occasion, &Snapshot) + Send>;

/// See the module.
pub(super) struct Reports {
    /// How often to sum up, and when the next time, if at all.
    schedule: Option<(Duration, Instant)>,
    tell: Tell,
}

impl Reports {
    /// Nothing is told until there is somebody to tell it.
    pub(super) fn none() -> Self {
        Self { schedule: None, tell: Box::new(|_, _| {}) }
    }

    /// Has reports told this way.
    pub(super) fn tell_with(&mut self, tell: impl FnMut(Occasion, &Snapshot) + Send + 'static) {
        self.tell = Box::new(tell);
    }

    /// Has the log sum up this often. As often as before changes nothing.
    pub(super) fn set_every(&mut self, now: Instant, every: Option<Duration>) {
        if every != self.schedule.map(|(every, _)| every) {
            self.schedule = every.map(|every| (every, now + every));
        }
    }

    /// When [`Self::turn`] is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.schedule.map(|(_, next)| next)
    }

    /// Sums up, if it is time.
    pub(super) fn turn(&mut self, now: Instant, snapshot: impl FnOnce() -> Snapshot) {
        if let Some((every, next)) = &mut self.schedule
            && now >= *next
        {
            *next = following(*next, *every, now);
            (self.tell)(Occasion::Interval, &snapshot());
        }
    }

    /// Tells all there is to see.
    pub(super) fn asked(&mut self, snapshot: &Snapshot) {
        (self.tell)(Occasion::Asked, snapshot);
    }
}

/// When something is due again that comes at this interval and was due `last`. Whatever a machine that
/// slept for many intervals has missed is not made up for.
pub(crate) fn following(last: Instant, every: Duration, now: Instant) -> Instant {
    let next = last + every;
    if next > now { next } else { now + every }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::tunnel::Tunnel;

    #[test]
    fn an_interval_is_summed_up_once_and_another_one_counts_from_when_it_was_set() {
        #[expect(clippy::disallowed_methods, reason = "any instant will do")]
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let tunnel = Tunnel::quiet_server(begin);
        let (sender, told) = mpsc::channel();
        let mut reports = Reports::none();
        reports.tell_with(move |occasion, _| sender.send(occasion).expect("the test listens"));
        let times = |reports: &mut Reports, seconds: std::ops::Range<u64>| {
            let told_at = |second: &u64| {
                reports.turn(at(*second), || tunnel.snapshot(at(*second)));
                told.try_recv() == Ok(Occasion::Interval)
            };
            seconds.filter(told_at).collect::<Vec<_>>()
        };
        assert_eq!((reports.deadline(), times(&mut reports, 0..100)), (None, vec![]));
        reports.set_every(at(100), Some(Duration::from_secs(10)));
        reports.set_every(at(105), Some(Duration::from_secs(10)));
        assert_eq!(times(&mut reports, 100..125), [110, 120]);
        assert_eq!(times(&mut reports, 1000..1015), [1000, 1010], "it slept");
        reports.set_every(at(1015), None);
        assert_eq!((reports.deadline(), times(&mut reports, 1015..2000)), (None, vec![]));
    }
}
