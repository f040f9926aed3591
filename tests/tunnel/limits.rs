//! Memory is bounded: every limit holds, and has its counter.

use std::time::{Duration, Instant};

use mptunnel::tunnel::flow::MAX_FLOWS;
use mptunnel::tunnel::link::Event;
use mptunnel::tunnel::path::MAX_PATHS;
use mptunnel::tunnel::wire::{CONTROL_PACKET_LEN, PathToken, Reject};

use crate::sim::host::SERVER;
use crate::sim::network::Faults;
use crate::sim::rogue::{Rogue, connect, exchange, opened, server};
use crate::sim::setup::{Setup, encrypted};
use crate::sim::traffic::{APP, App, Way};

const SECOND: Duration = Duration::from_secs(1);
const NO_TOKEN: PathToken = PathToken(0);

fn one_path() -> Setup {
    Setup::new([Faults::new(Duration::from_millis(20), 0.0)])
}

#[test]
fn a_client_has_a_limited_number_of_flows() {
    let mut sim = one_path().connect(1);
    let begun = sim.flow_addresses(APP).len();
    for number in 0..MAX_FLOWS as u16 + 6 {
        sim.send(App { client: 0, number }, Way::Up, 50);
    }
    sim.run_for(SECOND);
    assert_eq!(begun, 1);
    assert_eq!(sim.client(0).counters().rejected(Reject::FlowLimit), 6);
    let flows = (0..MAX_FLOWS as u16 + 6)
        .filter(|number| !sim.flow_addresses(App { client: 0, number: *number }).is_empty());
    assert_eq!(flows.count(), MAX_FLOWS);
}

#[test]
fn a_server_opens_a_limited_number_of_flows_for_a_client_that_wants_more() {
    let now = Instant::now();
    let mut server = server(now, encrypted());
    let mut rogue = connect(&mut server, now, Rogue::new(1));
    let probe = rogue.probe(0, 0, NO_TOKEN);
    exchange(&mut server, now, rogue.link(), probe);
    for flow in 0..MAX_FLOWS as u32 + 6 {
        let data = rogue.open(flow, b"to the target");
        exchange(&mut server, now, rogue.link(), data);
    }
    assert_eq!(opened(&mut server).len(), MAX_FLOWS);
    assert_eq!(server.counters().rejected(Reject::FlowLimit), 6);
}

#[test]
fn a_path_number_beyond_the_limit_is_refused_without_an_answer() {
    let now = Instant::now();
    let mut server = server(now, encrypted());
    let mut rogue = connect(&mut server, now, Rogue::new(1));
    for (path, answers) in [(0, 1), (MAX_PATHS as u8 - 1, 1), (MAX_PATHS as u8, 0), (255, 0)] {
        let probe = rogue.probe(path, 0, NO_TOKEN);
        assert_eq!(exchange(&mut server, now, rogue.link(), probe).len(), answers, "path {path}");
    }
    assert_eq!(server.counters().rejected(Reject::PathLimit), 2);
}

#[test]
fn a_reply_is_as_long_as_its_probe_and_data_waits_for_the_token() {
    let now = Instant::now();
    let mut server = server(now, encrypted());
    let mut rogue = connect(&mut server, now, Rogue::new(1));
    let probe = rogue.probe(0, 0, PathToken(77));
    let mut sent = exchange(&mut server, now, rogue.link(), probe.clone());
    assert_eq!(sent[0].1.len(), probe.len());
    let reply = rogue.reply(&mut sent[0].1);
    assert!(!reply.validated && reply.token != PathToken(77));
    // Something for the client, which the target answers.
    let data = rogue.open(0, b"question");
    exchange(&mut server, now, rogue.link(), data);
    let Some(Event::Open(socket, _)) = std::iter::from_fn(|| server.poll_event()).last() else {
        panic!("no flow")
    };
    let target = mptunnel::tunnel::link::Link { socket, remote: ([192, 0, 2, 1], 1194).into(), local: None };
    assert!(exchange(&mut server, now, target, b"answer".to_vec()).is_empty());
    let wrong = rogue.probe(0, 1, PathToken(reply.token.0 ^ 1));
    assert_eq!(exchange(&mut server, now, rogue.link(), wrong).len(), 1, "a reply and nothing else");
    let right = rogue.probe(0, 2, reply.token);
    let sent = exchange(&mut server, now, rogue.link(), right);
    let kinds: Vec<_> = sent.iter().map(|(_, packet)| packet[0]).collect();
    assert_eq!(kinds, [3, 1], "the reply, then what waited");
    assert_eq!(sent[0].1.len(), CONTROL_PACKET_LEN);
}

/// What a path's own address has brought is answered nowhere else. What somebody else brings sooner
/// is answered there with as much, moves nothing, and is answered at the path's address all the same.
#[test]
fn a_replayed_probe_is_not_answered_and_one_that_overtakes_itself_at_most_with_as_much() {
    let now = Instant::now();
    let mut server = server(now, encrypted());
    let mut rogue = connect(&mut server, now, Rogue::new(1));
    let elsewhere = Rogue::new(2).link();
    let first = rogue.probe(0, 0, NO_TOKEN);
    let mut sent = exchange(&mut server, now, rogue.link(), first.clone());
    let token = rogue.reply(&mut sent[0].1).token;
    let newest = rogue.probe(0, 1, token);
    let answers = exchange(&mut server, now, rogue.link(), newest.clone());
    let answers = answers.iter().filter(|(_, packet)| packet.len() == CONTROL_PACKET_LEN);
    assert_eq!(answers.count(), 1, "a padded reply apart");
    for probe in [first, newest] {
        for link in [rogue.link(), elsewhere] {
            assert!(exchange(&mut server, now, link, probe.clone()).is_empty());
        }
    }
    assert_eq!(server.counters().rejected(Reject::Copy), 4);

    let overtaken = rogue.probe(0, 2, token);
    for (link, validated) in [(elsewhere, false), (rogue.link(), true)] {
        let mut sent = exchange(&mut server, now, link, overtaken.clone());
        assert_eq!(sent.len(), 1);
        assert_eq!((sent[0].0, sent[0].1.len()), (link, overtaken.len()));
        assert_eq!(rogue.reply(&mut sent[0].1).validated, validated);
    }
    assert!(exchange(&mut server, now, elsewhere, overtaken).is_empty());
}

