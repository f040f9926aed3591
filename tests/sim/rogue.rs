//! A client that has the keys and breaks the rules. It follows the pictures in `wire.rs` by itself, so that it is also a second
//! opinion about the formats.

use std::net::SocketAddr;
use std::time::Instant;

use base64ct::{Base64, Encoding};
use mptunnel::tunnel::key::{KEY_LEN, Key};
use mptunnel::tunnel::keyring::KeyId;
use mptunnel::tunnel::link::{Bind, Event, Link, SocketId, Target};
use mptunnel::tunnel::role::{Config, Security, ServerRole};
use mptunnel::tunnel::session::{Session, SessionKeys};
use mptunnel::tunnel::wire::{
    self, ClientId, Control, FlowId, Label, Open, Opened, Packet, PathToken, SessionId, Type,
};
use mptunnel::tunnel::{LISTENER, Tunnel};
use rand::{Rng, SeedableRng, rngs::StdRng};
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::{CryptoResolver, DefaultResolver};
use snow::types::{Cipher, Dh, Hash, Random};
use snow::{Builder, HandshakeState};

/// Octets in front of its Noise message.
const HEADER_LEN: usize = 12;

/// See the module. It encrypts.
pub struct Rogue {
    number: u64,
    /// The client that it says it is.
    pub client: ClientId,
    header: [u8; HEADER_LEN],
    handshake: HandshakeState,
    session: Option<Session>,
}

impl Rogue {
    /// The rogue with this number.
    pub fn new(number: u64) -> Self {
        Self::again(number, 0)
    }

    /// The same rogue in another handshake of its.
    pub fn again(number: u64, attempt: u64) -> Self {
        Self::begin(number, attempt, None)
    }

    /// The rogue with this number and the key that has that number.
    pub fn keyed(number: u64, key: u64) -> Self {
        Self::begin(number, 0, Some(Key::generate(&mut StdRng::seed_from_u64(key))))
    }

