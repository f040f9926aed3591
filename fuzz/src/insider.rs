//! A client that has the key, if there is one, and breaks the rules: it gets where no altered packet gets, behind the
//! seal. It follows the pictures of the wire formats by itself.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Instant;

use mptunnel::tunnel::choice::Policy;
use mptunnel::tunnel::key::KEY_LEN;
use mptunnel::tunnel::link::{Endpoint, Host, Target};
use mptunnel::tunnel::role::{Copies, LossTarget};
use mptunnel::tunnel::session::{Session, SessionKeys};
use mptunnel::tunnel::set::PathSet;
use mptunnel::tunnel::wire::{
    self, Advice, CONTROL_PACKET_LEN, ClientId, Clock, Control, FlowId, Label, Open, Packet, PathToken,
    SessionId, Spread, Type, Whole,
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use snow::params::HashChoice;
use snow::resolvers::{CryptoResolver, DefaultResolver};
use snow::{Builder, HandshakeState};

use crate::setup;

/// Names under which it comes. Each is a client to the server.
pub const NAMES: u8 = 3;
/// What its datagrams have for a name as long as there is none.
pub const NOBODY: u8 = u8::MAX;

/// What an insider says in a probe or a reply.
pub struct Spoken {
    /// Of which path.
    pub path: u8,
    /// Its number there, from which all follows that is not said here.
    pub number: u32,
    /// Whether it has the last token received.
    pub returns: bool,
    /// Whether it says that the path is not used any more.
    pub leaves: bool,
    /// Whether it says that it ends.
    pub ends: bool,
}

/// See the module.
pub struct Insider {
    encrypt: bool,
    key: Option<[u8; KEY_LEN]>,
    inits: u8,
    handshake: Option<(SessionId, HandshakeState)>,
    session: Option<Session>,
    /// The name in the session's first probe without padding: by that the server knows it.
    name: Option<u8>,
    token: PathToken,
    /// Tokens, and the addresses that they came to.
    received: HashSet<(SocketAddr, u64)>,
    /// Tokens that were returned.
    returned: HashSet<u64>,
}

impl Insider {
    /// An insider of a server that works in this mode.
    pub fn new(encrypt: bool, key: Option<[u8; KEY_LEN]>) -> Self {
        let (received, returned) = Default::default();
        let token = PathToken::default();
        Self { encrypt, key, inits: 0, handshake: None, session: None, name: None, token, received, returned }
    }

    /// One of its addresses.
    pub fn address(number: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, number % 4], 4000))
    }

    /// Whether the address is one of them.
    pub fn is_at(address: SocketAddr) -> bool {
        (0..4).any(|number| address == Self::address(number))
    }

    /// An init for a session of this name, which need not be another one than before.
    pub fn init(&mut self, session: SessionId) -> Vec<u8> {
        let mode = u8::from(self.encrypt) | u8::from(self.key.is_some()) << 1;
        let mut header = [4, 1, mode, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        if let Some(key) = &self.key {
            header[4..].copy_from_slice(&key_id(key));
        }
        let (pattern, tag) = if self.key.is_some() { ("NNpsk0", 16) } else { ("NN", 0) };
        let name = format!("Noise_{pattern}_25519_ChaChaPoly_BLAKE2s");
        self.inits = self.inits.wrapping_add(1);
        // Drawn from nowhere, so that an input alone decides what happens.
        let secret = [self.inits; 32];
        let prologue = [&b"mptunnel"[..], &header].concat();
        let mut builder =
            Builder::new(name.parse().expect("a pattern")).fixed_ephemeral_key_for_testing_only(&secret);
        if let Some(key) = &self.key {
            builder = builder.psk(0, key).expect("one key");
        }
        let mut handshake =
            builder.prologue(&prologue).and_then(Builder::build_initiator).expect("an initiator");
        let mut payload = vec![0; 128 - header.len() - 32 - tag];
        payload[..4].copy_from_slice(&session.0.to_be_bytes());
        let mut message = [0; 256];
        let len = handshake.write_message(&payload, &mut message).expect("message 1");
        self.handshake = Some((session, handshake));
        [&header, &message[..len]].concat()
    }

    /// Takes what the server sent to one of the addresses.
    ///
    /// # Panics
    /// Where the server takes an address for proven that has not returned a token.
    pub fn receive(&mut self, now: Instant, at: SocketAddr, octets: &[u8]) {
        let mut octets = octets.to_vec();
        match wire::parse(&mut octets).expect("what a server sends is well formed") {
            Packet::Response(id, noise) => self.finish(now, id, noise),
            Packet::Sealed(header, sealed) if header.kind == Type::Reply => {
                let session = self.session.as_mut().filter(|session| session.local_id == header.session);
                let Some(Ok((reply, _))) = session.map(|session| session.open_control(header, sealed)) else {
                    return;
                };
                let proven =
                    |(address, token): &(SocketAddr, u64)| *address == at && self.returned.contains(token);
                if reply.left {
                    return;
                }
                assert!(!reply.validated || self.received.iter().any(proven), "{at} was never proven");
                self.received.insert((at, reply.token.0));
                self.token = reply.token;
            }
            Packet::Sealed(..) => {}
            Packet::Init(_) => panic!("a server sent an init"),
        }
    }

    fn finish(&mut self, now: Instant, id: SessionId, noise: &[u8]) {
        // It may answer an init before the last, or an altered one.
        let Some((session, handshake)) = self.handshake.as_mut().filter(|(ours, _)| *ours == id) else {
            return;
        };
        let mut payload = [0; 128];
        if handshake.read_message(noise, &mut payload).is_err() {
            return;
        }
        let (seal, open) = handshake.dangerously_get_raw_split();
        let keys = SessionKeys { local_id: *session, remote_id: wire::payload_session(&payload), seal, open };
        self.handshake = None;
        self.session = Some(Session::new(now, &keys, self.encrypt));
        self.name = None;
    }

    /// A probe, or a reply, that says what it likes.
    pub fn control(&mut self, name: u8, spoken: Spoken) -> Option<Vec<u8>> {
        let Spoken { path, number, returns, leaves: left, ends: ended } = spoken;
        let session = self.session.as_mut()?;
        let token = if returns { self.token } else { PathToken(number.into()) };
        self.returned.insert(token.0);
        let kind = if name >= 0xf0 { Type::Reply } else { Type::Probe };
        let name = name % NAMES;
        // Some are padded.
        let padding = if number % 3 == 0 { number as usize % 1000 } else { 0 };
        if kind == Type::Probe && padding == 0 {
            self.name.get_or_insert(name);
        }
        let client = ClientId(name.into());
        let advice = advice(&mut StdRng::seed_from_u64(number.into()));
        let (count, clock) = (!number, Clock(number.rotate_left(7)));
        let [a, b, c, d] = number.to_be_bytes();
        let whole = Whole { known: u16::from_be_bytes([a, b]), attempt: c, heard: d, arrived: returns };
        let control = Control {
            client,
            path,
            left,
            ended,
            validated: returns,
            number,
            count,
            token,
            clock,
            advice,
            whole,
        };
        let mut packet = Vec::new();
        session.seal_padded(kind, control, CONTROL_PACKET_LEN + padding, &mut packet);
        Some(packet)
    }

    /// Asks for a flow to one of a few targets, of which one is allowed and one is the server's own; with a
    /// datagram that names its sender, or without.
    pub fn ask(&mut self, flow: u32, what: u8, len: Option<usize>) -> Option<Vec<u8>> {
        let name =
            |name: &str| Endpoint { host: Host::Name(name.to_owned()), port: setup::other_target().port() };
        let target = match what % 8 {
            0..3 => Target::Default,
            3 => Target::Named(setup::target().into()),
            4 => Target::Named(setup::other_target().into()),
            5 => Target::Named(name("other.example")),
            6 => Target::Named(name("localhost")),
            _ => Target::Named(SocketAddr::from(([127, 0, 0, 1], u16::from(what) + 1)).into()),
        };
        let (flow, label) = (FlowId(flow % FlowId::LIMIT), Label(u64::from(what) >> 6));
        let open = Open { flow, label, port: u16::from(what) << 8, target };
        let datagram = len.map(|len| self.datagram(len));
        let mut packet = Vec::new();
        self.session.as_mut()?.seal_open(&open, datagram.as_deref(), &mut packet);
        Some(packet)
    }

    /// Names its sender, or nobody: what leaves before the first probe has given the session a name may arrive once
    /// more behind it.
    fn datagram(&self, len: usize) -> Vec<u8> {
        let mut datagram = vec![0xff, self.name.unwrap_or(NOBODY)];
        datagram.resize(len.max(2), 0);
        datagram
    }

    /// A datagram in whatever flow, which names its sender.
    pub fn data(&mut self, flow: u32, len: usize) -> Option<Vec<u8>> {
        let datagram = self.datagram(len);
        let mut packet = Vec::new();
        self.session.as_mut()?.seal_data(FlowId(flow % FlowId::LIMIT), &datagram, &mut packet);
        Some(packet)
    }
}

/// Advice that makes no sense.
fn advice(rng: &mut StdRng) -> Advice {
    let copies = match rng.random_range(0..3) {
        0 => Copies::All,
        1 => Copies::Best(rng.random_range(1..255)),
        _ => Copies::Target(LossTarget(rng.random())),
    };
    let policy = Policy { copies, backups: PathSet(rng.random()) };
    let sampled = PathSet(rng.random());
    let spread = Spread {
        sampled,
        chosen: PathSet(rng.random()),
        since: rng.random(),
        sample: rng.random_range(0..64),
    };
    let (wanted, loss, residual, jitter) = (PathSet(rng.random()), rng.random(), rng.random(), rng.random());
    Advice { spread, wanted, policy, loss, residual, jitter }
}

/// The first octets of BLAKE2s over a text and the key.
fn key_id(key: &[u8; KEY_LEN]) -> [u8; 8] {
    let mut hash = DefaultResolver.resolve_hash(&HashChoice::Blake2s).expect("the hash of the handshake");
    hash.input(b"mptunnel key id");
    hash.input(key);
    let mut digest = [0; 32];
    hash.result(&mut digest);
    *digest.first_chunk().expect("a digest is longer")
}
