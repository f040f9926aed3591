//! A client tells its server which paths it does not use any more, and that it ends.

use std::time::{Duration, Instant};

use mptunnel::tunnel::Tunnel;
use mptunnel::tunnel::chronicle::Kind;
use mptunnel::tunnel::stats::Holdings;
use mptunnel::tunnel::wire::{PathToken, Reject};

use super::keys::BOTH;
use crate::sim::Sim;
use crate::sim::network::Faults;
use crate::sim::rogue::{Rogue, connect, exchange, prove, server};
use crate::sim::seeds::seeds;
use crate::sim::setup::{Setup, each, encrypted, keyed};
use crate::sim::traffic::{APP, Way};

const SECOND: Duration = Duration::from_secs(1);
const RTT: Duration = Duration::from_millis(30);

/// The numbers of the paths that the server shows, if it shows a client.
fn shown(sim: &Sim) -> Option<Vec<usize>> {
    let snapshot = sim.server().snapshot(sim.instant());
    let peer = snapshot.peers.first()?;
    Some(peer.paths.iter().map(|path| path.number).collect())
}

fn told(sim: &Sim, kind: Kind, text: &str) -> usize {
    let events = sim.server().snapshot(sim.instant()).events;
    events.iter().filter(|event| event.kind == kind && event.text.starts_with(text)).count()
}

#[test]
fn the_server_knows_soon_that_a_bridge_was_taken_out_though_packets_are_lost() {
    seeds(10, |seed| {
        let setup = Setup::new([Faults::new(RTT, 0.4); 4]);
        let mut sim = setup.connect(seed);
        sim.reconfigure_to(0, &setup, &[0, 3]);
        let took = sim.run_until(5 * SECOND, |sim| shown(sim) == Some(vec![0, 3]));
        assert!(took.is_some(), "{:?}", shown(&sim));
        sim.run_for(5 * SECOND);
        for path in [1, 2] {
            assert_eq!(told(&sim, Kind::PathSilent, &format!("client 0: path {path} was taken out")), 1);
            assert_eq!(told(&sim, Kind::PathSilent, &format!("client 0: path {path} is silent")), 0);
        }
        // A new bridge takes the first of the numbers.
        sim.reconfigure_to(0, &setup, &[0, 3, 2]);
        let took = sim.run_until(5 * SECOND, |sim| shown(sim) == Some(vec![0, 1, 3]));
        assert!(took.is_some(), "{:?}", shown(&sim));
        // One that takes another's place at once is the same path all the while.
        sim.reconfigure_to(0, &setup, &[0, 3, 1]);
        sim.run_for(5 * SECOND);
        assert_eq!(shown(&sim), Some(vec![0, 1, 3]));
        assert_eq!(told(&sim, Kind::PathSilent, "client 0: path 1 was taken out"), 1);
    });
}

#[test]
fn what_is_under_way_on_a_slow_path_does_not_bring_it_back() {
    seeds(40, |seed| {
        let setup = Setup::new([1, 10].map(|part| Faults { duplicate: 0.2, ..Faults::new(RTT * part, 0.0) }));
        let mut sim = setup.connect(seed);
        sim.run_for(SECOND.mul_f64(seed as f64 / 40.0));
        sim.reconfigure_to(0, &setup, &[0]);
        sim.run_for(2 * SECOND);
        assert_eq!(shown(&sim), Some(vec![0]));
    });
}

#[test]
fn the_server_is_not_told_again_what_it_knows() {
    let setup = Setup::new([Faults::new(RTT, 0.0); 3]);
    let mut sim = setup.connect(1);
    sim.reconfigure_to(0, &setup, &[0]);
    sim.run_for(SECOND);
    let packets = |sim: &Sim| sim.bridges.iter().map(|bridge| bridge.up.entered).sum::<u64>();
    let before = packets(&sim);
    sim.run_for(4 * SECOND);
    let sent = packets(&sim) - before;
    assert!((10..=26).contains(&sent), "{sent} packets, where a path is probed each 160 to 240 ms");
}

#[test]
fn a_server_that_was_started_again_does_not_miss_a_bridge_that_was_taken_out() {
    let setup = Setup::new([Faults::new(RTT, 0.0); 3]);
    let mut sim = setup.connect(1);
    sim.reconfigure_to(0, &setup, &[0, 2]);
    sim.run_for(SECOND);
    sim.kill_server();
    sim.start_server();
    sim.run_for(3 * SECOND);
    assert_eq!(shown(&sim), Some(vec![0, 2]));
}

