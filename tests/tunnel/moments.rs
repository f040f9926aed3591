//! Processes are killed at every moment of a handshake, and paths fail in ways that only lengths and rates show.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mptunnel::tunnel::Tunnel;
use mptunnel::tunnel::role::{Config, ServerRole};
use mptunnel::tunnel::wire::{MAX_DATAGRAM_LEN, PathToken, Reject};
use rand::{SeedableRng, rngs::StdRng};

use crate::sim::network::{Faults, Rate};
use crate::sim::rogue::{Rogue, exchange};
use crate::sim::seeds::ms;
use crate::sim::setup::{Setup, encrypted};
use crate::sim::traffic::{APP, Way};
use crate::sim::{Sim, Stream};

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);
const NO_TOKEN: PathToken = PathToken(0);

fn recovers(sim: &mut Sim, what: &str) {
    let end = sim.now;
    let back = sim.run_until(20 * SECOND, |sim| {
        [Way::Up, Way::Down].into_iter().all(|way| sim.record(APP, way).first_after(end).is_some())
    });
    let took = back.unwrap_or_else(|| panic!("{what}: nothing flows 20 s later"));
    assert!(took <= SECOND, "{what}: everything flows after {}", ms(took));
}

/// Kills and starts the server this long after everything has begun to look for it, so that it may have answered a
/// handshake that it does not know any more.
fn restart_server_after(sim: &mut Sim, moment: Duration) {
    sim.run_for(moment);
    sim.kill_server();
    sim.run_for(10 * MS);
    sim.start_server();
}

#[test]
fn a_server_killed_at_any_moment_of_the_first_handshake_is_found_within_a_second() {
    for step in 0..60 {
        let mut sim = Setup { echo: true, ..Setup::new([Faults::new(40 * MS, 0.0)]) }.start(step);
        sim.stream(Stream::new(APP, Way::Up, 50));
        let moment = 3 * MS * step as u32;
        restart_server_after(&mut sim, moment);
        recovers(&mut sim, &format!("killed {} after the start", ms(moment)));
    }
}

#[test]
fn a_server_killed_twice_is_found_within_a_second() {
    for step in 0..60 {
        let mut sim = Setup { echo: true, ..Setup::new([Faults::new(40 * MS, 0.0); 2]) }.connect(step);
        sim.stream(Stream::new(APP, Way::Up, 50));
        restart_server_after(&mut sim, SECOND);
        let moment = 400 * MS + 10 * MS * step as u32;
        restart_server_after(&mut sim, moment);
        recovers(&mut sim, &format!("killed again after {}", ms(moment)));
    }
}

#[test]
fn a_path_with_a_full_queue_costs_nothing_that_another_carries() {
    let rate = Rate { per_second: 20_000, queue_len: 10_000 };
    let narrow = Faults { rate: Some(rate), ..Faults::new(20 * MS, 0.0) };
    let mut sim = Setup::new([narrow, Faults::new(60 * MS, 0.0)]).connect(1);
    let start = sim.now;
    for way in [Way::Up, Way::Down] {
        sim.stream(Stream { len: 1000..=1000, ..Stream::new(APP, way, 100) });
    }
    sim.run_for(20 * SECOND);
    for way in [Way::Up, Way::Down] {
        let (sent, lost) = sim.record(APP, way).lost(start, sim.now - SECOND);
        assert!(sent > 1000 && lost == 0, "{way:?}: {lost} of {sent} lost");
    }
    assert!(sim.bridges[0].up.carried < 600, "the narrow path must have dropped most");
}

#[test]
fn a_path_that_takes_short_packets_alone_costs_nothing_that_another_carries() {
    // Probes pass, so the path is in use.
    let short = Faults { mtu: 300, ..Faults::new(20 * MS, 0.0) };
    let mut sim = Setup::new([short, Faults::new(60 * MS, 0.0)]).connect(1);
    let start = sim.now;
    for way in [Way::Up, Way::Down] {
        sim.stream(Stream { len: 12..=1400, ..Stream::new(APP, way, 100) });
    }
    sim.run_for(20 * SECOND);
    for way in [Way::Up, Way::Down] {
        let (sent, lost) = sim.record(APP, way).lost(start, sim.now - SECOND);
        assert!(sent > 1000 && lost == 0, "{way:?}: {lost} of {sent} lost");
    }
    let carried = [sim.bridges[0].up.carried, sim.bridges[1].up.carried];
    assert!(carried[0] > 200 && carried[0] < carried[1] / 2, "{carried:?}");
}

#[test]
fn the_longest_datagram_arrives_and_a_longer_one_is_refused() {
    let mut sim = Setup { echo: true, ..Setup::new([Faults::new(20 * MS, 0.0)]) }.connect(1);
    let start = sim.now;
    for len in [MAX_DATAGRAM_LEN, MAX_DATAGRAM_LEN + 1, MAX_DATAGRAM_LEN + 32] {
        sim.send(APP, Way::Up, len);
    }
    sim.run_for(SECOND);
    for (way, sent, lost) in [(Way::Up, 3, 2), (Way::Down, 1, 0)] {
        assert_eq!(sim.record(APP, way).lost(start, Duration::MAX), (sent, lost), "{way:?}");
    }
    assert_eq!(sim.client(0).counters().rejected(Reject::TooLarge), 2);
}

/// Two handshakes of a client may be under way at a time. Datagrams leave in the newer one's session, whichever probe comes
/// last.
#[test]
fn a_session_that_its_client_has_given_up_does_not_come_back() {
    let now = Instant::now();
    let target = SocketAddr::from(([192, 0, 2, 1], 1194)).into();
    let role = ServerRole::new(([0, 0, 0, 0], 2000).into(), target).into();
    let mut server = Tunnel::new(now, Config { role, security: encrypted() }, StdRng::seed_from_u64(1));
    let link = Rogue::new(1).link();
    let [mut first, mut second] = [0, 1].map(|attempt| {
        let mut rogue = Rogue::again(1, attempt);
        let init = rogue.init();
        let now = now + SECOND * attempt as u32;
        let sent = exchange(&mut server, now, link, init);
        rogue.connect(now, &sent[0].1);
        rogue
    });
    let newer = second.probe(0, 1, NO_TOKEN);
    assert_eq!(exchange(&mut server, now + SECOND, link, newer).len(), 1);
    // It was sent before, over a slower path.
    let older = first.probe(1, 0, NO_TOKEN);
    assert!(exchange(&mut server, now + SECOND, link, older).is_empty());
    assert_eq!(server.counters().handshakes, 1);
}
