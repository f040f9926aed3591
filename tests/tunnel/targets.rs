//! What a server does about flows and their targets, asked by a client that is no tunnel and breaks the rules.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use mptunnel::tunnel::Tunnel;
use mptunnel::tunnel::allow::{Hosts, Rule};
use mptunnel::tunnel::link::{Bind, Endpoint, Event, Host, NameId, Target};
use mptunnel::tunnel::role::{Allowed, Config, ServerRole};
use mptunnel::tunnel::wire::{PathToken, Reject, Verdict};
use rand::{SeedableRng, rngs::StdRng};

use crate::sim::rogue::{Rogue, connect, exchange, prove};
use crate::sim::setup::encrypted;

const SECOND: Duration = Duration::from_secs(1);

/// What a server sends to targets.
type Datagrams = Vec<(SocketAddr, Vec<u8>)>;

/// A server, and a client with a proven path that asks for what it likes.
struct Lab {
    server: Tunnel,
    now: Instant,
    rogue: Rogue,
    /// What the server has opened sockets for: the target, and the port that was wanted.
    opened: Vec<(SocketAddr, Option<u16>)>,
    /// The look-ups that are not answered yet.
    asked: Vec<(NameId, Endpoint)>,
    /// Whether sockets cannot be opened.
    failing: bool,
    /// What proves the client's address, and how many probes have been sent.
    token: PathToken,
    probes: u32,
}

impl Lab {
    /// A server with this role, and a client whose path is proven.
    fn new(role: ServerRole) -> Self {
        let now = Instant::now();
        let config = Config { role: role.into(), security: encrypted() };
        let mut server = Tunnel::new(now, config, StdRng::seed_from_u64(1));
        let mut rogue = connect(&mut server, now, Rogue::new(1));
        let token = prove(&mut server, now, &mut rogue);
        Self { server, now, rogue, opened: Vec::new(), asked: Vec::new(), failing: false, token, probes: 2 }
    }

    /// Lets time pass. The client's path is as good as before.
    fn wait(&mut self, time: Duration) {
        self.now += time;
        let probe = self.rogue.probe(0, self.probes, self.token);
        self.probes += 1;
        exchange(&mut self.server, self.now, self.rogue.link(), probe);
    }

    /// Hands the server a packet. Returns the verdicts and the datagrams for targets that come of it.
    fn put(&mut self, packet: Vec<u8>) -> (Vec<(Verdict, u16)>, Datagrams) {
        self.now += Duration::from_millis(60);
        self.server.handle_timeout(self.now);
        self.server.handle_input(self.now, self.rogue.link(), &mut packet.clone());
        self.flush()
    }

    /// Answers the oldest look-up.
    fn answer(&mut self, answer: Result<&[&str], &str>) -> (Vec<(Verdict, u16)>, Datagrams) {
        let (name, endpoint) = self.asked.remove(0);
        let address = |ip: &&str| SocketAddr::new(ip.parse().expect(ip), endpoint.port);
        let answer = answer.map(|ips| ips.iter().map(address).collect()).map_err(str::to_owned);
        self.server.handle_resolved(self.now, name, answer);
        self.flush()
    }

