//! The test vectors of `docs/protocol.md`: made from fixed keys, compared with the page, and taken from the page by the code.
//! The handshakes are made a second time with `snow` alone, as another implementation would, from the ephemeral keys that the page
//! gives.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Instant;

use rand::{Rng, SeedableRng, rngs::StdRng};

use super::choice::Policy;
use super::handshake::{self, Initiator};
use super::key::Key;
use super::keyring::KeyId;
use super::link::{Endpoint, Host, Target};
use super::role::Security;
use super::session::{Session, SessionKeys};
use super::set::PathSet;
use super::wire::{
    self, Advice, ClientId, Clock, Control, FlowId, Label, Open, Opened, Packet, PathToken, Reject,
    SessionId, Spread, Type, Verdict, Whole,
};

const PAGE: &str = "docs/protocol.md";
const BEGIN: &str = "<!-- vectors -->\n";
const END: &str = "<!-- end of vectors -->";

const CLIENTS: SessionId = SessionId(0x0102_0304);
const SERVERS: SessionId = SessionId(0xa1a2_a3a4);
const FLOW: FlowId = FlowId(7);

/// A name, and its octets.
type Vectors = Vec<(String, Vec<u8>)>;

/// The private key that a handshake draws from a generator that begins like this.
fn ephemeral(begin: u64) -> [u8; 32] {
    let (mut seed, mut key) = ([0; 32], [0; 32]);
    StdRng::seed_from_u64(begin).fill_bytes(&mut seed);
    StdRng::from_seed(seed).fill_bytes(&mut key);
    key
}

fn probe() -> Control {
    Control {
        client: ClientId(0x0102_0304_0506_0708),
        path: 2,
        left: false,
        ended: false,
        validated: false,
        number: 5,
        count: 4,
        token: PathToken(0x1112_1314_1516_1718),
        clock: Clock(0x0001_e240),
        advice: Advice {
            spread: Spread { sampled: PathSet(7), chosen: PathSet(3), since: 1000, sample: 4 },
            wanted: PathSet(7),
            policy: Policy { copies: crate::tunnel::role::Copies::Best(2), backups: PathSet(4) },
            loss: [655, Advice::UNKNOWN],
            residual: 12,
            jitter: 250,
        },
        whole: Whole { known: 1472, attempt: 3, heard: 2, arrived: true },
    }
}

fn reply() -> Control {
    Control { validated: true, count: 6, token: PathToken(0x2122_2324_2526_2728), ..probe() }
}

/// Path 2 is not used any more.
fn leave() -> Control {
    let Control { client, path, .. } = probe();
    Control { client, path, left: true, number: 6, ..Control::default() }
}

fn open() -> Open {
    let target = Endpoint { host: Host::Name("game.example.org".to_owned()), port: 30_000 };
    Open { flow: FLOW, label: Label(0x3132_3334_3536_3738), port: 0, target: Target::Named(target) }
}

fn opened() -> Opened {
    let address = SocketAddr::from(([198, 51, 100, 7], 30_000));
    Opened { flow: FLOW, verdict: Verdict::Open, port: 40_000, address: Some(address) }
}

/// Everything, in the order of the page.
fn made() -> Vectors {
    let mut vectors = Vectors::new();
    for (mode, encrypt, keyed) in [("keyed", true, true), ("open", true, false), ("bare", false, true)] {
        let mut put = |name: &str, octets: &[u8]| vectors.push((format!("{mode} {name}"), octets.to_vec()));
        let key = keyed.then(|| Key::generate(&mut StdRng::seed_from_u64(1)));
        if let Some(key) = &key {
            put("key", key.octets());
            put("key id", &KeyId::of(key).0);
        }
        let security = Security { encrypt, keys: key.into() };
        let [mut ours, mut theirs] = [2, 3].map(StdRng::seed_from_u64);
        put("initiator", &ephemeral(2));
        put("responder", &ephemeral(3));
        let mut initiator = Initiator::new(&security, CLIENTS, &mut ours);
        put("init", initiator.init());
        let answer = handshake::respond(&security, initiator.init(), SERVERS, &mut theirs);
        let (_, _, response) = answer.expect("ends that agree");
        put("response", &response);
        let keys = initiator.finish(&response[5..]).expect("a response to this init");
        put("client's key", &keys.seal);
        put("server's key", &keys.open);

        let (mut client, mut server) = sessions(&keys.seal, &keys.open, encrypt);
        let mut packet = Vec::new();
        client.seal_data(FLOW, b"hello", &mut packet);
        put("hello", &packet);
        packet.clear();
        client.seal_open(&open(), Some(b"hello"), &mut packet);
        put("open", &packet);
        packet.clear();
        server.seal_opened(opened(), &mut packet);
        put("opened", &packet);
        packet.clear();
        client.seal_control(Type::Probe, probe(), &mut packet);
        put("probe", &packet);
        packet.clear();
        server.seal_control(Type::Reply, reply(), &mut packet);
        put("reply", &packet);
        packet.clear();
        client.seal_control(Type::Probe, leave(), &mut packet);
        put("leave", &packet);
    }
    vectors
}

