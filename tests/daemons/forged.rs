//! Altered and replayed packets on the wire: none takes the real one's place, none moves a path.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use mptunnel::tunnel::wire::{CONTROL_PACKET_LEN, RESPONSE_LEN};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::setup::{KEYED, Setup, UNKEYED, V4, address, line, socket};
use crate::process::PATIENCE;
use crate::stream::Listener;
use crate::wait::poll_until;

/// Datagrams a second.
const PER_SECOND: u32 = 500;
/// Datagrams that must get through.
const DATAGRAMS: u64 = 1_500;

/// A bridge whose owner tampers: ahead of each packet it sends an altered one, from its own address and from a stranger's,
/// and after it the same packet once more from there.
struct Tamperer {
    address: SocketAddr,
    stranger: UdpSocket,
    forged: Arc<AtomicU64>,
    _listeners: [Listener; 2],
}

impl Tamperer {
    fn start(server: SocketAddr, seed: u64) -> Self {
        let (listener, upstream, stranger) = (socket(V4), socket(V4), socket(V4));
        let forged = Arc::new(AtomicU64::new(0));
        let client = Arc::new(Mutex::new(None));
        let address = address(&listener);
        let tamper = |rng_seed, sender: &UdpSocket| {
            let mut rng = StdRng::seed_from_u64(rng_seed);
            let sender = sender.try_clone().expect("a second descriptor");
            let stranger = stranger.try_clone().expect("a second descriptor");
            let forged = Arc::clone(&forged);
            move |octets: &[u8], to: SocketAddr| {
                for forger in [&sender, &stranger] {
                    let mut altered = octets.to_vec();
                    altered[rng.random_range(0..octets.len())] ^= 1 << rng.random_range(0..8);
                    let _ = forger.send_to(&altered, to);
                }
                let _ = sender.send_to(octets, to);
                let _ = stranger.send_to(octets, to);
                forged.fetch_add(1, Ordering::Relaxed);
            }
        };
        let mut forward = tamper(seed, &upstream);
        let mut backward = tamper(seed + 1, &listener);
        let known = Arc::clone(&client);
        let there = Listener::start(listener, move |_, octets, source| {
            *known.lock().expect("no thread panics with it") = Some(source);
            forward(octets, server);
        });
        let back = Listener::start(upstream, move |_, octets, source| {
            let client = *client.lock().expect("no thread panics with it");
            if let Some(client) = client.filter(|_| source == server) {
                backward(octets, client);
            }
        });
        Self { address, stranger, forged, _listeners: [there, back] }
    }
}

#[test]
fn altered_and_replayed_packets_never_take_the_real_ones_place() {
    thread::scope(|scope| {
        scope.spawn(|| everything_is_delivered_once("forged-keyed", KEYED));
        scope.spawn(|| everything_is_delivered_once("forged-unkeyed", UNKEYED));
    });
}

fn everything_is_delivered_once(name: &str, variables: &[(&str, &str)]) {
    let setup = Setup::new(name, V4);
    let bridges = [10, 20, 30].map(|seed| Tamperer::start(setup.server, seed));
    let mpserver = setup.mpserver(variables);
    let lines = bridges.iter().map(|bridge| line(bridge.address)).collect::<Vec<_>>();
    let mpclient = setup.mpclient(&lines, variables);
    mpclient.wait_for_lines(bridges.len(), " is up, ");
    let stream = setup.stream(PER_SECOND);
    stream.wait_until_it_flows(PATIENCE);
    let first = stream.sent();
    let forged = || -> u64 { bridges.iter().map(|bridge| bridge.forged.load(Ordering::Relaxed)).sum() };
    let before = forged();
    assert!(poll_until(PATIENCE, || stream.sent() >= first + DATAGRAMS), "the stream has come to a halt");
    let (there, back) = stream.finish();
    let forged = forged() - before;
    println!("{name}: {forged} packets were preceded by altered ones");
    // Three paths, both ways. Fewer mean that a path has been lost.
    assert!(forged >= DATAGRAMS * 6 * 9 / 10, "{name}: only {forged} packets went over the bridges");
    for direction in [&there, &back] {
        let lost = direction.missing.iter().filter(|number| **number >= first).count();
        assert_eq!((lost, direction.doubled, direction.altered), (0, 0, 0), "{name}: {direction:?}");
    }
    // A path that had moved would send datagrams there. The answer to a copied init is no more than what was sent; nor
    // is that to a copied probe, which is only given while no address is proven.
    for bridge in &bridges {
        let mut buffer = [0; 2_048];
        while let Ok((len, source)) = bridge.stranger.recv_from(&mut buffer) {
            assert!(
                source == setup.server && [RESPONSE_LEN, CONTROL_PACKET_LEN].contains(&len),
                "{name}: a stranger got {len} octets"
            );
        }
    }
    let clients = mpserver.log().matches("has connected").count();
    assert_eq!(clients, 1, "{name}: an altered packet became a client: {}", mpserver.log());
}
