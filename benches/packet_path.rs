//! What a datagram costs without sockets: sealing, opening, the window, and the whole way through each
//! program. `cargo bench`; with `--no-default-features`, the whole way is measured with the portable
//! AEAD.

mod lab;

use std::hint::black_box;
use std::net::SocketAddr;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use lab::Lab;
use mptunnel::tunnel::LISTENER;
use mptunnel::tunnel::aead::{KEY_LEN, NONCE_LEN, portable};
use mptunnel::tunnel::link::Link;
use mptunnel::tunnel::window::Window;

/// A small control packet, a typical DNS answer, and a full VPN datagram.
const LENGTHS: [usize; 3] = [64, 512, 1400];

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