#[test]
fn a_client_that_ends_is_gone_at_once_and_forgotten_soon() {
    seeds(10, |seed| {
        let mut sim = Setup::new([Faults::new(RTT, 0.3); 3]).connect(seed);
        assert_eq!(shown(&sim), Some(vec![0, 1, 2]));
        sim.stop_client(0);
        let took = sim.run_until(SECOND, |sim| shown(sim).is_none());
        assert!(took <= Some(RTT), "{took:?}");
        sim.run_for(10 * SECOND);
        assert_eq!(told(&sim, Kind::Disconnected, "client 0 has left"), 1);
        assert_eq!(told(&sim, Kind::PathSilent, "client 0: path 0 is silent"), 0);
        let events = sim.server().snapshot(sim.instant()).events;
        assert!(
            events.iter().filter(|event| event.text.starts_with("client 0")).all(|event| event.peer_gone)
        );
        // Nobody could take its flow over: it has no name.
        let Holdings { peers, flows, .. } = sim.server().holdings();
        assert_eq!((peers, flows), (0, 0));
    });
}

/// Of whom half of all packets are lost on the only path: most say it often enough.
#[test]
fn the_last_words_are_said_more_than_once() {
    let mut gone = 0;
    for seed in 0..100 {
        let mut sim = Setup::new([Faults::new(RTT, 0.0)]).connect(seed);
        sim.bridges[0].up.faults.loss = 0.5;
        sim.stop_client(0);
        sim.run_for(SECOND);
        gone += u32::from(shown(&sim).is_none());
    }
    assert!(gone >= 75, "{gone} of 100; of one word each, half would be lost");
}

#[test]
fn a_client_without_flows_is_forgotten_within_seconds() {
    let mut sim = Setup::new([Faults::new(RTT, 0.0)]).start(1);
    sim.run_for(SECOND);
    assert_eq!(sim.server().holdings().peers, 1);
    sim.stop_client(0);
    sim.run_for(5 * SECOND);
    assert_eq!(sim.server().holdings().peers, 0);
}

#[test]
fn what_was_sent_before_the_end_arrives_though_the_end_overtakes_it() {
    let mut sim = Setup::new([Faults::new(RTT, 0.0), Faults::new(10 * RTT, 0.0)]).connect(1);
    let start = sim.now;
    let now = sim.now;
    sim.bridges[0].black_out(now..now + RTT);
    let stream = sim.streams(APP, 200);
    sim.run_for(RTT);
    sim.stop(stream);
    sim.stop_client(0);
    sim.run_for(SECOND);
    let (sent, lost) = sim.record(APP, Way::Up).lost(start, sim.now);
    assert!(sent >= 5 && lost == 0, "{lost} of {sent} lost");
    assert_eq!(shown(&sim), None, "what came late has not brought it back");
}

#[test]
fn a_client_with_its_own_key_that_ends_and_begins_keeps_its_addresses() {
    for pause in [0, 1, 30] {
        let setup = Setup::new([20, 30, 40].map(|rtt| Faults::new(Duration::from_millis(rtt), 0.05)));
        let setup = Setup { server: each(BOTH), own: vec![keyed(1)], ..setup };
        let mut sim = setup.connect(1);
        sim.streams(APP, 20);
        sim.run_for(SECOND);
        sim.stop_client(0);
        sim.run_for(pause * SECOND);
        sim.start_client(0);
        sim.run_for(5 * SECOND);
        assert_eq!(sim.flow_addresses(APP).len(), 1, "{:?}", sim.flow_addresses(APP));
        assert_eq!(sim.server().holdings().peers, 1, "nothing is left of the one before");
    }
}

/// A server, and somebody with a path that is proven.
fn proven() -> (Tunnel, Instant, Rogue) {
    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    let now = Instant::now();
    let mut server = server(now, encrypted());
    let mut rogue = connect(&mut server, now, Rogue::new(1));
    prove(&mut server, now, &mut rogue);
    (server, now, rogue)
}

#[test]
fn of_a_name_that_has_all_its_places_one_that_has_left_makes_room_at_once() {
    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    let now = Instant::now();
    let mut server = server(now, each(BOTH));
    let is_taken = |server: &mut Tunnel, number: u64| {
        let mut rogue = connect(server, now, Rogue::keyed(number, 1));
        let probe = rogue.probe(0, 0, PathToken(0));
        (!exchange(server, now, rogue.link(), probe).is_empty()).then_some(rogue)
    };
    let mut all: Vec<_> =
        (0..16).map(|number| is_taken(&mut server, number).expect("there is room")).collect();
    assert!(is_taken(&mut server, 20).is_none());
    let packet = all[7].end();
    exchange(&mut server, now, all[7].link(), packet);
    assert!(is_taken(&mut server, 21).is_some());
    assert!(is_taken(&mut server, 22).is_none());
}

/// The paths that the one client uses.
fn in_use(server: &Tunnel, now: Instant) -> Vec<usize> {
    server.snapshot(now).peers[0].paths.iter().map(|path| path.number).collect()
}

