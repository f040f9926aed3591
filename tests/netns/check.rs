//! `mpclient check` where the network itself is in the way: a narrow link, no route, a firewall.
//!
//! The middles route, and the server's own addresses stand in for bridges, as in `whole.rs`. Path 1 takes 1,500 octets, path
//! 2 1,400; path 3 swallows everything.

use std::fs;

use super::lab::{Lab, Side, Version, service_address};
use super::names::NameServer;
use super::programs::{SERVER_PORT, bridge_line, key_file, mpserver};

/// What `check` of these lines says in the client's namespace, and how it ends.
fn check(lab: &Lab, lines: &[String]) -> (Option<i32>, String) {
    let configuration = lab.directory().join("check.conf");
    fs::write(&configuration, lines.join("\n")).expect("writing the configuration");
    let mut command = lab.client.command(env!("CARGO_BIN_EXE_mpclient"));
    let output = command.arg("check").arg("--key-file").arg(key_file(lab)).arg(&configuration).output();
    let output = output.expect("mpclient starts");
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn a_check_tells_what_fits_where_no_route_leads_and_what_is_filtered() {
    let Some(lab) = Lab::new("check", 3, &["nft"]) else { return };
    lab.lay_routes(Version::V4);
    lab.set_mtu(2, Side::Server, 1_400);
    lab.set_forwarding(3, false);
    let _server = mpserver(&lab);
    let ways: Vec<_> = lab.paths().map(|path| service_address(Version::V4, path, SERVER_PORT)).collect();
    let lines: Vec<_> = ways.iter().copied().map(bridge_line).chain(["192.0.2.1 4000".to_owned()]).collect();
    let (code, said) = check(&lab, &lines);
    assert_eq!(code, Some(1), "{said}");
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

#[test]
fn a_check_tells_a_firewall_here_from_one_on_the_way_and_tries_every_address_of_a_name() {
    let Some(lab) = Lab::new("check-firewalls", 3, &["nft"]) else { return };
    lab.lay_routes(Version::V4);
    let ways: Vec<_> = lab.paths().map(|path| service_address(Version::V4, path, SERVER_PORT)).collect();
    // Here one is forbidden, and on the way one is refused, and two are swallowed: what is long, and all.
    for command in [
        "add table inet here",
        "add chain inet here output { type filter hook output priority 0; }",
        "add rule inet here output udp dport 2001 drop",
    ] {
        lab.client.try_nft(command).unwrap_or_else(|error| panic!("{error}"));
    }
    lab.filter(1, "forward", "udp dport 2002 reject with icmpx type host-unreachable");
    lab.filter(1, "forward", "udp dport 2000 udp length > 1000 drop");
    lab.set_forwarding(2, false);
    lab.set_forwarding(3, false);
    let names = NameServer::start(&lab);
    names.set("bridge.example", &[ways[2].ip(), ways[1].ip(), ways[0].ip()]);
    names.set("silent.example", &[ways[2].ip()]);
    let _server = mpserver(&lab);
    let here = ways[0].ip();
    let lines = [
        format!("{here} 2001"),
        format!("{here} 2002"),
        "bridge.example 2000".to_owned(),
        "silent.example 2000".to_owned(),
    ];
    let (code, said) = check(&lab, &lines);
    assert_eq!(code, Some(1), "{said}");
    for line in [
        &format!(
            "bridge {here}:2001 does not work: this machine lets nothing out to it (Operation not permitted "
        ),
        "  - does a firewall on this machine forbid it",
        &format!("bridge {here}:2002 does not work: unreachable (No route to host "),
        "  - does a firewall there, or on the way, reject UDP at this port?\n",
        "bridge bridge.example:2000 works: round trip ",
        "in one piece up to ? octets there and 1440 back\n",
        "  - the largest datagram that crosses it was not found in time there: does something on the way drop long ",
        &format!("bridge silent.example:2000 ({}) does not work: no answer\n", ways[2].ip()),
        "1 of 4 bridges works\n",
    ] {
        assert!(said.contains(line), "no {line:?} in\n{said}");
    }
}
