//! A key for each client: who has one is known by its name, and keeps nobody else's place, flows or company.

use std::time::{Duration, Instant};

use mptunnel::tunnel::Tunnel;
use mptunnel::tunnel::wire::{PathToken, Reject};

use crate::sim::Sim;
use crate::sim::host::SERVER;
use crate::sim::network::Faults;
use crate::sim::rogue::{Rogue, config, connect, exchange, opened, server};
use crate::sim::seeds::seeds;
use crate::sim::setup::{Setup, each, keyed};
use crate::sim::traffic::{App, Way};

const SECOND: Duration = Duration::from_secs(1);
const NO_TOKEN: PathToken = PathToken(0);
const ALICE: App = App { client: 0, number: 0 };
const BOB: App = App { client: 1, number: 0 };
pub(super) const BOTH: &[(&str, u64)] = &[("alice", 1), ("bob", 2)];

/// Two clients, each with a key of its own.
fn two_clients() -> Setup {
    let bridges = [20, 30, 40].map(|rtt| Faults::new(Duration::from_millis(rtt), 0.0));
    Setup { clients: 2, server: each(BOTH), own: vec![keyed(1), keyed(2)], ..Setup::new(bridges) }
}

fn names(sim: &Sim) -> Vec<Option<String>> {
    sim.server().snapshot(sim.instant()).peers.into_iter().map(|peer| peer.name).collect()
}

fn assert_lossless(sim: &Sim, app: App, start: Duration) {
    for way in [Way::Up, Way::Down] {
        let (sent, lost) = sim.record(app, way).lost(start, sim.now - SECOND / 10);
        assert!(sent > 100 && lost == 0, "{app:?}, {way:?}: {lost} of {sent} lost");
    }
}

#[test]
fn each_client_is_known_by_the_name_of_its_key() {
    let mut sim = two_clients().connect(1);
    let mut names = names(&sim);
    names.sort();
    assert_eq!(names, ["alice", "bob"].map(|name| Some(name.to_owned())));
    assert_eq!(sim.client(0).snapshot(sim.instant()).peers[0].name, None);
    // A file that calls her something else changes no more than that.
    let start = sim.now;
    sim.streams(ALICE, 100);
    sim.rekey_server(each(&[("alice@home", 1), ("bob", 2)]));
    sim.run_for(2 * SECOND);
    assert!(self::names(&sim).contains(&Some("alice@home".to_owned())), "{:?}", self::names(&sim));
    assert_lossless(&sim, ALICE, start);
}

#[test]
fn a_key_that_is_taken_out_takes_its_client_out_at_once_and_the_others_notice_nothing() {
    seeds(5, |seed| {
        let mut sim = two_clients().connect(seed);
        sim.streams(ALICE, 100);
        sim.streams(BOB, 100);
        let start = sim.now;
        sim.run_for(SECOND);
        let (closed, held) = (sim.closed.len(), sim.server().holdings());
        sim.rekey_server(each(&BOTH[..1]));
        let after = sim.now;
        sim.run_for(2 * SECOND);
        assert_eq!(names(&sim), [Some("alice".to_owned())]);
        assert_eq!(sim.closed.len() - closed, held.flows / 2, "bob's sockets towards the target are closed");
        assert!(sim.closed[closed..].iter().all(|(at, _)| *at <= after), "at once");
        let left = sim.server().holdings();
        assert_eq!((left.sessions, left.flows, left.half_open), (held.sessions / 2, held.flows / 2, 0));
        let delivered = |sim: &Sim| sim.record(BOB, Way::Up).count;
        let count = delivered(&sim);
        sim.run_for(10 * SECOND);
        assert_eq!(delivered(&sim), count, "nothing of bob's gets through");
        assert!(sim.counters(SERVER).rejected(Reject::OtherKey) > 10, "his handshakes are counted");
        assert_lossless(&sim, ALICE, start);
        // Once the key is there again, he needs no restart.
        sim.rekey_server(each(BOTH));
        let took = sim.run_until(3 * SECOND, |sim| delivered(sim) > count);
        assert!(took.is_some(), "bob's datagrams flow again within 3 s");
    });
}

