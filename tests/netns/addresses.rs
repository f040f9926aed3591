//! IPv4 and IPv6, several addresses on one machine, and bridges that cannot be reached at all.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use super::lab::{Lab, Side, Version, address, bridge_address};
use super::programs::{
    SERVER_PORT, application, bridge_line, mpclient, mpclient_with, mpserver, socat_bridge, socat_bridge_to,
    target,
};
use super::stream::{Echo, Stream};

const PROGRAMS: [&str; 1] = ["socat"];

/// How soon a path must carry once its bridge is there.
const RETURN: Duration = Duration::from_secs(2);

/// How long a state of the network is kept up before the next change.
const WHILE: Duration = Duration::from_secs(1);

/// A bridge knows the server by the second address of its link, and, as connected sockets and NATs do,
/// takes no answer from the first.
fn answers_leave_from_the_address_that_was_spoken_to(test: &str, version: Version) {
    let Some(lab) = Lab::new(test, 1, &PROGRAMS) else { return };
    let second = address(Side::Server, version, 1, 3);
    // On IPv6 the newest address would be the preferred one, so make sure that this one never is.
    let options = if version == Version::V4 { "/24 dev p1" } else { "/64 dev p1 nodad preferred_lft 0" };
    lab.server.ip(&format!("address add {second}{options}"));
    let _bridge = socat_bridge_to(&lab, 1, SocketAddr::new(second, SERVER_PORT));
    let _server = mpserver(&lab);
    let _client = mpclient(&lab, version);
    let stream = Stream::start(application(&lab), Echo::start(target(&lab)), 500, 200);
    stream.wait_until_it_flows(RETURN);
    thread::sleep(WHILE);
    stream.finish_complete();
}

#[test]
fn answers_leave_from_the_ipv4_address_that_was_spoken_to() {
    answers_leave_from_the_address_that_was_spoken_to("second-ipv4", Version::V4);
}

#[test]
fn answers_leave_from_the_ipv6_address_that_was_spoken_to() {
    answers_leave_from_the_address_that_was_spoken_to("second-ipv6", Version::V6);
}

#[test]
fn ipv4_and_ipv6_bridges_serve_together_and_unreachable_ones_cost_nothing() {
    let Some(lab) = Lab::new("mixed", 3, &PROGRAMS) else { return };
    let mut over_ipv4 = socat_bridge(&lab, 1, Version::V4, SERVER_PORT);
    let mut over_ipv6 = socat_bridge(&lab, 2, Version::V6, SERVER_PORT);
    let _server = mpserver(&lab);
    let nobody = address(Side::Client, Version::V4, 3, 99);
    // It never answers, so looking a name up takes many seconds and fails.
    lab.client.set_name_server(nobody);
    let _client = mpclient_with(
        &lab,
        &[
            "bridge.example 4000".to_owned(),
            // A machine that is there, but without a bridge; one that is not there; no way at all.
            bridge_line(bridge_address(Version::V4, 3)),
            bridge_line(bridge_address(Version::V6, 3)),
            bridge_line(SocketAddr::new(nobody, 4000)),
            "192.0.2.1 4000".to_owned(),
            "2001:db8::1 4000".to_owned(),
            bridge_line(bridge_address(Version::V4, 1)),
            bridge_line(bridge_address(Version::V6, 2)),
        ],
    );
    let stream = Stream::start(application(&lab), Echo::start(target(&lab)), 500, 200);
    stream.wait_until_it_flows(RETURN);
    thread::sleep(RETURN);

    over_ipv4.kill();
    thread::sleep(WHILE);
    let _over_ipv4 = socat_bridge(&lab, 1, Version::V4, SERVER_PORT);
    thread::sleep(RETURN);
    over_ipv6.kill();
    thread::sleep(WHILE);
    stream.finish_complete();
}
