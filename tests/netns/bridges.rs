//! Bridges and links that die and come back under a steady stream: what the others carry is not lost,
//! and whoever comes back carries again.

use std::thread;
use std::time::Duration;

use super::lab::{Lab, Side, Version, bridge_address, service_address};
use super::process::Process;
use super::programs::{
    SERVER_PORT, TARGET_PORT, application, mpclient, mpserver, socat_bridge, socat_bridge_to, target,
};
use super::stream::{Echo, Stream};

const PROGRAMS: [&str; 1] = ["socat"];

/// Datagrams a second, and octets of each.
const RATE: u32 = 500;
const LEN: usize = 200;

/// How soon a path that has come back must carry again.
const RETURN: Duration = Duration::from_secs(2);

/// How long a state of the network is kept up before the next change.
const WHILE: Duration = Duration::from_secs(1);

#[test]
fn a_dead_bridge_takes_nothing_along_and_carries_again_once_it_is_back() {
    let Some(lab) = Lab::new("bridge", 3, &PROGRAMS) else { return };
    let mut bridges = bridges(&lab);
    let _server = mpserver(&lab);
    let _client = mpclient(&lab, Version::V4);
    let stream = Stream::start(application(&lab), Echo::start(target(&lab)), RATE, LEN);
    stream.wait_until_it_flows(RETURN);
    thread::sleep(RETURN);

    for path in lab.paths() {
        bridges[path - 1].kill();
        thread::sleep(WHILE);
        // A new process: mpserver sees it come from another port.
        bridges[path - 1] = socat_bridge(&lab, path, Version::V4, SERVER_PORT);
        thread::sleep(RETURN);
        // Now it is alone, so whatever still arrives, it has carried.
        for other in lab.paths().filter(|other| *other != path) {
            bridges[other - 1].kill();
        }
        thread::sleep(WHILE);
        for other in lab.paths().filter(|other| *other != path) {
            bridges[other - 1] = socat_bridge(&lab, other, Version::V4, SERVER_PORT);
        }
        thread::sleep(RETURN);
    }
    stream.finish_complete();
}

#[test]
fn a_removed_interface_takes_nothing_along_and_carries_again_once_it_is_back() {
    let Some(lab) = Lab::new("interface", 3, &PROGRAMS) else { return };
    let mut bridges = bridges(&lab);
    let _server = mpserver(&lab);
    let _client = mpclient(&lab, Version::V4);
    let stream = Stream::start(application(&lab), Echo::start(target(&lab)), RATE, LEN);
    stream.wait_until_it_flows(RETURN);
    thread::sleep(RETURN);

    lab.client.ip("link set p1 down");
    thread::sleep(WHILE);
    lab.client.ip("link delete p1");
    thread::sleep(WHILE);
    lab.lay_link(1, Side::Client).expect("a cable that was there before");
    thread::sleep(RETURN);
    for bridge in &mut bridges[1..] {
        bridge.kill();
    }
    thread::sleep(WHILE);
    stream.finish_complete();
}

/// What the two tests above rest on: the books notice what a dead bridge loses.
#[test]
fn without_the_tunnel_a_dead_bridge_is_noticed() {
    let Some(lab) = Lab::new("alone", 1, &PROGRAMS) else { return };
    let mut bridge = socat_bridge(&lab, 1, Version::V4, TARGET_PORT);
    let echo = Echo::start(lab.server.socket(service_address(Version::V4, 1, TARGET_PORT)));
    let socket = lab.client.socket("0.0.0.0:0".parse().expect("an address"));
    socket.connect(bridge_address(Version::V4, 1)).expect("the bridge's address");
    let stream = Stream::start(socket, echo, RATE, LEN);
    stream.wait_until_it_flows(RETURN);
    bridge.kill();
    thread::sleep(WHILE);
    let _bridge = socat_bridge_to(&lab, 1, service_address(Version::V4, 1, TARGET_PORT));
    stream.wait_until_it_flows(RETURN);
    let (there, back) = stream.finish();
    let outage = u64::from(RATE) / 2..u64::from(RATE) * 2;
    assert!(outage.contains(&(there.missing.len() as u64)), "there: {there:?}; back: {back:?}");
    assert_eq!((there.altered, back.altered), (0, 0), "there: {there:?}; back: {back:?}");
}

fn bridges(lab: &Lab) -> Vec<Process> {
    lab.paths().map(|path| socat_bridge(lab, path, Version::V4, SERVER_PORT)).collect()
}
