//! Ends that do not agree: nothing is delivered, and the logs say what differs and how to mend it. With a key, a
//! stranger gets no answer at all.

use std::net::UdpSocket;
use std::thread;

use mptunnel::tunnel::wire::{CONTROL_PACKET_LEN, INIT_LEN, RESPONSE_LEN};
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::setup::{KEYED, PLAIN, Setup, UNKEYED, V4, address, line, socket};
use crate::lossy_bridge::Faults;
use crate::process::PATIENCE;
use crate::wait::poll_until;

const OTHER_KEY: &[(&str, &str)] = &[("MPTUNNEL_KEY", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")];
/// A type of packet (its first octet) of the protocol: an init.
const INIT: u8 = 4;

/// Two ends that do not agree, and what is said about it.
struct Case {
    server: &'static [(&'static str, &'static str)],
    client: &'static [(&'static str, &'static str)],
    /// In mpserver's one line about it.
    server_says: [&'static str; 2],
    /// In mpclient's one line about it, besides that there is no answer.
    client_says: &'static str,
}

const CASES: [Case; 5] = [
    Case {
        server: KEYED,
        client: OTHER_KEY,
        server_says: ["another key", "MPTUNNEL_KEY, --key-file or key-file"],
        client_says: "the same key",
    },
    Case {
        server: KEYED,
        client: UNKEYED,
        server_says: ["uses no key, this end does", "MPTUNNEL_KEY, --key-file or key-file"],
        client_says: "no key",
    },
    Case {
        server: UNKEYED,
        client: KEYED,
        server_says: ["uses a key, this end has none", "MPTUNNEL_KEY or --key-file"],
        client_says: "the same key",
    },
    Case {
        server: UNKEYED,
        client: PLAIN,
        server_says: ["encryption off, this end has it on", "MPTUNNEL_ENCRYPT"],
        client_says: "MPTUNNEL_ENCRYPT=0",
    },
    Case {
        server: PLAIN,
        client: UNKEYED,
        server_says: ["encryption on, this end has it off", "MPTUNNEL_ENCRYPT"],
        client_says: "encryption on",
    },
];

#[test]
fn ends_that_do_not_agree_deliver_nothing_and_say_why() {
    thread::scope(|scope| {
        for (number, case) in CASES.iter().enumerate() {
            scope.spawn(move || assert_told(&format!("mismatch-{number}"), case));
        }
    });
}

fn assert_told(name: &str, case: &Case) {
    let setup = Setup::new(name, V4);
    let bridge = setup.bridge(Faults::default(), 1);
    let mpserver = setup.mpserver(case.server);
    let mpclient = setup.mpclient(&[line(bridge.address())], case.client);
    let (application, target) = (setup.application(), setup.target());
    let mut delivered = false;
    let told = poll_until(PATIENCE, || {
        let _ = application.send(b"not to be delivered");
        delivered |= target.recv(&mut [0; 64]).is_ok();
        mpclient.log().contains("no answer from mpserver")
    });
    assert!(told, "{name}: mpclient does not say that it gets no answer");
    let inits = bridge.counts().forward.forwarded;
    assert!(inits >= 5, "{name}: {inits} handshakes are too few to show that one line is for all");
    assert!(!delivered, "{name}: a datagram was delivered");
    assert_eq!(bridge.counts().backward.received, 0, "{name}: mpserver has answered");

    let (server_log, client_log) = (mpserver.log(), mpclient.log());
    let lines = |log: &str, text: &str| log.lines().filter(|line| line.contains(text)).count();
    let [differs, remedy] = case.server_says;
    assert_eq!(lines(&server_log, differs), 1, "{name}: {inits} handshakes, one line: {server_log}");
    let line = server_log.lines().find(|line| line.contains(differs)).expect("it was counted");
    assert!(line.contains(remedy) && line.contains("WARN"), "{name}: {line}");
    assert_eq!(lines(&client_log, "no answer from mpserver"), 1, "{name}: {client_log}");
    let line = client_log.lines().find(|line| line.contains("no answer")).expect("it was counted");
    assert!(line.contains("check that it runs") && line.contains(case.client_says), "{name}: {line}");
    println!("{name}: {line}");
}

/// The init that an mpclient with these variables sends to a bridge.
fn captured_init(name: &str, variables: &[(&str, &str)]) -> Vec<u8> {
    let setup = Setup::new(name, V4);
    let bridge = socket(V4);
    let _mpclient = setup.mpclient(&[line(address(&bridge))], variables);
    let mut buffer = [0; 2_048];
    let mut len = 0;
    let came = poll_until(PATIENCE, || {
        len = bridge.recv(&mut buffer).unwrap_or(0);
        len > 0
    });
    assert!(
        came && (len, buffer[0]) == (INIT_LEN, INIT),
        "mpclient begins with an init, not {:?}",
        &buffer[..len]
    );
    buffer[..len].to_vec()
}

/// The lengths of all that is answered, up to the answer to this init, which must come. mpserver takes packets in their
/// order, so all answers to what was sent before it are among them.
fn answers_up_to(init: &[u8], stranger: &UdpSocket) -> Vec<usize> {
    let mut answers = Vec::new();
    stranger.send(init).expect("a packet is sent");
    let mut buffer = [0; 2_048];
    let answered = poll_until(PATIENCE, || {
        answers.extend(stranger.recv(&mut buffer));
        !answers.is_empty()
    });
    assert!(answered, "an init made with the key is answered");
    while let Ok(len) = stranger.recv(&mut buffer) {
        answers.push(len);
    }
    answers
}

#[test]
fn with_a_key_a_stranger_gets_no_answer() {
    let unkeyed = captured_init("stranger-unkeyed", UNKEYED);
    let plain = captured_init("stranger-plain", PLAIN);
    let other_key = captured_init("stranger-other-key", OTHER_KEY);
    let keyed = captured_init("stranger-keyed", KEYED);

    let setup = Setup::new("stranger", V4);
    let mpserver = setup.mpserver(KEYED);
    let stranger = socket(V4);
    stranger.connect(setup.server).expect("mpserver's address is one");
    // Whoever has the key is answered: an answer would be seen.
    mpserver.wait_for_lines(1, "listening on");
    assert_eq!(answers_up_to(&keyed, &stranger), [RESPONSE_LEN]);

    let mut rng = StdRng::seed_from_u64(7);
    for init in [&unkeyed, &plain, &other_key] {
        stranger.send(init).expect("a packet is sent");
        // It claims to have been made with the key.
        let mut claims = init.clone();
        claims[..4].copy_from_slice(&keyed[..4]);
        stranger.send(&claims).expect("a packet is sent");
    }
    for bit in 0..keyed.len() * 8 {
        let mut altered = keyed.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        stranger.send(&altered).expect("a packet is sent");
    }
    for kind in 0..=7 {
        for len in [1, 13, 64, RESPONSE_LEN, CONTROL_PACKET_LEN, INIT_LEN, 1_400] {
            let mut random = vec![0; len];
            rng.fill_bytes(&mut random);
            random[0] = kind;
            stranger.send(&random).expect("a packet is sent");
        }
    }
    stranger.send(&[]).expect("a packet is sent");
    assert_eq!(
        answers_up_to(&keyed, &stranger),
        [RESPONSE_LEN],
        "a stranger is answered: {}",
        mpserver.log()
    );
}
