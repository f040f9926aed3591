//! How often something may be done: evenly over time, and so many times at once after a pause.

use std::time::{Duration, Instant};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    every: Duration,
    /// What may be done in advance.
    at_once: Duration,
    /// Up to when it has been done in advance; `None` before the first time.
    until: Option<Instant>,
}

impl Pace {
    /// Once in `every`, and `at_once` times after a pause.
    pub const fn new(every: Duration, at_once: u32) -> Self {
        Self { every, at_once: every.saturating_mul(at_once), until: None }
    }

    /// Whether it was done so often that it has to wait.
    pub fn is_busy(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| until >= now + self.at_once)
    }

    /// Notes that it is done.
    pub fn note(&mut self, now: Instant) {
        self.until = Some(self.until.map_or(now, |until| until.max(now)) + self.every);
    }

    /// Whether nothing was done in advance: it is as if nothing had ever been.
    pub fn is_past(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| now >= until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn so_many_are_done_at_once_and_then_one_in_each_interval() {
        const EVERY: Duration = Duration::from_millis(20);
        let now = Instant::now();
        let mut pace = Pace::new(EVERY, 3);
        assert!(pace.is_past(now));
        for done in 0..3 {
            assert!(!pace.is_busy(now), "{done} were done");
            pace.note(now);
        }
        assert!(pace.is_busy(now) && !pace.is_past(now));
        assert!(!pace.is_busy(now + EVERY), "one more");
        pace.note(now + EVERY);
        assert!(pace.is_busy(now + EVERY));
        assert!(pace.is_past(now + 4 * EVERY));
    }
}
