//! Applications and clients are kept apart, and what nobody uses ends.

use std::time::Duration;

use crate::sim::network::Faults;
use crate::sim::seeds::seeds;
use crate::sim::setup::Setup;
use crate::sim::traffic::{APP, App, Way};
use crate::sim::{Sim, Stream};

const SECOND: Duration = Duration::from_secs(1);

fn setup(loss: f64) -> Setup {
    Setup { echo: true, ..Setup::new([20, 35, 50].map(|rtt| Faults::new(Duration::from_millis(rtt), loss))) }
}

fn assert_all_delivered(sim: &Sim, app: App) {
    for way in [Way::Up, Way::Down] {
        let (sent, lost) = sim.record(app, way).lost(Duration::ZERO, sim.now - SECOND);
        assert!(sent > 10 && lost == 0, "{app:?}, {way:?}: {lost} of {sent} lost");
    }
}

#[test]
fn ten_applications_at_each_of_three_clients_get_their_own_replies_only() {
    // Who gets what is checked at every delivery; here it is enough that all of it arrives.
    seeds(3, |seed| {
        let mut sim = Setup { clients: 3, ..setup(0.0) }.connect(seed);
        let apps: Vec<_> =
            (0..3).flat_map(|client| (0..10).map(move |number| App { client, number })).collect();
        for app in &apps {
            sim.stream(Stream::new(*app, Way::Up, 20));
        }
        sim.run_for(5 * SECOND);
        for app in apps {
            assert_all_delivered(&sim, app);
            assert_eq!(sim.flow_addresses(app).len(), 1);
        }
    });
}

#[test]
fn one_clients_restart_and_bad_paths_are_not_felt_by_the_others() {
    let mut sim = Setup { clients: 3, ..setup(0.0) }.connect(1);
    for client in 0..3 {
        sim.stream(Stream::new(App { client, number: 0 }, Way::Up, 20));
    }
    for _ in 0..5 {
        sim.kill_client(1);
        sim.run_for(2 * SECOND);
        sim.start_client(1);
        sim.run_for(2 * SECOND);
    }
    for client in [0, 2] {
        assert_all_delivered(&sim, App { client, number: 0 });
    }
    assert_eq!(sim.flow_addresses(App { client: 1, number: 0 }).len(), 6, "each start is a new client");
}

#[test]
fn a_flow_ends_after_five_idle_minutes_and_not_before() {
    let mut sim = setup(0.0).connect(1);
    let busy = App { client: 0, number: 1 };
    sim.send(APP, Way::Up, 100);
    sim.run_for(SECOND);
    let last = sim.now - SECOND;
    sim.stream(Stream { every: 60 * SECOND, ..Stream::new(busy, Way::Up, 1) });
    let address = sim.flow_addresses(APP)[0];
    sim.run_for(299 * SECOND - SECOND);
    assert!(sim.closed.is_empty(), "{:?}", sim.closed);
    sim.send(APP, Way::Down, 100);
    // At the server it lasts ten seconds longer, so that no client counts on a flow that is gone.
    sim.run_for(309 * SECOND);
    assert!(sim.closed.is_empty(), "the target's datagrams keep a flow, too");
    sim.run_for(4 * SECOND);
    assert_eq!(sim.closed.iter().map(|(_, closed)| *closed).collect::<Vec<_>>(), [address]);
    assert!(sim.now - last > 310 * SECOND);
    // It begins anew, from another address at the target.
    sim.send(APP, Way::Up, 100);
    sim.run_for(SECOND);
    assert_eq!(sim.flow_addresses(APP).len(), 2);
    assert_eq!(sim.flow_addresses(busy).len(), 1);
    let (sent, lost) = sim.record(APP, Way::Up).lost(Duration::ZERO, Duration::MAX);
    assert!(sent >= 3 && lost == 0, "{lost} of {sent} lost");
}

#[test]
fn a_stranger_cannot_speak_into_a_flow() {
    let mut sim = setup(0.0).connect(1);
    sim.send(APP, Way::Up, 100);
    sim.run_for(SECOND);
    let flow = sim.flow_addresses(APP)[0];
    let refused = |sim: &Sim| sim.server().counters().rejected(mptunnel::tunnel::wire::Reject::UnknownFlow);
    let before = refused(&sim);
    // The application would take whatever comes out of the tunnel as the target's.
    for len in [0, 1, 12, 1000] {
        sim.inject(sim.now, ([203, 0, 113, 5], 1194).into(), flow, vec![1; len]);
    }
    sim.run_for(SECOND);
    assert_eq!(refused(&sim) - before, 4);
}
