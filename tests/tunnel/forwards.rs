//! Flows that name their target, and what is left of them when an end is started again.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mptunnel::tunnel::Tunnel;
use mptunnel::tunnel::link::{Bind, Event, Host, Target};
use mptunnel::tunnel::role::{Config, ServerRole};
use mptunnel::tunnel::wire::{MAX_DATAGRAM_LEN, PathToken, Reject, Verdict};
use rand::{SeedableRng, rngs::StdRng};

use crate::sim::network::Faults;
use crate::sim::rogue::{Rogue, exchange};
use crate::sim::seeds::seeds;
use crate::sim::setup::{Setup, encrypted, plain};
use crate::sim::traffic::{APP, App, Way};
use crate::sim::{Sim, Stream, forwarded};

const SECOND: Duration = Duration::from_secs(1);

fn setup(loss: f64) -> Setup {
    let bridges = [20, 35, 50].map(|rtt| Faults::new(Duration::from_millis(rtt), loss));
    Setup { forwards: 2, ..Setup::new(bridges) }
}

fn app(target: u16, number: u16) -> App {
    App { client: 0, number: forwarded(target) + number }
}

fn assert_all_delivered(sim: &Sim, app: App, from: Duration) {
    for way in [Way::Up, Way::Down] {
        let (sent, lost) = sim.record(app, way).lost(from, sim.now - SECOND);
        assert!(sent > 10 && lost == 0, "{app:?}, {way:?}: {lost} of {sent} lost");
    }
}

#[test]
fn applications_of_two_forwards_and_the_plain_listener_speak_with_their_targets_only() {
    // Whose datagram comes to which target, and through which listener its answer, is checked at every delivery.
    seeds(3, |seed| {
        for security in [encrypted(), plain()] {
            let mut sim = Setup { echo: true, ..setup(0.0) }.with(security).connect(seed);
            let apps: Vec<_> =
                (0..3).flat_map(|target| (0..5).map(move |number| app(target, number))).collect();
            for app in &apps {
                sim.stream(Stream::new(*app, Way::Up, 20));
            }
            sim.run_for(5 * SECOND);
            for app in apps {
                assert_all_delivered(&sim, app, Duration::ZERO);
                assert_eq!(sim.flow_addresses(app).len(), 1);
            }
        }
    });
}

#[test]
fn the_first_datagram_of_a_flow_takes_no_longer_than_any_other() {
    let mut sim = setup(0.0).connect(1);
    let start = sim.now;
    sim.send(app(1, 0), Way::Up, 100);
    sim.run_for(SECOND);
    let delay = sim.record(app(1, 0), Way::Up).first_after(start).expect("it arrives") - start;
    assert_eq!(delay, Duration::from_millis(10), "half the round trip of the fastest path");
}

#[test]
fn the_target_sees_the_same_address_after_the_server_was_started_again() {
    seeds(5, |seed| {
        let mut sim = setup(0.05).connect(seed);
        let apps: Vec<_> = (0..3).map(|target| app(target, 1)).collect();
        for app in &apps {
            sim.streams(*app, 20);
        }
        sim.run_for(SECOND);
        for gap in [200, 3000] {
            sim.kill_server();
            sim.run_for(Duration::from_millis(gap));
            sim.start_server();
            sim.run_for(3 * SECOND);
        }
        for app in apps {
            assert_eq!(sim.flow_addresses(app).len(), 1, "{app:?}");
        }
    });
}

#[test]
fn what_the_target_sends_arrives_after_the_server_was_started_again_though_the_application_is_silent() {
    seeds(5, |seed| {
        let mut sim = setup(0.0).connect(seed);
        sim.send(APP, Way::Up, 100);
        sim.send(app(1, 0), Way::Up, 100);
        sim.run_for(SECOND);
        // Its answer, which makes the flow an open one at the client, may come with the second datagram.
        sim.send(app(1, 0), Way::Up, 100);
        sim.run_for(SECOND);
        sim.kill_server();
        sim.run_for(SECOND);
        sim.start_server();
        sim.run_for(3 * SECOND);
        let start = sim.now;
        for app in [APP, app(1, 0)] {
            sim.stream(Stream::new(app, Way::Down, 20));
        }
        sim.run_for(3 * SECOND);
        for app in [APP, app(1, 0)] {
            let (sent, lost) = sim.record(app, Way::Down).lost(start, sim.now - SECOND);
            assert!(sent > 10 && lost == 0, "{lost} of {sent} lost");
        }
    });
}

#[test]
fn a_first_datagram_that_is_too_large_to_name_its_target_waits_for_the_answer() {
    for target in 0..3 {
        let mut sim = setup(0.0).connect(1);
        let start = sim.now;
        for len in [MAX_DATAGRAM_LEN, MAX_DATAGRAM_LEN - 1, 100] {
            sim.send(app(target, 7), Way::Up, len);
        }
        sim.run_for(SECOND);
        assert_eq!(sim.record(app(target, 7), Way::Up).lost(start, Duration::MAX), (3, 0));
        assert_eq!(sim.client(0).holdings().waiting, 0);
    }
}

// ---- a server by itself, and a client that is no tunnel ----

const NO_TOKEN: PathToken = PathToken(0);

/// What a server sends to targets.
type Datagrams = Vec<(SocketAddr, Vec<u8>)>;

struct Lab {
    server: Tunnel,
    now: Instant,
    rogue: Rogue,
    /// What the server has opened sockets for: the target, and the port that was wanted.
    opened: Vec<(SocketAddr, Option<u16>)>,
}

