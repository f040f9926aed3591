//! Packet formats: the one file with offsets and lengths. All numbers are in network byte order.
//!
//! Everything after the handshake has one header, and names the receiver's session, so that
//! addresses never matter for finding it:
//! ```text
//!  0        1                   5                                      13
//! +--------+-------------------+--------------------------------------+----------------------------+
//! |  type  |    session id     |               counter                |           sealed           …
//! |        |   (receiver's)    |                                      |                            |
//! +--------+-------------------+--------------------------------------+----------------------------+
//! ```
//! The header is authenticated with what is sealed; the nonce is four octets of the type (a domain
//! of its own for each) and the counter.
//!
//! *Data* (type 1) seals a flow id of 3 octets and the datagram, unchanged: 32 octets more than the
//! datagram. Without encryption the seal is empty: 16 octets more.
//!
//! *Open* (6) asks for a flow and its target, and carries a datagram; *opened* (7) answers. They
//! share the data packets' counters, but are sealed in both modes. [`open`] has their text.
//!
//! *Probe* (2) and *reply* (3) are control packets: sealed in both modes, with a counter of their
//! own, and of one length, so that an answer is never longer than its question. Longer ones are
//! padded, to find out what crosses a path in one piece, and are not answered. [`control`] has their
//! text.
//!
//! *Init* (4) and *response* (5) carry the two messages of the Noise handshake:
//! ```text
//!  0        1        2        3        4                    12                              128
//! +--------+--------+--------+--------+--------------------+-----------------------------------+
//! |   4    | version|  mode  |   0    |       key id       |  Noise message 1: payload =       |
//! |        |        |        |        |                    |  session id, 0 …                  |
//! +--------+--------+--------+--------+--------------------+-----------------------------------+
//!
//!  0        1                          5                                     96
//! +--------+--------------------------+---------------------------------------+
//! |   5    |  session id (receiver's) |  Noise message 2: payload = session id, 0 …
//! +--------+--------------------------+---------------------------------------+
//! ```
//! The id in a payload is the sender's own: the one that it wants to be called by. `mode` is a sum
//! of 1 (datagrams are encrypted) and 2 (a pre-shared key is used). The key id is the first 8 octets
//! of BLAKE2s over `mptunnel key id` and the key; 0 without a key. The handshake's prologue is
//! [`PROLOGUE`] and the first twelve octets of init.
//!
//! Octets named 0 are sent as 0 and ignored when received: room for what comes later.

use super::aead::{NONCE_LEN, TAG_LEN};
use super::keyring::{KEY_ID_LEN, KeyId};

pub mod control;
pub mod open;
mod reject;

pub use control::{Advice, CONTROL_LEN, Clock, Control, PADDED_PACKET_LEN, Spread, Whole};
pub use open::{Label, NAME_LEN_MAX, OPENED_LEN, Open, Opened, Verdict};
pub use reject::Reject;

/// The protocol's version, in every init.
pub const VERSION: u8 = 1;
/// What the Noise prologue begins with.
pub const PROLOGUE: &[u8] = b"mptunnel";

const TYPE_LEN: usize = 1;
const SESSION_LEN: usize = 4;
const COUNTER_LEN: usize = 8;
/// Octets in front of what is sealed.
pub const HEADER_LEN: usize = TYPE_LEN + SESSION_LEN + COUNTER_LEN;
/// Octets of a flow id in front of a datagram.
pub const FLOW_LEN: usize = 3;
/// Octets that a data packet is longer than its datagram, encrypted.
pub const OVERHEAD_LEN: usize = HEADER_LEN + FLOW_LEN + TAG_LEN;
const _: () = assert!(OVERHEAD_LEN == 32);
/// The largest UDP payload that IPv4 carries (RFC 768, RFC 791: 65,535 less two headers).
pub const MAX_UDP_LEN: usize = 65_507;
/// The largest datagram that the tunnel carries, the same with and without encryption.
pub const MAX_DATAGRAM_LEN: usize = MAX_UDP_LEN - OVERHEAD_LEN;

