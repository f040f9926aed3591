//! What it takes an mpserver with 1,000 clients of three paths each to show itself. While a snapshot is taken,
//! the packets wait; the rest is made in a thread beside them. Each client has sent four datagrams a second for more than the five minutes that are kept of
//! them, and each path has lost some. `cargo bench --bench faces`

#[expect(dead_code, reason = "the packet path is another bench's matter")]
mod lab;

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use lab::Lab;
use mptunnel::status::{Look, table};
use mptunnel::web::history::History;
use mptunnel::web::metrics;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const CLIENTS: usize = 1_000;
const SECONDS: u32 = 310;
const LOSS: f64 = 0.05;
const STEP: Duration = Duration::from_millis(50);
/// Steps between two datagrams of a client.
const STEPS: usize = 5;

/// The server with its clients, after so many seconds.
fn crowd() -> Lab {
    let mut lab = Lab::new(true, CLIENTS);
    let mut rng = StdRng::seed_from_u64(1);
    for step in 0..(SECONDS * 20) as usize {
        lab.now += STEP;
        let now = lab.now;
        lab.server.handle_timeout(now);
        for client in 0..CLIENTS {
            lab.clients[client].handle_timeout(now);
            if step % STEPS == client % STEPS {
                lab.send(client, 0, &[7; 100]);
            }
            let mut packets = lab.client_packets(client);
            packets.retain(|_| !rng.random_bool(LOSS));
            lab.server_takes(packets);
        }
        lab.clients_take();
    }
    lab
}

fn faces(c: &mut Criterion) {
    let lab = crowd();
    let (server, now) = (&lab.server, lab.now);
    let snapshot = server.snapshot(now);
    let settled: u64 = snapshot.peers.iter().map(|peer| peer.received.datagrams).sum();
    assert_eq!((snapshot.peers.len(), snapshot.holdings.paths), (CLIENTS, CLIENTS * 3));
    assert!(settled > 1_000_000, "{settled}");
    let json = || serde_json::to_vec(&server.snapshot(now)).expect("a snapshot is JSON");
    println!("{} octets of JSON, {} of metrics", json().len(), metrics::text(&snapshot).len());

    let mut group = c.benchmark_group("1,000 clients");
    group.sample_size(20).measurement_time(Duration::from_secs(4));
    group.bench_function("the snapshot", |b| b.iter(|| server.snapshot(now)));
    group.bench_function("its JSON", |b| {
        b.iter(|| serde_json::to_vec(&snapshot).expect("a snapshot is JSON"))
    });
    group.bench_function("its metrics", |b| b.iter(|| metrics::text(&snapshot)));
    let look = Look { colour: false, now: jiff::Zoned::now(), peers: 100, in_full: false };
    group.bench_function("its table, of 20 clients", |b| b.iter(|| table(&snapshot, &look)));
    group.bench_function("its point in the history", |b| {
        let mut history = History::default();
        b.iter(|| history.note(&snapshot));
    });
    let mut history = History::default();
    (0..180).for_each(|_| history.note(&snapshot));
    group.bench_function("the history", |b| {
        b.iter(|| serde_json::to_vec(&history.view()).expect("it is JSON"))
    });
    group.finish();
}

criterion_group!(benches, faces);
criterion_main!(benches);
