//! The system itself refuses to send on one path: a firewall's rule, a queue that is full. The other paths lose nothing by
//! it, the log names the path once, and it carries again when the fault is over.

use std::cell::Cell;
use std::thread;
use std::time::Duration;

use super::lab::{Lab, Version, bridge_address, printed};
use super::process::Process;
use super::programs::{SERVER_PORT, application, mpclient, mpserver, socat_bridge, target};
use super::stream::{Echo, Stream};

/// Datagrams a second, and octets of each.
const RATE: u32 = 500;
const LEN: usize = 200;

/// How soon a path must carry again.
const RETURN: Duration = Duration::from_secs(2);
/// How long a path is at fault: longer than it takes to call it silent and to replace its socket.
const FAULT: Duration = Duration::from_secs(8);
/// How long the path then carries alone.
const ALONE: Duration = Duration::from_secs(1);

/// Runs a stream while path 1 is at fault, and then alone there, and asserts that nothing is lost. Returns what mpclient
/// wrote about that path's bridge.
fn runs_beside(lab: &Lab, begin: impl Fn(), end: impl Fn()) -> Vec<String> {
    let mut bridges: Vec<Process> =
        lab.paths().map(|path| socat_bridge(lab, path, Version::V4, SERVER_PORT)).collect();
    let _server = mpserver(lab);
    let client = mpclient(lab, Version::V4);
    let stream = Stream::start(application(lab), Echo::start(target(lab)), RATE, LEN);
    stream.wait_until_it_flows(RETURN);
    thread::sleep(RETURN);

    begin();
    thread::sleep(FAULT);
    end();
    thread::sleep(RETURN);
    // Now path 1 is alone, so whatever still arrives, it has carried.
    for bridge in &mut bridges[1..] {
        bridge.kill();
    }
    thread::sleep(ALONE);
    stream.finish_complete();
    let bridge = format!("bridge {}", bridge_address(Version::V4, 1));
    client.log().lines().filter(|line| line.contains(&bridge)).map(str::to_owned).collect()
}

#[test]
fn a_firewall_that_forbids_one_bridge_costs_that_path_only() {
    let Some(lab) = Lab::new("firewall", 3, &["socat", "nft"]) else { return };
    let nft = |command: &str| {
        lab.client.try_nft(command).unwrap_or_else(|error| panic!("{error}"));
    };
    let said = runs_beside(
        &lab,
        || {
            nft("add table inet firewall");
            nft("add chain inet firewall output { type filter hook output priority 0; }");
            let bridge = bridge_address(Version::V4, 1).ip();
            nft(&format!("add rule inet firewall output ip daddr {bridge} drop"));
        },
        || nft("delete table inet firewall"),
    );
    let count = |text: &str| said.iter().filter(|line| line.contains(text)).count();
    assert_eq!(count("Operation not permitted (os error 1)"), 1, "{said:#?}");
    assert_eq!(count("is silent"), 1, "{said:#?}");
}

#[test]
fn a_full_queue_at_one_interface_costs_that_path_only() {
    let Some(lab) = Lab::new("full-queue", 3, &["socat", "tc"]) else { return };
    let tc = |words: &str| printed(lab.client.command("tc").args(words.split_whitespace()));
    let refused = Cell::new(0);
    let said = runs_beside(
        &lab,
        // A line of 40 kbps, where the stream alone takes a thousand.
        || drop(tc("qdisc add dev p1 root tbf rate 40kbit burst 2000 limit 4000")),
        || {
            refused.set(dropped(&tc("-s qdisc show dev p1")));
            tc("qdisc delete dev p1 root");
        },
    );
    let sent = FAULT.as_secs() * u64::from(RATE);
    assert!(refused.get() >= sent * 8 / 10, "only {} of {sent} packets were refused", refused.get());
    let full = said.iter().filter(|line| line.contains(" is full: ")).count();
    assert_eq!(full, 1, "{said:#?}");
}

/// How many packets a queue has refused, as `tc -s` tells it.
fn dropped(statistics: &str) -> u64 {
    let number = statistics.split_once("(dropped ").and_then(|(_, rest)| rest.split_once(','));
    number.and_then(|(number, _)| number.parse().ok()).expect("tc tells what a queue has dropped")
}
