//! SIGHUP: bridges are swapped while datagrams flow.

use std::fs;
use std::thread;
use std::time::Duration;

use super::lab::{Lab, Version, bridge_address};
use super::process::Process;
use super::programs::{
    APPLICATIONS, SERVER_PORT, application, bridge_line, mpclient_with, mpserver, socat_bridge, target,
};
use super::stream::{Echo, Stream};

const PROGRAMS: [&str; 1] = ["socat"];

/// Datagrams a second, and octets of each.
const RATE: u32 = 1000;
const LEN: usize = 200;

/// How soon something must be in the log.
const SOON: Duration = Duration::from_secs(4);

/// How long a state is kept up before the next change.
const WHILE: Duration = Duration::from_secs(2);

/// Has mpclient read a file with these bridges.
fn reload(lab: &Lab, client: &Process, bridges: &[String]) {
    let key = lab.directory().join("key");
    let text = format!("{}\nlisten = {APPLICATIONS}\nkey-file = {}\n", bridges.join("\n"), key.display());
    fs::write(lab.directory().join("mpclient.conf"), text).expect("writing the configuration");
    client.signal("HUP");
}

#[test]
fn a_reload_swaps_bridges_and_loses_nothing_and_a_wrong_file_changes_nothing() {
    let Some(lab) = Lab::new("reload", 5, &PROGRAMS) else { return };
    let mut bridges: Vec<_> =
        lab.paths().map(|path| socat_bridge(&lab, path, Version::V4, SERVER_PORT)).collect();
    let line = |path: usize| bridge_line(bridge_address(Version::V4, path));
    let up = |path: usize| format!("bridge {} is up", bridge_address(Version::V4, path));
    let _server = mpserver(&lab);
    let mut client = mpclient_with(&lab, &[line(1), line(2), line(3)]);
    let stream = Stream::start(application(&lab), Echo::start(target(&lab)), RATE, LEN);
    stream.wait_until_it_flows(SOON);
    [1, 2, 3].iter().for_each(|path| client.wait_for_line(&up(*path), SOON));

    reload(&lab, &client, &[line(5), line(1), line(4)]);
    client.wait_for_line("bridges: 1 as before; new: ", SOON);
    [4, 5].iter().for_each(|path| client.wait_for_line(&up(*path), SOON));
    assert_eq!(client.log().matches(&up(1)).count(), 1, "it stays as it is");

    reload(&lab, &client, &[line(2), "10.77.3.2".to_owned(), line(3) + " bind=::1"]);
    client.wait_for_line("mpclient.conf:2: bridge \"10.77.3.2\" has no port", SOON);
    client.wait_for_line("mpclient.conf:3: bind ::1 is an IPv6 address", SOON);
    client.wait_for_line("SIGHUP changed nothing: ", SOON);
    thread::sleep(WHILE);
    // The last of the new ones carries alone: had the wrong file changed anything, it would be gone.
    bridges[0].kill();
    bridges[3].kill();
    thread::sleep(WHILE);
    stream.finish_complete();
    assert_eq!(client.log().matches("as before").count(), 1, "the wrong file changed nothing");
}
