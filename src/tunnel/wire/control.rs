//! The text of control packets, probes and replies, which is sealed in every mode:
//! ```text
//!  0                   8      9       10         12        16        20                 28
//! +-------------------+------+-------+----------+---------+---------+------------------+
//! |     client id     | path | flags | residual | number  |  count  |      token       |
//! +-------------------+------+-------+----------+---------+---------+------------------+
//!
//!  28        32       36              44       48        52       56       57       58     62      65      67
//! +---------+--------+---------------+--------+---------+--------+--------+--------+------+-------+-------+
//! | sampled | chosen |     since     | wanted | backups | target | copies | sample | loss | clock |jitter |
//! +---------+--------+---------------+--------+---------+--------+--------+--------+------+-------+-------+
//!
//!  67      69        70      71
//! +-------+---------+-------+
//! | whole | attempt | heard |
//! +-------+---------+-------+
//! ```
//! A probe says who asks (a number that the client draws at its start, kept through all its
//! sessions), on which path, its number among that path's probes, how many replies have come
//! back, and the last token received there. A reply repeats client, path and number, says how many
//! probes have arrived, and carries the token that proves the client's address once a probe brings
//! it back; flag 1 says that this is done. A probe with flag 4 says that its client does not use the path any
//! more, and may come over any other; its reply, with flag 4, says that the server knows. One with flag 8 says
//! that its client uses none any more, since it ends. *Clock* is when this packet left, by its sender's clock: what
//! arrives further apart than it left, or less far, has had jitter.
//!
//! Both give advice about copies. *Sampled*, *chosen*, *wanted* and *backups* are sets of paths, bit
//! 2^n for path n. From data counter *since* on, the sender's datagrams go over the chosen paths,
//! and every 2^*sample*-th (none, where that is 0) over the sampled ones; it *wants* the other end
//! to use these (none: to decide for itself). The client's policy: *copies* is 0 for all, 1 to 32
//! for so many, 255 for as few as keep the loss under *target* parts per million. *Loss* is what
//! the sender has seen this path lose of what came to it, in the last 10 seconds and 5 minutes (two
//! octets each, parts of 65,534; 65,535 means that nobody knows), *residual* what all paths together
//! have lost in the last 5 minutes, and *jitter* what this path's packets had on their way to the
//! sender, in units of 10 µs.
//!
//! A packet that is longer is *padded* with octets 0 after the text, up to [`PADDED_PACKET_LEN`]: an
//! attempt to cross in one piece ([`mtu`](crate::tunnel::mtu)), which is not answered. *Whole* is the
//! longest packet of which the sender knows that it reaches the other end so (0: nothing is known),
//! *attempt* the number of its last attempt (from 1; 0 is none), *heard* the last of the other end's of
//! which it knows; flag 2 says that the padded packet of that one has come.

use std::time::Duration;

use super::{ClientId, PathToken, Reject, number};
use crate::tunnel::choice::Policy;
use crate::tunnel::role::{Copies, LossTarget};
use crate::tunnel::set::PathSet;

/// Octets of a control packet's text.
pub const CONTROL_LEN: usize = 71;
/// Octets of the longest control packet: jumbo frames of 9,000 octets, less the headers of IPv4 and UDP.
pub const PADDED_PACKET_LEN: usize = 8972;

/// The text of a probe or a reply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Control {
    /// Who asks.
    pub client: ClientId,
    /// On which path.
    pub path: u8,
    /// In a probe: the client does not use the path any more. In a reply: the server knows.
    pub left: bool,
    /// In a probe: the client ends.
    pub ended: bool,
    /// In a reply: whether the address that the probe came from has been proven.
    pub validated: bool,
    /// The probe's number on its path, from 0; a reply repeats it.
    pub number: u32,
    /// In a probe: replies received on this path in this session; in a reply: probes received.
    pub count: u32,
    /// In a reply: to be returned; in a probe: returned.
    pub token: PathToken,
    /// When it left.
    pub clock: Clock,
    /// Which paths datagrams go over.
    pub advice: Advice,
    /// What crosses this path in one piece.
    pub whole: Whole,
}

/// What both ends tell each other about the length of packets that cross a path in one piece.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Whole {
    /// Octets of the longest packet that reaches the other end so; 0 where the sender does not know.
    pub known: u16,
    /// The number of the sender's last attempt; 0 before the first.
    pub attempt: u8,
    /// The last attempt of the other end of which the sender knows; 0 before the first.
    pub heard: u8,
    /// Whether the padded packet of that attempt came.
    pub arrived: bool,
}