impl Lab {
    /// A server with this role, and a client whose path is proven.
    fn new(role: ServerRole) -> Self {
        let now = Instant::now();
        let config = Config { role: role.into(), security: encrypted() };
        let mut server = Tunnel::new(now, config, StdRng::seed_from_u64(1));
        let mut rogue = Rogue::new(1);
        let link = rogue.link();
        let init = rogue.init();
        let response = exchange(&mut server, now, link, init).remove(0).1;
        rogue.connect(now, &response);
        let probe = rogue.probe(0, 0, NO_TOKEN);
        let mut reply = exchange(&mut server, now, link, probe).remove(0).1;
        let token = rogue.reply(&mut reply).token;
        let probe = rogue.probe(0, 1, token);
        exchange(&mut server, now, link, probe);
        Self { server, now, rogue, opened: Vec::new() }
    }

    /// Hands the server a packet. Returns the verdicts and the datagrams for targets that come of it.
    fn put(&mut self, packet: Vec<u8>) -> (Vec<(Verdict, u16)>, Datagrams) {
        self.now += Duration::from_millis(60);
        self.server.handle_timeout(self.now);
        self.server.handle_input(self.now, self.rogue.link(), &mut packet.clone());
        while let Some(event) = self.server.poll_event() {
            if let Event::Open(socket, Bind::Towards { remote, port, .. }) = event {
                let port = port.map(u16::from);
                self.opened.push((remote, port));
                let own =
                    SocketAddr::from(([192, 0, 2, 1], port.unwrap_or(40_000 + self.opened.len() as u16)));
                self.server.handle_socket_open(self.now, socket, own);
            }
        }
        let (mut verdicts, mut datagrams) = (Vec::new(), Vec::new());
        while let Some(run) = self.server.poll_transmit() {
            for packet in run.packets() {
                if run.link == self.rogue.link() {
                    let opened = self.rogue.opened(&mut packet.to_vec());
                    verdicts.push((opened.verdict, opened.port));
                } else {
                    datagrams.push((run.link.remote, packet.to_vec()));
                }
            }
        }
        (verdicts, datagrams)
    }
}

fn target() -> SocketAddr {
    ([192, 0, 2, 7], 1194).into()
}

fn role() -> ServerRole {
    ServerRole::new(([0, 0, 0, 0], 2000).into(), target().into())
}

#[test]
fn data_of_a_flow_that_nobody_has_asked_for_goes_nowhere_and_that_is_said() {
    let mut lab = Lab::new(role());
    let data = lab.rogue.data(5, b"to whom?");
    assert_eq!(lab.put(data), (vec![(Verdict::Unknown, 0)], vec![]));
    assert_eq!(lab.server.counters().rejected(Reject::UnknownFlow), 1);
    let open = lab.rogue.open(5, b"to you");
    assert_eq!(lab.put(open), (vec![(Verdict::Open, 40_001)], vec![(target(), b"to you".to_vec())]));
    let data = lab.rogue.data(5, b"and this");
    assert_eq!(lab.put(data), (vec![], vec![(target(), b"and this".to_vec())]));
}

#[test]
fn a_flow_that_is_asked_for_again_is_the_same_and_gets_its_datagram() {
    let mut lab = Lab::new(role());
    for number in 0..3 {
        let open = lab.rogue.open(5, &[number]);
        assert_eq!(lab.put(open), (vec![(Verdict::Open, 40_001)], vec![(target(), vec![number])]));
    }
    let asks = lab.rogue.open_to(5, 0, Target::Default, None);
    assert_eq!(lab.put(asks), (vec![(Verdict::Open, 40_001)], vec![]));
    assert_eq!(lab.opened.len(), 1);
    // Another target under the same number is nobody's.
    let other =
        lab.rogue.open_to(5, 0, Target::Named(SocketAddr::from(([192, 0, 2, 8], 1)).into()), Some(b"x"));
    assert_eq!(lab.put(other), (vec![], vec![]));
    assert_eq!(lab.server.counters().rejected(Reject::Malformed), 1);
}

#[test]
fn a_source_port_below_1024_is_given_to_nobody() {
    let mut lab = Lab::new(role());
    for (flow, port) in [(1, 0), (2, 53), (3, 1023), (4, 1024), (5, 65_535)] {
        let open = lab.rogue.open_to(flow, port, Target::Default, None);
        lab.put(open);
    }
    let wanted: Vec<_> = lab.opened.iter().map(|(_, port)| *port).collect();
    assert_eq!(wanted, [None, None, None, Some(1024), Some(65_535)]);
}

#[test]
fn a_target_that_is_not_allowed_is_refused_and_counted_and_its_datagram_goes_nowhere() {
    let mut lab = Lab::new(role());
    let other = SocketAddr::from(([192, 0, 2, 8], 1194));
    let name = |name: &str| {
        Target::Named(mptunnel::tunnel::link::Endpoint { host: Host::Name(name.into()), port: 1 })
    };
    for (flow, target) in [(1, Target::Named(other.into())), (2, name("localhost")), (3, name("a.example"))] {
        let open = lab.rogue.open_to(flow, 0, target, Some(b"x"));
        assert_eq!(lab.put(open), (vec![(Verdict::NotAllowed, 0)], vec![]));
    }
    assert_eq!(lab.opened, []);
    assert_eq!(lab.server.counters().rejected(Reject::NotAllowed), 3);
    // Its own target, by its address, is allowed.
    let open = lab.rogue.open_to(4, 0, Target::Named(target().into()), Some(b"x"));
    assert_eq!(lab.put(open), (vec![(Verdict::Open, 40_001)], vec![(target(), b"x".to_vec())]));
}