/// Both ends of a session with these keys.
fn sessions(clients: &[u8; 32], servers: &[u8; 32], encrypt: bool) -> (Session, Session) {
    #[allow(clippy::disallowed_methods, reason = "any moment will do")]
    let now = Instant::now();
    let client = SessionKeys { local_id: CLIENTS, remote_id: SERVERS, seal: *clients, open: *servers };
    let server = SessionKeys { local_id: SERVERS, remote_id: CLIENTS, seal: *servers, open: *clients };
    (Session::new(now, &client, encrypt), Session::new(now, &server, encrypt))
}

/// The page's block.
fn shown(vectors: &Vectors) -> String {
    let mut block = "```text vectors\n".to_owned();
    for (name, octets) in vectors {
        let digits = octets.iter().map(|octet| format!("{octet:02x}")).collect::<String>();
        let lines: Vec<&str> =
            (0..digits.len()).step_by(64).map(|at| &digits[at..digits.len().min(at + 64)]).collect();
        writeln!(block, "{name:<18} = {}", lines.join(&format!("\n{:21}", ""))).expect("a string takes all");
    }
    block + "```\n"
}

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("reading {}: {error}", path.display()))
}

/// The vectors as the page has them.
fn on_page() -> Vectors {
    let page = page();
    let block = page
        .split_once("```text vectors\n")
        .and_then(|(_, rest)| rest.split_once("```"))
        .expect("its block")
        .0;
    let mut vectors = Vectors::new();
    for line in block.lines() {
        let digits = match line.split_once('=') {
            Some((name, digits)) => {
                vectors.push((name.trim().to_owned(), Vec::new()));
                digits
            }
            None => line,
        };
        let octets = &mut vectors.last_mut().expect("a name comes first").1;
        let digits = digits.trim();
        octets.extend((0..digits.len()).step_by(2).map(|at| {
            u8::from_str_radix(&digits[at..at + 2], 16).unwrap_or_else(|error| panic!("{line:?}: {error}"))
        }));
    }
    vectors
}

fn of<const LEN: usize>(vectors: &Vectors, name: &str) -> [u8; LEN] {
    let (_, octets) = vectors.iter().find(|(known, _)| known == name).unwrap_or_else(|| panic!("no {name}"));
    octets.as_slice().try_into().unwrap_or_else(|_| panic!("{name} has {} octets, not {LEN}", octets.len()))
}

#[test]
fn the_vectors_on_the_page_are_what_the_code_makes() {
    let (page, block) = (page(), shown(&made()));
    let (before, rest) = page.split_once(BEGIN).expect("a place for the vectors");
    let (within, after) = rest.split_once(END).expect("its end");
    if std::env::var_os("MPTUNNEL_WRITE_VECTORS").is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
        std::fs::write(path, format!("{before}{BEGIN}{block}{END}{after}")).expect("the page can be written");
    } else {
        assert!(within == block, "{PAGE} has other vectors: MPTUNNEL_WRITE_VECTORS=1 writes them anew");
    }
}

