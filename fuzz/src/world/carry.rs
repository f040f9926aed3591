//! What tunnels ask for, done: sockets, names, and packets put on the line or handed to whom they are for.

use std::net::SocketAddr;

use mptunnel::tunnel::LISTENER;
use mptunnel::tunnel::link::{Bind, Event, Link, SocketId};

use super::{CLIENT, End, Flight, MOST_EVENTS, MOST_PACKETS, NO_SOCKET, Owner, REMEMBERED, SERVER, World};
use crate::insider::{Insider, NOBODY};
use crate::setup;
use crate::traffic::Way;

impl World {
    /// Does what a tunnel asks for. Returns how many packets it sent.
    pub(super) fn flush(&mut self, end: End) -> usize {
        let (now, mut events) = (self.instant(), 0);
        while let Some(event) = self.ends[end].tunnel.poll_event() {
            events += 1;
            assert!(events <= MOST_EVENTS, "{events} events at once");
            let process = &mut self.ends[end];
            match event {
                Event::Open(socket, Bind::Towards { .. }) if self.failing > 0 => {
                    self.failing -= 1;
                    process.failed.insert(socket);
                    process.tunnel.handle_socket_error(now, socket);
                }
                Event::Open(socket, bind) => {
                    assert!(process.open.insert(socket), "{socket:?} was opened twice");
                    let address = match bind {
                        Bind::Listen(address) => {
                            process.listeners.insert(address, socket);
                            address
                        }
                        Bind::Towards { port, .. } => {
                            let port = port.map_or(socket.0 as u16 | 0x8000, u16::from);
                            SocketAddr::from(([192, 0, 2, 1], port))
                        }
                    };
                    process.tunnel.handle_socket_open(now, socket, address);
                }
                Event::Close(socket) => {
                    let known = process.open.remove(&socket) || process.failed.remove(&socket);
                    assert!(known, "{socket:?} was closed, but is not open");
                    if end == SERVER {
                        self.owners.remove(&socket);
                    }
                }
                Event::Resolve(name, _) => self.asked.push_back((end, name)),
            }
        }
        let mut packets = Vec::new();
        while let Some(run) = self.ends[end].tunnel.poll_transmit() {
            assert!(run.segment_len > 0 || run.contents.is_empty(), "a run without a segment length");
            packets.extend(run.packets().map(|packet| (run.link, packet.to_vec())));
        }
        let sent = packets.len();
        assert!(sent <= MOST_PACKETS, "{sent} packets at once");
        for (link, octets) in packets {
            assert!(octets.len() <= 65_507, "{} octets in one packet", octets.len());
            // A socket may have been closed while a packet for it waited.
            if self.ends[end].open.contains(&link.socket) {
                self.leave(end, link, octets);
            }
        }
        sent
    }

    fn leave(&mut self, end: End, link: Link, octets: Vec<u8>) {
        match (end, link.socket.listens()) {
            (CLIENT, true) => {
                let app = setup::application_at(link.remote);
                let ours = self.ends[CLIENT].listeners.get(&setup::listener(app.number));
                assert_eq!(ours, Some(&link.socket), "{app:?} is answered from elsewhere");
                if self.checks.is_countable(Way::Down, &octets) {
                    self.ledger.receive(self.now, Some(app), &octets);
                }
            }
            (CLIENT, false) => {
                self.checks.made(SERVER, &octets);
                let Some(number) = self.setup.bridge_at(link.remote) else { return };
                let remote = self.outer(link.socket, number);
                let link = Link { socket: LISTENER, remote, local: None };
                self.depart(Flight { to: SERVER, link, sent: self.now, octets: octets.into() });
            }
            (_, true) => self.leave_server(link.remote, octets),
            _ => self.at_target(link, &octets),
        }
    }

    fn leave_server(&mut self, remote: SocketAddr, octets: Vec<u8>) {
        self.account.sent(remote, &octets);
        self.checks.made(CLIENT, &octets);
        let known = self.outer.get(&remote).copied();
        let (socket, from) =
            known.map_or((NO_SOCKET, remote), |(socket, number)| (socket, setup::bridge(number)));
        let link = Link { socket, remote: from, local: None };
        let flight = Flight { to: CLIENT, link, sent: self.now, octets: octets.into() };
        if known.is_some() {
            return self.depart(flight);
        }
        // Strangers may hand on what they get.
        self.remember(&flight);
        if Insider::is_at(remote) {
            self.account.arrived(self.now, &flight.octets);
            self.insider.receive(self.instant(), remote, &flight.octets);
        }
    }

    /// The address that the server sees for a client's socket behind a bridge.
    fn outer(&mut self, socket: SocketId, bridge: u8) -> SocketAddr {
        if let Some((&known, _)) = self.outer.iter().find(|(_, inner)| **inner == (socket, bridge)) {
            return known;
        }
        self.next_port += 1;
        let address = SocketAddr::from(([198, 51, 100, bridge], self.next_port));
        self.outer.insert(address, (socket, bridge));
        address
    }

    fn depart(&mut self, flight: Flight) {
        self.remember(&flight);
        self.line.push_back(flight);
    }

    pub(super) fn remember(&mut self, flight: &Flight) {
        self.seen.push_back(flight.clone());
        if self.seen.len() > REMEMBERED {
            self.seen.pop_front();
        }
    }

    fn at_target(&mut self, link: Link, octets: &[u8]) {
        let other = link.remote == setup::other_target();
        // A name may mean what it likes, but no name makes the server send where it is not allowed to.
        let own = link.remote == setup::target() || self.setup.has_names() && setup::is_stranger(link.remote);
        assert!(own || other, "{} is no target", link.remote);
        if !self.checks.is_countable(Way::Up, octets) {
            return;
        }
        let owner = match octets {
            [0xff, NOBODY, ..] => return,
            [0xff, name, ..] => Owner::Insider(*name),
            _ => {
                let app = self.ledger.receive(self.now, None, octets).0;
                assert_eq!(setup::is_forwarded(app.number), other, "{app:?} speaks with {}", link.remote);
                Owner::App(app)
            }
        };
        let (known, _) = *self.owners.entry(link.socket).or_insert((owner, link.remote));
        assert_eq!(known, owner, "two senders have {:?} at the target", link.socket);
    }
}
