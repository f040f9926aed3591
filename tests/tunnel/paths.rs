//! No path's trouble costs what another carries, and what comes back carries again.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use mptunnel::tunnel::Tunnel;
use mptunnel::tunnel::wire::Reject;

use crate::sim::network::Faults;
use crate::sim::seeds::{ms, seeds};
use crate::sim::setup::Setup;
use crate::sim::traffic::{APP, Way};
use crate::sim::{Sim, Stream};

const SECOND: Duration = Duration::from_secs(1);
const RTT: Duration = Duration::from_millis(30);

fn three_clean() -> Setup {
    Setup::new([Faults::new(RTT, 0.0); 3])
}

/// Asserts that nothing sent since `start` was lost, but for what is under way.
fn assert_lossless(sim: &Sim, start: Duration, what: &str) {
    for way in [Way::Up, Way::Down] {
        let until = sim.now - RTT;
        let (sent, lost) = sim.record(APP, way).lost(start, until);
        assert!(sent > 0 && lost == 0, "{what}: {lost} of {sent} lost, {way:?}");
    }
}

#[test]
fn a_dead_bridge_costs_nothing_and_carries_again_within_two_seconds_of_its_return() {
    let mut worst = [Duration::ZERO; 2];
    seeds(10, |seed| {
        for (gap, new_port) in [1, 15, 100].into_iter().flat_map(|gap| [(gap, false), (gap, true)]) {
            let mut sim = three_clean().connect(seed);
            sim.streams(APP, 50);
            let start = sim.now;
            sim.bridges[0].set_dead(true);
            sim.run_for(SECOND * gap);
            if new_port {
                sim.bridges[0].rebind();
            }
            sim.bridges[0].set_dead(false);
            let before = [sim.bridges[0].up.carried, sim.bridges[0].down.carried];
            let back = sim.now;
            let mut carries = |index: usize, since: [u64; 2]| {
                let holds = |sim: &mut Sim| {
                    [sim.bridges[0].up.carried, sim.bridges[0].down.carried][index] > since[index]
                };
                let took = sim.run_until(2 * SECOND, holds);
                took.unwrap_or_else(|| {
                    panic!("gone for {gap} s, new port {new_port}: way {index} carries nothing")
                });
                sim.now - back
            };
            // One after the other on one clock: the second figure is never below the first.
            let took = [carries(0, before), carries(1, before)];
            worst = std::array::from_fn(|way| worst[way].max(took[way]));
            sim.run_for(RTT);
            assert_lossless(&sim, start, "one bridge of three dead");
            // It carries indeed: the others are cut.
            sim.bridges[1].set_dead(true);
            sim.bridges[2].set_dead(true);
            let alone = sim.now;
            sim.run_for(5 * SECOND);
            assert_lossless(&sim, alone, "the returned bridge alone");
        }
    });
    println!("a returned bridge carries up after {}, both ways after {}", ms(worst[0]), ms(worst[1]));
    assert!(worst[1] <= 2 * SECOND);
}

#[test]
fn a_bridge_that_is_dead_in_one_direction_costs_nothing_in_the_other() {
    seeds(5, |seed| {
        for dead_way in [Way::Up, Way::Down] {
            let mut sim = three_clean().connect(seed);
            sim.streams(APP, 50);
            let start = sim.now;
            sim.bridges[0].line(dead_way).dead = true;
            sim.run_for(60 * SECOND);
            sim.bridges[0].set_dead(false);
            sim.run_for(2 * SECOND);
            assert_lossless(&sim, start, "one direction dead");
            let alone = sim.now;
            sim.bridges[1].set_dead(true);
            sim.bridges[2].set_dead(true);
            sim.run_for(3 * SECOND);
            assert_lossless(&sim, alone, "both directions again");
        }
    });
}

