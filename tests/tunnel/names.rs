//! Names: looked up as soon as a bridge owes answers, and followed to where they point then.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mptunnel::tunnel::Tunnel;
use mptunnel::tunnel::link::{Endpoint, Event, Host};
use mptunnel::tunnel::role::{Bridge, ClientRole, Config};
use rand::{SeedableRng, rngs::StdRng};

use crate::sim::network::Faults;
use crate::sim::seeds::{ms, seeds};
use crate::sim::setup::{Answers, Setup, encrypted};
use crate::sim::traffic::{APP, Way};

const SECOND: Duration = Duration::from_secs(1);
const RTT: Duration = Duration::from_millis(30);

/// How soon a name is to be followed, from when its old address fell silent.
const FOLLOWED: Duration = Duration::from_secs(5);

/// Bridges of which the first is known by its name, and the second only as what that name may mean.
fn named(count: usize, answers: impl Fn(&Setup) -> Answers) -> Setup {
    let mut setup = Setup::new(vec![Faults::new(RTT, 0.0); count]);
    setup.bridge_names = HashMap::from([(0, "bridge.example"), (1, "nobody.example")]);
    setup.names = HashMap::from([("bridge.example".to_owned(), answers(&setup))]);
    setup
}

/// The first bridge until so many seconds have passed, the second from then on.
fn moves_at(seconds: u32) -> impl Fn(&Setup) -> Answers {
    move |setup| {
        let at = |bridge| Ok(vec![setup.bridge_address(bridge)]);
        vec![(Duration::ZERO, at(0)), (SECOND * seconds, at(1))]
    }
}

#[test]
fn the_name_of_the_only_path_is_followed_within_five_seconds() {
    let mut slowest = Duration::ZERO;
    // Also when its first look-up was just before.
    for (per_second, moved_at) in [(100, 20), (1, 20), (100, 3)] {
        seeds(10, |seed| {
            let mut sim = named(2, moves_at(moved_at)).connect(seed);
            sim.streams(APP, per_second);
            sim.run_for((SECOND * moved_at).saturating_sub(sim.now));
            sim.bridges[0].set_dead(true);
            let carries = |sim: &mut crate::sim::Sim| sim.bridges[1].down.carried > 0;
            let took = sim.run_until(FOLLOWED, carries).expect("followed in time");
            slowest = slowest.max(took);
            sim.run_for(2 * SECOND);
            let start = sim.now;
            sim.run_for(20 * SECOND);
            for way in [Way::Up, Way::Down] {
                assert_eq!(sim.record(APP, way).lost(start, sim.now - RTT).1, 0, "{way:?}");
            }
        });
    }
    println!("the name of the only path was followed after {}", ms(slowest));
}

#[test]
fn the_name_of_one_path_of_several_is_followed_though_nothing_flows() {
    seeds(10, |seed| {
        let mut sim = named(3, moves_at(60)).connect(seed);
        sim.run_for(60 * SECOND - sim.now);
        sim.bridges[0].set_dead(true);
        sim.run_for(FOLLOWED);
        // What flows now has that path alone.
        sim.bridges[2].set_dead(true);
        let start = sim.now;
        sim.streams(APP, 50);
        sim.run_for(3 * SECOND);
        let (sent, lost) = sim.record(APP, Way::Up).lost(start, sim.now - RTT);
        assert!(sent > 100 && lost == 0, "{lost} of {sent} lost");
    });
}

#[test]
fn a_path_that_works_is_not_disturbed_by_what_becomes_of_its_name() {
    for becomes in [Ok(1), Err("no such host")] {
        let setup = named(2, |setup| {
            let at = |bridge| vec![setup.bridge_address(bridge)];
            let later = becomes.map(at).map_err(str::to_owned);
            vec![(Duration::ZERO, Ok(at(0))), (20 * SECOND, later)]
        });
        let mut sim = setup.connect(1);
        sim.bridges[0].up.faults.loss = 0.1;
        sim.bridges[0].down.faults.loss = 0.1;
        sim.streams(APP, 1);
        sim.run_for(600 * SECOND);
        let [there, back] = [sim.bridges[0].up.carried, sim.bridges[0].down.carried];
        assert!(there > 500 && back > 400, "{there} there, {back} back");
        assert_eq!(sim.bridges[1].up.carried, 0, "it works where it is");
    }
}

