//! Counters, and which of them deserve a line in the log.

use std::fmt;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::wire::Reject;

/// What a tunnel holds at the moment. Each figure has a limit, whatever arrives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holdings {
    /// Other ends: one at a client.
    pub peers: usize,
    /// Sessions of all peers.
    pub sessions: usize,
    /// Handshakes that wait for their client's first probe.
    pub half_open: usize,
    /// Paths of all peers.
    pub paths: usize,
    /// Flows of all peers.
    pub flows: usize,
    /// Datagrams that wait for a session or a usable path ...
    pub waiting: usize,
    /// ... and their octets.
    #[serde(rename = "waiting_octets")]
    pub waiting_len: usize,
}

/// A reason is logged at most this often, however many packets meet it.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Whether something may be said that is said at most once in `LOG_INTERVAL`, and was said `last`.
pub fn may_be_said(now: Instant, last: Option<Instant>) -> bool {
    last.is_none_or(|last| now.saturating_duration_since(last) >= LOG_INTERVAL)
}

/// Lines a minute about what others do as often as they like: clients that connect, bridges that
/// come and go.
pub const LINES_A_MINUTE: u32 = 60;

/// What a tunnel counts.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// Datagrams taken from applications or the target.
    pub datagrams_sent: u64,
    /// Datagrams handed to applications or the target.
    pub datagrams_received: u64,
    /// Handshakes that ended in a session.
    pub handshakes: u64,
    /// A server: packets that asked for a flow and carried no datagram.
    pub asked: u64,
    /// A server: datagrams that had to wait until a target's name was looked up.
    pub held: u64,
    rejects: [u64; Reject::COUNT],
    logged: [Option<Instant>; Reject::COUNT],
}

impl Counters {
    /// Datagrams in either direction.
    pub fn datagrams(&self) -> u64 {
        self.datagrams_sent + self.datagrams_received
    }

    /// Counts a packet or a datagram that was not taken.
    #[inline]
    pub fn reject(&mut self, reject: Reject) {
        self.rejects[reject as usize] += 1;
    }

    /// How many were not taken for this reason.
    pub fn rejected(&self, reject: Reject) -> u64 {
        self.rejects[reject as usize]
    }

    /// Whether the reason has not had its line within the last minute.
    pub fn line_is_due(&self, now: Instant, reject: Reject) -> bool {
        may_be_said(now, self.logged[reject as usize])
    }

    /// Notes that the reason has had its line.
    pub fn line_was_written(&mut self, now: Instant, reject: Reject) {
        self.logged[reject as usize] = Some(now);
    }
}

/// What is left of a minute's lines.
#[derive(Debug, Default)]
pub struct LineBudget {
    since: Option<Instant>,
    written: u32,
    left_out: u64,
}

impl LineBudget {
    /// Asks for a line. If it is granted, what is returned belongs at the line's end.
    pub fn line(&mut self, now: Instant) -> Option<LeftOut> {
        if may_be_said(now, self.since) {
            self.since = Some(now);
            self.written = 0;
        }
        if self.written == LINES_A_MINUTE {
            self.left_out += 1;
            return None;
        }
        self.written += 1;
        Some(LeftOut(std::mem::take(&mut self.left_out)))
    }
}

/// How many lines were left out since the last that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeftOut(u64);

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            left_out => write!(f, " ({left_out} such lines were left out)"),
        }
    }
}

/// A time as it is told in the log: no more exact than its reader needs.
#[derive(Clone, Copy, Debug)]
pub struct Spoken(pub Duration);

impl fmt::Display for Spoken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, tenths) = (self.0.as_secs(), self.0.subsec_millis() / 100);
        match seconds {
            0..3 => write!(f, "{seconds}.{tenths} s"),
            3..120 => write!(f, "{seconds} s"),
            120..7_200 => write!(f, "{} minutes", seconds / 60),
            7_200.. => write!(f, "{} hours", seconds / 3_600),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_in_the_unit_that_suits_it() {
        for (seconds, expected) in [
            (0.46, "0.4 s"),
            (3.2, "3 s"),
            (119.9, "119 s"),
            (120.0, "2 minutes"),
            (7_199.0, "119 minutes"),
            (90_000.0, "25 hours"),
        ] {
            assert_eq!(Spoken(Duration::from_secs_f64(seconds)).to_string(), expected);
        }
    }

    #[test]
    fn a_minute_has_so_many_lines_and_the_next_begins_with_what_was_left_out() {
        #[expect(clippy::disallowed_methods, reason = "any instant will do")]
        let begin = Instant::now();
        let mut budget = LineBudget::default();
        let texts: Vec<_> = (0..LINES_A_MINUTE + 7)
            .filter_map(|second| budget.line(begin + Duration::from_millis(second.into())))
            .map(|left_out| left_out.to_string())
            .collect();
        assert_eq!(texts, vec![""; LINES_A_MINUTE as usize]);
        let next = budget.line(begin + LOG_INTERVAL).expect("a line");
        assert_eq!(next.to_string(), " (7 such lines were left out)");
        assert_eq!(budget.line(begin + LOG_INTERVAL), Some(LeftOut(0)));
    }
}
