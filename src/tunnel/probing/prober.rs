//! One path's probes: their numbers, those that were not answered, and the round trip.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::tunnel::wire::{Control, PathToken};

/// Probes in a row that leave sooner than the interval, to bring a token.
pub(super) const URGENT_PROBES: u32 = 10;
/// A path that was proven is in doubt after more replies in a row that say it is not.
const UNPROVEN_REPLIES: u32 = 2;
/// A probe unanswered for this long counts as lost.
const PROBE_LIFETIME: Duration = Duration::from_secs(10);

/// What a probe says of its path.
#[derive(Clone, Copy, Debug)]
pub struct Probe {
    /// Its number.
    pub number: u32,
    /// Replies received so far.
    pub count: u32,
    /// The last token received.
    pub token: PathToken,
}

/// One path's numbers and times.
#[derive(Debug, Default)]
pub(super) struct Prober {
    pub(super) next_number: u32,
    pub(super) unanswered: VecDeque<(u32, Instant)>,
    pub(super) replies_received: u32,
    /// Replies in a row that said that the path is not proven, and probes in a row that were in a
    /// hurry to bring the token.
    unproven: u32,
    hurried: u32,
    /// When the last probe left.
    pub(super) sent: Option<Instant>,
    token: PathToken,
    pub(super) rtt: Rtt,
    /// Probes in a row that were not answered.
    pub(super) lost: u32,
    /// Whether it answers, as far as that was said.
    pub(super) up: bool,
    /// What the interval to the next probe is multiplied by.
    pub(super) spread: f64,
}

impl Prober {
    /// Begins anew, though numbers and replies are counted on. Returns the number that the next probe would
    /// have had, which none will have.
    pub(super) fn restart(&mut self) -> u32 {
        let Self { next_number, replies_received, .. } = *self;
        *self = Self { next_number: next_number.wrapping_add(1), replies_received, ..Self::default() };
        self.begin();
        next_number
    }

    /// A probe leaves. `spread` is what the interval to the next is multiplied by.
    pub(super) fn probe(&mut self, now: Instant, spread: f64) -> Probe {
        let number = self.next_number;
        self.next_number = number.wrapping_add(1);
        self.unanswered.retain(|(_, sent)| now.saturating_duration_since(*sent) < PROBE_LIFETIME);
        self.unanswered.push_back((number, now));
        self.sent = Some(now);
        self.lost = self.lost.saturating_add(1);
        self.hurried += u32::from(self.urgent());
        self.spread = spread;
        Probe { number, count: self.replies_received, token: self.token }
    }

    /// Takes a reply. Returns when its probe left, if that is still known.
    pub(super) fn replied(&mut self, now: Instant, reply: &Control) -> Option<Instant> {
        self.replies_received = self.replies_received.wrapping_add(1);
        self.lost = 0;
        if reply.validated {
            self.unproven = 0;
            self.hurried = 0;
        } else {
            self.unproven = self.unproven.saturating_add(1);
        }
        if reply.validated || self.unproven() {
            self.token = reply.token;
        }
        let at = self.unanswered.iter().position(|(number, _)| *number == reply.number)?;
        let (_, sent) = self.unanswered.remove(at)?;
        self.rtt.sample(now.saturating_duration_since(sent));
        Some(sent)
    }

    /// How many of the probes that were not answered were sent at this moment or later.
    pub(super) fn sent_since(&self, moment: Instant) -> u32 {
        self.unanswered.iter().rev().take_while(|(_, sent)| *sent >= moment).count() as u32
    }

    /// Whether the server waits for the path's token. A reply that says so among others that do not
    /// was sent on by somebody else, and its token is for him.
    fn unproven(&self) -> bool {
        self.unproven > UNPROVEN_REPLIES
    }

    /// Whether the next probe is to bring the token at once. A path that has died, or whose address
    /// changes with every packet, is never proven; it is not hurried for ever.
    pub(super) fn urgent(&self) -> bool {
        self.unproven() && self.hurried < URGENT_PROBES
    }

    /// What was proven before no longer counts: the first token is taken.
    pub(super) fn begin(&mut self) {
        self.sent = None;
        self.unproven = UNPROVEN_REPLIES;
        self.hurried = 0;
    }
}

/// Round-trip time, smoothed as in RFC 6298 section 2.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rtt {
    /// After the first measurement.
    pub(super) smoothed: Option<Duration>,
    pub(super) variation: Duration,
    pub(super) minimum: Option<Duration>,
}

impl Rtt {
    /// Takes one measurement.
    pub(super) fn sample(&mut self, rtt: Duration) {
        self.minimum = Some(self.minimum.map_or(rtt, |minimum| minimum.min(rtt)));
        match self.smoothed {
            None => {
                self.smoothed = Some(rtt);
                self.variation = rtt / 2;
            }
            Some(smoothed) => {
                self.variation = (self.variation * 3 + smoothed.abs_diff(rtt)) / 4;
                self.smoothed = Some((smoothed * 7 + rtt) / 8);
            }
        }
    }

    /// After this long a reply is late.
    pub(super) fn timeout(&self) -> Option<Duration> {
        self.smoothed.map(|smoothed| smoothed + self.variation * 4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smoothed_rtt_follows_rfc_6298() {
        let mut rtt = Rtt::default();
        rtt.sample(Duration::from_millis(100));
        assert_eq!(
            (rtt.smoothed, rtt.variation),
            (Some(Duration::from_millis(100)), Duration::from_millis(50))
        );
        rtt.sample(Duration::from_millis(180));
        assert_eq!(rtt.smoothed, Some(Duration::from_millis(110)));
        assert_eq!(rtt.variation, Duration::from_micros(57_500));
        assert_eq!(rtt.minimum, Some(Duration::from_millis(100)));
    }
}
