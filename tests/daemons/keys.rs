//! mpserver with a key for each client, which comes and goes by SIGHUP.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use super::setup::{DATAGRAM_LEN, Setup, V4, free_address, lines, socket, wait_until_all_carry};
use crate::lossy_bridge::Faults;
use crate::process::{MPCLIENT, PATIENCE, Running};
use crate::stream::{Echo, Stream};
use crate::wait::poll_until;

const ALICE: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const BOB: &str = "bXB0dW5uZWwgdGVzdHMgdXNlIHRoaXMga2V5IG9ubHk=";
/// The promise: so long after SIGHUP, a client whose key was taken out is out.
const PROMISE: Duration = Duration::from_secs(1);

/// Whether an echo of a datagram that is sent now comes back.
fn is_echoed(application: &UdpSocket) -> bool {
    application.send(b"from bob").is_ok() && application.recv(&mut [0; 64]).is_ok()
}

#[test]
fn a_key_that_is_taken_out_takes_its_client_out_within_a_second_and_the_others_lose_nothing() {
    let setup = Setup::new("keys-taken-out", V4);
    let bridges = setup.three_bridges(Faults::default());
    let both = format!("# clients\nalice {ALICE}\nbob {BOB}  # until June\n");
    let keys = setup.write("keys", &both);
    let mpserver = setup.mpserver_and(&["--keys", &keys], &[]);
    let _alice = setup.mpclient(&lines(&bridges), &[("MPTUNNEL_KEY", ALICE)]);
    let bobs = free_address();
    let file = setup.write("bob.conf", &format!("{}\nlisten = {bobs}\n", lines(&bridges).join("\n")));
    let _bob = Running::start(MPCLIENT, &[&file], &[("MPTUNNEL_KEY", BOB)]);

    // Bob's datagrams are none of the stream's, and are echoed all the same.
    let stream = Stream::start(setup.application(), Echo::start(setup.target()), 500, DATAGRAM_LEN);
    let bob = socket(V4);
    bob.connect(bobs).expect("mpclient's address is one");
    let first = wait_until_all_carry(&stream, &bridges);
    assert!(poll_until(PATIENCE, || is_echoed(&bob)), "bob's datagrams come back");
    for name in ["(alice)", "(bob)"] {
        mpserver.wait_for_lines(1, &format!("{name} has connected from 127.0.0.1:"));
    }

    setup.write("keys", &format!("alice {ALICE}\n"));
    let told = Instant::now();
    mpserver.signal("HUP");
    mpserver.wait_for_lines(1, "(bob) is out: its key is none of the file's any more");
    // What was under way has come back, or never will.
    while bob.recv(&mut [0; 64]).is_ok() {}
    assert!(!is_echoed(&bob), "nothing of bob's gets through");
    let took = told.elapsed();
    println!("out {} ms after SIGHUP", took.as_millis());
    mpserver.wait_for_lines(1, "was made with another key, or changed on the way: the file of --keys must");
    assert!(took <= PROMISE + Duration::from_millis(200), "out {took:?} after SIGHUP");

    // He is let in again without a restart of anything.
    setup.write("keys", &both);
    mpserver.signal("HUP");
    assert!(poll_until(PATIENCE, || is_echoed(&bob)), "bob's datagrams come back again");
    let (there, back) = stream.finish();
    for direction in [&there, &back] {
        let lost = direction.missing.iter().find(|number| **number >= first);
        assert_eq!((lost, direction.doubled), (None, 0), "alice's stream: {direction:?}");
    }
    assert_eq!(back.altered, 0, "alice gets nothing of bob's");
    assert!(![ALICE, BOB].iter().any(|key| mpserver.log().contains(&key[..8])), "a key is shown");
}

/// As docs/install.md has it: a second name with the new key, the client takes it, the old line goes.
#[test]
fn a_client_changes_its_key_by_way_of_a_second_name_and_is_never_shut_out() {
    const NEW: &str = "HxweHRsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA=";
    let setup = Setup::new("keys-changed", V4);
    let bridges = setup.three_bridges(Faults::default());
    let keys = setup.write("keys", &format!("alice {ALICE}\n"));
    let mpserver = setup.mpserver_and(&["--keys", &keys], &[]);
    let stream = Stream::start(setup.application(), Echo::start(setup.target()), 100, DATAGRAM_LEN);
    let client = setup.mpclient(&lines(&bridges), &[("MPTUNNEL_KEY", ALICE)]);
    wait_until_all_carry(&stream, &bridges);

    setup.write("keys", &format!("alice {ALICE}\nalice-2027 {NEW}\n"));
    mpserver.signal("HUP");
    mpserver.wait_for_lines(1, "keys: 1 as before; new: alice-2027");
    stream.wait_until_it_flows(PATIENCE);
    assert!(!mpserver.log().contains("(alice) is out"), "{}", mpserver.log());

    drop(client);
    let _client = setup.mpclient(&lines(&bridges), &[("MPTUNNEL_KEY", NEW)]);
    mpserver.wait_for_lines(1, "(alice-2027) has connected from 127.0.0.1:");
    setup.write("keys", &format!("alice-2027 {NEW}\n"));
    mpserver.signal("HUP");
    mpserver.wait_for_lines(1, "keys: 1 as before; taken out: alice");
    stream.wait_until_it_flows(PATIENCE);
    assert!(!mpserver.log().contains("(alice-2027) is out"), "{}", mpserver.log());
}