/// Those after a probe with this number says that path 0 is left.
fn leave(server: &mut Tunnel, now: Instant, rogue: &mut Rogue, number: u32) -> Vec<usize> {
    let packet = rogue.leave(0, number);
    let sent = exchange(server, now, rogue.link(), packet);
    let [(_, mut reply)] = <[_; 1]>::try_from(sent).expect("one answer, of no more octets");
    assert!(rogue.reply(&mut reply).left);
    in_use(server, now)
}

#[test]
fn who_holds_back_what_was_said_of_a_path_does_not_take_out_the_one_in_its_place() {
    let (mut server, now, mut rogue) = proven();
    for number in 2..=5 {
        let probe = rogue.probe(0, number, PathToken(0));
        exchange(&mut server, now, rogue.link(), probe);
    }
    assert_eq!(leave(&mut server, now, &mut rogue, 5), [0]);
    assert_eq!(leave(&mut server, now, &mut rogue, 6), [0; 0]);
    let probe = rogue.probe(0, 7, PathToken(0));
    exchange(&mut server, now, rogue.link(), probe);
    assert_eq!(leave(&mut server, now, &mut rogue, 6), [0]);
}

#[test]
fn a_path_that_there_cannot_be_is_no_path_to_leave_and_a_replay_is_a_copy() {
    let (mut server, now, mut rogue) = proven();
    let rejected = |server: &Tunnel, reject| server.counters().rejected(reject);
    let packet = rogue.leave(32, 0);
    assert_eq!(exchange(&mut server, now, rogue.link(), packet), []);
    assert_eq!(rejected(&server, Reject::PathLimit), 1);
    let packet = rogue.leave(7, 0);
    assert_eq!(exchange(&mut server, now, rogue.link(), packet.clone()).len(), 1, "it knows");
    let copies = rejected(&server, Reject::Copy);
    assert_eq!(exchange(&mut server, now, rogue.link(), packet), []);
    assert_eq!(rejected(&server, Reject::Copy), copies + 1);
    let packet = rogue.end();
    assert_eq!(exchange(&mut server, now, rogue.link(), packet), [], "nobody is there to hear it");
    assert!(server.snapshot(now).peers.is_empty());
    for packet in [rogue.probe(0, 9, PathToken(0)), rogue.leave(0, 10)] {
        assert_eq!(exchange(&mut server, now, rogue.link(), packet), [], "it was overtaken by the end");
    }
}

#[test]
fn whoever_says_that_he_ends_does_not_go_on_unseen() {
    // One without a name is forgotten, and what it sends is nobody's. Of one with a name the flow is kept.
    for (security, key, held) in [(encrypted(), None, [1, 1, 0, 0]), (each(BOTH), Some(1), [1, 1, 1, 1])] {
        #[expect(clippy::disallowed_methods, reason = "any instant will do")]
        let now = Instant::now();
        let mut server = server(now, security);
        let rogue = key.map_or_else(|| Rogue::new(1), |key| Rogue::keyed(1, key));
        let mut rogue = connect(&mut server, now, rogue);
        prove(&mut server, now, &mut rogue);
        for packet in [rogue.open(7, b"before"), rogue.end()] {
            exchange(&mut server, now, rogue.link(), packet);
        }
        for (after, held) in [1, 2, 4, 6].into_iter().zip(held) {
            let now = now + after * SECOND;
            let packet = rogue.data(7, b"after");
            exchange(&mut server, now, rogue.link(), packet);
            server.handle_timeout(now + SECOND / 2);
            let are_shown = if after < 5 { 0 } else { held };
            let seen = (server.holdings().peers, server.snapshot(now).peers.len());
            assert_eq!(seen, (held, are_shown), "{key:?}, {after} s later");
        }
    }
}

#[test]
fn a_path_is_in_use_by_what_was_sent_since_it_was_left_and_by_no_replay() {
    let (mut server, now, mut rogue) = proven();
    let none = PathToken(0);
    // Of path 3, what says that it was left comes first.
    let old = rogue.probe(0, 2, none);
    let [before, left, after] = [rogue.probe(3, 4, none), rogue.leave(3, 5), rogue.probe(3, 6, none)];
    for (packet, expected) in [(left, &[0][..]), (before, &[0]), (after, &[0, 3])] {
        exchange(&mut server, now, rogue.link(), packet);
        assert_eq!(in_use(&server, now), expected);
    }
    exchange(&mut server, now, rogue.link(), old.clone());
    assert_eq!(leave(&mut server, now, &mut rogue, 6), [3]);
    exchange(&mut server, now, rogue.link(), old);
    assert_eq!(in_use(&server, now), [3]);
}