/// Lets the server answer a rogue's first probe: then it is a client.
fn confirm(server: &mut Tunnel, now: Instant, rogue: &mut Rogue) {
    let probe = rogue.probe(0, 0, NO_TOKEN);
    assert_eq!(exchange(server, now, rogue.link(), probe).len(), 1, "a reply");
}

#[test]
fn a_handshake_under_way_ends_with_its_key() {
    let now = Instant::now();
    let mut server = server(now, each(BOTH));
    let init = Rogue::keyed(2, 2).init();
    let mut bob = connect(&mut server, now, Rogue::keyed(2, 2));
    assert_eq!(server.holdings().half_open, 1);
    server.reconfigure(now, config(each(&BOTH[..1])));
    assert_eq!(server.holdings().half_open, 0);
    let probe = bob.probe(0, 0, NO_TOKEN);
    assert!(exchange(&mut server, now, bob.link(), probe).is_empty(), "his probe is not answered");
    assert!(exchange(&mut server, now, bob.link(), init).is_empty(), "nor is his init, once more");
    assert_eq!(server.counters().rejected(Reject::OtherKey), 1);
    assert_eq!(server.holdings().peers, 0);
}

#[test]
fn who_says_that_he_is_another_client_gets_nothing_of_that_ones() {
    let now = Instant::now();
    let mut server = server(now, each(BOTH));
    let mut alice = connect(&mut server, now, Rogue::keyed(1, 1));
    confirm(&mut server, now, &mut alice);
    let datagram = alice.open(7, b"alice");
    exchange(&mut server, now, alice.link(), datagram);
    assert_eq!((server.holdings().peers, opened(&mut server).len()), (1, 1));
    // Bob has seen her client id somewhere.
    let mut bob = Rogue::keyed(2, 2);
    bob.client = alice.client;
    let mut bob = connect(&mut server, now, bob);
    confirm(&mut server, now, &mut bob);
    let datagram = bob.open(7, b"bob");
    exchange(&mut server, now, bob.link(), datagram);
    assert_eq!(
        (server.holdings().peers, opened(&mut server).len()),
        (2, 1),
        "a client and a flow of his own"
    );
    // Her session is as it was.
    let probe = alice.probe(0, 1, NO_TOKEN);
    assert_eq!(exchange(&mut server, now, alice.link(), probe).len(), 1);
}

#[test]
fn a_key_id_that_is_known_is_as_silent_as_one_that_is_not() {
    let now = Instant::now();
    let mut server = server(now, each(BOTH));
    let stranger = Rogue::keyed(3, 3);
    // His own key; and Alice's id in front of what he made with his own.
    let own = Rogue::keyed(3, 3).init();
    let hers = [&Rogue::keyed(1, 1).init()[..12], &Rogue::keyed(3, 3).init()[12..]].concat();
    for (count, init) in (1..).zip([own, hers]) {
        assert!(exchange(&mut server, now, stranger.link(), init).is_empty());
        assert_eq!(server.counters().rejected(Reject::OtherKey), count);
    }
    let held = server.holdings();
    assert_eq!((held.peers, held.half_open), (0, 0));
}

/// How long a server with so many keys takes for a handshake, at its quickest.
fn handshake_time(keys: u64) -> Duration {
    let names: Vec<_> = (0..keys).map(|number| format!("client-{number}")).collect();
    let clients: Vec<_> = names.iter().map(String::as_str).zip(1..).collect();
    let start = Instant::now();
    let mut server = server(start, each(&clients));
    let times = (0..200).map(|number| {
        // No faster than a server takes those of one name.
        let now = start + SECOND * number / 40;
        let mut rogue = Rogue::keyed(number.into(), 1 + u64::from(number) % keys);
        let (link, init) = (rogue.link(), rogue.init());
        let begun = Instant::now();
        assert_eq!(exchange(&mut server, now, link, init).len(), 1);
        begun.elapsed()
    });
    times.min().expect("some")
}

