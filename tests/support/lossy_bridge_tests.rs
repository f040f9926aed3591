//! The lossy bridge does what it is asked to: the other tests believe its figures.
//!
//! Losses are drawn from seeds, so the intervals below either always hold or never.

#![allow(clippy::disallowed_methods, reason = "these tests run in real time")]

use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use crate::lossy_bridge::{Direction, Faults, LossyBridge};

const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// A bridge between two sockets of the test.
struct Line {
    client: UdpSocket,
    bridge: LossyBridge,
    target: UdpSocket,
}

impl Line {
    fn new(faults: Faults) -> Self {
        let target = socket(ANY_PORT);
        let to = target.local_addr().expect("the target is bound");
        let bridge = LossyBridge::start(ANY_PORT, to, faults, 7).expect("a bridge starts");
        let client = socket(ANY_PORT);
        client.connect(bridge.address()).expect("the bridge has an address");
        Self { client, bridge, target }
    }

    fn forward(&self) -> Direction {
        self.bridge.counts().forward
    }

    /// Sends `count` numbered packets, and the numbers that come out, in their order. No socket buffer
    /// overflows: so few packets are under way at a time.
    fn cross(&self, count: u32) -> Vec<u32> {
        let mut arrived = Vec::new();
        for number in 0..count {
            self.client.send(&number.to_be_bytes()).expect("a packet is sent");
            if number % 64 == 63 || number + 1 == count {
                wait_for("every packet to be dropped or sent on", || {
                    let Direction { received, dropped, forwarded, .. } = self.forward();
                    received == u64::from(number) + 1 && dropped + forwarded == received
                });
                arrived.extend(drain(&self.target));
            }
        }
        arrived
    }
}

fn socket(address: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind(address).expect("a free port");
    socket.set_read_timeout(Some(PATIENCE)).expect("a time-out can be set");
    socket
}

/// The numbers of the packets that wait in a socket.
fn drain(socket: &UdpSocket) -> Vec<u32> {
    let mut numbers = Vec::new();
    let mut octets = [0; 4];
    socket.set_nonblocking(true).expect("a socket can be non-blocking");
    loop {
        match socket.recv(&mut octets) {
            Ok(_) => numbers.push(u32::from_be_bytes(octets)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("the target cannot receive: {error}"),
        }
    }
    socket.set_nonblocking(false).expect("a socket can be blocking");
    numbers
}

fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        thread::sleep(Duration::from_micros(200));
    }
}

/// Asserts that nothing arrives for a while.
fn assert_silent(socket: &UdpSocket) {
    socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a time-out can be set");
    let received = socket.recv(&mut [0; 64]);
    assert!(received.is_err(), "a packet arrived that should not have");
    socket.set_read_timeout(Some(PATIENCE)).expect("a time-out can be set");
}

#[test]
fn packets_of_any_length_pass_both_ways_unchanged() {
    for local in [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()] {
        let any_port = SocketAddr::new(local, 0);
        let target = socket(any_port);
        let to = target.local_addr().expect("the target is bound");
        let bridge = LossyBridge::start(any_port, to, Faults::default(), 7).expect("a bridge starts");
        let client = socket(any_port);
        let mut buffer = vec![0; 70_000];
        for len in [0, 1, 1_472, 9_000, 65_507] {
            let sent: Vec<u8> = (0..len).map(|position| (position % 251) as u8).collect();
            client.send_to(&sent, bridge.address()).expect("a packet is sent");
            let (received, source) = target.recv_from(&mut buffer).expect("the packet arrives");
            assert_eq!(buffer[..received], sent, "{len} octets there");
            target.send_to(&sent, source).expect("an answer is sent");
            let (received, source) = client.recv_from(&mut buffer).expect("the answer arrives");
            assert_eq!(buffer[..received], sent, "{len} octets back");
            assert_eq!(source, bridge.address());
        }
    }
}

#[test]
fn each_client_gets_its_own_answers() {
    let line = Line::new(Faults { delay: Duration::from_millis(5), ..Faults::default() });
    let clients: Vec<_> = (0..5).map(|_| socket(ANY_PORT)).collect();
    for (number, client) in clients.iter().enumerate() {
        client.send_to(&[number as u8], line.bridge.address()).expect("a packet is sent");
    }
    for _ in &clients {
        let mut octet = [0];
        let (_, source) = line.target.recv_from(&mut octet).expect("every client's packet arrives");
        line.target.send_to(&octet, source).expect("an answer is sent");
    }
    for (number, client) in clients.iter().enumerate() {
        let mut octet = [0];
        client.recv(&mut octet).expect("every client is answered");
        assert_eq!(octet, [number as u8]);
    }
}

