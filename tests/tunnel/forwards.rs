//! Flows that name their target, and what is left of them when an end is started again.

use std::time::Duration;

use mptunnel::tunnel::snapshot::ForwardView;
use mptunnel::tunnel::wire::{MAX_DATAGRAM_LEN, Reject};

use crate::sim::network::Faults;
use crate::sim::seeds::seeds;
use crate::sim::setup::{Setup, encrypted, plain};
use crate::sim::traffic::{APP, App, Way};
use crate::sim::{Sim, Stream, forwarded};

const SECOND: Duration = Duration::from_secs(1);

fn setup(loss: f64) -> Setup {
    let bridges = [20, 35, 50].map(|rtt| Faults::new(Duration::from_millis(rtt), loss));
    Setup { forwards: 2, ..Setup::new(bridges) }
}

fn app(target: u16, number: u16) -> App {
    App { client: 0, number: forwarded(target) + number }
}

fn assert_all_delivered(sim: &Sim, app: App, from: Duration) {
    for way in [Way::Up, Way::Down] {
        let (sent, lost) = sim.record(app, way).lost(from, sim.now - SECOND);
        assert!(sent > 10 && lost == 0, "{app:?}, {way:?}: {lost} of {sent} lost");
    }
}

#[test]
fn applications_of_two_forwards_and_the_plain_listener_speak_with_their_targets_only() {
    // Whose datagram comes to which target, and through which listener its answer, is checked at every delivery.
    seeds(3, |seed| {
        for security in [encrypted(), plain()] {
            let mut sim = Setup { echo: true, ..setup(0.0) }.with(security).connect(seed);
            let apps: Vec<_> =
                (0..3).flat_map(|target| (0..5).map(move |number| app(target, number))).collect();
            for app in &apps {
                sim.stream(Stream::new(*app, Way::Up, 20));
            }
            sim.run_for(5 * SECOND);
            for app in apps {
                assert_all_delivered(&sim, app, Duration::ZERO);
                assert_eq!(sim.flow_addresses(app).len(), 1);
            }
        }
    });
}

#[test]
fn the_snapshot_of_a_client_names_its_forwards_and_that_of_a_server_none() {
    let mut sim = setup(0.0).connect(1);
    sim.run_for(SECOND);
    let [client, server] = sim.snapshots();
    assert_eq!((client.forwards.len(), server.forwards.len()), (2, 0));
    assert!(client.forwards.iter().all(|forward| forward.listen != client.listen), "{:?}", client.forwards);
    // The simulated targets are at this port, and no listener is.
    let is_target = |address: &str| address.ends_with(":1194");
    let right = |forward: &ForwardView| is_target(&forward.target) && !is_target(&forward.listen);
    assert!(client.forwards.iter().all(right), "{:?}", client.forwards);
    assert_ne!(client.forwards[0].target, client.forwards[1].target);
}

#[test]
fn the_first_datagram_of_a_flow_takes_no_longer_than_any_other() {
    let mut sim = setup(0.0).connect(1);
    let start = sim.now;
    sim.send(app(1, 0), Way::Up, 100);
    sim.run_for(SECOND);
    let delay = sim.record(app(1, 0), Way::Up).first_after(start).expect("it arrives") - start;
    assert_eq!(delay, Duration::from_millis(10), "half the round trip of the fastest path");
}

#[test]
fn the_target_sees_the_same_address_after_the_server_was_started_again() {
    seeds(5, |seed| {
        let mut sim = setup(0.05).connect(seed);
        let apps: Vec<_> = (0..3).map(|target| app(target, 1)).collect();
        for app in &apps {
            sim.streams(*app, 20);
        }
        sim.run_for(SECOND);
        for gap in [200, 3000] {
            sim.kill_server();
            sim.run_for(Duration::from_millis(gap));
            sim.start_server();
            sim.run_for(3 * SECOND);
        }
        for app in apps {
            assert_eq!(sim.flow_addresses(app).len(), 1, "{app:?}");
        }
    });
}

#[test]
fn what_the_target_sends_arrives_after_the_server_was_started_again_though_the_application_is_silent() {
    seeds(5, |seed| {
        let mut sim = setup(0.0).connect(seed);
        sim.send(APP, Way::Up, 100);
        sim.send(app(1, 0), Way::Up, 100);
        sim.run_for(SECOND);
        // Its answer, which makes the flow an open one at the client, may come with the second datagram.
        sim.send(app(1, 0), Way::Up, 100);
        sim.run_for(SECOND);
        sim.kill_server();
        sim.run_for(SECOND);
        sim.start_server();
        sim.run_for(3 * SECOND);
        let start = sim.now;
        for app in [APP, app(1, 0)] {
            sim.stream(Stream::new(app, Way::Down, 20));
        }
        sim.run_for(3 * SECOND);
        for app in [APP, app(1, 0)] {
            let (sent, lost) = sim.record(app, Way::Down).lost(start, sim.now - SECOND);
            assert!(sent > 10 && lost == 0, "{lost} of {sent} lost");
        }
    });
}

#[test]
fn a_first_datagram_that_is_too_large_to_name_its_target_waits_for_the_answer() {
    for target in 0..3 {
        let mut sim = setup(0.0).connect(1);
        let start = sim.now;
        for len in [MAX_DATAGRAM_LEN, MAX_DATAGRAM_LEN - 1, 100] {
            sim.send(app(target, 7), Way::Up, len);
        }
        sim.run_for(SECOND);
        assert_eq!(sim.record(app(target, 7), Way::Up).lost(start, Duration::MAX), (3, 0));
        assert_eq!(sim.client(0).holdings().waiting, 0);
    }
}

#[test]
fn ten_thousand_applications_at_one_client_have_a_flow_each_also_after_the_server_was_started_again() {
    const APPS: u16 = 10_000;
    let faults = Faults::new(Duration::from_millis(20), 0.0);
    let mut sim = Setup { echo: true, max_flows: APPS.into(), ..Setup::new([faults]) }.connect(1);
    let apps = || (0..APPS).map(|number| App { client: 0, number });
    let all_speak = |sim: &mut Sim| {
        let start = sim.now;
        for app in apps() {
            sim.send(app, Way::Up, 40);
            // As they would come in, a hundred each 10 ms.
            if app.number % 100 == 0 {
                sim.run_for(Duration::from_millis(10));
            }
        }
        sim.run_for(SECOND);
        for app in apps() {
            for way in [Way::Up, Way::Down] {
                let (sent, lost) = sim.record(app, way).lost(start, Duration::MAX);
                assert!(sent >= 1 && lost == 0, "{app:?}, {way:?}: {lost} of {sent} lost");
            }
        }
    };
    all_speak(&mut sim);
    all_speak(&mut sim);
    assert_eq!(sim.server().holdings().flows, usize::from(APPS));
    sim.send(App { client: 0, number: APPS }, Way::Up, 40);
    assert_eq!(sim.client(0).counters().rejected(Reject::FlowLimit), 1);
    sim.kill_server();
    sim.start_server();
    sim.run_for(3 * SECOND);
    assert_eq!(sim.server().holdings().flows, usize::from(APPS), "all are there before anybody speaks");
    all_speak(&mut sim);
    assert!(apps().all(|app| sim.flow_addresses(app).len() == 1), "at the same addresses");
}
