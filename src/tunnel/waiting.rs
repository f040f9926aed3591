//! Datagrams that wait for a session or a usable path, the oldest first.

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

use super::wire::FlowId;

/// So many may wait: enough for the start of every application, too few to be felt.
const WAITING: usize = 256;
/// And their octets.
const WAITING_LEN: usize = 256 * 1024;
/// A datagram that waited longer is of no use to anybody.
const WAITING_FOR: Duration = Duration::from_secs(3);

/// See the module.
#[derive(Default)]
pub struct Waiting {
    /// Each with the time since when it waits.
    datagrams: VecDeque<(Instant, FlowId, Box<[u8]>)>,
    octets: usize,
}

impl Waiting {
    /// Whether none waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.datagrams.is_empty()
    }

    /// How many datagrams wait, and their octets.
    pub fn amount(&self) -> (usize, usize) {
        (self.datagrams.len(), self.octets)
    }

    /// The flows whose datagrams wait.
    pub fn flows(&self) -> HashSet<FlowId> {
        self.datagrams.iter().map(|(_, flow, _)| *flow).collect()
    }

    /// Has a datagram wait that came at `since`, as the youngest. Returns how many older ones it pushed out.
    pub fn push(&mut self, since: Instant, flow: FlowId, datagram: Box<[u8]>) -> usize {
        self.octets += datagram.len();
        self.datagrams.push_back((since, flow, datagram));
        let mut pushed_out = 0;
        while self.datagrams.len() > WAITING || self.octets > WAITING_LEN {
            self.pop();
            pushed_out += 1;
        }
        pushed_out
    }

    /// Drops what has waited too long.
    pub fn drop_late(&mut self, now: Instant) {
        let is_late = |since: Instant| now.saturating_duration_since(since) >= WAITING_FOR;
        while self.datagrams.front().is_some_and(|(since, ..)| is_late(*since)) {
            self.pop();
        }
    }

    /// Takes all out that have not waited too long.
    pub fn take(&mut self, now: Instant) -> VecDeque<(Instant, FlowId, Box<[u8]>)> {
        self.drop_late(now);
        self.octets = 0;
        std::mem::take(&mut self.datagrams)
    }

    fn pop(&mut self) {
        if let Some((.., datagram)) = self.datagrams.pop_front() {
            self.octets -= datagram.len();
        }
    }
}
