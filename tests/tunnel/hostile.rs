//! Strangers who see and send what they like: they block nothing, move nothing, create nothing and gain nothing.

use std::rc::Rc;
use std::time::Duration;

use crate::sim::network::Faults;
use crate::sim::seeds::seeds;
use crate::sim::setup::{Setup, encrypted, keyed, plain};
use crate::sim::traffic::{APP, App, Way};
use crate::sim::villain::{
    Trick, Villain, alter, noise, overtake, overtake_from_nowhere, own_one_bridge, reflect, replay,
};
use crate::sim::{Sim, Stream};

const SECOND: Duration = Duration::from_secs(1);
/// So many packets of each kind and direction a trick is played with, and then with every thirtieth.
const THOROUGHLY: u32 = 40;

/// Two clients connect and talk under a trick. Returns what strangers got.
pub(super) fn under_attack(setup: &Setup, seed: u64, trick: Trick) -> (Sim, Vec<Vec<u8>>) {
    let mut sim = Setup { clients: 2, ..setup.clone() }.start(seed);
    let villain = Villain::new(seed, trick, THOROUGHLY);
    let got = Rc::clone(&villain.got);
    sim.attacker = Some(Box::new(villain));
    sim.warm_up();
    let carried =
        |sim: &Sim| -> Vec<u64> { sim.bridges.iter().flat_map(|b| [b.up.carried, b.down.carried]).collect() };
    let before = carried(&sim);
    let start = sim.now;
    let apps = [APP, App { client: 1, number: 0 }];
    let streams = apps.map(|app| [Way::Up, Way::Down].map(|way| sim.stream(Stream::new(app, way, 25))));
    sim.run_for(30 * SECOND);
    for streams in streams {
        sim.stop(streams);
    }
    sim.run_for(SECOND);
    let mut sent_in_all = [0; 2];
    for app in apps {
        for way in [Way::Up, Way::Down] {
            let (sent, lost) = sim.record(app, way).lost(start, Duration::MAX);
            assert!(sent >= 700 && lost == 0, "{app:?}, {way:?}: {lost} of {sent} lost under attack");
            assert_eq!(sim.flow_addresses(app).len(), 1);
            sent_in_all[way as usize] += sent as u64;
        }
    }
    // Not only did each datagram arrive: every path carried every one of them. Who is faster from a path's
    // beginning may have it go through another bridge, until its own has missed nothing for a while.
    let carried: Vec<_> = carried(&sim).iter().zip(before).map(|(now, before)| now - before).collect();
    for (way, sent) in sent_in_all.into_iter().enumerate() {
        let carried = carried.iter().skip(way).step_by(2);
        assert_eq!(carried.clone().sum::<u64>(), 3 * sent, "copies, up or down: {carried:?}");
        assert!(carried.clone().all(|copies| 20 * copies >= 19 * sent), "{carried:?}");
    }
    let got = got.borrow().clone();
    assert!(
        got.iter().all(|octets| [3, 5].contains(&octets[0])),
        "strangers get replies and responses at most"
    );
    (sim, got)
}

pub(super) fn setups() -> [Setup; 3] {
    let bridges = Setup::new([20, 26, 34].map(|rtt| Faults::new(Duration::from_millis(rtt), 0.0)));
    [bridges.clone().with(encrypted()), bridges.clone().with(keyed(1)), bridges.with(plain())]
}

#[test]
fn altered_packets_harm_nobody() {
    // Without encryption nothing tells an altered datagram from a real one; that is what the variable's name says.
    let [encrypted, keyed, _] = setups();
    seeds(3, |seed| {
        under_attack(&encrypted, seed, alter);
        let (_, got) = under_attack(&keyed, seed, alter);
        assert!(got.is_empty(), "with a key, what is altered is not answered");
    });
}

#[test]
fn replayed_packets_harm_nobody() {
    seeds(3, |seed| {
        for setup in setups() {
            under_attack(&setup, seed, replay);
        }
    });
}

#[test]
fn a_packet_that_overtakes_itself_from_another_address_harms_nobody() {
    seeds(3, |seed| {
        for setup in setups() {
            under_attack(&setup, seed, overtake);
        }
    });
}

#[test]
fn reflected_packets_harm_nobody() {
    seeds(3, |seed| {
        for setup in setups() {
            under_attack(&setup, seed, reflect);
        }
    });
}

#[test]
fn noise_harms_nobody() {
    seeds(3, |seed| {
        for setup in &setups()[..2] {
            under_attack(setup, seed, noise);
        }
    });
}

#[test]
fn whoever_owns_one_bridge_harms_no_other() {
    seeds(3, |seed| {
        for setup in &setups()[..2] {
            let mut sim = setup.start(seed);
            let villain = Villain::new(seed, own_one_bridge, u32::MAX);
            sim.attacker = Some(Box::new(villain));
            sim.warm_up();
            let start = sim.now;
            sim.streams(APP, 50);
            sim.run_for(60 * SECOND);
            for way in [Way::Up, Way::Down] {
                let (sent, lost) = sim.record(APP, way).lost(start, sim.now - SECOND);
                assert!(sent > 2000 && lost == 0, "{way:?}: {lost} of {sent} lost");
            }
        }
    });
}

#[test]
fn an_observer_who_is_always_faster_stops_nothing() {
    seeds(3, |seed| {
        for setup in setups() {
            let mut sim = setup.connect(seed);
            sim.attacker = Some(Box::new(Villain::new(seed, overtake_from_nowhere, u32::MAX)));
            let start = sim.now;
            sim.streams(APP, 50);
            sim.run_for(60 * SECOND);
            for way in [Way::Up, Way::Down] {
                let (sent, lost) = sim.record(APP, way).lost(start, sim.now - SECOND);
                assert!(sent > 2000 && lost == 0, "{way:?}: {lost} of {sent} lost");
            }
        }
    });
}
