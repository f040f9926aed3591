//! Whom each event of a snapshot is about.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mptunnel::tunnel::Tunnel;
use mptunnel::tunnel::chronicle::Kind;
use mptunnel::tunnel::flow::FLOW_IDLE_AT_SERVER;
use mptunnel::tunnel::link::{Link, SocketId};
use mptunnel::tunnel::path::MAX_PATHS;
use mptunnel::tunnel::role::{Config, ServerRole};
use mptunnel::tunnel::snapshot::{EventView, PeerView};
use mptunnel::tunnel::wire::{MAX_DATAGRAM_LEN, PathToken};
use rand::{SeedableRng, rngs::StdRng};

use super::keys::BOTH;
use crate::sim::Sim;
use crate::sim::rogue::{Rogue, connect, exchange, opened, prove};
use crate::sim::setup::{Setup, each, encrypted, keyed};
use crate::sim::traffic::App;

const SECOND: Duration = Duration::from_secs(1);
/// By then a client that is silent is forgotten.
const FORGOTTEN: Duration = FLOW_IDLE_AT_SERVER.saturating_add(SECOND);

/// Two clients with names, datagrams of both.
fn alice_and_bob(seed: u64) -> Sim {
    let setup = Setup::paths(&[(20, 0.0), (40, 0.0)]);
    let mut sim =
        Setup { clients: 2, server: each(BOTH), own: vec![keyed(1), keyed(2)], ..setup }.connect(seed);
    for client in 0..2 {
        sim.streams(App { client, number: 0 }, 50);
    }
    sim.run_for(5 * SECOND);
    sim
}

fn server_events(sim: &Sim) -> Vec<EventView> {
    sim.server().snapshot(sim.instant()).events
}

fn peer(sim: &Sim, name: &str) -> PeerView {
    let peers = sim.server().snapshot(sim.instant()).peers;
    peers.into_iter().find(|peer| peer.name.as_deref() == Some(name)).expect("it is a client")
}

/// Whom it is about, as the snapshot has it.
fn whom(event: &EventView) -> (Option<usize>, Option<&str>, bool) {
    (event.peer, event.peer_name.as_deref(), event.peer_gone)
}

#[test]
fn an_event_at_the_server_is_about_the_client_that_its_text_names() {
    let mut sim = alice_and_bob(1);
    let [alice, bob] = ["alice", "bob"].map(|name| peer(&sim, name).number);
    sim.kill_client(1);
    sim.run_for(10 * SECOND);
    let events = server_events(&sim);
    for event in &events {
        let about = [(alice, "alice"), (bob, "bob")]
            .into_iter()
            .find(|(number, name)| event.text.starts_with(&format!("client {number} ({name})")));
        let (number, name) = about.unwrap_or_else(|| panic!("whom is it about? {event:?}"));
        assert_eq!(whom(event), (Some(number), Some(name), false), "{event:?}");
    }
    let of =
        |number, kind| events.iter().filter(|event| (event.peer, event.kind) == (Some(number), kind)).count();
    for (number, silent) in [(alice, 0), (bob, 2)] {
        let counts = [Kind::Connected, Kind::PathUp, Kind::PathSilent].map(|kind| of(number, kind));
        assert_eq!(counts, [1, 2, silent], "{events:#?}");
    }
}

#[test]
fn an_event_of_a_client_that_has_gone_is_not_about_the_one_that_has_its_number_next() {
    let mut sim = alice_and_bob(2);
    let bob = peer(&sim, "bob").number;
    sim.kill_client(1);
    sim.run_for(FORGOTTEN);
    let before = server_events(&sim);
    let of_bob: Vec<_> = before.iter().filter(|event| event.text.contains("(bob)")).collect();
    assert_eq!(of_bob.len(), 1 + 2 + 2 + 1, "it has come, with two paths, and gone: {of_bob:#?}");
    for event in of_bob {
        assert_eq!(whom(event), (None, Some("bob"), true), "{event:?}");
    }

    sim.start_client(1);
    sim.run_for(5 * SECOND);
    assert_eq!(peer(&sim, "bob").number, bob, "the number is used again");
    let after = server_events(&sim);
    for (event, old) in after.iter().zip(&before) {
        assert_eq!(whom(event), whom(old), "nothing changes about {event:?}");
    }
    let new: Vec<_> = after.iter().filter(|event| event.peer == Some(bob)).map(|event| event.kind).collect();
    assert_eq!(new, [Kind::Connected, Kind::PathUp, Kind::PathUp]);
}

