//! A client with a key of its own that is started again: the target sees its applications where it saw them before.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mptunnel::tunnel::Tunnel;
use mptunnel::tunnel::allow::{Allowed, Hosts, Rule};
use mptunnel::tunnel::link::{Endpoint, Event, Host, SocketId, Target};
use mptunnel::tunnel::role::{Config, ServerRole};
use mptunnel::tunnel::wire::{Opened, Reject, Verdict};

use rand::{SeedableRng, rngs::StdRng};

use super::keys::BOTH;
use crate::sim::network::Faults;
use crate::sim::rogue::{Rogue, config, connect, exchange, opened, prove, server};
use crate::sim::seeds::seeds;
use crate::sim::setup::{Setup, each, keyed};
use crate::sim::traffic::{App, Way};

const SECOND: Duration = Duration::from_secs(1);
const APPLICATIONS: u16 = 3;
const FLOW: u32 = 7;

fn bridges(loss: f64) -> Setup {
    Setup::new([20, 30, 40].map(|rtt| Faults::new(Duration::from_millis(rtt), loss)))
}

#[test]
fn a_restarted_client_with_its_own_key_keeps_every_address_that_the_target_knows() {
    seeds(4, |seed| {
        // Both have applications at the same addresses, so only their keys tell them apart.
        let setup = Setup { clients: 2, server: each(BOTH), own: vec![keyed(1), keyed(2)], ..bridges(0.05) };
        let mut sim = setup.connect(seed);
        let apps: Vec<_> =
            (0..2).flat_map(|client| (0..APPLICATIONS).map(move |number| App { client, number })).collect();
        for app in &apps {
            sim.streams(*app, 20);
        }
        sim.run_for(SECOND);
        for pause in [0, 1, 10] {
            sim.kill_client(0);
            sim.run_for(pause * SECOND);
            sim.start_client(0);
            sim.run_for(3 * SECOND);
        }
        for app in apps {
            assert_eq!(sim.flow_addresses(app).len(), 1, "{app:?}: {:?}", sim.flow_addresses(app));
            for way in [Way::Up, Way::Down] {
                let (sent, lost) = sim.record(app, way).lost(sim.now - 2 * SECOND, sim.now - SECOND / 2);
                assert!(sent >= 25 && lost <= 1, "{app:?}, {way:?}: {lost} of {sent} lost");
            }
        }
        assert_eq!(sim.server().holdings().flows, 2 * usize::from(APPLICATIONS));
    });
}

#[test]
fn a_restarted_client_gets_nothing_by_a_key_that_all_share_or_without_one() {
    for security in [keyed(1), crate::sim::setup::encrypted()] {
        let mut sim = bridges(0.0).with(security).connect(1);
        let app = App { client: 0, number: 0 };
        sim.streams(app, 50);
        sim.run_for(SECOND);
        sim.kill_client(0);
        sim.start_client(0);
        sim.run_for(3 * SECOND);
        assert_eq!(sim.flow_addresses(app).len(), 2, "{:?}", sim.flow_addresses(app));
    }
}

/// The event loop has opened a socket at this port. What is said of it is not listened to.
fn open_at(server: &mut Tunnel, now: Instant, socket: SocketId, port: u16) {
    server.handle_socket_open(now, socket, SocketAddr::from(([192, 0, 2, 1], port)));
    while server.poll_transmit().is_some() {}
}

/// Asks for the flow, and tells what the server says at once.
fn ask(server: &mut Tunnel, now: Instant, rogue: &mut Rogue) -> Option<Opened> {
    let open = rogue.open(FLOW, b"hello");
    let sent = exchange(server, now, rogue.link(), open);
    let answer = sent.into_iter().find(|(link, packet)| *link == rogue.link() && packet.len() >= 64);
    answer.map(|(_, mut packet)| rogue.opened(&mut packet))
}

/// A rogue whose path has proven itself, so that the server answers.
fn client(server: &mut Tunnel, now: Instant, number: u64, key: u64) -> Rogue {
    let mut rogue = connect(server, now, Rogue::keyed(number, key));
    prove(server, now, &mut rogue);
    rogue
}

/// A target that clients name.
fn game() -> Target {
    Target::Named(Endpoint { host: Host::Name("game.example".to_owned()), port: 7 })
}

/// A server that allows it.
fn allowing_the_game(now: Instant) -> Tunnel {
    let rule = Rule { hosts: Hosts::name("game.example"), ports: 1..=9 };
    let role = ServerRole {
        allowed: Allowed(vec![rule]),
        ..ServerRole::new(([0, 0, 0, 0], 2000).into(), SocketAddr::from(([192, 0, 2, 1], 1194)).into())
    };
    Tunnel::new(now, Config { role: role.into(), security: each(BOTH) }, StdRng::seed_from_u64(1))
}

#[test]
fn a_flow_goes_to_the_younger_of_two_processes_and_not_back() {
    let start = Instant::now();
    let mut server = server(start, each(BOTH));
    let mut older = client(&mut server, start, 1, 1);
    assert_eq!(ask(&mut server, start, &mut older), None, "not before its socket is open");
    let [socket] = opened(&mut server)[..] else { panic!("one socket") };
    open_at(&mut server, start, socket, 40_001);

    let now = start + SECOND;
    let mut younger = client(&mut server, now, 2, 1);
    let answer = ask(&mut server, now, &mut younger).expect("an answer");
    assert_eq!((answer.verdict, answer.port), (Verdict::Open, 40_001));
    assert_eq!((opened(&mut server).len(), server.holdings().flows), (0, 1), "no other socket");

    // The older one lives: its flow has gone, and it gets another.
    let data = older.data(FLOW, b"I am here");
    exchange(&mut server, now, older.link(), data);
    assert_eq!(server.counters().rejected(Reject::UnknownFlow), 1);
    let now = now + SECOND;
    ask(&mut server, now, &mut older);
    let [second] = opened(&mut server)[..] else { panic!("a socket of its own") };
    open_at(&mut server, now, second, 40_002);
    // Nothing has happened to the younger one.
    let now = now + SECOND;
    let answer = ask(&mut server, now, &mut younger).expect("an answer");
    assert_eq!((answer.verdict, answer.port), (Verdict::Open, 40_001));
    assert_eq!((opened(&mut server).len(), server.holdings().flows), (0, 2));
}

