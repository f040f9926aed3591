//! The tunnel's two programs without sockets, loss or delay.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mptunnel::tunnel::keyring::Keys;
use mptunnel::tunnel::link::{Bind, Event, Link, SocketId};
use mptunnel::tunnel::role::{Bridge, ClientRole, Config, Role, Security, ServerRole};
use mptunnel::tunnel::{LISTENER, Tunnel};
use rand::SeedableRng;
use rand::rngs::StdRng;

/// The paths of each client.
pub(crate) const PATHS: u16 = 3;

/// mpclients and an mpserver, connected over [`PATHS`] paths each, without loss or delay.
pub(crate) struct Lab {
    pub(crate) clients: Vec<Tunnel>,
    pub(crate) server: Tunnel,
    pub(crate) now: Instant,
}

/// A packet under way: the link that it will be received on, and its octets.
pub(crate) type Packet = (Link, Vec<u8>);

impl Lab {
    /// Connects this many clients, each with a flow.
    pub(crate) fn new(encrypt: bool, clients: usize) -> Self {
        let address = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let security = Security { encrypt, keys: Keys::None };
        let bridges: Vec<_> = (1..=PATHS).map(|port| Bridge::from(address(port))).collect();
        let now = Instant::now();
        let tunnel = |role, seed| {
            Tunnel::new(now, Config { role, security: security.clone() }, StdRng::seed_from_u64(seed))
        };
        let role = Role::from(ClientRole::new(address(3000), bridges));
        let client = |seed| tunnel(role.clone(), seed);
        let clients: Vec<_> = (1..=clients as u64).map(client).collect();
        let server = tunnel(ServerRole::new(address(2000), address(1194).into()).into(), 0);
        let mut lab = Self { clients, server, now };
        // Two seconds of silence: sessions, paths and addresses are proven after that.
        for _ in 0..200 {
            lab.now += Duration::from_millis(10);
            lab.server.handle_timeout(lab.now);
            for client in 0..lab.clients.len() {
                lab.clients[client].handle_timeout(lab.now);
                for _ in 0..4 {
                    let packets = lab.client_packets(client);
                    lab.server_takes(packets);
                    lab.clients_take();
                }
            }
        }
        for client in 0..lab.clients.len() {
            lab.open_flow(client, 0);
        }
        lab
    }

    /// Has a flow opened, and the client told of it: from then on its datagrams are plain data.
    pub(crate) fn open_flow(&mut self, client: usize, flow: u16) {
        self.send(client, flow, b"opens the flow");
        let packets = self.client_packets(client);
        assert_eq!(packets.len(), usize::from(PATHS), "every path carries a copy");
        self.server_takes(packets);
        self.clients_take();
    }

    /// What a client has for the server. Its number is in its address, a path's socket is its port.
    pub(crate) fn client_packets(&mut self, client: usize) -> Vec<Packet> {
        let [.., a, b] = (client as u32).to_be_bytes();
        let tunnel = &mut self.clients[client];
        while tunnel.poll_event().is_some() {}
        let mut packets = Vec::new();
        while let Some(transmit) = tunnel.poll_transmit() {
            let remote = SocketAddr::from(([10, 0, a, b], transmit.link.socket.0 as u16));
            let link = Link { socket: LISTENER, remote, local: None };
            packets.extend(transmit.packets().map(|packet| (link, packet.to_vec())));
        }
        packets
    }

    /// The server's sockets are open as soon as it asks for them.
    fn open_sockets(&mut self) {
        while let Some(event) = self.server.poll_event() {
            if let Event::Open(socket, Bind::Towards { .. }) = event {
                let address = SocketAddr::from(([127, 0, 0, 1], 20_000 + socket.0 as u16));
                self.server.handle_socket_open(self.now, socket, address);
            }
        }
    }

    pub(crate) fn server_takes(&mut self, packets: Vec<Packet>) {
        for (link, mut octets) in packets {
            self.server.handle_input(self.now, link, &mut octets);
        }
    }

    /// What the server has for the clients arrives there.
    pub(crate) fn clients_take(&mut self) {
        self.open_sockets();
        while let Some(transmit) = self.server.poll_transmit() {
            if transmit.link.socket != LISTENER {
                // For the target.
                continue;
            }
            let SocketAddr::V4(remote) = transmit.link.remote else { unreachable!("all is IPv4 here") };
            let [_, _, a, b] = remote.ip().octets();
            let link = Link { socket: SocketId(remote.port().into()), ..transmit.link };
            for packet in transmit.packets() {
                let client = &mut self.clients[usize::from(u16::from_be_bytes([a, b]))];
                client.handle_input(self.now, link, &mut packet.to_vec());
            }
        }
    }

    /// An application's datagram arrives at a client.
    pub(crate) fn send(&mut self, client: usize, flow: u16, datagram: &[u8]) {
        let remote = SocketAddr::from(([127, 0, 0, 1], 10_000 + flow));
        let link = Link { socket: LISTENER, remote, local: None };
        self.clients[client].handle_input(self.now, link, &mut datagram.to_vec());
    }

    /// Packets arrive at the server, which delivers what is new. Returns how many octets leave.
    fn deliver(&mut self, packets: Vec<Packet>) -> usize {
        self.server_takes(packets);
        while self.server.poll_event().is_some() {}
        let mut delivered = 0;
        while let Some(transmit) = self.server.poll_transmit() {
            delivered += transmit.contents.len();
        }
        delivered
    }

    /// The time that the server takes for one datagram of each, in all its copies, as often as
    /// asked.
    pub(crate) fn time_delivery(
        &mut self,
        iterations: u64,
        len: usize,
        senders: impl Iterator<Item = (usize, u16)>,
    ) -> Duration {
        let mut spent = Duration::ZERO;
        for (_, (client, flow)) in (0..iterations).zip(senders) {
            self.send(client, flow, &vec![7; len]);
            let packets = self.client_packets(client);
            let begin = Instant::now();
            let delivered = self.deliver(packets);
            spent += begin.elapsed();
            assert_eq!(delivered, len, "one of three copies is delivered");
        }
        spent
    }
}
