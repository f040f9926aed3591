//! The key is nowhere to be read: in no log, no command line, no error message, and not in the process by others of its
//! user.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use mptunnel::tunnel::wire::Mode;

use super::flooder::{Eavesdropper, Flooder};
use super::setup::{KEYED, PLAIN, Setup, UNKEYED, V4, line};
use crate::process::{Finished, MPCLIENT, MPSERVER, PATIENCE, Running, run, run_with};

/// The key of this module, and its octets.
const KEY: &str = "c2VjcmV0IQBuZXZlciB0byBiZSBzZWVuIGFnYWluISE=";
const OCTETS: &[u8; 32] = b"secret!\0never to be seen again!!";

/// Asserts that nothing of the key is in a text, in no way in which programs print octets.
fn assert_keeps_secret(what: &str, text: &str) {
    let start = &OCTETS[..6];
    let hex: String = start.iter().map(|octet| format!("{octet:02x}")).collect();
    let traces = [
        KEY[..8].to_owned(),
        hex.to_uppercase(),
        hex,
        format!("{start:?}").trim_matches(['[', ']']).to_owned(),
        format!("{start:#?}").trim_matches(['[', ']', '\n']).to_owned(),
        "secret!".to_owned(),
    ];
    for trace in traces {
        assert!(!text.contains(&trace), "{what} shows {trace:?} of the key:\n{text}");
    }
}

#[test]
fn a_key_is_in_no_log_and_no_command_line_however_much_is_logged() {
    let setup = Setup::new("secrets", V4);
    let bridge = Eavesdropper::start(setup.server);
    let key_file = setup.write("key", KEY);
    let trace = ("RUST_LOG", "trace");

    let mpserver = setup.mpserver_and(&["--key-file", &key_file], &[trace]);
    let lines = [line(bridge.address())];
    let mpclient = setup.mpclient(&lines, &[trace, ("MPTUNNEL_KEY", KEY)]);
    let stream = setup.stream(200);
    stream.wait_until_it_flows(PATIENCE);

    // Others that do not get in, and what nobody has made.
    let mut number = 0;
    let others = [KEYED, UNKEYED, PLAIN].map(|variables| {
        number += 1;
        let other = Setup::new(&format!("secrets-other-{number}"), V4);
        let variables = [variables, &[trace]].concat();
        (other.mpclient(&[line(setup.server)], &variables), other)
    });
    mpserver.wait_for_lines(1, "was made with another key");
    for (other, _) in &others {
        other.wait_for_lines(1, "no answer from mpserver");
    }
    Flooder::new(setup.server, Mode { encrypt: true, keyed: true }, &bridge, 1).send(5_000, 5_000);
    stream.wait_until_it_flows(PATIENCE);
    stream.finish();

    for process in [setup.mpserver_process(), setup.mpclient_process()] {
        let line = fs::read(format!("/proc/{process}/cmdline")).expect("the process runs");
        assert_keeps_secret("a command line", &String::from_utf8_lossy(&line));
    }
    for (name, running) in [("mpserver", mpserver), ("mpclient", mpclient)] {
        running.signal("TERM");
        let Finished { stdout, stderr, .. } = running.finish();
        assert!(stderr.contains(" TRACE "), "{name} says less: {stderr}");
        assert_keeps_secret(name, &stderr);
        assert_keeps_secret(name, &stdout);
    }
}

#[test]
fn a_key_in_the_wrong_place_is_not_repeated_by_the_error() {
    let setup = Setup::new("secrets-misplaced", V4);
    let file = |name: &str, contents: &str| setup.write(name, contents);
    let cut = &KEY[..43];
    let doubled = format!("{KEY}{KEY}");
    for (name, contents) in [
        ("cut", cut.to_owned()),
        ("doubled", doubled.clone()),
        ("two", format!("{KEY}\n{KEY}\n")),
        ("named", format!("key = {KEY}\n")),
        ("quoted", format!("\"{KEY}\"\n")),
    ] {
        let key_file = file(name, &contents);
        assert_misused_in_silence(run(MPSERVER, &["--key-file", &key_file, "2000", "localhost", "1194"]));
        let text = format!("127.0.0.1 4000\nkey-file = {key_file}\n");
        assert_misused_in_silence(run(MPCLIENT, &[&file("mpclient.conf", &text)]));
    }
    for text in [
        format!("127.0.0.1 4000\nkey-file = {KEY}\n"),
        format!("127.0.0.1 4000\nkey = {KEY}\n"),
        format!("127.0.0.1 4000\n{KEY}\n"),
        format!("127.0.0.1 4000\nlisten = {KEY}\n"),
        format!("127.0.0.1 4000 key={KEY}\n"),
        format!("127.0.0.1 4000 {KEY}\n"),
        format!("127.0.0.1 {KEY}\n"),
        format!("{KEY} 4000\n"),
    ] {
        assert_misused_in_silence(run(MPCLIENT, &[&file("mpclient.conf", &text)]));
    }
    for args in [
        &["--key-file", KEY, "2000", "localhost", "1194"][..],
        &["--key", KEY, "2000", "localhost", "1194"],
        &["--bind", KEY, "2000", "localhost", "1194"],
        &["2000", "localhost", "1194", KEY],
        &[KEY, "2000", "localhost", "1194"],
        &["2000", KEY, "1194"],
        &["genkey", KEY],
    ] {
        assert_misused_in_silence(run(MPSERVER, args));
    }
    for args in [&["--listen", KEY, "mpclient.conf"][..], &["mpclient.conf", KEY], &[KEY]] {
        assert_misused_in_silence(run(MPCLIENT, args));
    }
    for (name, value) in [("MPTUNNEL_KEY", cut), ("MPTUNNEL_KEY", &doubled), ("MPTUNNEL_ENCRYPT", KEY)] {
        assert_misused_in_silence(run_with(MPSERVER, &["2000", "localhost", "1194"], &[(name, value)]));
    }
}

fn assert_misused_in_silence(finished: Finished) {
    assert_eq!(finished.code, Some(2), "{finished:?}");
    assert_keeps_secret("an error message", &finished.stderr);
    assert_keeps_secret("standard output", &finished.stdout);
}

/// What tells the memory of a process belongs to its user, or to root where none but root may look into it (proc(5)).
#[test]
fn both_programs_are_closed_to_other_processes_of_their_user() {
    const AS_NOBODY: [&str; 4] = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    let root = rustix::process::geteuid().is_root();
    let runs =
        |program| Command::new(AS_NOBODY[0]).args(&AS_NOBODY[1..]).args([program, "--version"]).output();
    if root && !runs(MPSERVER).is_ok_and(|ran| ran.status.success()) {
        eprintln!("SKIPPED: {MPSERVER} cannot be run by another user than root");
        return;
    }
    let start = |command: &[&str]| {
        let command = if root { [&AS_NOBODY, command].concat() } else { command.to_vec() };
        let running = Running::start(command[0], &command[1..], KEYED);
        running.wait_for_lines(1, "listening on");
        running
    };
    let setup = Setup::new("secrets-closed", V4);
    let port = setup.server.port().to_string();
    let configuration = setup.configure(&[line(setup.server)]);
    let _mpserver = start(&[MPSERVER, "--bind", "127.0.0.1", &port, "127.0.0.1", "1194"]);
    let _mpclient = start(&[MPCLIENT, &configuration]);
    for process in [setup.mpserver_process(), setup.mpclient_process()] {
        let environment = fs::metadata(format!("/proc/{process}/environ")).expect("the process runs");
        assert_eq!(environment.uid(), 0, "other processes of its user can look into {process}");
    }
}
