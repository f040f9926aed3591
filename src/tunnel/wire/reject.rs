//! Why something was not taken.

use serde::{Deserialize, Serialize};

/// Why a packet or a datagram was not taken. Each has its counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reject {
    /// A copy of a packet that came over another path, or a replay.
    Copy,
    /// Further back than the replay window.
    TooOld,
    /// Not of this protocol: wrong length or type, or a type that this end never receives.
    Malformed,
    /// For a session that is not known here.
    UnknownSession,
    /// Changed on the way, or not made with the session's key.
    Forged,
    /// Data in a session that its client has not confirmed yet.
    Unconfirmed,
    /// A handshake of another protocol version.
    OtherVersion,
    /// A handshake that wants encryption, or a key, where this end has none, or the reverse.
    OtherMode,
    /// A handshake made with another key.
    OtherKey,
    /// More half-open handshakes than the limit.
    HandshakeLimit,
    /// Handshakes come faster than they are answered.
    HandshakeRate,
    /// More clients than the limit.
    PeerLimit,
    /// A path number beyond the limit.
    PathLimit,
    /// More flows than the limit.
    FlowLimit,
    /// A datagram on a flow's socket that does not come from the target, or for a flow that has
    /// ended, or that nobody has asked for.
    UnknownFlow,
    /// A datagram that is larger than the tunnel carries.
    TooLarge,
    /// The datagram waiting longest, pushed out while there is no session or no usable path.
    QueueFull,
    /// The target's name has no address yet.
    NoTarget,
    /// For a target that mpserver is not told to allow.
    NotAllowed,
    /// No socket towards the target could be opened.
    NoSocket,
    /// SOCKS5: a datagram from another address than the association's client, or another port.
    OtherSender,
    /// SOCKS5: a part of a datagram.
    Fragment,
    /// SOCKS5: a datagram without a header that can be read, or without a target that can be sent to.
    NoHeader,
}

impl Reject {
    /// How many reasons there are.
    pub const COUNT: usize = Reject::NoHeader as usize + 1;

    /// All of them, in order.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Copy,
        Self::TooOld,
        Self::Malformed,
        Self::UnknownSession,
        Self::Forged,
        Self::Unconfirmed,
        Self::OtherVersion,
        Self::OtherMode,
        Self::OtherKey,
        Self::HandshakeLimit,
        Self::HandshakeRate,
        Self::PeerLimit,
        Self::PathLimit,
        Self::FlowLimit,
        Self::UnknownFlow,
        Self::TooLarge,
        Self::QueueFull,
        Self::NoTarget,
        Self::NotAllowed,
        Self::NoSocket,
        Self::OtherSender,
        Self::Fragment,
        Self::NoHeader,
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_in_the_list_of_all_at_its_place() {
        assert!(Reject::ALL.iter().enumerate().all(|(place, reject)| *reject as usize == place));
    }
}