/// A moment by its sender's clock: microseconds since an hour of its own, modulo 2^24.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock(pub u32);

impl Clock {
    /// How many there are.
    const LIMIT: u32 = 1 << 24;

    /// So long after the sender's hour.
    pub fn after(time: Duration) -> Self {
        Self(time.as_micros() as u32 % Self::LIMIT)
    }

    /// How much more time than between these two has passed in `elapsed`, in microseconds; less is
    /// negative. Beyond 8 s either way this is another number.
    pub fn excess(self, earlier: Self, elapsed: Duration) -> i32 {
        let excess = (elapsed.as_micros() as u32).wrapping_sub(self.0.wrapping_sub(earlier.0));
        // The sign of 24 bits.
        (excess << 8).cast_signed() >> 8
    }
}

/// How the copies of a sender's datagrams are spread over its paths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spread {
    /// The paths that samples go over.
    pub sampled: PathSet,
    /// The paths that all others go over.
    pub chosen: PathSet,
    /// The first data counter of which that is so.
    pub since: u64,
    /// Every 2^`sample`-th counter is a sample; none, where it is 0.
    pub sample: u8,
}

impl Spread {
    /// Whether the datagram with this counter is a sample.
    #[inline]
    pub fn samples(&self, counter: u64) -> bool {
        self.sample != 0 && counter & ((1 << self.sample) - 1) == 0
    }

    /// The paths that it goes over.
    pub fn of(&self, counter: u64) -> PathSet {
        if self.samples(counter) { self.sampled } else { self.chosen }
    }
}

/// What both ends tell each other about copies, in every control packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Advice {
    /// How the sender's datagrams go.
    pub spread: Spread,
    /// The paths that the other end is to use; empty where it decides.
    pub wanted: PathSet,
    /// What the user wants. A server only repeats it.
    pub policy: Policy,
    /// What this path has lost of what came to the sender, in the last 10 s and the last 5 min, in
    /// parts of [`Advice::WHOLE`].
    pub loss: [u16; 2],
    /// The same of all paths together, in the last 5 min.
    pub residual: u16,
    /// The jitter of what this path brought to the sender, in units of [`Advice::JITTER_UNIT`].
    pub jitter: u16,
}

impl Advice {
    /// All was lost.
    pub const WHOLE: u16 = u16::MAX - 1;
    /// Nothing was to come.
    pub const UNKNOWN: u16 = u16::MAX;
    /// Fine enough for a line within a house, and up to 655 ms.
    pub const JITTER_UNIT: Duration = Duration::from_micros(10);

    const TARGET: u8 = u8::MAX;

    fn put(&self, octets: &mut [u8; CONTROL_LEN]) {
        let Policy { copies, backups } = self.policy;
        let (copies, target) = match copies {
            Copies::All => (0, 0),
            Copies::Best(count) => (count, 0),
            Copies::Target(LossTarget(target)) => (Self::TARGET, target),
        };
        octets[28..32].copy_from_slice(&self.spread.sampled.0.to_be_bytes());
        octets[32..36].copy_from_slice(&self.spread.chosen.0.to_be_bytes());
        octets[36..44].copy_from_slice(&self.spread.since.to_be_bytes());
        octets[44..48].copy_from_slice(&self.wanted.0.to_be_bytes());
        octets[48..52].copy_from_slice(&backups.0.to_be_bytes());
        octets[52..56].copy_from_slice(&target.to_be_bytes());
        octets[56] = copies;
        octets[57] = self.spread.sample;
        octets[58..60].copy_from_slice(&self.loss[0].to_be_bytes());
        octets[60..62].copy_from_slice(&self.loss[1].to_be_bytes());
        octets[10..12].copy_from_slice(&self.residual.to_be_bytes());
        octets[65..67].copy_from_slice(&self.jitter.to_be_bytes());
    }

    fn parse(text: &[u8; CONTROL_LEN]) -> Self {
        let set = |at: usize| PathSet(number(&text[at..at + 4]));
        let copies = match text[56] {
            0 => Copies::All,
            Self::TARGET => Copies::Target(LossTarget(number(&text[52..56]))),
            count => Copies::Best(count),
        };
        let short = |at: usize| u16::from_be_bytes([text[at], text[at + 1]]);
        let since = u64::from(number(&text[36..40])) << 32 | u64::from(number(&text[40..44]));
        Self {
            // More than 63 would be a counter that never comes.
            spread: Spread { sampled: set(28), chosen: set(32), since, sample: text[57].min(63) },
            wanted: set(44),
            policy: Policy { copies, backups: set(48) },
            loss: [58, 60].map(short),
            residual: short(10),
            jitter: short(65),
        }
    }
}

