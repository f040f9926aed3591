//! The units for systemd, as its own tools judge them. What they promise of the programs is in `daemons::service`.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};

use super::tool;
use crate::daemons::setup::{V4, free_port};
use crate::documents::read;
use crate::process::{MPCLIENT, MPSERVER, Running, RuntimeFolder, run};

/// The most exposure that systemd-analyze may see in a unit, of 10.
const EXPOSURE_MAX: f64 = 2.0;

fn template(name: &str) -> String {
    read(&format!("examples/systemd/{name}@.service"))
}

/// Writes an instance of a unit whose programs are where they were built.
fn instance(test: &str, name: &str) -> String {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("units").join(test);
    fs::create_dir_all(&folder).expect("a folder");
    let path: PathBuf = folder.join(format!("{name}@home.service"));
    let text = template(name)
        .replace("ExecStart=mpclient ", &format!("ExecStart={MPCLIENT} "))
        .replace("ExecStart=mpserver ", &format!("ExecStart={MPSERVER} "));
    fs::write(&path, text).expect("a unit is written");
    path.to_str().expect("test files have plain names").to_owned()
}

#[test]
fn systemd_has_nothing_to_say_against_the_units() {
    for name in ["mpclient", "mpserver", "mptunnel-bridge"] {
        let unit = instance("verify", name);
        let Some(finished) = tool("systemd-analyze", &["verify", "--man=no", &unit]) else { return };
        // It also reads the units of this machine that ours are ordered behind.
        let ours = finished.stderr.lines().filter(|line| line.contains(name) || line.contains(&unit));
        assert_eq!((finished.code, ours.collect::<Vec<_>>()), (Some(0), vec![]), "{}", finished.stderr);
    }
}

#[test]
fn the_units_leave_little_to_a_program_that_somebody_else_has_taken_over() {
    for name in ["mpclient", "mpserver", "mptunnel-bridge"] {
        let unit = instance("security", name);
        let Some(finished) = tool("systemd-analyze", &["security", "--offline=true", "--no-pager", &unit])
        else {
            return;
        };
        let line = finished.stdout.lines().find(|line| line.contains("Overall exposure level"));
        let figure = line.and_then(|line| line.split(": ").nth(1)?.split(' ').next()?.parse::<f64>().ok());
        let exposure = figure.unwrap_or_else(|| panic!("systemd-analyze tells the exposure: {finished:?}"));
        println!("{name}@.service: exposure {exposure}");
        assert!(exposure <= EXPOSURE_MAX, "{name}@.service: {}", finished.stdout);
    }
}

/// The sets of system calls that systemd knows, by name.
fn known_sets(listing: &str) -> HashMap<&str, Vec<&str>> {
    let mut sets = HashMap::<&str, Vec<&str>>::new();
    let mut current = "";
    for line in listing.lines().filter(|line| !line.trim_start().starts_with('#')) {
        if line.starts_with('@') {
            current = line.trim();
        } else if !line.trim().is_empty() {
            sets.entry(current).or_default().push(line.trim());
        }
    }
    sets
}

fn calls<'a>(sets: &HashMap<&'a str, Vec<&'a str>>, name: &'a str) -> HashSet<&'a str> {
    let members = sets.get(name).unwrap_or_else(|| panic!("systemd knows no set {name}"));
    let of_member = |member: &&'a str| match member.starts_with('@') {
        true => calls(sets, member),
        false => HashSet::from([*member]),
    };
    members.iter().flat_map(of_member).collect()
}

/// What a unit lets its program call: the sets of `SystemCallFilter`, less those behind a `~`.
fn allowed<'a>(unit: &'a str, sets: &HashMap<&'a str, Vec<&'a str>>) -> HashSet<&'a str> {
    // Every filter has these.
    let mut allowed = calls(sets, "@default");
    for words in unit.lines().filter_map(|line| line.strip_prefix("SystemCallFilter=")) {
        let less = words.strip_prefix('~');
        for call in less.unwrap_or(words).split_whitespace().flat_map(|set| calls(sets, set)) {
            if less.is_some() {
                allowed.remove(call)
            } else {
                allowed.insert(call)
            };
        }
    }
    allowed
}

#[test]
fn the_programs_call_nothing_that_their_units_forbid() {
    let Some(listing) = tool("systemd-analyze", &["syscall-filter", "--no-pager"]) else { return };
    let sets = known_sets(&listing.stdout);
    let folder = RuntimeFolder::new();
    let (port, listen) = (free_port(V4).to_string(), free_port(V4));
    let in_folder = |name: &str| folder.path().join(name).display().to_string();
    let conf = in_folder("conf");
    fs::write(&conf, format!("localhost {port}\nlisten = 127.0.0.1:{listen}\n")).expect("a file is written");
    // timeout ends the program, which its tracer would not.
    let traced = |name: &str, args: &[&str]| {
        let trace = in_folder(name);
        Running::start("strace", &[&["-f", "-qq", "-o", &trace, "timeout", "10"], args].concat(), &[])
    };
    if tool("strace", &["-V"]).is_none() {
        return;
    }
    let control = [in_folder("mpserver.sock"), in_folder("mpclient.sock")];
    let mpserver = traced("mpserver", &[MPSERVER, "--control", &control[0], &port, "localhost", "9"]);
    let mpclient = traced("mpclient", &[MPCLIENT, "--control", &control[1], &conf]);
    mpclient.wait_for_lines(1, "connected to mpserver");
    let application = UdpSocket::bind((V4, 0)).expect("a socket");
    application.send_to(b"datagram", (V4, listen)).expect("mpclient listens");
    for (program, control) in [(MPSERVER, &control[0]), (MPCLIENT, &control[1])] {
        let finished = run(program, &["status", "--control", control]);
        assert_eq!(finished.code, Some(0), "{finished:?}");
    }
    for (name, running) in [("mpserver", mpserver), ("mpclient", mpclient)] {
        running.finish();
        let trace = fs::read_to_string(folder.path().join(name)).expect("a trace");
        let unit = template(name);
        let allowed = allowed(&unit, &sets);
        // "1234 close(3) = 0"
        let names = trace.lines().filter_map(|line| line.split_whitespace().nth(1)?.split_once('('));
        let called: HashSet<&str> = names.map(|(name, _)| name).collect();
        assert!(called.contains("recvmmsg") && called.contains("epoll_wait"), "{name}: {called:?}");
        let forbidden: Vec<_> = called.difference(&allowed).collect();
        assert!(forbidden.is_empty(), "{name}@.service forbids {forbidden:?}");
        // MemoryDenyWriteExecute
        assert!(!trace.contains("PROT_WRITE|PROT_EXEC"), "{name} has memory that is written and run");
    }
}