    fn begin(number: u64, attempt: u64, key: Option<Key>) -> Self {
        let mut header = [4, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let mut name = "Noise_NN_25519_ChaChaPoly_BLAKE2s";
        let mut psk = [0; KEY_LEN];
        if let Some(key) = &key {
            header[2] = 3;
            header[4..].copy_from_slice(&KeyId::of(key).0);
            name = "Noise_NNpsk0_25519_ChaChaPoly_BLAKE2s";
            Base64::decode(key.to_base64(), &mut psk).expect("a key in base64");
        }
        let builder = Builder::with_resolver(
            name.parse().expect("a pattern"),
            Box::new(Seeded(number ^ attempt << 32)),
        );
        let builder = if key.is_some() { builder.psk(0, &psk).expect("one key") } else { builder };
        let handshake = builder
            .prologue(&[b"mptunnel", &header[..]].concat())
            .and_then(Builder::build_initiator)
            .expect("an initiator");
        Self { number, client: ClientId(number), header, handshake, session: None }
    }

    /// Its link to the server.
    pub fn link(&self) -> Link {
        let [.., a, b, c, d] = self.number.to_be_bytes();
        Link { socket: LISTENER, remote: SocketAddr::from(([10, b, c, d], 4000 + u16::from(a))), local: None }
    }

    /// Its init.
    pub fn init(&mut self) -> Vec<u8> {
        let tag = if self.header[2] & 2 != 0 { 16 } else { 0 };
        let mut payload = [0; 128 - HEADER_LEN - 32];
        let payload = &mut payload[..128 - HEADER_LEN - 32 - tag];
        payload[..4].copy_from_slice(&(self.number as u32).to_be_bytes());
        let mut message = [0; 256];
        let len = self.handshake.write_message(payload, &mut message).expect("message 1");
        [&self.header[..], &message[..len]].concat()
    }

    /// Takes the response.
    pub fn connect(&mut self, now: Instant, response: &[u8]) {
        let mut payload = [0; 128];
        self.handshake.read_message(&response[5..], &mut payload).expect("message 2");
        let [a, b, c, d, ..] = payload;
        let (seal, open) = self.handshake.dangerously_get_raw_split();
        let (local_id, remote_id) =
            (SessionId(self.number as u32), SessionId(u32::from_be_bytes([a, b, c, d])));
        self.session = Some(Session::new(now, &SessionKeys { local_id, remote_id, seal, open }, true));
    }

    /// A probe for a path, which returns a token.
    pub fn probe(&mut self, path: u8, number: u32, token: PathToken) -> Vec<u8> {
        self.control(Control { path, number, token, ..Control::default() })
    }

    /// A probe that says that a path is not used any more.
    pub fn leave(&mut self, path: u8, number: u32) -> Vec<u8> {
        self.control(Control { path, left: true, number, ..Control::default() })
    }

    /// A probe that says that its client ends.
    pub fn end(&mut self) -> Vec<u8> {
        self.control(Control { ended: true, ..Control::default() })
    }

    fn control(&mut self, control: Control) -> Vec<u8> {
        let control = Control { client: self.client, ..control };
        let mut packet = Vec::new();
        self.session().seal_control(Type::Probe, control, &mut packet);
        packet
    }

    /// A packet that asks for a flow to the server's own target, with a datagram.
    pub fn open(&mut self, flow: u32, datagram: &[u8]) -> Vec<u8> {
        self.open_to(flow, 0, Target::Default, Some(datagram))
    }

    /// A packet that asks for a flow, with this source port and target.
    pub fn open_to(&mut self, flow: u32, port: u16, target: Target, datagram: Option<&[u8]>) -> Vec<u8> {
        let open = Open { flow: FlowId(flow), label: Label(flow.into()), port, target };
        let mut packet = Vec::new();
        self.session().seal_open(&open, datagram, &mut packet);
        packet
    }

    /// Reads what the server says of a flow.
    pub fn opened(&mut self, packet: &mut [u8]) -> Opened {
        let Ok(Packet::Sealed(header, sealed)) = wire::parse(packet) else { panic!("not sealed") };
        self.session().take_opened(header, sealed).expect("an opened for us")
    }

    /// A data packet.
    pub fn data(&mut self, flow: u32, datagram: &[u8]) -> Vec<u8> {
        let mut packet = Vec::new();
        self.session().seal_data(FlowId(flow), datagram, &mut packet);
        packet
    }

    /// Reads a reply.
    pub fn reply(&mut self, packet: &mut [u8]) -> Control {
        let Ok(Packet::Sealed(header, sealed)) = wire::parse(packet) else { panic!("not a reply") };
        self.session().open_control(header, sealed).expect("a reply for us").0
    }

    fn session(&mut self) -> &mut Session {
        self.session.as_mut().expect("it is connected")
    }
}

/// Hands a packet to a tunnel, and returns what it sends.
pub fn exchange(tunnel: &mut Tunnel, now: Instant, link: Link, mut packet: Vec<u8>) -> Vec<(Link, Vec<u8>)> {
    tunnel.handle_timeout(now);
    tunnel.handle_input(now, link, &mut packet);
    let mut sent = Vec::new();
    while let Some(run) = tunnel.poll_transmit() {
        sent.extend(run.packets().map(|packet| (run.link, packet.to_vec())));
    }
    sent
}

/// A server by itself, for clients that no tunnel plays.
pub fn server(now: Instant, security: Security) -> Tunnel {
    Tunnel::new(now, config(security), StdRng::seed_from_u64(1))
}

/// What it is started with.
pub fn config(security: Security) -> Config {
    let target = SocketAddr::from(([192, 0, 2, 1], 1194)).into();
    Config { role: ServerRole::new(([0, 0, 0, 0], 2000).into(), target).into(), security }
}

/// Lets the server answer a rogue's handshake.
pub fn connect(server: &mut Tunnel, now: Instant, mut rogue: Rogue) -> Rogue {
    let init = rogue.init();
    let [(link, response)] = &exchange(server, now, rogue.link(), init)[..] else { panic!("no response") };
    assert_eq!(*link, rogue.link());
    rogue.connect(now, response);
    rogue
}

/// Lets a rogue prove its first path with two probes. Returns the token that does.
pub fn prove(server: &mut Tunnel, now: Instant, rogue: &mut Rogue) -> PathToken {
    let probe = rogue.probe(0, 0, PathToken(0));
    let [(_, reply)] = &mut exchange(server, now, rogue.link(), probe)[..] else { panic!("no reply") };
    let token = rogue.reply(reply).token;
    let probe = rogue.probe(0, 1, token);
    assert!(!exchange(server, now, rogue.link(), probe).is_empty(), "a reply");
    token
}

/// The sockets towards the target that a server has asked for since the last time.
pub fn opened(server: &mut Tunnel) -> Vec<SocketId> {
    let events = std::iter::from_fn(|| server.poll_event());
    let opened = events.filter_map(|event| match event {
        Event::Open(socket, Bind::Towards { .. }) => Some(socket),
        _ => None,
    });
    opened.collect()
}

struct Seeded(u64);

impl CryptoResolver for Seeded {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        struct Seed(StdRng);
        impl Random for Seed {
            fn try_fill_bytes(&mut self, octets: &mut [u8]) -> Result<(), snow::Error> {
                self.0.fill_bytes(octets);
                Ok(())
            }
        }
        Some(Box::new(Seed(StdRng::seed_from_u64(self.0))))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        DefaultResolver.resolve_dh(choice)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        DefaultResolver.resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        DefaultResolver.resolve_cipher(choice)
    }
}
