//! What a client makes of the server's answers for its flows, some of which come late: both ends on one line, which the test
//! holds in its hands.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mptunnel::tunnel::LISTENER;
use mptunnel::tunnel::link::{Endpoint, Host as Name, Link, NameId};
use mptunnel::tunnel::role::{Bridge, ClientRole, Config, Role, ServerRole};
use mptunnel::tunnel::wire::{Reject, Type};

use crate::sim::host::{Host, is_local};
use crate::sim::setup::encrypted;

const SECOND: Duration = Duration::from_secs(1);
/// What each turn takes.
const TURN: Duration = Duration::from_millis(5);
const DATA: u8 = Type::Data as u8;
const OPEN: u8 = Type::Open as u8;
const OPENED: u8 = Type::Opened as u8;

fn address(ip: [u8; 4], port: u16) -> SocketAddr {
    (ip, port).into()
}

/// Both ends, and what is between them.
struct Line {
    now: Instant,
    client: Host,
    server: Host,
    at_server: SocketAddr,
    application: SocketAddr,
    /// Whether the server's answers for flows are kept back, and those that are.
    holding: bool,
    held: VecDeque<Vec<u8>>,
    /// Names to look up at the server.
    asked: Vec<(NameId, Endpoint)>,
    /// The types of the packets that have left the client, probes and handshakes apart.
    left: Vec<u8>,
    /// Datagrams that have come to the target.
    delivered: usize,
}

impl Line {
    /// Both ends, connected. The server's target is what `target` says.
    fn new(target: Name) -> Self {
        let now = Instant::now();
        let (at_server, listen) = (address([192, 0, 2, 1], 2000), address([127, 0, 0, 1], 3000));
        let host = |role: Role, ip: [u8; 4], seed| {
            let config = Config { role, security: encrypted() };
            Host::new(config, [ip.into(), std::net::Ipv6Addr::LOCALHOST.into()], seed)
        };
        let server = ServerRole::new(at_server, Endpoint { host: target, port: 1194 });
        let client = ClientRole::new(listen, vec![Bridge::from(Endpoint::from(at_server))]);
        let mut line = Self {
            now,
            client: host(client.into(), [192, 0, 2, 100], 1),
            server: host(server.into(), [192, 0, 2, 1], 2),
            at_server,
            application: address([127, 0, 0, 1], 40_000),
            holding: false,
            held: VecDeque::new(),
            asked: Vec::new(),
            left: Vec::new(),
            delivered: 0,
        };
        line.server.start(now);
        line.client.start(now);
        line.run_for(SECOND);
        line
    }

    fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now += TURN;
            for host in [&mut self.client, &mut self.server] {
                host.tunnel.as_mut().expect("it runs").handle_timeout(self.now);
            }
            self.flush();
        }
    }

    fn flush(&mut self) {
        loop {
            let (up, down) = (self.client.poll(self.now), self.server.poll(self.now));
            self.asked.extend(down.names);
            if up.packets.is_empty() && down.packets.is_empty() {
                return;
            }
            for (link, packet) in up.packets {
                if is_local(1, link.socket) {
                    continue;
                }
                self.left.extend(Some(packet[0]).filter(|kind| [DATA, OPEN].contains(kind)));
                let remote = self.client.sockets[&link.socket];
                let link = Link { socket: LISTENER, remote, local: None };
                let server = self.server.tunnel.as_mut().expect("it runs");
                server.handle_input(self.now, link, &mut packet.clone());
            }
            for (link, packet) in down.packets {
                if is_local(0, link.socket) {
                    self.delivered += 1;
                } else if self.holding && packet[0] == OPENED {
                    self.held.push_back(packet);
                } else {
                    self.bring(packet);
                }
            }
        }
    }

    /// Brings the client a packet of the server's.
    fn bring(&mut self, mut packet: Vec<u8>) {
        let socket = *self.client.sockets.keys().find(|id| !id.listens()).expect("it has a path");
        let link = Link { socket, remote: self.at_server, local: None };
        self.client.tunnel.as_mut().expect("it runs").handle_input(self.now, link, &mut packet);
    }

    /// Has the application send a datagram. Returns as what it has left the client, if it has.
    fn send(&mut self) -> Option<u8> {
        self.left.clear();
        let link = Link { socket: LISTENER, remote: self.application, local: None };
        self.client.tunnel.as_mut().expect("it runs").handle_input(self.now, link, &mut b"hello".to_vec());
        self.flush();
        self.left.first().copied()
    }

    /// Answers the server's look-ups.
    fn answer(&mut self, found: Option<SocketAddr>) {
        let server = self.server.tunnel.as_mut().expect("it runs");
        for (name, _) in self.asked.drain(..) {
            let answer = found.map(|found| vec![found]).ok_or_else(|| "no such host".to_owned());
            server.handle_resolved(self.now, name, answer);
        }
        self.flush();
    }

    fn rejected(&self, reason: Reject) -> u64 {
        self.client.tunnel.as_ref().expect("it runs").counters().rejected(reason)
    }

    /// How many of the client's events say this.
    fn told(&self, text: &str) -> usize {
        let snapshot = self.client.tunnel.as_ref().expect("it runs").snapshot(self.now);
        snapshot.events.iter().filter(|event| event.text.contains(text)).count()
    }
}

