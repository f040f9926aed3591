//! A flood of made-up handshakes and data from many addresses: who is connected does not notice, and memory stays flat.
//! `cargo run --release --example flood` is the same with a million packets, and with figures.

use mptunnel::tunnel::wire::Mode;

use super::flooder::{Eavesdropper, Flooder};
use super::setup::{KEYED, Setup, UNKEYED, V4, line};
use super::usage::memory_kib;
use crate::process::PATIENCE;

/// Packets of the flood, and how many a second.
const PACKETS: u64 = 100_000;
const PER_SECOND: u32 = 20_000;
/// Those that fill whatever has a limit: half-open handshakes, foremost.
const FIRST: u64 = 20_000;
/// By so much memory may grow after that, in KiB.
const GROWTH: u64 = 2_048;
/// Datagrams of the client a second.
const DATAGRAMS_PER_SECOND: u32 = 500;

#[test]
fn a_flood_neither_harms_a_client_nor_grows_the_server() {
    unharmed("flood-keyed", KEYED, true);
    unharmed("flood-unkeyed", UNKEYED, false);
}

fn unharmed(name: &str, variables: &[(&str, &str)], keyed: bool) {
    let setup = Setup::new(name, V4);
    let bridges = [(); 3].map(|()| Eavesdropper::start(setup.server));
    let mpserver = setup.mpserver(variables);
    let lines = bridges.each_ref().map(|bridge| line(bridge.address()));
    let mpclient = setup.mpclient(&lines, variables);
    mpclient.wait_for_lines(bridges.len(), " is up, ");
    let stream = setup.stream(DATAGRAMS_PER_SECOND);
    stream.wait_until_it_flows(PATIENCE);

    let process = setup.mpserver_process();
    let mut flooder = Flooder::new(setup.server, Mode { encrypt: true, keyed }, &bridges[0], 1);
    let first = stream.sent();
    flooder.send(FIRST, PER_SECOND);
    let full = memory_kib(process);
    flooder.send(PACKETS - FIRST, PER_SECOND);
    let after = memory_kib(process);

    let sent = stream.sent() - first;
    let (there, back) = stream.finish();
    let missing = there.missing.iter().chain(&back.missing);
    let lost = missing.filter(|number| **number >= first).count();
    println!("{name}: {lost} of {sent} lost both ways, memory {full} KiB, {after} KiB at the end");
    // A machine that is busy with other tests may lose some by itself.
    assert!(lost as u64 <= sent / 50, "{there:?}; {back:?}");
    for direction in [&there, &back] {
        assert_eq!((direction.doubled, direction.altered), (0, 0), "{direction:?}");
    }
    assert!(after <= full + GROWTH, "{name}: memory grew from {full} to {after} KiB");
    let log = mpserver.log();
    assert_eq!(log.matches("has connected").count(), 1, "a forgery became a client: {log}");
    // One line for each reason.
    assert!(log.lines().count() <= 10, "{name}: the flood is in the log: {log}");
}