#[test]
fn the_vectors_on_the_page_are_what_the_code_takes() {
    let vectors = on_page();
    for (mode, encrypt) in [("keyed", true), ("open", true), ("bare", false)] {
        let name = |part: &str| format!("{mode} {part}");
        let (mut client, mut server) =
            sessions(&of(&vectors, &name("client's key")), &of(&vectors, &name("server's key")), encrypt);
        let packet =
            |part: &str| vectors.iter().find(|(known, _)| *known == name(part)).expect("a packet").1.clone();
        let header_of = |packet: &mut Vec<u8>| match wire::parse(packet) {
            Ok(Packet::Sealed(header, _)) => header,
            other => panic!("{mode}: {other:?}"),
        };

        let mut hello = packet("hello");
        let header = header_of(&mut hello);
        assert_eq!((header.kind, header.session, header.counter), (Type::Data, SERVERS, 0));
        let mut copy = hello.clone();
        assert_eq!(
            server.open_data(header, &mut hello[wire::HEADER_LEN..]),
            Ok((FLOW, &mut b"hello".to_owned()[..]))
        );
        assert_eq!(server.open_data(header, &mut copy[wire::HEADER_LEN..]), Err(Reject::Copy));

        let mut asking = packet("open");
        let header = header_of(&mut asking);
        assert_eq!((header.kind, header.session, header.counter), (Type::Open, SERVERS, 1));
        let taken = server.take_open(header, &mut asking[wire::HEADER_LEN..]);
        assert_eq!(taken, Ok((open(), Some(&mut b"hello".to_owned()[..]))));
        let mut answer = packet("opened");
        let header = header_of(&mut answer);
        assert_eq!((header.kind, header.session, header.counter), (Type::Opened, CLIENTS, 0));
        assert_eq!(client.take_opened(header, &mut answer[wire::HEADER_LEN..]), Ok(opened()));

        let controls = [("probe", probe()), ("reply", reply()), ("leave", leave())];
        for (part, expected) in controls {
            let mut control = packet(part);
            let header = header_of(&mut control);
            let (kind, opener) = match part {
                "reply" => (Type::Reply, &mut client),
                _ => (Type::Probe, &mut server),
            };
            assert_eq!(header.kind, kind);
            assert_eq!(opener.open_control(header, &mut control[wire::HEADER_LEN..]), Ok((expected, false)));
        }
    }
}

#[test]
fn another_implementation_of_noise_makes_the_handshakes_on_the_page() {
    let vectors = on_page();
    for (mode, pattern) in [("keyed", "NNpsk0"), ("open", "NN"), ("bare", "NNpsk0")] {
        let name = |part: &str| format!("{mode} {part}");
        let init: [u8; wire::INIT_LEN] = of(&vectors, &name("init"));
        let response: [u8; wire::RESPONSE_LEN] = of(&vectors, &name("response"));
        let prologue = [b"mptunnel", &init[..12]].concat();
        let (initiator, responder) =
            (of::<32>(&vectors, &name("initiator")), of::<32>(&vectors, &name("responder")));
        let psk = (pattern != "NN").then(|| of::<32>(&vectors, &name("key")));
        let builder = |ephemeral| {
            let protocol = format!("Noise_{pattern}_25519_ChaChaPoly_BLAKE2s");
            let builder = snow::Builder::with_resolver(
                protocol.parse().expect("a pattern of Noise"),
                Box::new(handshake::Seeded([0; 32])),
            );
            let builder = builder.prologue(&prologue).expect("one prologue");
            let builder = builder.fixed_ephemeral_key_for_testing_only(ephemeral);
            match &psk {
                Some(psk) => builder.psk(0, psk).expect("one key"),
                None => builder,
            }
        };
        let mut client = builder(&initiator).build_initiator().expect("an initiator");
        let mut server = builder(&responder).build_responder().expect("a responder");
        let payload = |id: SessionId, len: usize| [&id.0.to_be_bytes()[..], &vec![0; len - 4]].concat();
        let (mut message, mut text) = ([0; 256], [0; 256]);

        let padded = if psk.is_some() { 68 } else { 84 };
        let len = client.write_message(&payload(CLIENTS, padded), &mut message).expect("message 1");
        assert_eq!(message[..len], init[12..], "{mode}: init");
        server.read_message(&message[..len], &mut text).expect("message 1");
        let len = server.write_message(&payload(SERVERS, 43), &mut message).expect("message 2");
        assert_eq!(message[..len], response[5..], "{mode}: response");
        assert_eq!(response[..5], [5, 1, 2, 3, 4]);
        client.read_message(&message[..len], &mut text).expect("message 2");
        let keys = client.dangerously_get_raw_split();
        assert_eq!(
            keys,
            (of(&vectors, &name("client's key")), of(&vectors, &name("server's key"))),
            "{mode}: keys"
        );
    }
}