#[test]
fn a_flow_goes_to_nobody_with_another_key_and_to_no_other_target() {
    let start = Instant::now();
    let mut server = server(start, each(BOTH));
    let mut alice = client(&mut server, start, 1, 1);
    ask(&mut server, start, &mut alice);
    let [socket] = opened(&mut server)[..] else { panic!("one socket") };
    open_at(&mut server, start, socket, 40_001);

    let now = start + SECOND;
    let mut bob = client(&mut server, now, 2, 2);
    ask(&mut server, now, &mut bob);
    assert_eq!(opened(&mut server).len(), 1, "bob gets a socket of his own");
    // Her next process asks for another target under the same label.
    let mut again = client(&mut server, now, 3, 1);
    let other = Target::Named(SocketAddr::from(([192, 0, 2, 1], 9)).into());
    let open = again.open_to(FLOW, 0, other, Some(b"hello"));
    exchange(&mut server, now, again.link(), open);
    assert_eq!(server.counters().rejected(Reject::NotAllowed), 1);
    assert_eq!(server.holdings().flows, 2);
}

#[test]
fn the_place_of_a_client_that_was_put_out_leads_to_nobody_who_came_after_it() {
    let start = Instant::now();
    let mut server = server(start, each(BOTH));
    let mut alice = client(&mut server, start, 1, 1);
    ask(&mut server, start, &mut alice);
    server.reconfigure(start, config(each(&BOTH[1..])));
    // Bob gets the number that she had, and has a flow with the same number and label.
    let mut bob = client(&mut server, start, 2, 2);
    ask(&mut server, start, &mut bob);
    opened(&mut server);
    server.reconfigure(start, config(each(BOTH)));
    let now = start + SECOND / 2;
    let mut again = client(&mut server, now, 3, 1);
    ask(&mut server, now, &mut again);
    assert_eq!(opened(&mut server).len(), 1, "she gets a socket of her own");
    assert_eq!(server.holdings().flows, 2);
}

#[test]
fn a_flow_to_a_name_that_means_another_address_by_now_is_not_handed_on() {
    let start = Instant::now();
    let mut server = allowing_the_game(start);
    let mut opened_after = |now, number, address: [u8; 4]| {
        let mut alice = client(&mut server, now, number, 1);
        let open = alice.open_to(FLOW, 0, game(), Some(b"hello"));
        exchange(&mut server, now, alice.link(), open);
        let events: Vec<_> = std::iter::from_fn(|| server.poll_event()).collect();
        let asked = events.into_iter().find_map(|event| match event {
            Event::Resolve(name, _) => Some(name),
            _ => None,
        });
        server.handle_resolved(now, asked.expect("a look-up"), Ok(vec![(address, 0).into()]));
        while server.poll_transmit().is_some() {}
        opened(&mut server).len()
    };
    assert_eq!(opened_after(start, 1, [203, 0, 113, 1]), 1);
    assert_eq!(opened_after(start + 10 * SECOND, 2, [203, 0, 113, 1]), 0, "the flow goes on");
    assert_eq!(opened_after(start + 20 * SECOND, 3, [203, 0, 113, 2]), 1, "it leads elsewhere");
}

#[test]
fn what_a_client_waits_for_goes_with_it() {
    let start = Instant::now();
    let mut server = allowing_the_game(start);
    let mut alice = client(&mut server, start, 1, 1);
    let open = alice.open_to(FLOW, 0, game(), Some(b"hello"));
    exchange(&mut server, start, alice.link(), open);
    let held = server.holdings();
    assert_eq!((held.waiting, held.waiting_len), (1, 5), "until the name is looked up");
    server.reconfigure(start, config(each(&BOTH[1..])));
    let held = server.holdings();
    assert_eq!((held.waiting, held.waiting_len), (0, 0));
}

#[test]
fn a_socket_that_is_still_being_opened_is_handed_on_and_may_lose_its_client() {
    let start = Instant::now();
    let mut server = server(start, each(BOTH));
    let mut older = client(&mut server, start, 1, 1);
    ask(&mut server, start, &mut older);
    let now = start + SECOND;
    let mut younger = client(&mut server, now, 2, 1);
    assert_eq!(ask(&mut server, now, &mut younger), None);
    let [socket] = opened(&mut server)[..] else { panic!("one socket") };
    open_at(&mut server, now, socket, 40_001);
    let now = now + SECOND;
    assert_eq!(ask(&mut server, now, &mut younger).map(|answer| answer.port), Some(40_001));

    // And where the client is put out before its socket is open, nothing comes of it.
    let mut bob = client(&mut server, now, 3, 2);
    ask(&mut server, now, &mut bob);
    let Some(Event::Open(socket, _)) = server.poll_event() else { panic!("a socket") };
    server.reconfigure(now, config(each(&BOTH[..1])));
    open_at(&mut server, now, socket, 40_002);
    let closed = std::iter::from_fn(|| server.poll_event()).any(|event| event == Event::Close(socket));
    assert!(closed, "it is closed with him");
    assert_eq!(server.holdings().flows, 1);
}