#[test]
fn losses_are_as_many_as_asked_and_come_in_bursts_as_long_as_asked() {
    const COUNT: u32 = 20_000;
    // (loss, mean burst asked for, mean burst to be seen)
    for (loss, asked, mean) in [(0.1, 1.0, 1.0 / 0.9), (0.1, 4.0, 4.0), (0.2, 3.0, 3.0), (0.5, 1.0, 2.0)] {
        let line = Line::new(Faults { loss, mean_burst: asked, ..Faults::default() });
        let arrived = line.cross(COUNT);
        let counts = line.forward();
        assert_eq!(counts.forwarded, arrived.len() as u64);

        // Losses in runs vary more than single ones: the variance of a two-state chain's count.
        let correlation = 1.0 - 1.0 / (mean * (1.0 - loss));
        let spread = (1.0 + correlation) / (1.0 - correlation);
        let deviation = (f64::from(COUNT) * loss * (1.0 - loss) * spread).sqrt();
        let expected = f64::from(COUNT) * loss;
        let lost = counts.dropped as f64;
        assert!((lost - expected).abs() < 3.3 * deviation, "{loss}, {asked}: {lost} lost, not {expected}");

        let gaps = arrived.windows(2).filter(|pair| pair[1] - pair[0] > 1).count() as f64;
        let burst = lost / gaps;
        assert!((burst / mean - 1.0).abs() < 0.1, "{loss}, {asked}: bursts of {burst}, not {mean}");
    }
}

#[test]
fn everything_or_nothing_can_be_lost() {
    let line = Line::new(Faults::default());
    assert_eq!(line.cross(500), Vec::from_iter(0..500));
    let line = Line::new(Faults { loss: 1.0, ..Faults::default() });
    assert_eq!(line.cross(500), [0_u32; 0]);
}

#[test]
fn losses_there_and_back_are_independent() {
    let line = Line::new(Faults { loss: 0.5, ..Faults::default() });
    let there = line.cross(500);
    line.bridge.set_faults(Faults::default());
    line.client.send(&[0; 4]).expect("a packet is sent");
    let (_, bridge) = line.target.recv_from(&mut [0; 4]).expect("the packet arrives");
    line.bridge.set_faults(Faults { loss: 0.5, ..Faults::default() });
    for number in 0..500_u32 {
        line.target.send_to(&number.to_be_bytes(), bridge).expect("a packet is sent");
    }
    wait_for("every answer to be dropped or sent on", || {
        let Direction { received, dropped, forwarded, .. } = line.bridge.counts().backward;
        received == 500 && dropped + forwarded == 500
    });
    let back = drain(&line.client);
    let both = back.iter().filter(|number| there.contains(number)).count();
    // A quarter of 500 on average, 9.7 standard deviation.
    assert!((90..160).contains(&both), "{both} of 500 pass in both directions");
}

#[test]
fn a_packet_takes_the_delay_asked_for() {
    let delay = Duration::from_millis(20);
    let line = Line::new(Faults { delay, ..Faults::default() });
    let mut taken: Vec<_> = (0..100)
        .map(|_| {
            let sent = Instant::now();
            line.client.send(&[0; 4]).expect("a packet is sent");
            line.target.recv(&mut [0; 4]).expect("the packet arrives");
            sent.elapsed()
        })
        .collect();
    taken.sort();
    assert!(taken[0] >= delay, "{:?} is less than {delay:?}", taken[0]);
    // The rest of a packet's time is the machine's, so the median judges, generously.
    assert!(taken[50] < delay + Duration::from_millis(5), "half of the packets took over {:?}", taken[50]);
    let mean = line.forward().mean_delay;
    assert!(mean >= delay && mean < delay + Duration::from_millis(10), "{mean:?} measured");
}

#[test]
fn jitter_changes_the_order_only_where_asked() {
    let jitter = Duration::from_millis(5);
    let kept = Line::new(Faults { jitter, ..Faults::default() }).cross(500);
    assert_eq!(kept, Vec::from_iter(0..500));
    let mut changed = Line::new(Faults { jitter, reorder: true, ..Faults::default() }).cross(500);
    assert!(!changed.is_sorted(), "no packet was overtaken");
    changed.sort();
    assert_eq!(changed, kept);
}

