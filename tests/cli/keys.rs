//! Keys on the command line, in files and in variables.

use std::path::Path;

use super::{CUT_KEY, KEY, assert_misuse, folder, set_mode, taken_port, write};
use crate::process::{MPCLIENT, MPSERVER, run, run_with};

#[test]
fn a_key_file_that_holds_no_key_is_named_with_the_line_that_names_it() {
    let folder = folder("bad_key_file");
    let key = write(&folder, "key", &format!("{CUT_KEY}\n"));
    let path = write(&folder, "mpclient.conf", "1.2.3.4 4000\nkey-file = key\n");
    let finished = run(MPCLIENT, &[&path]);
    assert_eq!(finished.code, Some(2), "{finished:?}");
    let expected = format!("{path}:2: key file {key}: not a key: it has 43 characters");
    assert!(finished.stderr.starts_with(&expected), "{finished:?}");
    assert!(!finished.stderr.contains(&CUT_KEY[..8]), "a key is shown: {finished:?}");
}

#[test]
fn a_file_whose_name_looks_like_a_key_is_read() {
    let folder = folder("looks_like_a_key");
    let name = format!("{}A", "key".repeat(14));
    write(&folder, &name, &format!("{KEY}\n"));
    let (_socket, address) = taken_port();
    let path =
        write(&folder, "mpclient.conf", &format!("1.2.3.4 4000\nkey-file = {name}\nlisten = {address}\n"));
    let finished = run(MPCLIENT, &[&path]);
    assert_eq!(finished.code, Some(1), "only its port is not free: {finished:?}");
}

#[test]
fn each_end_is_told_where_it_gets_a_key() {
    let folder = folder("no_key");
    let path = write(&folder, "mpclient.conf", "1.2.3.4 4000\n");
    let empty = write(&folder, "empty", "# no key\n");
    let missing = folder.join("missing");
    let missing = missing.to_str().expect("test files have plain names");
    let server = ["2000", "localhost", "1194"];
    for key in [&empty[..], missing] {
        let finished = run(MPCLIENT, &["--key-file", key, &path]);
        assert_misuse(&finished, "mpclient", ": copy mpserver's key file here");
        assert!(!finished.stderr.contains("genkey"), "{finished:?}");
        let finished = run(MPSERVER, &[&["--key-file", key], &server[..]].concat());
        assert_misuse(&finished, "mpserver", ": make one with \"(umask 077; mpserver genkey > FILE)\"");
    }
    let finished = run_with(MPCLIENT, &[&path], &[("MPTUNNEL_KEY", "")]);
    assert_misuse(
        &finished,
        "mpclient",
        "MPTUNNEL_KEY is set but empty: give it mpserver's key, or unset it",
    );
}

#[cfg(unix)]
#[test]
fn a_key_file_that_others_may_read_is_warned_of_with_the_remedy() {
    let (_socket, address) = taken_port();
    let port = address.port().to_string();
    let folder = folder("key_file_mode");
    let key = write(&folder, "key", KEY);
    for (mode, warned) in [(0o600, false), (0o400, false), (0o644, true), (0o640, true), (0o622, true)] {
        set_mode(Path::new(&key), mode);
        let finished =
            run(MPSERVER, &["--key-file", &key, "--bind", "127.0.0.1", &port, "localhost", "1194"]);
        let expected = format!("the key file {key} (mode {mode:04o}): run chmod 600 {key}");
        assert_eq!(finished.stderr.contains(&expected), warned, "{finished:?}");
        assert_eq!(finished.stderr.matches("WARN").count(), usize::from(warned), "{finished:?}");
    }
}

#[test]
fn genkey_prints_a_new_key_each_time_that_both_programs_take() {
    let keys = [run(MPSERVER, &["genkey"]), run(MPSERVER, &["genkey"])];
    for finished in &keys {
        assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""));
        assert_eq!((finished.stdout.len(), finished.stdout.ends_with("=\n")), (45, true), "{finished:?}");
    }
    assert_ne!(keys[0].stdout, keys[1].stdout);
    let (_socket, address) = taken_port();
    let folder = folder("genkey");
    let key = write(&folder, "key", &keys[0].stdout);
    let path =
        write(&folder, "mpclient.conf", &format!("1.2.3.4 4000\nlisten = {address}\nkey-file = key\n"));
    let port = address.port().to_string();
    for finished in [
        run(MPCLIENT, &[&path]),
        run(MPSERVER, &["--key-file", &key, "--bind", "127.0.0.1", &port, "localhost", "1194"]),
    ] {
        assert_eq!(finished.code, Some(1), "only the port is in the way: {finished:?}");
        assert!(!finished.stderr.contains("WARN"), "{finished:?}");
    }
}