#[test]
fn a_client_that_is_put_out_keeps_its_events_under_its_name() {
    let mut sim = alice_and_bob(3);
    sim.rekey_server(each(&BOTH[..1]));
    let events = server_events(&sim);
    let out = events.iter().find(|event| event.text.contains("is out")).expect("it is told");
    assert_eq!(whom(out), (None, Some("bob"), true));
}

#[test]
fn a_client_that_goes_on_for_its_process_before_is_the_one_that_this_is_about() {
    let mut sim = alice_and_bob(4);
    let before = peer(&sim, "bob").number;
    sim.kill_client(1);
    sim.start_client(1);
    sim.run_for(5 * SECOND);
    let events = server_events(&sim);
    let event = events.iter().find(|event| event.text.contains("goes on where")).expect("it is told");
    let number = event.peer.expect("it is there");
    assert!(number != before && event.text.starts_with(&format!("client {number} (bob) ")), "{event:?}");
}

#[test]
fn an_event_at_the_client_is_about_the_server_or_about_nobody() {
    let mut setup = Setup::paths(&[(20, 0.0), (40, 0.0), (60, 0.0)]);
    setup.bridge_names.insert(2, "nowhere.example.org");
    setup.forwards = 1;
    let mut sim = setup.connect(5);
    sim.bridges[1].set_dead(true);
    sim.run_for(10 * SECOND);
    sim.kill_server();
    sim.run_for(10 * SECOND);
    let snapshot = sim.client(0).snapshot(sim.instant());
    assert_eq!(snapshot.peers[0].number, 0);
    let about = |kind| {
        let mut of_kind = snapshot.events.iter().filter(|event| event.kind == kind);
        let first = of_kind.next().unwrap_or_else(|| panic!("no {kind:?}: {:#?}", snapshot.events));
        assert!(of_kind.all(|event| event.peer == first.peer), "{:#?}", snapshot.events);
        whom(first)
    };
    for kind in [Kind::Connected, Kind::Disconnected, Kind::PathUp, Kind::PathSilent, Kind::Name] {
        assert_eq!(about(kind), (Some(0), None, false), "{kind:?}");
    }
    assert_eq!(about(Kind::Start), (None, None, false), "where it listens besides");
}

/// A server that two clients are connected to, with one flow each at most.
fn two_rogues(now: Instant) -> (Tunnel, [Rogue; 2]) {
    let target: SocketAddr = ([192, 0, 2, 1], 1194).into();
    let role = ServerRole { max_flows: 1, ..ServerRole::new(([0, 0, 0, 0], 2000).into(), target.into()) };
    let config = Config { role: role.into(), security: encrypted() };
    let mut server = Tunnel::new(now, config, StdRng::seed_from_u64(1));
    let rogues = [1, 2].map(|number| {
        let mut rogue = connect(&mut server, now, Rogue::new(number));
        prove(&mut server, now, &mut rogue);
        rogue
    });
    (server, rogues)
}

#[test]
fn what_one_client_asks_too_much_of_is_about_that_one_and_a_strangers_handshake_about_nobody() {
    let now = Instant::now();
    let (mut server, [_, mut rogue]) = two_rogues(now);
    for flow in [1, 2] {
        let open = rogue.open(flow, b"x");
        exchange(&mut server, now, rogue.link(), open);
    }
    let probe = rogue.probe(MAX_PATHS as u8, 7, PathToken(0));
    exchange(&mut server, now, rogue.link(), probe);
    let socket: SocketId = opened(&mut server)[0];
    let target = Link { socket, remote: ([192, 0, 2, 1], 1194).into(), local: None };
    exchange(&mut server, now, target, vec![0; MAX_DATAGRAM_LEN + 1]);
    let mut stranger = Rogue::keyed(3, 3);
    let init = stranger.init();
    exchange(&mut server, now, stranger.link(), init);

    let events = server.snapshot(now).events;
    let refused: Vec<_> = events.iter().filter(|event| event.kind == Kind::Refused).collect();
    let told = [
        ("applications of a client", Some(1)),
        ("paths of a client", Some(1)),
        ("octets from target", Some(1)),
        ("uses a key", None),
    ];
    assert_eq!(refused.len(), told.len(), "{refused:#?}");
    for (event, (text, peer)) in refused.into_iter().zip(told) {
        assert!(event.text.contains(text) && event.peer == peer, "{event:?}");
    }
}
