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
    /// Counts a packet or a datagram that was not taken.
    #[inline]
    pub fn reject(&mut self, reject: Reject) {
        self.rejects[reject as usize] += 1;
    }

    /// How many were not taken for this reason.
    pub fn rejected(&self, reject: Reject) -> u64 {
        self.rejects[reject as usize]
    }

    /// Whether the reason deserves a line now; if so, none for the next minute.
    pub fn deserves_line(&mut self, now: Instant, reject: Reject) -> bool {
        let last = &mut self.logged[reject as usize];
        let due = last.is_none_or(|last| now.saturating_duration_since(last) >= LOG_INTERVAL);
        if due {
            *last = Some(now);
        }
        due
    }
}
