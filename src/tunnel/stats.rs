//! Counters, and which of them deserve a line in the log.

use std::time::{Duration, Instant};

use super::wire::Reject;

/// A reason is logged at most this often, however many packets meet it.
pub const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// What a tunnel counts.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// Datagrams taken from applications or the target.
    pub datagrams_sent: u64,
    /// Datagrams handed to applications or the target.
    pub datagrams_received: u64,
    /// Handshakes that ended in a session.
    pub handshakes: u64,
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
        let last = self.logged[reject as usize];
        last.is_none_or(|last| now.saturating_duration_since(last) >= LOG_INTERVAL)
    }

    /// Notes that the reason has had its line.
    pub fn line_was_written(&mut self, now: Instant, reject: Reject) {
        self.logged[reject as usize] = Some(now);
    }
}
