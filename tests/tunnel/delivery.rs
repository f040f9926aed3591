//! Datagrams arrive once, unchanged, and are lost only where every path loses them.

use std::time::Duration;

use crate::sim::network::Faults;
use crate::sim::seeds::{plausible, seeds};
use crate::sim::setup::{Setup, encrypted, keyed, plain};
use crate::sim::traffic::{APP, Way};
use crate::sim::{Sim, Stream};

const SECOND: Duration = Duration::from_secs(1);

/// Of fifty checks at 99.9 %, one in twenty tables would fail by chance.
const TABLE: f64 = 0.99999;

/// Sends about `count` datagrams each way, `per_second` of them, and tells how many were sent and lost each way.
fn exchange(sim: &mut Sim, count: u32, per_second: u32) -> [(usize, usize); 2] {
    let start = sim.now;
    let streams = sim.streams(APP, per_second);
    sim.run_for(SECOND * count / per_second);
    sim.stop(streams);
    sim.run_for(SECOND);
    [Way::Up, Way::Down].map(|way| sim.record(APP, way).lost(start, Duration::MAX))
}

fn lossy(paths: usize, loss: f64) -> Setup {
    let delays = [40, 25, 60, 90].map(Duration::from_millis);
    Setup::new(delays.into_iter().take(paths).map(|rtt| Faults::new(rtt, loss)))
}

#[test]
fn three_paths_that_lose_a_tenth_lose_a_thousandth_together() {
    let bridges = lossy(3, 0.1);
    let cases = [
        ("encrypted, no key", bridges.clone().with(encrypted())),
        ("encrypted, with key", bridges.clone().with(keyed(1))),
        ("MPTUNNEL_ENCRYPT=0", bridges.clone().with(plain())),
        ("IPv6", Setup { ipv6: true, ..bridges }),
    ];
    for (seed, (name, setup)) in (0..).zip(cases) {
        for (way, (sent, lost)) in
            [Way::Up, Way::Down].into_iter().zip(exchange(&mut setup.connect(seed), 20_000, 1000))
        {
            println!("{name}, {way:?}: {lost} of {sent} lost");
            assert!(sent >= 20_000);
            assert!(
                plausible(lost, sent, 0.001, 0.999),
                "{name}, {way:?}: {lost} of {sent} lost, expected one in a thousand"
            );
        }
    }
}

#[test]
fn what_is_lost_is_the_product_of_what_the_paths_lose() {
    for (seed, loss) in (0..).zip([0.0, 0.01, 0.05, 0.1, 0.2, 0.3]) {
        for paths in 1..=4 {
            let [up, down] = exchange(&mut lossy(paths, loss).connect(seed), 2000, 200);
            let expected = loss.powi(paths as i32);
            println!("{paths} paths losing {loss}: {up:?} {down:?}, expected {expected:.5}");
            for (sent, lost) in [up, down] {
                assert!(
                    plausible(lost, sent, expected, TABLE),
                    "{paths} paths losing {loss}: {lost} of {sent} lost"
                );
            }
        }
    }
}

#[test]
fn whatever_a_network_does_each_datagram_arrives_once_if_any_path_carries_it() {
    let wild = Faults {
        delay: Duration::from_millis(20),
        jitter: Duration::from_millis(200),
        reorder: true,
        loss: 0.2,
        mean_burst: 8.0,
        duplicate: 0.3,
        ..Faults::default()
    };
    let clean = Faults::new(Duration::from_millis(600), 0.0);
    seeds(10, |seed| {
        let mut setup = Setup::new([wild, clean, wild]);
        setup.ipv6 = seed % 2 == 1;
        let mut sim = setup.connect(seed);
        let start = sim.now;
        let streams = [Way::Up, Way::Down].map(|way| {
            let every = Duration::from_millis(7);
            sim.stream(Stream { app: APP, way, every, burst: 4, len: 12..=1500 })
        });
        sim.run_for(3 * SECOND);
        sim.stop(streams);
        sim.run_for(SECOND);
        for way in [Way::Up, Way::Down] {
            let (sent, lost) = sim.record(APP, way).lost(start, Duration::MAX);
            assert!(sent > 1500 && lost == 0, "{way:?}: {lost} of {sent} lost");
        }
    });
}

#[test]
fn a_datagram_is_delivered_when_its_first_copy_arrives() {
    let delays = [300, 10, 120].map(Duration::from_millis);
    let mut sim = Setup::new(delays.map(|rtt| Faults::new(rtt, 0.0))).connect(1);
    exchange(&mut sim, 200, 100);
    for way in [Way::Up, Way::Down] {
        let record = sim.record(APP, way);
        for ((sent, _), delivered) in record.sent.iter().zip(&record.delivered).skip(1) {
            assert_eq!(delivered.map(|at| at - *sent), Some(Duration::from_millis(5)), "{way:?}");
        }
    }
}

#[test]
fn two_runs_of_a_seed_are_the_same() {
    let run = |seed| {
        let mut sim = lossy(3, 0.1).connect(seed);
        exchange(&mut sim, 200, 100);
        sim.trace
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}
