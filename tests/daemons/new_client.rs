//! `examples/many-clients/server/new-client.sh`, which lets a client in.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::{env, fs};

use super::setup::{Setup, V4};
use crate::process::{Finished, MPSERVER, run_with};
use crate::programs::{TOOLS, find};

const ALICE: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const BOB: &str = "bXB0dW5uZWwgdGVzdHMgdXNlIHRoaXMga2V5IG9ubHk=";

/// Runs it for this keys file and in this folder.
fn new_client(keys: &str, folder: &str, name: &str, programs: &Path) -> Finished {
    let script = include_str!("../../examples/many-clients/server/new-client.sh");
    assert!(script.contains("\nkeys=/etc/mptunnel/keys "), "{script}");
    let script = script.replace("/etc/mptunnel/keys", keys);
    let programs = format!("{}:{}", programs.display(), env::var("PATH").expect("the tests have one"));
    let args = ["-c", "cd \"$1\" && exec sh -c \"$2\" new-client.sh \"$3\"", "sh", folder, &script, name];
    run_with("sh", &args, &[("PATH", &programs)])
}

#[test]
fn the_script_for_a_new_client_has_its_keys_file_read_again_and_disturbs_no_other_mpserver() {
    if find("pgrep", TOOLS).is_none() {
        return;
    }
    let [setup, second, away] =
        ["new-client", "new-client-second", "new-client-other"].map(|name| Setup::new(name, V4));
    // Its last line has no end.
    let keys = setup.write("keys", &format!("alice {ALICE}"));
    let others = away.write("keys", &format!("bob {BOB}\n"));
    let mpserver = setup.mpserver_and(&["--keys", &keys], &[]);
    let second = second.mpserver_and(&[&format!("--keys={keys}")], &[]);
    let other = away.mpserver_and(&["--keys", &others], &[]);
    for mpserver in [&mpserver, &second, &other] {
        mpserver.wait_for_lines(1, "listening on");
    }

    let folder = setup.folder("new");
    let programs = Path::new(MPSERVER).parent().expect("a program is in a folder");
    let name = "-carol.2@home_of_a_long_name_xyz";
    assert_eq!(name.len(), 32, "the longest name");
    let done = new_client(&keys, &folder, name, programs);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.stdout.starts_with("mpserver (process "), "{done:?}");
    for mpserver in [&mpserver, &second] {
        mpserver.wait_for_lines(1, &format!("keys: 1 as before; new: {name}"));
    }
    let key = fs::read_to_string(Path::new(&folder).join(format!("{name}.key"))).expect("the new key");
    let text = format!("alice {ALICE}\n{name} {key}");
    assert_eq!(fs::read_to_string(&keys).expect("the keys file"), text);
    // What it is told now is the first that it hears.
    away.write("keys", &format!("bob {BOB}\neve {ALICE}\n"));
    other.signal("HUP");
    other.wait_for_lines(1, "keys: 1 as before; new: eve");
    assert_eq!(other.log().matches("was read again").count(), 1, "{}", other.log());
}

#[test]
fn the_script_for_a_new_client_refuses_what_mpserver_would_and_leaves_nothing_when_it_fails() {
    let setup = Setup::new("new-client-refused", V4);
    let text = format!("# clients\nalice {ALICE}\nbob {BOB}\n");
    let keys = setup.write("keys", &text);
    let folder = setup.folder("new");
    fs::write(Path::new(&folder).join("dave.key"), BOB).expect("a key in use");
    let programs = Path::new(MPSERVER).parent().expect("a program is in a folder");
    let long = "a".repeat(33);
    // What makes the key fails after it has written some of it.
    let broken = setup.folder("broken");
    let fails = Path::new(&broken).join("mpserver");
    fs::write(&fails, "#!/bin/sh\necho AAEC\nexit 1\n").expect("a program of a test's");
    fs::set_permissions(&fails, fs::Permissions::from_mode(0o755)).expect("our own file");
    let broken = Path::new(&broken);
    for (name, programs, said) in [
        ("", programs, "no name: write \"sh new-client.sh NAME\""),
        ("b,ob", programs, "the name b,ob has something else in it"),
        ("b ob", programs, "the name b ob has something else in it"),
        ("bob\nalice", programs, "has something else in it"),
        ("../bob", programs, "the name ../bob has something else in it"),
        ("b\u{f6}b", programs, "has something else in it"),
        (&long, programs, "has 33 characters, 32 is the most"),
        ("alice", programs, "alice is in "),
        ("dave", programs, "dave.key is there already"),
        ("carol", broken, ""),
    ] {
        let done = new_client(&keys, &folder, name, programs);
        assert_eq!(done.code, Some(1), "{name:?}: {done:?}");
        assert!(done.stderr.contains(said), "{name:?}: {done:?}");
        assert_eq!(fs::read_to_string(&keys).expect("the keys file"), text, "{name:?}");
        let files: Vec<_> =
            fs::read_dir(&folder).expect("our folder").map(|file| file.expect("a file")).collect();
        assert_eq!(files.len(), 1, "{name:?}: {files:?}");
    }
    assert_eq!(fs::read_to_string(Path::new(&folder).join("dave.key")).expect("the key in use"), BOB);
    // Names are compared as they are: a dot is a dot.
    let done = new_client(&keys, &folder, "b.b", programs);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.stdout.starts_with("no mpserver runs with --keys "), "{done:?}");
    assert!(fs::read_to_string(&keys).expect("the keys file").starts_with(&format!("{text}b.b ")));
}