/// Octets of a control packet. Some carrier NATs drop UDP payloads below 64.
pub const CONTROL_PACKET_LEN: usize = HEADER_LEN + CONTROL_LEN + TAG_LEN;
const _: () = assert!(CONTROL_PACKET_LEN == 100);

/// Octets of an opened: as a control packet, none below 64.
pub const OPENED_PACKET_LEN: usize = HEADER_LEN + OPENED_LEN + TAG_LEN;
const _: () = assert!(OPENED_PACKET_LEN == 64);

/// Octets of a public key in a Noise message.
const EPHEMERAL_LEN: usize = 32;
/// Octets of type, version, mode and 0 in front of the key id.
const INIT_MODE_LEN: usize = 4;
const INIT_HEADER_LEN: usize = INIT_MODE_LEN + KEY_ID_LEN;
const RESPONSE_HEADER_LEN: usize = TYPE_LEN + SESSION_LEN;
/// Octets of an init.
pub const INIT_LEN: usize = 128;
/// Octets of a response: never more than the init's, so that a forged source gains nothing.
pub const RESPONSE_LEN: usize = 96;
const _: () = assert!(RESPONSE_LEN <= INIT_LEN);

/// Octets of the payload in the first Noise message; a key adds a tag.
pub const fn init_payload_len(keyed: bool) -> usize {
    INIT_LEN - INIT_HEADER_LEN - EPHEMERAL_LEN - if keyed { TAG_LEN } else { 0 }
}
/// Octets of the payload in the second Noise message.
pub const RESPONSE_PAYLOAD_LEN: usize = RESPONSE_LEN - RESPONSE_HEADER_LEN - EPHEMERAL_LEN - TAG_LEN;

/// Names a session at the end that drew the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionId(pub u32);

/// Names a flow within its client. 24 bits on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FlowId(pub u32);

impl FlowId {
    /// Flow ids stay below this.
    pub const LIMIT: u32 = 1 << (8 * FLOW_LEN);
}

/// Drawn by a client at its start: by it the server knows the client in a new session. As secret as
/// the session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ClientId(pub u64);

/// Returned by the receiver of a reply to prove that it is where the reply went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathToken(pub u64);

/// The kinds of sealed packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Type {
    /// One datagram.
    Data = 1,
    /// A question on a path.
    Probe = 2,
    /// The answer.
    Reply = 3,
    /// One datagram, and what its flow is to be.
    Open = 6,
    /// What became of the flow.
    Opened = 7,
}

const TYPE_INIT: u8 = 4;
const TYPE_RESPONSE: u8 = 5;

/// The header of a sealed packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The packet's kind.
    pub kind: Type,
    /// The receiver's session.
    pub session: SessionId,
    /// Its number among those of data, open and opened, or among both control kinds.
    pub counter: u64,
}

impl Header {
    /// The header's octets, which are also the associated data of the seal.
    #[inline]
    pub fn to_octets(self) -> [u8; HEADER_LEN] {
        let mut octets = [0; HEADER_LEN];
        octets[0] = self.kind as u8;
        octets[1..5].copy_from_slice(&self.session.0.to_be_bytes());
        octets[5..].copy_from_slice(&self.counter.to_be_bytes());
        octets
    }

    /// The seal's nonce: the kind in four octets, then the counter.
    #[inline]
    pub fn nonce(self) -> [u8; NONCE_LEN] {
        let mut nonce = [0; NONCE_LEN];
        nonce[3] = self.kind as u8;
        nonce[4..].copy_from_slice(&self.counter.to_be_bytes());
        nonce
    }
}

