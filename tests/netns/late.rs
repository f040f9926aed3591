//! Eight paths, of which one is two seconds behind the others: what it brings comes when tens of thousands of
//! later datagrams have arrived, and is known for the copies that it is.
//!
//! In seven middles a router stands, and the server's own address in place of a bridge; in the eighth a bridge of
//! our own:
//!
//! ```text
//!  mpclient .1 p1 ==== router ================== p1 .1 mpserver, port 2000
//!               :         :                       :
//!              p7 ==== router ================== p7
//!              p8 ==== bridge, 2 s each way ==== p8
//! ```

use std::env;
use std::thread;
use std::time::Duration;

use mptunnel::tunnel::snapshot::{PathView, Program, Snapshot};
use mptunnel::tunnel::wire::Reject;

use super::lab::{Lab, Version, bridge_address, service_address};
use super::lossy_bridge::Faults;
use super::programs::{
    SERVER_PORT, application, bridge_line, lossy_bridge, mpclient_with, mpserver, snapshots, target,
};
use super::stream::{Echo, Stream};
use super::wait::poll_until;

const PATHS: usize = 8;
const LATE: Duration = Duration::from_secs(2);
/// The delay grows in steps: a path that is silent for 3 s is tried anew, from another socket.
const STEPS: u32 = 2;

/// Datagrams a second, unless this variable says otherwise: eight copies of each, both ways, are 80,000 packets
/// a second, which a small machine carries without optimisation and while it does something else.
const RATE: u32 = 5_000;
const RATE_VARIABLE: &str = "MPTUNNEL_LATE_RATE";
const LEN: usize = 64;
/// How long they are sent once the path is as late as it is to be.
const WHILE: Duration = Duration::from_secs(3);
/// How soon something is to have come about, with room for a busy machine.
const LIMIT: Duration = Duration::from_secs(10);

/// What the late path looks like from one end.
fn late_path(snapshot: &Snapshot) -> &PathView {
    &snapshot.peers[0].paths[PATHS - 1]
}

/// Asks both ends, not too often: that takes processor time too.
fn ask(lab: &Lab) -> [Snapshot; 2] {
    thread::sleep(Duration::from_millis(100));
    snapshots(lab)
}

#[test]
fn copies_that_come_two_seconds_late_are_known_for_copies() {
    let rate = env::var(RATE_VARIABLE).map_or(RATE, |rate| rate.parse().expect("datagrams a second"));
    let Some(lab) = Lab::new("late", PATHS, &[]) else { return };
    lab.lay_routes(Version::V4);
    lab.let_runs_pass();
    let late = lossy_bridge(&lab, PATHS, SERVER_PORT, 0.0, Duration::ZERO);
    let mut ways: Vec<_> = lab.paths().map(|path| service_address(Version::V4, path, SERVER_PORT)).collect();
    ways[PATHS - 1] = bridge_address(Version::V4, PATHS);
    let mut server = mpserver(&lab);
    let mut client = mpclient_with(&lab, &ways.iter().copied().map(bridge_line).collect::<Vec<_>>());
    for (path, way) in ways.iter().enumerate() {
        client.wait_for_line(&format!("bridge {way} is up"), LIMIT);
        server.wait_for_line(&format!("path {path} is up from"), LIMIT);
    }

    let stream = Stream::start(application(&lab), Echo::start(target(&lab)), rate, LEN);
    for step in 1..=STEPS {
        let delay = LATE * step / STEPS;
        late.set_faults(Faults { delay, ..Faults::default() });
        let ms = delay.as_secs_f64() * 1e3;
        // Both ends have late copies, and the client has late replies: otherwise the next step would be two.
        let is_late = |end: Snapshot| {
            let path = late_path(&end);
            path.lateness_ms > 0.9 * ms && path.rtt.is_none_or(|rtt| rtt.smoothed_ms > ms)
        };
        assert!(poll_until(LIMIT, || ask(&lab).into_iter().all(is_late)), "it is not {delay:?} late");
    }
    // What is sent from now on may still be under way in the end, where a machine is at its limit.
    let settled = stream.sent();
    thread::sleep(WHILE);
    let (there, back) = stream.finish();
    let mut ends = snapshots(&lab);
    poll_until(LATE * 2, || {
        ends = ask(&lab);
        let [client, server] = ends.each_ref().map(late_path);
        client.copies == server.copies_sent && server.copies == client.copies_sent
    });

    println!("\n| way | datagrams a second | lost | doubled | late copies | behind by | too old |");
    println!("|---|---|---|---|---|---|---|");
    let [client, server] = &ends;
    for (way, direction, from, to) in [("there", &there, client, server), ("back", &back, server, client)] {
        let (sent, brought) = (late_path(from).copies_sent, late_path(to).copies);
        let behind = f64::from(rate) * late_path(to).lateness_ms / 1e3;
        let too_old = to.counters.rejected[&Reject::TooOld];
        let (lost, doubled) = (direction.excerpt(0..settled).lost as u64, direction.doubled);
        println!(
            "| {way} | {rate} | {lost} of {settled} | {doubled} | {brought} of {sent} | {behind:.0} | {too_old} |"
        );
        assert_eq!((doubled, direction.altered), (0, 0), "{way}: {direction:?}");
        assert!(lost * 100 <= settled, "{way}: {direction:?}");
        assert!(brought * 100 >= sent * 99, "{way}: the late path brought {brought} of {sent} copies");
        for (reject, count) in &to.counters.rejected {
            assert!(
                *reject == Reject::Copy || *count == 0,
                "{way}: {count} packets were not taken: {reject:?}"
            );
        }
        // What opened the flow was a packet without a datagram. The handshake was answered over each path, and once
        // more where it was asked again meanwhile.
        let answers = if to.program == Program::Mpclient { 2 * to.peers[0].paths.len() as u64 } else { 0 };
        let copies: u64 = to.peers[0].paths.iter().map(|path| path.copies).sum();
        let known = to.counters.rejected[&Reject::Copy] + to.counters.datagrams_received;
        assert!(
            (known.saturating_sub(answers)..=known + 1).contains(&copies),
            "{way}: {copies} copies came, {known} are accounted for"
        );
    }
}
