//! `mpclient check`: what it says, and its exit status, for each thing that can be the matter.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use mptunnel::tunnel::wire::RESPONSE_LEN;

use super::setup::{
    KEYED, PLAIN, Setup, UNKEYED, V4, address, free_address, line, lines, socket, wait_until_all_carry,
};
use crate::lossy_bridge::Faults;
use crate::process::{Finished, MPCLIENT, Running, run_with};

/// `check` of a configuration with these bridges.
fn check(setup: &Setup, bridges: &[String], variables: &[(&str, &str)]) -> Finished {
    run_with(MPCLIENT, &["check", &setup.configure(bridges)], variables)
}

fn assert_says(finished: &Finished, code: i32, texts: &[&str]) {
    assert_eq!(finished.code, Some(code), "{finished:?}");
    for text in texts {
        assert!(finished.stdout.contains(text), "no {text:?} in\n{}{}", finished.stdout, finished.stderr);
    }
}

#[test]
fn where_all_bridges_work_it_tells_how_well_and_ends_with_0() {
    let setup = Setup::new("check-works", V4);
    let bridges = setup.three_bridges(Faults::default());
    let mpserver = setup.mpserver(KEYED);
    let finished = check(&setup, &lines(&bridges), KEYED);
    assert_says(&finished, 0, &["3 of 3 bridges work\n"]);
    for bridge in &bridges {
        assert_says(&finished, 0, &[&format!("bridge {} works: round trip ", bridge.address())]);
    }
    // The loopback takes more than is looked for.
    let largest = "in one piece up to 8940 octets\n";
    assert_eq!(finished.stdout.matches(largest).count(), if cfg!(target_os = "linux") { 3 } else { 0 });
    assert_eq!(finished.stderr, "", "what works is no trouble");
    drop(mpserver);
}

#[test]
fn each_trouble_of_a_bridge_is_told_with_its_remedy_beside_one_that_works() {
    let setup = Setup::new("check-troubles", V4);
    let bridge = setup.bridge(Faults::default(), 1);
    let _mpserver = setup.mpserver(KEYED);
    let silent = socket(V4);
    let closed = free_address();
    let bridges = [
        line(bridge.address()),
        line(address(&silent)),
        line(closed),
        "no-such-bridge.invalid 4000".to_owned(),
        format!("{} bind=192.0.2.77", line(bridge.address())),
    ];
    let finished = check(&setup, &bridges, KEYED);
    assert_says(
        &finished,
        1,
        &[
            &format!("bridge {} works: ", bridge.address()),
            &format!("bridge {} does not work: no answer\n", address(&silent)),
            "  - other bridges reach mpserver, so that the key and the encryption are right\n",
            &format!("bridge {closed} does not work: refused, nobody listens there"),
            "bridge no-such-bridge.invalid:4000 does not work: ",
            "  - is the name written as it should be",
            "no interface has the address 192.0.2.77",
            "1 of 5 bridges works\n",
        ],
    );
    assert_eq!(finished.stderr, "", "nothing is said twice");
}

#[test]
fn another_key_and_another_encryption_are_named_among_the_reasons_of_silence() {
    let setup = Setup::new("check-key", V4);
    let bridge = setup.bridge(Faults::default(), 1);
    let bridges = [line(bridge.address())];
    let other = [("MPTUNNEL_KEY", "HxAeHRwbGhkYFxYVFBMSERAPDg0MCwoJCAcGBQQDAgE=")];
    let mpserver = setup.mpserver(KEYED);
    for (variables, must_have) in [
        (UNKEYED, "It must have no key and encryption on"),
        (&other[..], "It must have the same key and encryption on"),
        (PLAIN, "It must have no key and MPTUNNEL_ENCRYPT=0"),
    ] {
        let finished = check(&setup, &bridges, variables);
        assert_says(&finished, 1, &["does not work: ", must_have, "0 of 1 bridge works\n"]);
    }
    drop(mpserver);
}

#[test]
fn what_is_wrong_with_the_configuration_is_told_as_at_a_start_and_ends_with_2() {
    let setup = Setup::new("check-wrong", V4);
    let finished = check(&setup, &["bridge.example 0".to_owned()], UNKEYED);
    assert_eq!((finished.code, finished.stdout.as_str()), (Some(2), ""), "{finished:?}");
    assert!(finished.stderr.contains("mpclient.conf:1: "), "{finished:?}");
    let finished = run_with(MPCLIENT, &["check"], &[]);
    assert_eq!(finished.code, Some(2), "{finished:?}");
}

#[test]
fn bridges_that_are_silent_alike_are_told_what_they_have_in_common_once_and_each_is_an_object_with_json() {
    let setup = Setup::new("check-alike", V4);
    let silent = [socket(V4), socket(V4)];
    let configuration = setup.configure(&silent.each_ref().map(|socket| line(address(socket))));
    let finished = run_with(MPCLIENT, &["check", &configuration], KEYED);
    let common = "no answer\n  for these 2, what they have in common first:\n  - does mpserver run?\n";
    assert_says(&finished, 1, &[common, "0 of 2 bridges work\n"]);
    assert_eq!(finished.stdout.matches("  - does mpserver run?").count(), 1, "{finished:?}");

    let finished = run_with(MPCLIENT, &["check", "--json", &configuration], KEYED);
    assert_eq!(finished.code, Some(1), "{finished:?}");
    let lines = finished.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON"));
    let told: Vec<(serde_json::Value, serde_json::Value)> =
        lines.map(|line: serde_json::Value| (line["bridge"].clone(), line["result"].clone())).collect();
    let expected = silent.map(|socket| (address(&socket).to_string().into(), "no_answer".into()));
    assert_eq!(told, expected);
}

