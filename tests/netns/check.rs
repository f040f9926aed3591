//! `mpclient check` where the network itself is in the way: a narrow link, no route, a firewall.
//!
//! The middles route, and the server's own addresses stand in for bridges, as in `whole.rs`. Path 1 takes 1,500 octets, path
//! 2 1,400; path 3 swallows everything.

use std::fs;

use super::lab::{Lab, Side, Version, service_address};
use super::programs::{SERVER_PORT, bridge_line, key_file, mpserver};

#[test]
fn a_check_tells_what_fits_where_no_route_leads_and_what_is_filtered() {
    let Some(lab) = Lab::new("check", 3, &["nft"]) else { return };
    lab.lay_routes(Version::V4);
    lab.set_mtu(2, Side::Server, 1_400);
    lab.set_forwarding(3, false);
    let _server = mpserver(&lab);
    let ways: Vec<_> = lab.paths().map(|path| service_address(Version::V4, path, SERVER_PORT)).collect();
    let lines: Vec<_> = ways.iter().copied().map(bridge_line).chain(["192.0.2.1 4000".to_owned()]).collect();
    let configuration = lab.directory().join("check.conf");
    fs::write(&configuration, lines.join("\n")).expect("writing the configuration");
    let mut command = lab.client.command(env!("CARGO_BIN_EXE_mpclient"));
    let output = command.arg("check").arg("--key-file").arg(key_file(&lab)).arg(&configuration).output();
    let output = output.expect("mpclient starts");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for line in [
        &format!("bridge {} works: round trip ", ways[0]),
        "in one piece up to 1440 octets\n",
        &format!("bridge {} works: round trip ", ways[1]),
        "in one piece up to 1340 octets\n",
        &format!("bridge {} does not work: no answer\n", ways[2]),
        "bridge 192.0.2.1:4000 does not work: unreachable (Network is unreachable (os error 101))\n",
        "2 of 4 bridges work\n",
        "datagrams of up to 1340 octets cross them all in one piece (WireGuard: MTU = 1308; OpenVPN: mssfix 1340)\n",
    ] {
        assert!(said.contains(line), "no {line:?} in\n{said}");
    }
}