#[test]
fn a_path_that_answers_before_its_look_up_does_stays_where_it_is() {
    let mut sim = Setup { name_delay: 2 * SECOND, ..named(2, moves_at(20)) }.connect(1);
    sim.streams(APP, 50);
    sim.run_for(20 * SECOND - sim.now);
    // The look-up begins after two seconds of silence and is answered after four.
    sim.bridges[0].set_dead(true);
    sim.run_for(3 * SECOND);
    sim.bridges[0].set_dead(false);
    sim.run_for(60 * SECOND);
    assert_eq!(sim.bridges[1].up.carried, 0, "it works where it is");
    // The answer was taken, for when it is needed.
    sim.bridges[0].set_dead(true);
    assert!(sim.run_until(FOLLOWED, |sim| sim.bridges[1].down.carried > 0).is_some());
}

#[test]
fn a_silent_only_path_keeps_its_address_while_the_name_does() {
    let mut sim = named(2, |setup| vec![(Duration::ZERO, Ok(vec![setup.bridge_address(0)]))]).connect(1);
    let [_, down] = sim.streams(APP, 50);
    sim.run_for(SECOND);
    // One way only: the server knows nothing of it and goes on sending.
    sim.bridges[0].up.dead = true;
    let start = sim.now;
    sim.run_for(8 * SECOND);
    let (sent, lost) = sim.record(APP, Way::Down).lost(start, sim.now - RTT);
    assert!(sent > 300 && lost == 0, "{lost} of {sent} lost");
    sim.stop([down]);
}

#[test]
fn of_many_addresses_one_that_comes_to_life_late_is_found_soon() {
    let nobody = |host: u8| SocketAddr::from(([192, 0, 2, host], 4000));
    let setup = named(2, |setup| {
        let addresses = [nobody(1), nobody(2), setup.bridge_address(0), nobody(3), nobody(4)];
        vec![(Duration::ZERO, Ok(addresses.to_vec()))]
    });
    let mut sim = setup.start(1);
    sim.bridges[0].set_dead(true);
    sim.streams(APP, 10);
    sim.run_for(300 * SECOND);
    sim.bridges[0].set_dead(false);
    // A wait of 60 s, and a round of 2 s for each address.
    let took = sim.run_until(75 * SECOND, |sim| sim.bridges[0].down.carried > 0);
    println!("the one of five addresses that lives was found after {took:?}");
    assert!(took.is_some());
}

/// A tunnel by itself with one bridge, whose name nobody answers for.
#[test]
fn a_name_is_looked_up_at_intervals_that_grow_to_a_minute() {
    let begin = Instant::now();
    let bridge = Endpoint { host: Host::Name("bridge.example".into()), port: 4000 };
    let listen = ([127, 0, 0, 1], 3000).into();
    let role = ClientRole::new(listen, vec![Bridge::from(bridge)]).into();
    let mut tunnel = Tunnel::new(begin, Config { role, security: encrypted() }, StdRng::seed_from_u64(1));
    let (mut now, mut asked) = (begin, Vec::new());
    while now < begin + 300 * SECOND {
        now = tunnel.poll_timeout().max(now);
        tunnel.handle_timeout(now);
        while let Some(event) = tunnel.poll_event() {
            if let Event::Resolve(name, _) = event {
                asked.push((now - begin).as_secs());
                tunnel.handle_resolved(now, name, Err("no such host".to_owned()));
            }
        }
    }
    assert_eq!(asked, [0, 2, 6, 14, 30, 62, 122, 182, 242]);
}