#[test]
fn two_paths_that_each_have_one_direction_carry_both_for_a_while() {
    // Whichever of the two is noticed first.
    seeds(20, |seed| {
        let mut sim = Setup::new([Faults::new(RTT, 0.0); 2]).connect(seed);
        sim.streams(APP, 50);
        let start = sim.now;
        sim.bridges[0].up.dead = true;
        sim.bridges[1].down.dead = true;
        sim.run_for(9 * SECOND);
        assert_lossless(&sim, start, "one direction each");
    });
}

#[test]
fn every_nat_between_may_give_all_paths_new_addresses_at_once() {
    seeds(10, |seed| {
        let mut sim = three_clean().connect(seed);
        sim.streams(APP, 50);
        sim.run_for(SECOND);
        sim.bridges.iter_mut().for_each(|bridge| bridge.rebind());
        sim.run_for(SECOND);
        let start = sim.now;
        sim.run_for(3 * SECOND);
        assert_lossless(&sim, start, "a second after all addresses changed");
        assert_eq!(sim.flow_addresses(APP).len(), 1, "the target must not notice");
    });
}

#[test]
fn a_path_whose_address_changes_all_the_time_costs_nothing() {
    let mut sim = three_clean().connect(1);
    sim.streams(APP, 50);
    let start = sim.now;
    for _ in 0..1000 {
        sim.run_for(SECOND / 20);
        sim.bridges[0].rebind();
    }
    assert_lossless(&sim, start, "a path without a constant address");
}

#[test]
fn a_slow_path_delays_nothing_and_an_overloaded_one_loses_nothing() {
    seeds(5, |seed| {
        let slow = Faults { jitter: 2 * SECOND, reorder: true, ..Faults::new(4 * SECOND, 0.5) };
        let mut sim = Setup::new([Faults::new(RTT, 0.0), slow]).connect(seed);
        let start = sim.now;
        sim.streams(APP, 100);
        sim.run_for(20 * SECOND);
        assert_lossless(&sim, start, "one fast path, one slow");
    });
}

/// Its answers come later than a path is called silent, and by then another socket is tried.
#[test]
fn a_path_that_becomes_slow_is_heard_at_the_socket_that_it_had() {
    for slower in [2 * SECOND, 4 * SECOND] {
        let mut sim = three_clean().connect(1);
        sim.streams(APP, 100);
        sim.run_for(10 * SECOND);
        sim.bridges[2].up.faults.delay += slower;
        sim.bridges[2].down.faults.delay += slower;
        // The first answer comes after two of those, and until then all copies of the way back are late.
        sim.run_for(2 * slower + SECOND);
        let brought = |sim: &Sim| sim.client(0).received().next().expect("the server").0[2].copies;
        let before = brought(&sim);
        sim.run_for(10 * SECOND);
        let copies = brought(&sim) - before;
        assert!(copies > 700, "{slower:?} slower each way: {copies} of 1000 copies came");
    }
}

// ---- names ----

fn named(answers: Vec<(Duration, Result<Vec<SocketAddr>, String>)>) -> Setup {
    let mut setup = three_clean();
    setup.bridge_names = HashMap::from([(0, "bridge.example")]);
    setup.names = HashMap::from([("bridge.example".to_owned(), answers)]);
    setup
}

fn run_named(setup: &Setup, seed: u64, time: Duration) -> Sim {
    let mut sim = setup.connect(seed);
    let start = sim.now;
    sim.streams(APP, 20);
    sim.run_for(time);
    assert_lossless(&sim, start, "a bridge with a name");
    sim
}

#[test]
fn a_bridge_whose_name_does_not_resolve_costs_its_own_path_alone() {
    for answers in [vec![], vec![(Duration::ZERO, Ok(Vec::new()))]] {
        let sim = run_named(&named(answers), 1, 60 * SECOND);
        assert_eq!(sim.bridges[0].up.carried, 0);
        assert!(sim.bridges[1].up.carried > 1000 && sim.bridges[2].down.carried > 1000);
    }
}

