//! What tunnels ask for, done: sockets, names, and packets taken through the bridges, past attackers, to the other end.

use std::net::SocketAddr;
use std::time::Duration;

use mptunnel::tunnel::LISTENER;
use mptunnel::tunnel::link::{Host as Name, Link};
use mptunnel::tunnel::wire::Type;

use super::attacker::{Attack, Seen};
use super::host::{HostId, SERVER, is_local};
use super::network::Crossing;
use super::traffic::{App, Way};
use super::{FIRST_APPLICATION_PORT, Happening, Sim, listener, setup};

impl Sim {
    /// Does what the tunnels ask for.
    pub(super) fn flush(&mut self) {
        for host in 0..self.hosts.len() {
            let now = self.instant_at(host);
            let wishes = self.hosts[host].poll(now);
            for (socket, address) in wishes.opened {
                if host == SERVER || !socket.listens() {
                    self.sockets.insert(address, (host, socket));
                }
            }
            for address in wishes.closed {
                self.sockets.remove(&address);
                if host == SERVER {
                    self.closed.push((self.now, address));
                }
            }
            for (name, endpoint) in wishes.names {
                let Name::Name(host_name) = &endpoint.host else { panic!("{endpoint} needs no look-up") };
                let answer = setup::answer(&self.names, host_name, self.now);
                let start = self.hosts[host].starts;
                self.at(self.now + self.name_delay, Happening::Answer(host, start, name, answer));
            }
            for (link, octets) in wishes.packets {
                self.leave(host, link, octets);
            }
        }
    }

    fn leave(&mut self, host: HostId, link: Link, octets: Vec<u8>) {
        // A socket may have been closed while a packet for it waited.
        let Some(&from) = self.hosts[host].sockets.get(&link.socket) else {
            self.promise.closed(is_local(host, link.socket));
            return;
        };
        self.promise.leaves(is_local(host, link.socket), &octets);
        match (host, link.socket) {
            (SERVER, LISTENER) => self.leave_down(link.remote, octets),
            (SERVER, _) => self.at_target(from, link.remote, &octets),
            (_, socket) if socket.listens() => {
                let app = App { client: host - 1, number: link.remote.port() - FIRST_APPLICATION_PORT };
                assert_eq!(from, listener(app), "{app:?} has an answer from where it has sent nothing");
                self.ledger.receive(self.now, Some(app), &octets);
            }
            _ => self.leave_up(from, link.remote, octets),
        }
    }

    fn leave_up(&mut self, client: SocketAddr, remote: SocketAddr, octets: Vec<u8>) {
        let Some(number) = self.bridges.iter().position(|bridge| bridge.address == remote) else { return };
        let outer = self.bridges[number].outer(client);
        self.travel(number, Way::Up, outer, self.server, octets);
    }

    fn leave_down(&mut self, outer: SocketAddr, octets: Vec<u8>) {
        self.account.sent(outer, &octets);
        match self.bridges.iter().position(|bridge| bridge.address.ip() == outer.ip()) {
            Some(number) => {
                let Some(client) = self.bridges[number].inner(outer) else { return };
                let from = self.bridges[number].address;
                self.travel(number, Way::Down, from, client, octets);
            }
            None => {
                if let Some(attacker) = &mut self.attacker {
                    attacker.gets(self.now, outer, &octets);
                }
            }
        }
    }

    fn travel(&mut self, number: usize, way: Way, from: SocketAddr, to: SocketAddr, octets: Vec<u8>) {
        let mut swallowed = false;
        if let Some(mut attacker) = self.attacker.take() {
            let delay = self.bridges[number].line(way).faults.delay;
            let seen = Seen { now: self.now, way, bridge: number, from, to, delay, octets: &octets };
            for attack in attacker.sees(&seen) {
                match attack {
                    Attack::Send { after, from, to, octets } => {
                        self.inject(self.now + after, from, to, octets)
                    }
                    Attack::Swallow => swallowed = true,
                    Attack::Forward { after, octets } => {
                        let sent = self.now;
                        self.at(self.now + after, Happening::Arrival { from, to, sent, octets });
                    }
                }
            }
            self.attacker = Some(attacker);
        }
        if swallowed {
            return;
        }
        let line = self.bridges[number].line(way);
        line.entered += 1;
        line.entered_len += octets.len() as u64;
        line.offered += u64::from(carries(&octets));
        let too_long = matches!(octets[..], [2 | 3, ..]) && octets.len() > line.faults.whole;
        let arrivals = if too_long { Vec::new() } else { line.pass(self.now, octets.len()) };
        line.carried +=
            u64::from(carries(&octets) && octets[0] != Type::Opened as u8 && !arrivals.is_empty());
        if octets.first() == Some(&(Type::Data as u8))
            && let Some(log) = &mut line.log
        {
            log.push(Crossing { sent: self.now, arrived: arrivals.first().copied(), len: octets.len() });
        }
        for at in arrivals {
            let octets = octets.clone();
            self.at(at, Happening::Arrival { from, to, sent: self.now, octets });
        }
    }

    fn at_target(&mut self, from: SocketAddr, target: SocketAddr, datagram: &[u8]) {
        let (app, sent) = self.ledger.receive(self.now, None, datagram);
        assert_eq!(target, self.target_of(app), "a datagram of {app:?} has come to another target");
        let owner = *self.owners.entry(from).or_insert(app);
        assert_eq!(owner, app, "two applications have the address {from} at the target");
        self.seen_at_target(app, from, sent);
        if self.echo {
            self.send(app, Way::Down, datagram.len());
        }
    }

    /// An application keeps its address at the target until a process in between is started again or the flow ends. What
    /// an earlier client sent may come late, but never from the address of a later one.
    fn seen_at_target(&mut self, app: App, from: SocketAddr, sent: Duration) {
        let span = self.spans.entry(from).or_insert((sent, sent));
        *span = (span.0.min(sent), span.1.max(sent));
        let (first, last) = *span;
        let flows = self.flows.entry(app).or_default();
        if !flows.contains(&from) {
            let at = flows.partition_point(|flow| self.spans[flow].0 < first);
            flows.insert(at, from);
        }
        let at = flows.iter().position(|flow| *flow == from).expect("it was just put in");
        let earlier = at.checked_sub(1).map(|at| self.spans[&flows[at]].1);
        let later = flows.get(at + 1).map(|flow| self.spans[flow].0);
        assert!(
            earlier.is_none_or(|earlier| earlier < first) && later.is_none_or(|later| last < later),
            "{app:?} has two addresses at the target at a time"
        );
    }
}

/// Whether a packet has a counter of data: data, open and opened.
fn carries(octets: &[u8]) -> bool {
    [Type::Data, Type::Open, Type::Opened].into_iter().any(|kind| octets.first() == Some(&(kind as u8)))
}