#[test]
fn a_handshake_costs_the_same_with_one_key_and_with_a_thousand() {
    let [one, thousand] = [1, 1000].map(handshake_time);
    println!("a handshake takes {one:?} with one key, {thousand:?} with 1,000");
    assert!(thousand < one * 2, "{one:?} with one key, {thousand:?} with 1,000");
}

#[test]
fn a_name_has_a_limited_number_of_processes_of_which_a_silent_one_makes_room() {
    const MOST: u64 = 16;
    let start = Instant::now();
    let mut server = server(start, each(BOTH));
    let mut bob = connect(&mut server, start, Rogue::keyed(1000, 2));
    confirm(&mut server, start, &mut bob);
    let mut first = connect(&mut server, start, Rogue::keyed(1, 1));
    confirm(&mut server, start, &mut first);
    for number in 2..=MOST {
        let mut more = connect(&mut server, start + SECOND, Rogue::keyed(number, 1));
        confirm(&mut server, start + SECOND, &mut more);
    }
    // All of them have just been heard.
    let now = start + 2 * SECOND;
    let mut newcomer = connect(&mut server, now, Rogue::keyed(MOST + 1, 1));
    let probe = newcomer.probe(0, 0, NO_TOKEN);
    assert!(exchange(&mut server, now, newcomer.link(), probe).is_empty(), "one too many");
    assert_eq!(server.counters().rejected(Reject::PeerLimit), 1);
    // The first has been silent for 5 s: it goes, the others stay, and so does bob, who was silent as long.
    let now = start + 5 * SECOND;
    let probe = newcomer.probe(0, 1, NO_TOKEN);
    assert_eq!(exchange(&mut server, now, newcomer.link(), probe).len(), 1);
    assert_eq!(server.holdings().peers, MOST as usize + 1);
    let probe = first.probe(0, 1, NO_TOKEN);
    assert!(exchange(&mut server, now, first.link(), probe).is_empty(), "it is forgotten");
    let probe = bob.probe(0, 1, NO_TOKEN);
    assert_eq!(exchange(&mut server, now, bob.link(), probe).len(), 1, "bob is not");
}

#[test]
fn who_floods_the_server_with_his_own_key_keeps_nobody_else_out() {
    let start = Instant::now();
    let mut server = server(start, each(BOTH));
    let mut answered = 0;
    for number in 0..3000 {
        let now = start + SECOND * number / 1000;
        let mut alice = Rogue::keyed(number.into(), 1);
        let (link, init) = (alice.link(), alice.init());
        answered += exchange(&mut server, now, link, init).len();
        if number % 500 == 499 {
            let mut bob = connect(&mut server, now, Rogue::keyed(10_000 + u64::from(number), 2));
            confirm(&mut server, now, &mut bob);
        }
    }
    // 50 at once, and 50 a second.
    assert!((190..=201).contains(&answered), "{answered} of alice's 3,000 handshakes were answered");
    assert_eq!(server.counters().rejected(Reject::HandshakeRate), 3000 - answered as u64);
    assert_eq!(server.holdings().peers, 6, "bob's are all there");
}

#[test]
fn who_only_says_that_he_has_a_key_does_not_slow_its_owner() {
    let now = Instant::now();
    let mut server = server(now, each(BOTH));
    for number in 0..500 {
        // Her id in front of what was made with another key.
        let init = [&Rogue::keyed(1, 1).init()[..12], &Rogue::keyed(number, 3).init()[12..]].concat();
        assert!(exchange(&mut server, now, Rogue::keyed(number, 3).link(), init).is_empty());
    }
    let mut alice = connect(&mut server, now, Rogue::keyed(1, 1));
    confirm(&mut server, now, &mut alice);
}
