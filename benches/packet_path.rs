//! What a datagram costs without sockets: sealing, opening, the window, and the whole way through each
//! program. `cargo bench`; with `--no-default-features`, the whole way is measured with the portable
//! AEAD.

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mptunnel::tunnel::aead::{KEY_LEN, NONCE_LEN, portable};
use mptunnel::tunnel::link::{Bind, Event, Link, SocketId};
use mptunnel::tunnel::role::{Bridge, Config, Role, Security};
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

/// mpclient and mpserver, connected over [`PATHS`] paths without loss or delay.
struct Pair {
    client: Tunnel,
    server: Tunnel,
    now: Instant,
}

/// A packet under way: the link that it will be received on, and its octets.
type Packet = (Link, Vec<u8>);

impl Pair {
    fn new(encrypt: bool) -> Self {
        let address = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let security = Security { encrypt, key: None };
        let bridges = (1..=PATHS).map(|port| Bridge { endpoint: address(port).into() }).collect();
        let client = Role::Client { listen: address(3000), bridges };
        let server = Role::Server { listen: address(2000), target: address(1194).into() };
        let now = Instant::now();
        let tunnel = |role, seed| {
            Tunnel::new(now, Config { role, security: security.clone() }, StdRng::seed_from_u64(seed))
        };
        let mut pair = Self { client: tunnel(client, 1), server: tunnel(server, 2), now };
        // Two seconds of silence: sessions, paths and addresses are proven after that.
        for _ in 0..200 {
            pair.now += Duration::from_millis(10);
            pair.client.handle_timeout(pair.now);
            pair.server.handle_timeout(pair.now);
            for _ in 0..4 {
                for (link, mut octets) in pair.client_packets() {
                    pair.server.handle_input(pair.now, link, &mut octets);
                }
                for (link, mut octets) in pair.server_packets() {
                    pair.client.handle_input(pair.now, link, &mut octets);
                }
            }
        }
        pair.send(b"opens the flow");
        let packets = pair.client_packets();
        assert_eq!(packets.len(), usize::from(PATHS), "every path carries a copy");
        pair.deliver(packets);
        pair
    }

    /// What the client has for the server. A path's source port is its socket's number.
    fn client_packets(&mut self) -> Vec<Packet> {
        while self.client.poll_event().is_some() {}
        let mut packets = Vec::new();
        while let Some(transmit) = self.client.poll_transmit() {
            let port = transmit.link.socket.0 as u16;
            let remote = SocketAddr::from(([192, 0, 2, 1], port));
            let link = Link { socket: LISTENER, remote, local: None };
            packets.extend(transmit.packets().map(|packet| (link, packet.to_vec())));
        }
        packets
    }

    /// What the server has for the client's paths.
    fn server_packets(&mut self) -> Vec<Packet> {
        while self.server.poll_event().is_some_and(|event| !matches!(event, Event::Open(_, Bind::Listen(_))))
        {
        }
        let mut packets = Vec::new();
        while let Some(transmit) = self.server.poll_transmit() {
            let socket = SocketId(transmit.link.remote.port().into());
            let link = Link { socket, remote: transmit.link.remote, local: None };
            packets.extend(transmit.packets().map(|packet| (link, packet.to_vec())));
        }
        packets
    }

    /// An application's datagram arrives at the client.
    fn send(&mut self, datagram: &[u8]) {
        let application = SocketAddr::from(([127, 0, 0, 1], 50_000));
        let link = Link { socket: LISTENER, remote: application, local: None };
        self.client.handle_input(self.now, link, &mut datagram.to_vec());
    }

    /// Packets arrive at the server, which delivers what is new. Returns how many octets leave.
    fn deliver(&mut self, packets: Vec<Packet>) -> usize {
        for (link, mut octets) in packets {
            self.server.handle_input(self.now, link, &mut octets);
        }
        while self.server.poll_event().is_some() {}
        let mut delivered = 0;
        while let Some(transmit) = self.server.poll_transmit() {
            delivered += transmit.contents.len();
        }
        delivered
    }
}

fn whole_way(c: &mut Criterion) {
    for (encrypt, name) in [(true, "encrypted"), (false, "not encrypted")] {
        let mut group = c.benchmark_group(format!("whole way/{name}"));
        for len in LENGTHS {
            group.throughput(Throughput::Bytes(len as u64));
            let mut pair = Pair::new(encrypt);
            group.bench_with_input(
                BenchmarkId::new("one datagram in, three packets out", len),
                &len,
                |b, &len| {
                    let mut datagram = vec![7; len];
                    let application = SocketAddr::from(([127, 0, 0, 1], 50_000));
                    let link = Link { socket: LISTENER, remote: application, local: None };
                    b.iter(|| {
                        pair.client.handle_input(pair.now, link, &mut datagram);
                        let mut sent = 0;
                        while let Some(transmit) = pair.client.poll_transmit() {
                            sent += transmit.contents.len();
                        }
                        sent
                    });
                },
            );
            let mut pair = Pair::new(encrypt);
            group.bench_function(BenchmarkId::new("three copies in, one datagram out", len), |b| {
                b.iter_custom(|iterations| {
                    let mut spent = Duration::ZERO;
                    for _ in 0..iterations {
                        pair.send(&vec![7; len]);
                        let packets = pair.client_packets();
                        let begin = Instant::now();
                        let delivered = pair.deliver(packets);
                        spent += begin.elapsed();
                        assert_eq!(delivered, len, "one of three copies is delivered");
                    }
                    spent
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, aead, window, whole_way);
criterion_main!(benches);
