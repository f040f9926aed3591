//! What attackers off the path cannot do, and what one on it can: each a row of the threat model.

use std::rc::Rc;
use std::time::Duration;

use mptunnel::tunnel::wire::{self, Packet, Reject};
use rand::rngs::StdRng;

use super::hostile::{setups, under_attack};
use crate::sim::attacker::{Attack, Seen};
use crate::sim::host::SERVER;
use crate::sim::network::Bridge;
use crate::sim::seeds::seeds;
use crate::sim::setup::Setup;
use crate::sim::traffic::{APP, App, Way};
use crate::sim::villain::{Courier, Known, Villain, flood, guess};
use crate::sim::{Sim, Stream};

const SECOND: Duration = Duration::from_secs(1);
const NEWCOMER: App = App { client: 1, number: 0 };

#[test]
fn whoever_guesses_off_the_path_harms_nobody() {
    seeds(3, |seed| {
        for setup in setups() {
            under_attack(&setup, seed, guess);
        }
    });
}

/// The first client is connected and talks, handshakes flood the server, and a second client is started.
fn flooded(setup: &Setup, seed: u64) -> Sim {
    let mut sim = Setup { clients: 2, echo: true, ..setup.clone() }.build(seed);
    sim.start_server();
    sim.start_client(0);
    sim.stream(Stream::new(APP, Way::Up, 50));
    sim.run_for(SECOND);
    sim.attacker = Some(Box::new(Villain::new(seed, flood, u32::MAX)));
    sim.run_for(5 * SECOND);
    sim.start_client(1);
    sim.stream(Stream::new(NEWCOMER, Way::Up, 50));
    sim.run_for(5 * SECOND);
    for way in [Way::Up, Way::Down] {
        let (sent, lost) = sim.record(APP, way).lost(SECOND, sim.now - SECOND);
        assert!(sent > 400 && lost == 0, "{way:?}: {lost} of {sent} lost under a flood");
    }
    sim
}

#[test]
fn a_flood_of_handshakes_without_the_key_keeps_nobody_out() {
    seeds(3, |seed| {
        let [_, keyed, _] = setups();
        let sim = flooded(&keyed, seed);
        assert!(sim.counters(SERVER).rejected(Reject::OtherKey) > 2000);
        assert_eq!(sim.counters(SERVER).rejected(Reject::HandshakeLimit), 0);
        assert!(sim.record(NEWCOMER, Way::Down).first_after(Duration::ZERO) < Some(7 * SECOND));
    });
}

#[test]
fn where_no_key_is_used_a_flood_keeps_newcomers_out_while_it_lasts() {
    seeds(3, |seed| {
        let [encrypted, _, plain] = setups();
        for setup in [encrypted, plain] {
            let mut sim = flooded(&setup, seed);
            assert!(sim.counters(SERVER).rejected(Reject::HandshakeLimit) > 1000);
            sim.attacker = None;
            let end = sim.now;
            // Half-open handshakes are forgotten after 5 s.
            sim.run_for(7 * SECOND);
            for app in [APP, NEWCOMER] {
                assert!(sim.record(app, Way::Down).first_after(end) < Some(sim.now));
            }
        }
    });
}

fn with_courier(setup: &Setup, seed: u64, bridges: &[usize]) -> (Sim, Duration, u32) {
    let mut sim = setup.connect(seed);
    let courier = Courier::new(bridges);
    let kept = Rc::clone(&courier.kept);
    sim.attacker = Some(Box::new(courier));
    let start = sim.now;
    sim.streams(APP, 50);
    sim.run_for(30 * SECOND);
    let kept = *kept.borrow();
    (sim, start, kept)
}

/// The answer to a handshake comes over every path. Those that are late are copies, and so is what only looks like one.
#[test]
fn late_answers_to_a_handshake_are_copies_and_whoever_makes_them_up_gains_nothing() {
    fn again(_: &mut StdRng, seen: &Seen<'_>, _: &Known) -> Vec<Attack> {
        if !matches!(wire::parse(&mut seen.octets.to_vec()), Ok(Packet::Response(..))) {
            return Vec::new();
        }
        let send = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut octets = seen.octets.to_vec();
            change(&mut octets);
            Attack::Send { after: 2 * SECOND, from: seen.from, to: seen.to, octets }
        };
        // The session's id is in octets 1 to 4, behind it is Noise.
        vec![send(&|_| ()), send(&|octets| octets[50] ^= 1), send(&|octets| octets[4] ^= 1)]
    }
    let run = |setup: &Setup, attacked: bool| {
        let mut sim = setup.build(1);
        if attacked {
            sim.attacker = Some(Box::new(Villain::new(1, again, u32::MAX)));
        }
        sim.start_server();
        sim.start_client(0);
        sim.run_for(10 * SECOND);
        let counters = sim.counters(1);
        let rejected = [Reject::Copy, Reject::UnknownSession].map(|reject| counters.rejected(reject));
        let sessions = [sim.client(0), sim.server()].map(|tunnel| tunnel.holdings().sessions);
        (rejected, (counters.handshakes, sessions, sim.account.packets_sent))
    };
    for setup in setups() {
        let (quiet, attacked) = (run(&setup, false), run(&setup, true));
        let answers = setup.bridges.len() as u64;
        assert_eq!(quiet.0, [answers - 1, 0], "the first one wins");
        assert_eq!(attacked.0, [answers - 1 + 2 * answers, answers], "another session's is no copy");
        assert_eq!(attacked.1, quiet.1, "nothing comes of it");
    }
}

/// Whoever returns a path's tokens could be its bridge. But a path stays where its probes come from while they do.
#[test]
fn an_observer_who_carries_answers_back_gets_no_path_that_its_bridge_serves() {
    seeds(3, |seed| {
        for setup in setups() {
            for bridges in [&[0][..], &[0, 1, 2]] {
                let (sim, start, kept) = with_courier(&setup, seed, bridges);
                assert_eq!(kept, 0, "copies that came to the courier");
                for way in [Way::Up, Way::Down] {
                    let (sent, lost) = sim.record(APP, way).lost(start, sim.now - SECOND);
                    assert!(sent > 1000 && lost == 0, "{way:?}: {lost} of {sent} lost");
                }
            }
        }
    });
}

/// When its own address changes, a path may go to whoever returns a token first; it comes back.
#[test]
fn an_observer_who_has_taken_over_paths_loses_them_when_he_stops() {
    seeds(3, |seed| {
        for setup in setups() {
            let (mut sim, _, _) = with_courier(&setup, seed, &[0, 1, 2]);
            sim.bridges.iter_mut().for_each(Bridge::rebind);
            sim.run_for(2 * SECOND);
            sim.attacker = None;
            sim.run_for(SECOND);
            let start = sim.now;
            sim.run_for(5 * SECOND);
            for way in [Way::Up, Way::Down] {
                let (sent, lost) = sim.record(APP, way).lost(start, sim.now - SECOND);
                assert!(sent > 150 && lost == 0, "{way:?}: {lost} of {sent} lost");
            }
        }
    });
}
