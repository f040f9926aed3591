//! Letting datagrams gather under load. A call that sends costs some 4 µs, each further datagram of
//! its run a tenth of one; so above some rate it pays to let a few arrive before looking. Below it,
//! no datagram ever waits for company.

use std::time::{Duration, Instant};

/// Datagrams a second from which gathering pays. Below, a wait of this length would seldom gather
/// two.
const RATE: f64 = 20_000.0;
/// How long to wait. The system's timers add about as much again.
pub(super) const WAIT: Duration = Duration::from_micros(50);
/// The rate is measured over this long: it rises and falls with the load within a few turns.
const MEASURED_OVER: Duration = Duration::from_millis(5);

/// Measures the load, and tells whether gathering pays.
#[derive(Debug)]
pub(super) struct Gather {
    since: Instant,
    count: u64,
    pays: bool,
}

impl Gather {
    /// No load so far.
    pub(super) fn new(now: Instant) -> Self {
        Self { since: now, count: 0, pays: false }
    }

    /// Whether to wait before looking again; `count` is the datagrams handled so far.
    pub(super) fn pays(&mut self, now: Instant, count: u64) -> bool {
        let passed = now.saturating_duration_since(self.since);
        if passed >= MEASURED_OVER {
            let rate = (count - self.count) as f64 / passed.as_secs_f64();
            *self = Self { since: now, count, pays: rate >= RATE };
        }
        self.pays
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "any instant will do")]
mod tests {
    use super::*;

    #[test]
    fn gathering_begins_with_load_and_ends_with_it() {
        let begin = Instant::now();
        let mut gather = Gather::new(begin);
        let mut count = 0;
        let mut at = |ms: u64, datagrams: u64| {
            count += datagrams;
            gather.pays(begin + Duration::from_millis(ms), count)
        };
        assert!(!at(10, 100), "10,000 a second");
        assert!(at(20, 300), "30,000 a second");
        assert!(at(21, 0), "a millisecond tells nothing");
        assert!(!at(30, 10), "1,000 a second");
    }
}