/// What costs more than a packet is not done for everybody who asks, all at once.
#[test]
fn handshakes_are_answered_at_a_limited_rate() {
    let start = Instant::now();
    let mut server = server(start, encrypted());
    let mut answered_of_100 = |now, number: u64| {
        let inits = (number..number + 100).map(|number| {
            let mut rogue = Rogue::new(number);
            (rogue.link(), rogue.init())
        });
        inits.filter(|(link, init)| !exchange(&mut server, now, *link, init.clone()).is_empty()).count()
    };
    assert_eq!(answered_of_100(start, 0), 20);
    assert_eq!(answered_of_100(start + Duration::from_micros(750), 100), 3);
    assert_eq!(answered_of_100(start + SECOND, 200), 20);
    assert_eq!(server.counters().rejected(Reject::HandshakeRate), 257);
}

/// Handshakes that are over do not keep others out, though their answers are kept for late copies.
#[test]
fn more_clients_connect_at_once_than_handshakes_may_be_half_open() {
    let start = Instant::now();
    let mut server = server(start, encrypted());
    for number in 0..1100 {
        let now = start + Duration::from_micros(250) * number as u32;
        let mut rogue = connect(&mut server, now, Rogue::new(number));
        let probe = rogue.probe(0, 0, NO_TOKEN);
        assert_eq!(exchange(&mut server, now, rogue.link(), probe).len(), 1, "client {number}");
    }
}

#[test]
fn half_open_handshakes_are_limited_and_forgotten() {
    let start = Instant::now();
    let mut server = server(start, encrypted());
    const MAX_PENDING: u64 = 1024;
    let init = |number| {
        let mut rogue = Rogue::new(number);
        (rogue.link(), rogue.init())
    };
    // They come as fast as they are answered.
    let each = Duration::from_micros(250);
    for number in 0..MAX_PENDING + 10 {
        let (link, init) = init(number);
        let answered = !exchange(&mut server, start + each * number as u32, link, init).is_empty();
        assert_eq!(answered, number < MAX_PENDING, "handshake {number}");
    }
    assert_eq!(server.counters().rejected(Reject::HandshakeLimit), 10);
    // Repeating an init costs nothing and gets the same answer.
    let (link, octets) = init(3);
    assert_eq!(exchange(&mut server, start, link, octets).len(), 1);
    let (link, octets) = init(10_000);
    assert_eq!(exchange(&mut server, start + 7 * SECOND, link, octets).len(), 1);
}

#[test]
fn clients_are_limited_and_one_more_is_refused_until_one_is_forgotten() {
    const MAX_PEERS: u64 = 4096;
    let start = Instant::now();
    let mut server = server(start, encrypted());
    for number in 0..=MAX_PEERS {
        // Half-open handshakes have a limit of their own, which time relieves.
        let now = start + Duration::from_millis(10) * number as u32;
        let mut rogue = connect(&mut server, now, Rogue::new(number));
        let probe = rogue.probe(0, 0, NO_TOKEN);
        let answers = exchange(&mut server, now, rogue.link(), probe).len();
        assert_eq!(answers, usize::from(number < MAX_PEERS), "client {number}");
    }
    assert_eq!(server.counters().rejected(Reject::PeerLimit), 1);
    let later = start + 400 * SECOND;
    exchange(&mut server, later, Rogue::new(9999).link(), Vec::new());
    let mut rogue = connect(&mut server, later, Rogue::new(9999));
    let probe = rogue.probe(0, 0, NO_TOKEN);
    assert_eq!(exchange(&mut server, later, rogue.link(), probe).len(), 1);
}

#[test]
fn datagrams_wait_for_the_first_session_and_the_oldest_are_pushed_out() {
    let mut sim = one_path().build(1);
    sim.start_client(0);
    sim.run_for(SECOND);
    for _ in 0..300 {
        sim.send(APP, Way::Up, 50);
    }
    sim.start_server();
    sim.run_for(2 * SECOND);
    assert_eq!(sim.client(0).counters().rejected(Reject::QueueFull), 44);
    let record = sim.record(APP, Way::Up);
    let delivered: Vec<_> = record.delivered.iter().map(Option::is_some).collect();
    assert_eq!(delivered, [vec![false; 44], vec![true; 256]].concat());
    assert_eq!(sim.counters(SERVER).datagrams_received, 256);
}

#[test]
fn what_waited_too_long_is_not_delivered() {
    let mut sim = one_path().build(1);
    sim.start_client(0);
    sim.send(APP, Way::Up, 50);
    sim.run_for(5 * SECOND);
    sim.send(APP, Way::Up, 60);
    sim.start_server();
    sim.run_for(2 * SECOND);
    let delivered: Vec<_> = sim.record(APP, Way::Up).delivered.iter().map(Option::is_some).collect();
    assert_eq!(delivered, [false, true]);
}
