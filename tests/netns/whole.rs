//! The longest datagram that crosses each path in one piece, as real daemons find it out, where routers say
//! nothing of what they drop.
//!
//! The middles route, and the server's own addresses stand in for bridges:
//!
//! ```text
//!  client                  router of path 1: 1,500 on both cables            server
//!  mpclient .1 ====== 10.77.2.0/24 | 10.78.2.0/24, MTU 1,400 ====== .1 mpserver, port 2000
//!              ====== 10.77.3.0/24, MTU 1,280 | 10.78.3.0/24 ======
//! ```

use std::time::Duration;

use mptunnel::tunnel::chronicle::Kind;
use mptunnel::tunnel::snapshot::WholeView;

use super::lab::{Lab, Side, Version, service_address};
use super::programs::{SERVER_PORT, application, bridge_line, mpclient_with, mpserver, snapshots, target};
use super::stream::{Echo, Stream};
use super::wait::poll_until;

/// Datagrams a second, and octets of each: more than any path here carries whole.
const RATE: u32 = 100;
const LEN: usize = 1_472;
/// The MTU of each path, and which of its cables has it.
const MTUS: [(u32, Side); 3] = [(1_500, Side::Server), (1_400, Side::Server), (1_280, Side::Client)];
/// Octets of UDP and of the tunnel in a packet.
const OVERHEAD_LEN: u32 = 8 + 32;
/// A search takes some 30 probes.
const LIMIT: Duration = Duration::from_secs(30);

fn what_crosses_whole_is_found_where_routers_say_nothing(test: &str, version: Version) {
    let Some(lab) = Lab::new(test, 3, &["nft"]) else { return };
    lab.lay_routes(version);
    for (path, (mtu, side)) in lab.paths().zip(MTUS) {
        lab.set_mtu(path, side, mtu);
        for rule in ["icmp type destination-unreachable drop", "icmpv6 type packet-too-big drop"] {
            lab.filter(path, "output", rule);
        }
    }
    let server = mpserver(&lab);
    let ways: Vec<_> = lab.paths().map(|path| service_address(version, path, SERVER_PORT)).collect();
    let client = mpclient_with(&lab, &ways.iter().copied().map(bridge_line).collect::<Vec<_>>());
    let stream = Stream::start(application(&lab), Echo::start(target(&lab)), RATE, LEN);

    let ip = if version == Version::V4 { 20 } else { 40 };
    let longest = MTUS.map(|(mtu, _)| (mtu - ip - OVERHEAD_LEN) as usize);
    let expected = longest.map(|len| WholeView { sent_octets: Some(len), received_octets: Some(len) });
    let found = || {
        snapshots(&lab).map(|snapshot| {
            let paths = snapshot.peers.iter().flat_map(|peer| &peer.paths);
            paths.map(|path| path.largest_whole).collect::<Vec<_>>()
        })
    };
    poll_until(LIMIT, || found().iter().all(|found| *found == expected));
    let [at_client, at_server] = found();
    assert_eq!(at_client, expected, "at mpclient");
    assert_eq!(at_server, expected, "at mpserver");

    // Path 1 carries all of them, in fragments, and each end says once for each path that it cuts.
    for (path, len) in lab.paths().zip(longest) {
        let line = format!("takes up to {len} whole");
        for (name, log) in [("mpclient", client.log()), ("mpserver", server.log())] {
            let said: Vec<_> = log.lines().filter(|log| log.contains(&line)).collect();
            let told = said.len() == 1 && said[0].contains("datagrams of 1472 octets are cut into fragments");
            assert!(told, "path {path} at {name}: {said:?} in\n{log}");
        }
        let bridge = format!("on the way to bridge {}, which takes up to {len} whole", ways[path - 1]);
        assert!(client.log().contains(&bridge), "no {bridge:?} in\n{}", client.log());
    }
    for snapshot in snapshots(&lab) {
        let cuts: Vec<_> = snapshot.events.iter().filter(|event| event.kind == Kind::Cut).collect();
        let of_the_one = cuts.iter().all(|event| event.peer == Some(snapshot.peers[0].number));
        assert!(cuts.len() == MTUS.len() && of_the_one, "{cuts:?}");
    }
    stream.finish_complete();
}

#[test]
fn what_crosses_ipv4_paths_whole_is_found_where_routers_say_nothing() {
    what_crosses_whole_is_found_where_routers_say_nothing("whole-ipv4", Version::V4);
}

#[test]
fn what_crosses_ipv6_paths_whole_is_found_where_routers_say_nothing() {
    what_crosses_whole_is_found_where_routers_say_nothing("whole-ipv6", Version::V6);
}