#[test]
fn the_part_asked_for_arrives_twice() {
    let line = Line::new(Faults { duplicate: 0.3, ..Faults::default() });
    let mut arrived = line.cross(2_000);
    wait_for("the last second copies", || {
        arrived.extend(drain(&line.target));
        line.forward().duplicated + 2_000 == arrived.len() as u64
    });
    let twice = line.forward().duplicated;
    assert!((530..670).contains(&twice), "{twice} of 2,000 packets arrived twice, not 600");
    arrived.sort();
    arrived.dedup();
    assert_eq!(arrived, Vec::from_iter(0..2_000));
}

#[test]
fn a_limited_rate_queues_for_200_ms_and_drops_the_rest() {
    // 10 ms for each packet.
    let line = Line::new(Faults { rate_bps: Some(1_000_000), ..Faults::default() });
    let begin = Instant::now();
    for _ in 0..100 {
        line.client.send(&[0; 1_250]).expect("a packet is sent");
    }
    wait_for("every packet to be dropped or sent on", || {
        let Direction { received, dropped, forwarded, .. } = line.forward();
        received == 100 && dropped + forwarded == 100
    });
    assert!(begin.elapsed() >= Duration::from_millis(200), "too fast: {:?}", begin.elapsed());
    let forwarded = line.forward().forwarded;
    assert!((21..=35).contains(&forwarded), "{forwarded} packets passed");
}

#[test]
fn a_dead_bridge_passes_nothing_and_counts_on() {
    let line = Line::new(Faults { delay: Duration::from_millis(50), ..Faults::default() });
    line.client.send(&[0; 4]).expect("a packet is sent");
    wait_for("the packet to be under way", || line.forward().received == 1);
    line.bridge.set_dead(true);
    assert_eq!(line.forward().dropped, 1, "what was under way is lost");
    line.client.send(&[0; 4]).expect("a packet is sent");
    wait_for("the second packet", || line.forward().dropped == 2);
    assert_silent(&line.target);

    line.bridge.set_dead(false);
    line.client.send(&[0; 4]).expect("a packet is sent");
    line.target.recv(&mut [0; 4]).expect("a bridge that is alive again passes packets");
    wait_for("the last count", || line.forward().forwarded == 1);
    assert_eq!((line.forward().received, line.forward().dropped), (3, 2));
}

#[test]
fn after_a_rebind_the_other_side_sees_a_new_port_and_the_old_one_is_deaf() {
    let line = Line::new(Faults::default());
    let source = || {
        line.client.send(&[0; 4]).expect("a packet is sent");
        line.target.recv_from(&mut [0; 4]).expect("the packet arrives").1
    };
    let old = source();
    assert_eq!(source(), old);
    line.bridge.rebind();
    let new = source();
    assert_ne!(new, old);
    // Nobody owns the old port soon after; the target hears of that once per packet and does not mind.
    line.target.send_to(&[1; 4], old).ok();
    assert_silent(&line.client);
    line.target.send_to(&[2; 4], new).expect("an answer is sent");
    let mut answer = [0; 4];
    line.client.recv(&mut answer).expect("an answer to the new port arrives");
    assert_eq!(answer, [2; 4]);
}

#[test]
fn a_target_that_comes_late_is_reached_at_once() {
    let target = socket(ANY_PORT);
    let to = target.local_addr().expect("the target is bound");
    drop(target);
    let bridge = LossyBridge::start(ANY_PORT, to, Faults::default(), 7).expect("a bridge starts");
    let client = socket(ANY_PORT);
    client.connect(bridge.address()).expect("the bridge has an address");
    for _ in 0..1_000 {
        client.send(&[1; 4]).expect("a packet is sent");
    }
    wait_for("the packets to be sent on", || bridge.counts().forward.received == 1_000);
    // Each is refused, which the socket reports instead of sending the next one.
    wait_for("the refused packets to count as sent on", || bridge.counts().forward.forwarded == 1_000);
    let target = socket(to);
    client.send(&[2; 4]).expect("a packet is sent");
    let mut octets = [0; 4];
    target.recv(&mut octets).expect("the first packet after the target's start arrives");
    assert_eq!(octets, [2; 4]);
}
