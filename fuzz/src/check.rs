//! What must hold for each packet that a tunnel receives, whoever made it and wherever it comes from.
//!
//! * A packet that the other end did not make changes nothing and is not answered; but without a key, an init is, and
//!   without encryption, a datagram can be forged.
//! * A packet that it made is never refused the first time, whatever was received before it.

use std::collections::HashMap;

use mptunnel::tunnel::stats::Counters;
use mptunnel::tunnel::wire::Reject;

use crate::setup::Setup;
use crate::traffic::{LEAST_LEN, Way};
use crate::world::{CLIENT, End, SERVER};

const DATA: u8 = 1;
const PROBE: u8 = 2;
const REPLY: u8 = 3;
const INIT: u8 = 4;
const OPEN: u8 = 6;
const OPENED: u8 = 7;

/// See the module.
pub struct Checks {
    encrypted: [bool; 2],
    keyed: [bool; 2],
    /// Fingerprints of what was made for each end, and whether it has been received.
    made: [HashMap<u64, bool>; 2],
    /// Whether a datagram may have been forged, where nothing protects it: then the ledger knows nothing any more.
    pub forged: bool,
    /// How many datagrams too short for the ledger may still come out, by direction and length.
    short: [[u32; LEAST_LEN]; 2],
}

impl Checks {
    /// Nothing was made yet.
    pub fn new(setup: &Setup) -> Self {
        let ends = [CLIENT, SERVER];
        Self {
            encrypted: ends.map(|end| setup.encrypts(end)),
            keyed: ends.map(|end| setup.is_keyed(end)),
            made: Default::default(),
            forged: false,
            short: Default::default(),
        }
    }

    /// Notes a packet that was made for an end by somebody with the keys.
    pub fn made(&mut self, to: End, octets: &[u8]) {
        self.made[to].entry(fingerprint(octets)).or_default();
    }

    fn is_open(&self, to: End, octets: &[u8]) -> bool {
        !self.encrypted[to] && octets.first() == Some(&DATA)
    }

    /// A packet is about to be received.
    pub fn will_receive(&mut self, to: End, octets: &[u8]) {
        self.forged |= self.is_open(to, octets) && !self.made[to].contains_key(&fingerprint(octets));
    }

    /// A packet was received, and this came of it.
    ///
    /// # Panics
    /// Where it should not have.
    pub fn received(&mut self, to: End, octets: &[u8], before: &Counters, after: &Counters, sent: usize) {
        let open = self.is_open(to, octets);
        let kind = octets.first().copied().unwrap_or_default();
        let Some(received) = self.made[to].get_mut(&fingerprint(octets)) else {
            assert_eq!(before.handshakes, after.handshakes, "a forged packet ended a handshake");
            assert!(open || before.datagrams_received == after.datagrams_received, "forged, but delivered");
            let answered = to == SERVER && !self.keyed[to] && kind == INIT;
            assert!(sent == 0 || open || answered, "a packet of type {kind} was forged, but answered");
            return;
        };
        let again = std::mem::replace(received, true);
        let expected = [[DATA, REPLY, OPENED], [DATA, PROBE, OPEN]][to];
        // A forged counter may have taken the place of any that comes after it.
        let shadowed = kind != expected[1] && !self.encrypted[to] && self.forged;
        if again || !expected.contains(&kind) || shadowed {
            return;
        }
        for reject in [Reject::Copy, Reject::Forged, Reject::Malformed, Reject::TooOld] {
            let refused = after.rejected(reject) != before.rejected(reject);
            let may = match reject {
                // Control packets have a small window.
                Reject::TooOld => kind == expected[1],
                // Somebody with the key may give one flow two targets.
                Reject::Malformed => kind == OPEN,
                _ => false,
            };
            assert!(!refused || may, "type {kind} refused as {reject:?}");
        }
    }

    /// Writes a datagram that is too short for the ledger.
    pub fn send_short(&mut self, way: Way, len: usize) -> Vec<u8> {
        self.short[way as usize][len] += 1;
        vec![0; len]
    }

    /// Whether the ledger knows a datagram that has come out. One that is too short is counted here.
    ///
    /// # Panics
    /// Where more short ones come out than were sent.
    pub fn is_countable(&mut self, way: Way, datagram: &[u8]) -> bool {
        let insiders = way == Way::Up && datagram.first() == Some(&0xff);
        if self.forged || insiders || datagram.len() >= LEAST_LEN {
            return !self.forged;
        }
        let left = &mut self.short[way as usize][datagram.len()];
        assert!(*left > 0 && datagram.iter().all(|octet| *octet == 0), "{datagram:02x?} was not sent");
        *left -= 1;
        false
    }
}

/// Tells packets apart much faster than the standard library's hash, which is made for those who choose its input.
fn fingerprint(octets: &[u8]) -> u64 {
    let mix = |sum: u64, word: u64| (sum ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    let (words, rest) = octets.as_chunks();
    let sum = words.iter().fold(octets.len() as u64, |sum, word| mix(sum, u64::from_le_bytes(*word)));
    rest.iter().fold(sum, |sum, octet| mix(sum, (*octet).into()))
}
