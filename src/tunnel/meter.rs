//! How much goes over a path, how fast, and how evenly.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::wire::{Clock, SessionId};

/// What a rate is the mean of.
pub const RATE_OVER: Duration = Duration::from_secs(10);
/// Marks within that time. Each second one is set; more, which a busy server might set, say no more.
const MARK_EVERY: Duration = Duration::from_millis(900);
/// Jitter is smoothed over this many packets (RFC 3550, section 6.4.1).
const SMOOTHED_OVER: f64 = 16.0;

/// Packets and their octets: what UDP carries, without its header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// How many.
    pub packets: u64,
    /// The octets of all.
    pub octets: u64,
}

impl Amount {
    /// Adds a packet of so many octets.
    #[inline]
    pub fn count(&mut self, len: usize) {
        self.packets += 1;
        self.octets += len as u64;
    }

    /// Adds what another has.
    pub fn add(&mut self, other: Self) {
        self.packets += other.packets;
        self.octets += other.octets;
    }
}

/// What goes over a path in a second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rate {
    /// Packets a second.
    pub packets: f64,
    /// Octets a second.
    pub octets: f64,
}

/// What a count has been in the last seconds.
#[derive(Debug, Default)]
pub struct Meter {
    marks: VecDeque<(Instant, Amount)>,
}

impl Meter {
    /// Notes what the count is. To be called each second.
    pub fn mark(&mut self, now: Instant, total: Amount) {
        let age = |at: Instant| now.saturating_duration_since(at);
        if self.marks.back().is_some_and(|(at, _)| age(*at) < MARK_EVERY) {
            return;
        }
        // One that is old enough stays: what came since is the rate.
        while self.marks.get(1).is_some_and(|(at, _)| age(*at) >= RATE_OVER) {
            self.marks.pop_front();
        }
        self.marks.push_back((now, total));
    }

    /// The mean rate of the last [`RATE_OVER`], or since the first mark. `None` before.
    pub fn rate(&self, now: Instant, total: Amount) -> Option<Rate> {
        let age = |at: Instant| now.saturating_duration_since(at);
        let old = self.marks.iter().rev().find(|(at, _)| age(*at) >= RATE_OVER);
        let (at, then) = old.or(self.marks.front()).filter(|(at, _)| age(*at) >= MARK_EVERY)?;
        let per_second = |now: u64, then: u64| now.saturating_sub(then) as f64 / age(*at).as_secs_f64();
        Some(Rate {
            packets: per_second(total.packets, then.packets),
            octets: per_second(total.octets, then.octets),
        })
    }
}

/// How unevenly packets arrive that bear the time at which they left (RFC 3550, section 6.4.1): the
/// smoothed difference between how far two of them left apart and how far apart they arrive.
#[derive(Debug, Default)]
pub struct Jitter {
    /// The packet before: its session, whose other end has one clock, when it arrived and when it left.
    last: Option<(SessionId, Instant, Clock)>,
    /// In microseconds.
    smoothed: Option<f64>,
}

impl Jitter {
    /// A packet arrives.
    pub fn note(&mut self, now: Instant, session: SessionId, clock: Clock) {
        let Some((_, then, left)) = self.last.replace((session, now, clock)).filter(|last| last.0 == session)
        else {
            return;
        };
        let difference = clock.excess(left, now.saturating_duration_since(then)).unsigned_abs();
        let smoothed = self.smoothed.unwrap_or_default();
        self.smoothed = Some(smoothed + (f64::from(difference) - smoothed) / SMOOTHED_OVER);
    }

    /// The jitter, after two packets.
    pub fn smoothed(&self) -> Option<Duration> {
        self.smoothed.map(|micros| Duration::from_secs_f64(micros / 1e6))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn begin() -> Instant {
        Instant::now()
    }

    fn amount(packets: u64) -> Amount {
        Amount { packets, octets: packets * 100 }
    }

    #[test]
    fn a_rate_is_the_mean_of_the_last_ten_seconds_or_since_the_start() {
        let begin = begin();
        let at = |ms: u64| begin + Duration::from_millis(ms);
        let mut meter = Meter::default();
        assert_eq!(meter.rate(at(0), amount(0)), None);
        let mut total = 0;
        for second in 0..60 {
            meter.mark(at(second * 1000), amount(total));
            meter.mark(at(second * 1000 + 10), amount(total + 5));
            // 20 a second, and from the 40th on 50.
            total += if second < 40 { 20 } else { 50 };
            let expected = match second {
                0..40 => 20.0,
                50.. => 50.0,
                _ => continue,
            };
            let rate = meter.rate(at(second * 1000 + 1000), amount(total)).expect("a mark is a second old");
            assert_eq!(rate, Rate { packets: expected, octets: expected * 100.0 }, "second {second}");
            assert!(meter.marks.len() <= 12, "{} marks", meter.marks.len());
        }
    }

    #[test]
    fn jitter_is_what_arrivals_are_apart_more_or_less_than_departures() {
        let begin = begin();
        let session = SessionId(1);
        let mut jitter = Jitter::default();
        let mut note = |session, arrived_ms, left_ms| {
            let [arrived, left] = [arrived_ms, left_ms].map(Duration::from_millis);
            jitter.note(begin + arrived, session, Clock::after(left));
            jitter.smoothed().map(|jitter| jitter.as_micros())
        };
        assert_eq!(note(session, 1000, 0), None);
        assert_eq!(note(session, 1100, 100), Some(0));
        assert_eq!(note(session, 1216, 200), Some(1000), "a sixteenth of 16 ms");
        assert_eq!(note(session, 1300, 300), Some(1937), "16 ms the other way count as well");
        // Another session's other end may have another clock.
        assert_eq!(note(SessionId(2), 1400, 90_000), Some(1937));
        assert_eq!(note(SessionId(2), 1500, 90_100), Some(1816), "none");
    }
}