    fn flush(&mut self) -> (Vec<(Verdict, u16)>, Datagrams) {
        while let Some(event) = self.server.poll_event() {
            match event {
                Event::Open(socket, Bind::Towards { .. }) if self.failing => {
                    self.server.handle_socket_error(self.now, socket);
                }
                Event::Open(socket, Bind::Towards { remote, port, .. }) => {
                    let port = port.map(u16::from);
                    self.opened.push((remote, port));
                    let port = port.unwrap_or(40_000 + self.opened.len() as u16);
                    self.server.handle_socket_open(self.now, socket, ([192, 0, 2, 1], port).into());
                }
                Event::Resolve(name, endpoint) => self.asked.push((name, endpoint)),
                Event::Open(..) | Event::Close(_) => {}
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

    /// Asks for a flow, with a datagram.
    fn ask(&mut self, flow: u32, target: Target) -> (Vec<(Verdict, u16)>, Datagrams) {
        let open = self.rogue.open_to(flow, 0, target, Some(b"x"));
        self.put(open)
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
    for (flow, target) in [(1, Target::Named(other.into())), (2, name("localhost")), (3, name("a.example"))] {
        let open = lab.rogue.open_to(flow, 0, target, Some(b"x"));
        assert_eq!(lab.put(open), (vec![(Verdict::NotAllowed, 0)], vec![]));
    }
    assert_eq!(lab.opened, []);
    assert_eq!(lab.server.counters().rejected(Reject::NotAllowed), 3);
    let events = lab.server.snapshot(lab.now).events;
    let told: Vec<_> = events.iter().filter(|event| event.text.contains("not allowed")).collect();
    assert_eq!(told.len(), 1, "once a minute: {told:?}");
    let line = "client 0 asks for the target 192.0.2.8:1194, which is not allowed: --allow-target 192.0.2.8:1194 would";
    assert!(told[0].text.starts_with(line), "{told:?}");
    assert_eq!(told[0].peer, Some(0), "{told:?}");
    // Its own target, by its address, is allowed.
    let open = lab.rogue.open_to(4, 0, Target::Named(target().into()), Some(b"x"));
    assert_eq!(lab.put(open), (vec![(Verdict::Open, 40_001)], vec![(target(), b"x".to_vec())]));
}

// ---- names ----

fn name(name: &str) -> Target {
    Target::Named(Endpoint { host: Host::Name(name.into()), port: 1194 })
}

/// A server that allows this: names, addresses or ranges, at every port.
fn allowing(rules: &[&str]) -> ServerRole {
    let rule = |text: &&str| {
        let net = text.parse::<IpAddr>().map(IpNet::from).or_else(|_| text.parse());
        Rule { hosts: net.map_or_else(|_| Hosts::name(text), Hosts::net), ports: Rule::ALL_PORTS }
    };
    ServerRole { allowed: Allowed(rules.iter().map(rule).collect()), ..role() }
}

fn at(ip: &str) -> SocketAddr {
    SocketAddr::new(ip.parse().expect(ip), 1194)
}

#[test]
fn a_name_is_looked_up_when_a_flow_opens_and_what_is_sent_meanwhile_waits() {
    let mut lab = Lab::new(allowing(&["game.example"]));
    for number in 0..3 {
        let open = lab.rogue.open_to(1, 0, name("Game.Example."), Some(&[number]));
        assert_eq!(lab.put(open), (vec![], vec![]));
    }
    assert_eq!(lab.server.holdings().waiting, 3);
    assert_eq!(lab.asked.len(), 1, "one look-up for all of them");
    let datagrams = (0..3).map(|number| (at("192.0.2.9"), vec![number])).collect();
    assert_eq!(lab.answer(Ok(&["192.0.2.9"])), (vec![(Verdict::Open, 40_001)], datagrams));
    assert_eq!(lab.server.holdings().waiting, 0);
}

#[test]
fn a_name_that_has_no_address_is_said_to_have_none() {
    for answer in [Ok(&[][..]), Err("no such host")] {
        let mut lab = Lab::new(allowing(&["game.example"]));
        lab.ask(1, name("game.example"));
        assert_eq!(lab.answer(answer), (vec![(Verdict::NoAddress, 0)], vec![]));
        assert_eq!(lab.server.counters().rejected(Reject::NoTarget), 1);
    }
}

/// The name is allowed, or it is not but its address was; then it moves to where nobody may go.
#[test]
fn a_name_that_changes_its_address_gets_nobody_past_the_list() {
    for rules in [&["game.example"][..], &["192.0.2.0/24"], &["0.0.0.0/0", "::/0"]] {
        for evil in ["127.0.0.1", "::1", "0.0.0.0", "169.254.169.254", "::ffff:127.0.0.1", "64:ff9b::7f00:1"]
        {
            let mut lab = Lab::new(allowing(rules));
            lab.ask(1, name("game.example"));
            let datagrams = vec![(at("192.0.2.9"), b"x".to_vec())];
            assert_eq!(lab.answer(Ok(&["192.0.2.9"])).1, datagrams);
            // Later it means another address.
            lab.wait(10 * SECOND);
            lab.ask(2, name("game.example"));
            assert_eq!(lab.answer(Ok(&[evil])), (vec![(Verdict::NotAllowed, 0)], vec![]), "{rules:?} {evil}");
            // Of several addresses only those that are allowed count, in whatever order they come.
            lab.wait(10 * SECOND);
            lab.ask(3, name("game.example"));
            assert_eq!(lab.answer(Ok(&[evil, "192.0.2.9"])).1, datagrams, "{rules:?} {evil}");
            // The first flow leads where it has led all the time.
            lab.wait(10 * SECOND);
            assert_eq!(lab.ask(1, name("game.example")).1, datagrams);
            assert!(lab.opened.iter().all(|(remote, _)| *remote == at("192.0.2.9")), "{:?}", lab.opened);
        }
    }
}

#[test]
fn the_server_itself_is_no_target_whatever_is_allowed() {
    for listen in ["[::]:1194", "0.0.0.0:1194", "127.0.0.1:1194"] {
        let rules = ["0.0.0.0/0", "::/0", "127.0.0.0/8", "::1", "0.0.0.0/8", "::/128", "itself.example"];
        let role = ServerRole { listen: listen.parse().expect(listen), ..allowing(&rules) };
        let mut lab = Lab::new(role);
        let mut targets = vec!["127.0.0.1", "::ffff:127.0.0.1"];
        if !listen.starts_with("127") {
            targets.extend(["127.0.0.2", "0.0.0.0", "::1", "::"]);
        }
        for (flow, ip) in (0..).zip(&targets) {
            let asked = lab.ask(flow, Target::Named(at(ip).into()));
            assert_eq!(asked, (vec![(Verdict::NotAllowed, 0)], vec![]), "{listen}: {ip}");
        }
        lab.ask(100, name("itself.example"));
        assert_eq!(lab.answer(Ok(&["127.0.0.1"])), (vec![(Verdict::NotAllowed, 0)], vec![]), "{listen}");
        assert_eq!(lab.opened, []);
    }
}

#[test]
fn what_waits_for_names_and_how_many_are_looked_up_at_a_time_is_limited() {
    let mut lab = Lab::new(allowing(&["0.0.0.0/0"]));
    for flow in 0..300 {
        lab.ask(flow, name("slow.example"));
    }
    assert_eq!(lab.server.holdings().waiting, 256);
    assert_eq!(lab.server.counters().rejected(Reject::QueueFull), 44);
    for flow in 300..400 {
        lab.ask(flow, name(&format!("name{flow}.example")));
    }
    assert_eq!(lab.asked.len(), 32);
    assert_eq!(lab.answer(Ok(&["192.0.2.9"])).1.len(), 256);
    assert_eq!(lab.server.holdings().waiting, 0);
}

#[test]
fn a_flow_whose_socket_cannot_be_opened_is_said_to_have_none_and_opens_later() {
    let mut lab = Lab::new(role());
    lab.failing = true;
    assert_eq!(lab.ask(1, Target::Default).0, [(Verdict::NoSocket, 0)]);
    assert_eq!(lab.server.counters().rejected(Reject::NoSocket), 1);
    assert_eq!(lab.server.holdings().flows, 0);
    lab.failing = false;
    assert_eq!(lab.ask(1, Target::Default).0, [(Verdict::Open, 40_001)]);
}

#[test]
fn as_many_flows_are_opened_as_the_server_was_told() {
    let mut lab = Lab::new(ServerRole { max_flows: 3, ..role() });
    let verdicts: Vec<_> = (0..5).flat_map(|flow| lab.ask(flow, Target::Default).0).collect();
    let verdicts: Vec<_> = verdicts.into_iter().map(|(verdict, _)| verdict).collect();
    assert_eq!(verdicts, [[Verdict::Open; 3].as_slice(), &[Verdict::Limit; 2]].concat());
}
