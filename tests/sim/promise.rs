//! The promise of delay: a datagram that some path delivers comes out at the instant at which the first of its copies comes
//! in, whatever the other paths do.
//!
//! It needs a receiver that knows the session: what was sealed for a process that is gone, or before both ends knew each
//! other, is lost.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use mptunnel::tunnel::stats::Counters;
use mptunnel::tunnel::wire::{Reject, Type};

use super::host::{HostId, SERVER};

/// See the module.
#[derive(Debug, Default)]
pub struct Promise {
    /// The packets with datagrams that a tunnel has sent, and whether a copy of each was taken.
    sent: HashMap<u64, bool>,
    /// Datagrams that are to come out in this turn.
    due: u64,
}

/// A packet at its receiver, before it is opened in place.
pub struct Arrival {
    packet: Option<u64>,
    before: Counters,
}

impl Arrival {
    /// The packet, and what its receiver has counted before it.
    pub fn new(host: HostId, octets: &[u8], before: &Counters) -> Self {
        // A client asks, and is never asked.
        let astray = host != SERVER && octets.first() == Some(&(Type::Open as u8));
        Self { packet: data_packet(octets).filter(|_| !astray), before: before.clone() }
    }
}

impl Promise {
    /// A packet leaves a tunnel for a path, or a datagram on a local link.
    pub fn leaves(&mut self, local: bool, octets: &[u8]) {
        if local {
            self.due -= 1;
        } else if let Some(packet) = data_packet(octets) {
            self.sent.entry(packet).or_default();
        }
    }

    /// A packet or datagram could not leave, since its socket is closed.
    pub fn closed(&mut self, local: bool) {
        self.due -= u64::from(local);
    }

    /// A packet was handed to its receiver. What no tunnel sent may meet anything.
    pub fn arrived(&mut self, arrival: &Arrival, after: &Counters) {
        let before = &arrival.before;
        let delivered = after.datagrams_received - before.datagrams_received;
        self.due += delivered;
        let Some(taken) = arrival.packet.and_then(|packet| self.sent.get_mut(&packet)) else { return };
        let refused = |reject| after.rejected(reject) > before.rejected(reject);
        // Taken from the path, though nobody can have what was in it.
        let reasons = [Reject::NoTarget, Reject::FlowLimit, Reject::UnknownFlow, Reject::NotAllowed];
        let in_vain = reasons.into_iter().any(refused);
        // It asks for a flow and carries nothing, or is delivered when its target's name is known.
        let in_time = after.asked > before.asked || after.held > before.held;
        *taken |= delivered == 1 || in_vain || in_time;
        assert!(
            *taken || refused(Reject::UnknownSession),
            "the first copy was not delivered: {before:?}, {after:?}"
        );
    }

    /// Checks at the end of a turn that all has come out.
    pub fn assert_kept(&self) {
        assert_eq!(self.due, 0, "datagrams wait for nothing");
    }
}

/// Tells a packet that can carry a datagram from all others. Its header alone names it, but whoever is on the way can change the rest.
fn data_packet(octets: &[u8]) -> Option<u64> {
    let data = [Type::Data as u8, Type::Open as u8].contains(octets.first()?);
    data.then(|| {
        let mut hasher = DefaultHasher::new();
        octets.hash(&mut hasher);
        hasher.finish()
    })
}
