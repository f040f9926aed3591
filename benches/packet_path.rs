//! What a datagram costs without sockets: sealing, opening, the window, and the whole way through each
//! program. `cargo bench`; with `--no-default-features`, the whole way is measured with the portable
//! AEAD.

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mptunnel::tunnel::aead::{KEY_LEN, NONCE_LEN, portable};
use mptunnel::tunnel::keyring::Keys;
use mptunnel::tunnel::link::{Bind, Event, Link, SocketId};
use mptunnel::tunnel::role::{Bridge, ClientRole, Config, Role, Security, ServerRole};
use mptunnel::tunnel::window::Window;
use mptunnel::tunnel::{LISTENER, Tunnel};
use rand::SeedableRng;
use rand::rngs::StdRng;

/// A small control packet, a typical DNS answer, and a full VPN datagram.
const LENGTHS: [usize; 3] = [64, 512, 1400];
const PATHS: u16 = 3;

fn aead(c: &mut Criterion) {
    macro_rules! backend {
        ($name:literal, $aead:ty) => {
            let mut group = c.benchmark_group($name);
            let key = <$aead>::new(&[1; KEY_LEN]);
            for len in LENGTHS {
                group.throughput(Throughput::Bytes(len as u64));
                group.bench_with_input(BenchmarkId::new("seal", len), &len, |b, &len| {
                    let mut text = vec![7; len];
                    b.iter(|| key.seal([0; NONCE_LEN], &[0; 13], black_box(&mut text)));
                });
                let mut sealed = vec![7; len];
                let tag = key.seal([0; NONCE_LEN], &[0; 13], &mut sealed);
                sealed.extend(tag);
                group.bench_with_input(BenchmarkId::new("open", len), &sealed, |b, sealed| {
                    b.iter_batched_ref(
                        || sealed.clone(),
                        |sealed| key.open([0; NONCE_LEN], &[0; 13], sealed).is_ok(),
                        BatchSize::SmallInput,
                    );
                });
            }
            group.finish();
        };
    }
    #[cfg(feature = "ring")]
    {
        backend!("aead/ring", mptunnel::tunnel::aead::ring_backend::Aead);
    }
    backend!("aead/portable", portable::Aead);
}

fn window(c: &mut Criterion) {
    let mut group = c.benchmark_group("window");
    group.bench_function("the next counter", |b| {
        let mut window = Window::<{ mptunnel::tunnel::window::WINDOW_LEN }>::new();
        let mut counter = 0;
        b.iter(|| {
            counter += 1;
            window.check(black_box(counter)).expect("it is new");
            window.accept(counter);
        });
    });
    group.bench_function("a copy", |b| {
        let mut window = Window::<{ mptunnel::tunnel::window::WINDOW_LEN }>::new();
        window.accept(5);
        b.iter(|| window.check(black_box(5)));
    });
    group.finish();
}

/// mpclients and an mpserver, connected over [`PATHS`] paths each, without loss or delay.
struct Lab {
    clients: Vec<Tunnel>,
    server: Tunnel,
    now: Instant,
}

/// A packet under way: the link that it will be received on, and its octets.
type Packet = (Link, Vec<u8>);

impl Lab {
    /// Connects this many clients, each with a flow.
    fn new(encrypt: bool, clients: usize) -> Self {
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
    fn open_flow(&mut self, client: usize, flow: u16) {
        self.send(client, flow, b"opens the flow");
        let packets = self.client_packets(client);
        assert_eq!(packets.len(), usize::from(PATHS), "every path carries a copy");
        self.server_takes(packets);
        self.clients_take();
    }

    /// What a client has for the server. Its number is in its address, a path's socket is its port.
    fn client_packets(&mut self, client: usize) -> Vec<Packet> {
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

    fn server_takes(&mut self, packets: Vec<Packet>) {
        for (link, mut octets) in packets {
            self.server.handle_input(self.now, link, &mut octets);
        }
    }

    /// What the server has for the clients arrives there.
    fn clients_take(&mut self) {
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
    fn send(&mut self, client: usize, flow: u16, datagram: &[u8]) {
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
    fn time_delivery(
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

fn whole_way(c: &mut Criterion) {
    for (encrypt, name) in [(true, "encrypted"), (false, "not encrypted")] {
        let mut group = c.benchmark_group(format!("whole way/{name}"));
        for len in LENGTHS {
            group.throughput(Throughput::Bytes(len as u64));
            let mut lab = Lab::new(encrypt, 1);
            group.bench_with_input(
                BenchmarkId::new("one datagram in, three packets out", len),
                &len,
                |b, &len| {
                    let mut datagram = vec![7; len];
                    let remote = SocketAddr::from(([127, 0, 0, 1], 10_000));
                    let link = Link { socket: LISTENER, remote, local: None };
                    b.iter(|| {
                        lab.clients[0].handle_input(lab.now, link, &mut datagram);
                        let mut sent = 0;
                        while let Some(transmit) = lab.clients[0].poll_transmit() {
                            sent += transmit.contents.len();
                        }
                        sent
                    });
                },
            );
            let mut lab = Lab::new(encrypt, 1);
            group.bench_function(BenchmarkId::new("three copies in, one datagram out", len), |b| {
                b.iter_custom(|iterations| lab.time_delivery(iterations, len, std::iter::repeat((0, 0))));
            });
        }
        group.finish();
    }
}

/// What more clients, and more flows of one client, add to a datagram's cost at the server.
fn crowds(c: &mut Criterion) {
    let mut group = c.benchmark_group("three copies in, one datagram out, 64 octets");
    for clients in [1, 10, 100, 1000] {
        let mut lab = Lab::new(true, clients);
        let senders = (0..clients).cycle().map(|client| (client, 0));
        group.bench_function(BenchmarkId::new("clients in turn", clients), |b| {
            b.iter_custom(|iterations| lab.time_delivery(iterations, 64, senders.clone()));
        });
    }
    for flows in [1, 10, 100, 1000] {
        let mut lab = Lab::new(true, 1);
        (1..flows).for_each(|flow| lab.open_flow(0, flow));
        let senders = (0..flows).cycle().map(|flow| (0, flow));
        group.bench_function(BenchmarkId::new("flows in turn", flows), |b| {
            b.iter_custom(|iterations| lab.time_delivery(iterations, 64, senders.clone()));
        });
    }
    group.finish();
}

criterion_group!(benches, aead, window, whole_way, crowds);
criterion_main!(benches);