/// Each bridge is a client of the same name, of which mpserver takes so many that are heard, with one that runs.
#[test]
#[cfg(target_os = "linux")]
fn more_bridges_than_a_name_has_clients_are_checked_beside_a_client_that_loses_nothing() {
    let setup = Setup::new("check-many", V4);
    let [(_, key)] = KEYED else { panic!("there is one key") };
    let keys = setup.write("keys", &format!("home {key}\n"));
    let _mpserver = setup.mpserver_with(&["--bind", "0.0.0.0", "--keys", &keys], "127.0.0.1", UNKEYED);
    let bridge = setup.bridge(Faults::default(), 1);
    let _mpclient = setup.mpclient(&lines(std::slice::from_ref(&bridge)), KEYED);
    let stream = setup.stream(100);
    let first = wait_until_all_carry(&stream, std::slice::from_ref(&bridge));

    let port = setup.server.port();
    let bridges: Vec<_> = (1..=16).map(|number| format!("127.0.1.{number} {port}\n")).collect();
    let configuration = setup.write("check.conf", &bridges.concat());
    let finished = run_with(MPCLIENT, &["check", &configuration], KEYED);
    assert_says(&finished, 0, &["16 of 16 bridges work\n"]);
    // One that has to wait for a place finds less out.
    let all_is_known = "in one piece up to 8940 octets\n";
    assert_eq!(finished.stdout.matches(all_is_known).count(), 16, "{}", finished.stdout);
    let (there, back) = stream.finish();
    for direction in [there, back] {
        assert!(direction.missing.iter().all(|number| *number < first), "nothing is lost beside a check");
    }
}

/// An mpclient of this name for each place that mpserver has for it.
#[test]
fn where_mpserver_takes_no_further_client_of_the_name_it_tells_that_the_handshake_alone_was_answered() {
    let setup = Setup::new("check-full", V4);
    let [(_, key)] = KEYED else { panic!("there is one key") };
    let keys = setup.write("keys", &format!("home {key}\n"));
    let mpserver = setup.mpserver_and(&["--keys", &keys], UNKEYED);
    let bridges = [line(setup.server)];
    let clients = (0..16).map(|number| {
        let text = format!("{}\nlisten = {}\n", bridges[0], free_address());
        Running::start(MPCLIENT, &[&setup.write(&format!("{number}.conf"), &text)], KEYED)
    });
    let clients: Vec<_> = clients.collect();
    mpserver.wait_for_lines(16, "(home) has connected from ");
    let finished = check(&setup, &bridges, KEYED);
    assert_says(
        &finished,
        1,
        &[
            &format!(
                "bridge {} does not work: mpserver has answered the handshake, and none of ",
                setup.server
            ),
            " probes\n  - so mpserver was reached, and the key and the encryption are right\n  - has mpserver as many clients",
            "0 of 1 bridge works\n",
        ],
    );
    mpserver.wait_for_lines(
        1,
        "is refused: there are 4096 clients, or 16 of its name that are heard, the limits",
    );
    // One that goes on says the same, and is let in as soon as another one ends.
    let mpclient = setup.mpclient(&bridges, KEYED);
    mpclient.wait_for_lines(
        1,
        "no answer to a probe through the one bridge for 3 s, though mpserver answers handshakes: ",
    );
    clients[3].signal("TERM");
    mpclient.wait_for_lines(1, "connected to mpserver");
}

/// A bridge that passes whatever goes to mpserver, and of what comes back the answers to handshakes alone.
#[test]
fn where_what_follows_the_handshake_is_lost_it_does_not_say_that_mpserver_is_full() {
    let setup = Setup::new("check-first-only", V4);
    let mpserver = setup.mpserver(KEYED);
    mpserver.wait_for_lines(1, "listening on");
    let [here, there] = [socket(V4), socket(V4)];
    there.connect(setup.server).expect("mpserver's address is one");
    let bridge = address(&here);
    let ended = AtomicBool::new(false);
    let finished = thread::scope(|scope| {
        scope.spawn(|| {
            let mut buffer = [0; 2048];
            while !ended.load(Ordering::Relaxed) {
                let Ok((len, client)) = here.recv_from(&mut buffer) else { continue };
                there.send(&buffer[..len]).expect("mpserver runs");
                // What mpserver makes of it is there at once, if at all.
                if let Ok(RESPONSE_LEN) = there.recv(&mut buffer) {
                    here.send_to(&buffer[..RESPONSE_LEN], client).expect("mpclient is there");
                }
            }
        });
        let finished = check(&setup, &[line(bridge)], KEYED);
        ended.store(true, Ordering::Relaxed);
        finished
    });
    assert_says(
        &finished,
        1,
        &[
            "does not work: mpserver has answered the handshake, and none of ",
            "  - if not, what follows the handshake is lost",
        ],
    );
    assert!(!mpserver.log().contains("is refused"), "{}", mpserver.log());
}