impl Control {
    /// The text to seal.
    pub fn to_octets(self) -> [u8; CONTROL_LEN] {
        let mut octets = [0; CONTROL_LEN];
        octets[..8].copy_from_slice(&self.client.0.to_be_bytes());
        octets[8] = self.path;
        let flags = [self.validated, self.whole.arrived, self.left, self.ended];
        octets[9] = (0..).zip(flags).map(|(bit, flag)| u8::from(flag) << bit).sum();
        octets[12..16].copy_from_slice(&self.number.to_be_bytes());
        octets[16..20].copy_from_slice(&self.count.to_be_bytes());
        octets[20..28].copy_from_slice(&self.token.0.to_be_bytes());
        octets[62..65].copy_from_slice(&self.clock.0.to_be_bytes()[1..]);
        self.advice.put(&mut octets);
        octets[67..69].copy_from_slice(&self.whole.known.to_be_bytes());
        octets[69] = self.whole.attempt;
        octets[70] = self.whole.heard;
        octets
    }

    /// Reads an opened text.
    ///
    /// # Errors
    /// [`Reject::Malformed`] where its length is wrong.
    pub fn parse(text: &[u8]) -> Result<Self, Reject> {
        let text: &[u8; CONTROL_LEN] = text.try_into().map_err(|_| Reject::Malformed)?;
        Ok(Self {
            client: ClientId(u64::from(number(&text[..4])) << 32 | u64::from(number(&text[4..8]))),
            path: text[8],
            left: text[9] & 4 != 0,
            ended: text[9] & 8 != 0,
            validated: text[9] & 1 != 0,
            number: number(&text[12..16]),
            count: number(&text[16..20]),
            token: PathToken(u64::from(number(&text[20..24])) << 32 | u64::from(number(&text[24..28]))),
            clock: Clock(number(&text[61..65]) % Clock::LIMIT),
            advice: Advice::parse(text),
            whole: Whole {
                known: u16::from_be_bytes([text[67], text[68]]),
                attempt: text[69],
                heard: text[70],
                arrived: text[9] & 2 != 0,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_text_has_its_numbers_where_the_picture_says() {
        let control = Control {
            client: ClientId(0x0102_0304_0506_0708),
            path: 9,
            left: true,
            ended: true,
            validated: true,
            number: 0x0a0b_0c0d,
            count: 0x0e0f_1011,
            token: PathToken(0x1213_1415_1617_1819),
            clock: Clock(0x0064_6566),
            advice: Advice {
                spread: Spread {
                    sampled: PathSet(0x2021_2223),
                    chosen: PathSet(0x2425_2627),
                    since: 0x3031_3233_3435_3637,
                    sample: 5,
                },
                wanted: PathSet(0x4041_4243),
                policy: Policy {
                    copies: Copies::Target(LossTarget(0x5051_5253)),
                    backups: PathSet(0x4445_4647),
                },
                loss: [0x6061, 0x6263],
                residual: 0x6a6b,
                jitter: 0x6768,
            },
            whole: Whole { known: 0x6c6d, attempt: 0x6e, heard: 0x6f, arrived: true },
        };
        let mut expected =
            vec![1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 0x6a, 0x6b, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 0x10, 0x11];
        expected.extend([0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19]);
        expected.extend([0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27]);
        expected.extend([0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37, 0x40, 0x41, 0x42, 0x43]);
        expected.extend([0x44, 0x45, 0x46, 0x47, 0x50, 0x51, 0x52, 0x53, 255, 5, 0x60, 0x61, 0x62, 0x63]);
        expected.extend([0x64, 0x65, 0x66, 0x67, 0x68, 0x6c, 0x6d, 0x6e, 0x6f]);
        assert_eq!(control.to_octets()[..], expected[..]);
        assert_eq!(Control::parse(&expected), Ok(control));
        assert_eq!(Control::parse(&expected[1..]), Err(Reject::Malformed));
    }

    #[test]
    fn a_clock_tells_what_took_longer_though_it_begins_anew() {
        let at = |ms| Clock::after(Duration::from_millis(ms));
        for begin in [0, 5_000, 16_700, 1_000_000_000] {
            let excess = |apart, elapsed| at(begin + apart).excess(at(begin), Duration::from_millis(elapsed));
            assert_eq!(excess(100, 100), 0);
            assert_eq!(excess(100, 116), 16_000);
            assert_eq!(excess(100, 84), -16_000);
            assert_eq!(excess(30_000, 30_007), 7_000);
        }
    }
}