#[test]
fn a_name_that_resolves_late_gives_its_path() {
    let address = three_clean().bridge_address(0);
    let setup = named(vec![(45 * SECOND, Ok(vec![address]))]);
    let mut sim = run_named(&setup, 1, 130 * SECOND);
    sim.bridges[1].set_dead(true);
    sim.bridges[2].set_dead(true);
    let alone = sim.now;
    sim.run_for(3 * SECOND);
    assert_lossless(&sim, alone, "the named bridge alone");
}

#[test]
fn a_slow_look_up_delays_no_other_path() {
    let setup = Setup { name_delay: 20 * SECOND, ..named(vec![]) };
    let mut sim = setup.start(1);
    sim.send(APP, Way::Up, 100);
    assert!(sim.run_until(SECOND, |sim| sim.record(APP, Way::Up).count == 1).is_some());
}

#[test]
fn of_two_addresses_the_one_that_lives_is_found() {
    let dead = SocketAddr::from(([192, 0, 2, 99], 4000));
    let address = three_clean().bridge_address(0);
    for addresses in [vec![dead, address], vec![address, dead], vec![dead, dead, address]] {
        let setup = named(vec![(Duration::ZERO, Ok(addresses))]);
        let mut sim = run_named(&setup, 1, 30 * SECOND);
        sim.bridges[1].set_dead(true);
        sim.bridges[2].set_dead(true);
        let alone = sim.now;
        sim.run_for(20 * SECOND);
        assert_lossless(&sim, alone, "the named bridge alone");
    }
}

#[test]
fn a_bridge_that_moves_is_followed_by_its_name() {
    let old = SocketAddr::from(([192, 0, 2, 99], 4000));
    let address = three_clean().bridge_address(0);
    let setup = named(vec![(Duration::ZERO, Ok(vec![old])), (100 * SECOND, Ok(vec![address]))]);
    let mut sim = run_named(&setup, 1, 100 * SECOND);
    assert_eq!(sim.bridges[0].up.carried, 0);
    let followed = sim.run_until(150 * SECOND, |sim| sim.bridges[0].down.carried > 0);
    println!("a moved name was followed after {followed:?}");
    assert!(followed.is_some());
}

#[test]
fn a_target_whose_name_resolves_late_is_served_then() {
    let mut setup = three_clean();
    setup.target_name = Some("target.example");
    let target = SocketAddr::from(([198, 51, 100, 2], 1194));
    setup.names = HashMap::from([("target.example".to_owned(), vec![(10 * SECOND, Ok(vec![target]))])]);
    let mut sim = setup.start(1);
    sim.stream(Stream::new(APP, Way::Up, 20));
    sim.run_for(10 * SECOND);
    // The server says so, and is not asked with each of them.
    let rejected = |tunnel: &Tunnel| tunnel.counters().rejected(Reject::NoTarget);
    assert!(rejected(sim.client(0)) > 100 && (5..20).contains(&rejected(sim.server())));
    assert_eq!(sim.record(APP, Way::Up).count, 0);
    sim.run_for(3 * SECOND);
    assert!(sim.record(APP, Way::Up).count >= 10);
}

#[test]
fn a_path_carries_however_long_its_round_trip_becomes() {
    let mut sim = Setup::new([Faults::new(Duration::from_millis(100), 0.0)]).connect(1);
    sim.streams(APP, 10);
    let line = &mut sim.bridges[0];
    for faults in [&mut line.up.faults, &mut line.down.faults] {
        faults.delay = Duration::from_millis(1700);
    }
    let start = sim.now;
    sim.run_for(60 * SECOND);
    for way in [Way::Up, Way::Down] {
        let (sent, lost) = sim.record(APP, way).lost(start, sim.now - 5 * SECOND);
        assert!(sent > 500 && lost == 0, "{lost} of {sent} lost {way:?}");
    }
}