/// A packet as received, checked for its form alone.
#[derive(Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// Any but the two of a handshake, still sealed.
    Sealed(Header, &'a mut [u8]),
    /// The first message of a handshake, whole.
    Init(&'a [u8; INIT_LEN]),
    /// The second, for the initiator with this session id.
    Response(SessionId, &'a [u8]),
}

/// Tells what a received packet is.
///
/// # Errors
/// [`Reject::Malformed`].
#[inline]
pub fn parse(octets: &mut [u8]) -> Result<Packet<'_>, Reject> {
    let kind = match *octets.first().ok_or(Reject::Malformed)? {
        1 => Type::Data,
        2 => Type::Probe,
        3 => Type::Reply,
        6 => Type::Open,
        7 => Type::Opened,
        TYPE_INIT => return Ok(Packet::Init((&*octets).try_into().map_err(|_| Reject::Malformed)?)),
        TYPE_RESPONSE if octets.len() == RESPONSE_LEN => {
            let (header, noise) = octets.split_at(RESPONSE_HEADER_LEN);
            return Ok(Packet::Response(SessionId(number(&header[TYPE_LEN..])), noise));
        }
        _ => return Err(Reject::Malformed),
    };
    let fits = match kind {
        Type::Data | Type::Open => true,
        Type::Probe | Type::Reply => (CONTROL_PACKET_LEN..=PADDED_PACKET_LEN).contains(&octets.len()),
        Type::Opened => octets.len() == OPENED_PACKET_LEN,
    };
    if !fits {
        return Err(Reject::Malformed);
    }
    let (header, sealed) = octets.split_at_mut_checked(HEADER_LEN).ok_or(Reject::Malformed)?;
    let (session, counter) = header[TYPE_LEN..].split_at(SESSION_LEN);
    let counter = u64::from_be_bytes(counter.try_into().expect("the header's rest is the counter"));
    Ok(Packet::Sealed(Header { kind, session: SessionId(number(session)), counter }, sealed))
}

/// Whether what is sealed in a control packet is longer than its text.
pub fn is_padded(sealed: &[u8]) -> bool {
    sealed.len() > CONTROL_PACKET_LEN - HEADER_LEN
}

/// A flow id as it stands in front of a datagram.
#[inline]
pub fn flow_octets(flow: FlowId) -> [u8; FLOW_LEN] {
    let [_, octets @ ..] = flow.0.to_be_bytes();
    octets
}

/// Parts the text of a data packet.
///
/// # Errors
/// [`Reject::Malformed`] where it is shorter than a flow id.
#[inline]
pub fn parse_data(text: &mut [u8]) -> Result<(FlowId, &mut [u8]), Reject> {
    let (flow, datagram) = text.split_first_chunk_mut::<FLOW_LEN>().ok_or(Reject::Malformed)?;
    let [a, b, c] = *flow;
    Ok((FlowId(u32::from_be_bytes([0, a, b, c])), datagram))
}

/// What the initiator wants of the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode {
    /// Datagrams are encrypted.
    pub encrypt: bool,
    /// The handshake uses a pre-shared key.
    pub keyed: bool,
}

impl Mode {
    fn to_octet(self) -> u8 {
        u8::from(self.encrypt) | u8::from(self.keyed) << 1
    }
}

/// The part of an init in front of its Noise message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InitHeader {
    /// The initiator's protocol version.
    pub version: u8,
    /// What it wants.
    pub mode: Mode,
    /// Which key it uses.
    pub key: KeyId,
}

impl InitHeader {
    /// The header as sent, which also ends the prologue.
    pub fn to_octets(self) -> [u8; INIT_HEADER_LEN] {
        let mut octets = [0; INIT_HEADER_LEN];
        octets[..INIT_MODE_LEN].copy_from_slice(&[TYPE_INIT, self.version, self.mode.to_octet(), 0]);
        octets[INIT_MODE_LEN..].copy_from_slice(&self.key.0);
        octets
    }

    /// Parts an init into its header, as sent and as meant, and its Noise message.
    pub fn parse(init: &[u8; INIT_LEN]) -> (&[u8], Self, &[u8]) {
        let (header, noise) = init.split_at(INIT_HEADER_LEN);
        let mode = Mode { encrypt: header[2] & 1 != 0, keyed: header[2] & 2 != 0 };
        let key = KeyId(header[INIT_MODE_LEN..].try_into().expect("the header ends with the key id"));
        (header, Self { version: header[1], mode, key }, noise)
    }
}