fn named() -> Name {
    Name::Name("target.example".to_owned())
}

fn target() -> SocketAddr {
    address([192, 0, 2, 7], 1194)
}

#[test]
fn a_refused_flow_is_left_alone_for_a_while_then_asked_for_again_and_told_of_once() {
    let mut line = Line::new(named());
    line.answer(None);
    for round in 0..3 {
        assert_eq!(line.send(), Some(OPEN), "round {round}");
        for _ in 0..9 {
            line.run_for(SECOND / 10);
            assert_eq!(line.send(), None, "it was refused a moment ago");
        }
        line.run_for(SECOND / 10);
    }
    assert_eq!((line.rejected(Reject::NoTarget), line.delivered), (27, 0));
    assert_eq!(line.told("finds no address of the target"), 1);
}

#[test]
fn an_answer_that_was_overtaken_by_a_newer_one_changes_nothing() {
    let mut line = Line::new(named());
    line.answer(None);
    line.holding = true;
    assert_eq!(line.send(), Some(OPEN));
    // It has not heard that there is no address, and asks on.
    line.run_for(3 * SECOND);
    line.answer(Some(target()));
    line.holding = false;
    assert_eq!((line.send(), line.delivered), (Some(OPEN), 1));
    assert_eq!((line.send(), line.delivered), (Some(DATA), 2));
    let refusal = line.held.pop_front().expect("the server has answered");
    line.bring(refusal);
    assert_eq!((line.send(), line.delivered), (Some(DATA), 3));
}

#[test]
fn what_a_server_said_before_it_was_started_again_does_not_count_any_more() {
    let mut line = Line::new(Name::Ip(target().ip()));
    line.holding = true;
    assert_eq!((line.send(), line.delivered), (Some(OPEN), 1));
    line.server.kill();
    line.server.start(line.now);
    // Nothing has come of it, and now there is a new session.
    line.run_for(3 * SECOND);
    assert_eq!(line.told("connected to mpserver anew"), 1);
    let opened = line.held.pop_front().expect("the server has answered");
    line.bring(opened);
    assert_eq!((line.send(), line.delivered), (Some(OPEN), 2), "to this server it is new");
}

#[test]
fn what_was_open_is_asked_for_until_it_is_answered_though_the_application_is_silent() {
    let mut line = Line::new(Name::Ip(target().ip()));
    assert_eq!(line.send(), Some(OPEN));
    line.server.kill();
    line.server.start(line.now);
    line.holding = true;
    line.left.clear();
    line.run_for(5 * SECOND);
    assert_eq!(line.left, [OPEN; 5], "so often, and no more");
    line.holding = false;
    assert_eq!((line.send(), line.send()), (Some(OPEN), Some(DATA)));
}

#[test]
fn a_flood_of_questions_is_not_answered_with_a_flood() {
    let mut line = Line::new(Name::Ip(target().ip()));
    line.holding = true;
    (0..500).for_each(|_| assert_eq!(line.send(), Some(OPEN)));
    assert_eq!((line.delivered, line.held.len()), (500, 1), "it is open");
    let mut line = Line::new(named());
    line.answer(None);
    line.holding = true;
    (0..500).for_each(|_| assert_eq!(line.send(), Some(OPEN)));
    assert_eq!((line.delivered, line.held.len()), (0, 64), "it has no address");
}
