//! The longest datagram that crosses a path in one piece, as both ends find it out.

use std::time::Duration;

use mptunnel::tunnel::snapshot::WholeView;

use crate::sim::Sim;
use crate::sim::network::Faults;
use crate::sim::setup::{Setup, plain};
use crate::sim::traffic::{APP, Way};

const SECOND: Duration = Duration::from_secs(1);
/// Octets that a packet is longer than its datagram, encrypted and not.
const OVERHEADS: [usize; 2] = [32, 16];
/// More than any path here carries: nothing longer is looked for.
const LARGEST: usize = 8972;

/// Paths that take packets of so many octets whole, to the server and back.
fn paths(lens: &[(usize, usize)]) -> Setup {
    let mut setup = Setup::new(lens.iter().map(|_| Faults::new(Duration::from_millis(40), 0.0)));
    for (faults, (up, _)) in setup.bridges.iter_mut().zip(lens) {
        faults.whole = *up;
    }
    setup
}

fn connect(setup: &Setup, lens: &[(usize, usize)], seed: u64) -> Sim {
    let mut sim = setup.start(seed);
    for (bridge, (_, down)) in sim.bridges.iter_mut().zip(lens) {
        bridge.down.faults.whole = *down;
    }
    sim
}

/// What both ends say of each path: of packets to the server and back.
fn assert_found(sim: &Sim, lens: &[(usize, usize)], overhead: usize) {
    let now = sim.instant();
    let view = |sent: usize, received: usize| WholeView {
        sent_octets: Some(sent - overhead),
        received_octets: Some(received - overhead),
    };
    for (number, (up, down)) in lens.iter().enumerate() {
        let [client, server] =
            [sim.client(0), sim.server()].map(|end| end.snapshot(now).peers[0].paths[number].largest_whole);
        assert_eq!(client, view(*up, *down), "path {number} at the client");
        assert_eq!(server, view(*down, *up), "path {number} at the server");
    }
}

#[test]
fn both_ends_find_out_what_crosses_each_path_whole_each_way() {
    let lens = [(1472, 1472), (1412, 1252), (600, 1473), (LARGEST, 1464)];
    for (security, overhead) in [(crate::sim::setup::encrypted(), OVERHEADS[0]), (plain(), OVERHEADS[1])] {
        let setup = paths(&lens).with(security);
        let mut sim = connect(&setup, &lens, 1);
        sim.streams(APP, 50);
        sim.run_for(30 * SECOND);
        assert_found(&sim, &lens, overhead);
        assert_eq!(sim.record(APP, Way::Up).lost(3 * SECOND, sim.now - SECOND).1, 0);
    }
}

#[test]
fn what_is_lost_or_overtaken_on_the_way_is_not_taken_for_too_long_in_the_long_run() {
    let lens = [(1452, 1432), (1432, 1412)];
    for seed in 0..2 {
        let mut setup = paths(&lens);
        setup.ipv6 = true;
        for faults in &mut setup.bridges {
            *faults = Faults { loss: 0.2, jitter: Duration::from_millis(30), reorder: true, ..*faults };
        }
        let mut sim = connect(&setup, &lens, seed);
        sim.streams(APP, 20);
        // A mistake of the first search, before much is known of the loss, is found in the next.
        sim.run_for(11 * 60 * SECOND);
        assert_found(&sim, &lens, OVERHEADS[0]);
    }
}

#[test]
fn what_has_changed_is_found_within_ten_minutes_and_on_a_path_that_comes_back_at_once() {
    let lens = [(1472, 1472); 2];
    let mut sim = connect(&paths(&lens), &lens, 1);
    sim.streams(APP, 20);
    sim.run_for(20 * SECOND);
    assert_found(&sim, &lens, OVERHEADS[0]);
    let narrow = [(1400, 1300), (1472, 1472)];
    (sim.bridges[0].up.faults.whole, sim.bridges[0].down.faults.whole) = narrow[0];
    sim.run_for(11 * 60 * SECOND);
    assert_found(&sim, &narrow, OVERHEADS[0]);
    let other = [(1400, 1300), (1432, 1452)];
    sim.bridges[1].set_dead(true);
    sim.run_for(15 * SECOND);
    sim.bridges[1].set_dead(false);
    (sim.bridges[1].up.faults.whole, sim.bridges[1].down.faults.whole) = other[1];
    sim.run_for(60 * SECOND);
    assert_found(&sim, &other, OVERHEADS[0]);
}

#[test]
fn a_restarted_server_finds_out_anew_what_it_sends_and_knows_what_it_receives() {
    let lens = [(1412, 1432); 2];
    let mut sim = connect(&paths(&lens), &lens, 1);
    sim.streams(APP, 20);
    for _ in 0..3 {
        sim.run_for(30 * SECOND);
        assert_found(&sim, &lens, OVERHEADS[0]);
        sim.kill_server();
        sim.run_for(SECOND);
        sim.start_server();
    }
}

#[test]
fn finding_out_costs_a_few_kilobytes_at_the_start_and_each_ten_minutes() {
    for whole in [1472, 1411] {
        let lens = [(whole, whole)];
        let mut sim = connect(&paths(&lens), &lens, 1);
        // Nothing flows: what is longer than a control packet is padded.
        let padding = |sim: &Sim| {
            let lines = [&sim.bridges[0].up, &sim.bridges[0].down];
            lines.iter().map(|line| line.entered_len - line.entered * 100).sum::<u64>()
        };
        sim.run_for(9 * 60 * SECOND);
        assert_found(&sim, &lens, OVERHEADS[0]);
        let start = padding(&sim);
        assert!(start < 60_000, "{start} octets both ways for packets of {whole}");
        sim.run_for(3600 * SECOND);
        let repeated = (padding(&sim) - start) / 6;
        assert!(repeated < 15_000, "{repeated} octets each ten minutes for packets of {whole}");
    }
}