/// The header of the response to the initiator with this session id.
pub fn response_header(session: SessionId) -> [u8; RESPONSE_HEADER_LEN] {
    let [a, b, c, d] = session.0.to_be_bytes();
    [TYPE_RESPONSE, a, b, c, d]
}

/// The session id at the front of a handshake payload.
pub fn payload_session(payload: &[u8]) -> SessionId {
    SessionId(number(&payload[..SESSION_LEN]))
}

/// Puts our session id at the front of a handshake payload.
pub fn put_payload_session(payload: &mut [u8], session: SessionId) {
    payload[..SESSION_LEN].copy_from_slice(&session.0.to_be_bytes());
}

#[inline]
fn number(octets: &[u8]) -> u32 {
    u32::from_be_bytes(octets.try_into().expect("a number on the wire has four octets"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_thirteen_octets_in_network_order() {
        let header = Header { kind: Type::Data, session: SessionId(0x0102_0304), counter: 0x05 };
        assert_eq!(header.to_octets(), [1, 1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 5]);
        assert_eq!(header.nonce(), [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 5]);
        let mut octets = header.to_octets().to_vec();
        octets.extend([9, 9]);
        assert_eq!(parse(&mut octets), Ok(Packet::Sealed(header, &mut [9, 9])));
    }

    #[test]
    fn each_kind_has_nonces_of_its_own() {
        let nonce = |kind| Header { kind, session: SessionId(1), counter: 7 }.nonce();
        let kinds = [Type::Data, Type::Probe, Type::Reply, Type::Open, Type::Opened];
        let nonces: std::collections::HashSet<_> = kinds.map(nonce).into();
        assert_eq!(nonces.len(), kinds.len());
    }

    #[test]
    fn a_flow_id_is_three_octets() {
        assert_eq!(flow_octets(FlowId(0x01_0203)), [1, 2, 3]);
        assert_eq!(parse_data(&mut [1, 2, 3, 4]), Ok((FlowId(0x01_0203), &mut [4][..])));
        assert_eq!(parse_data(&mut [1, 2, 3]), Ok((FlowId(0x01_0203), &mut [][..])));
        assert_eq!(parse_data(&mut [1, 2]), Err(Reject::Malformed));
    }

    #[test]
    fn handshake_headers_are_where_the_picture_says() {
        let mode = Mode { encrypt: true, keyed: true };
        let header = InitHeader { version: 1, mode, key: KeyId([11, 12, 13, 14, 15, 16, 17, 18]) };
        let expected = [4, 1, 3, 0, 11, 12, 13, 14, 15, 16, 17, 18];
        assert_eq!(header.to_octets(), expected);
        let mut init = [0; INIT_LEN];
        init[..12].copy_from_slice(&expected);
        assert_eq!(InitHeader::parse(&init), (&init[..12], header, &init[12..]));
        assert_eq!(parse(&mut init.clone()), Ok(Packet::Init(&init)));

        assert_eq!(response_header(SessionId(0x0102_0304)), [5, 1, 2, 3, 4]);
        let mut response = [0; RESPONSE_LEN];
        response[..5].copy_from_slice(&[5, 1, 2, 3, 4]);
        assert_eq!(
            parse(&mut response),
            Ok(Packet::Response(SessionId(0x0102_0304), &[0; RESPONSE_LEN - 5]))
        );
    }

    #[test]
    fn what_is_too_short_too_long_or_unknown_is_malformed() {
        for kind in 0..=255u8 {
            for len in [0, 1, 4, 12, 13, 63, 64, 65, 96, 99, 100, 101, 127, 128, 129, 8972, 8973] {
                let mut octets = vec![kind; len];
                let good = match kind {
                    1 | 6 => len >= HEADER_LEN,
                    2 | 3 => (100..=8972).contains(&len),
                    4 => len == INIT_LEN,
                    5 => len == RESPONSE_LEN,
                    7 => len == OPENED_PACKET_LEN,
                    _ => false,
                };
                assert_eq!(parse(&mut octets).is_ok(), good && len > 0, "type {kind}, {len} octets");
            }
        }
    }
}
