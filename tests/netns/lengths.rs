//! Datagrams of every length over links whose packets are 1,500 octets at most: each crosses whole, or
//! not at all.

use std::collections::HashSet;
use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use super::lab::{Lab, Version};
use super::programs::{SERVER_PORT, application, mpclient, mpserver, socat_bridge, target};
use super::stream::{Listener, datagram};

/// The largest payload of a UDP datagram over IPv4, less the tunnel's overhead per datagram.
const LARGEST_LEN: usize = 65_507 - 32;

/// How long one datagram may take.
const LIMIT: Duration = Duration::from_secs(5);

/// A datagram with this in front asks the target to send one of another length, which follows in four
/// octets.
const ASK: &[u8] = b"please send ";

/// A target that hands everything it receives to the test, and sends it back or sends what it is asked
/// for.
struct Target {
    received: Receiver<(Vec<u8>, SocketAddr)>,
    _listener: Listener,
}

impl Target {
    fn start(socket: UdpSocket) -> Self {
        let (report, received) = mpsc::channel();
        let listener = Listener::start(socket, move |socket, octets, source| {
            // The test may be over and gone.
            let _ = report.send((octets.to_vec(), source));
            match octets.strip_prefix(ASK).and_then(<[u8]>::first_chunk) {
                Some(len) => {
                    let asked_for = made(u32::from_be_bytes(*len) as usize);
                    socket.send_to(&asked_for, source).expect("a datagram that UDP can carry");
                }
                None => {
                    socket.send_to(octets, source).expect("a datagram that UDP could carry");
                }
            }
        });
        Self { received, _listener: listener }
    }
}

fn made(len: usize) -> Vec<u8> {
    if len < 16 { vec![0x5a; len] } else { datagram(len as u64, len) }
}

fn datagrams_cross_whole_or_not_at_all(test: &str, version: Version) {
    let Some(lab) = Lab::new(test, 3, &["socat"]) else { return };
    let _bridges: Vec<_> = lab.paths().map(|path| socat_bridge(&lab, path, version, SERVER_PORT)).collect();
    let server = mpserver(&lab);
    let client = mpclient(&lab, version);
    let target = Target::start(target(&lab));
    let application = application(&lab);
    application.set_read_timeout(Some(LIMIT)).expect("a time that is not zero");

    let lens = [0, 1, 1_472, 9_000, LARGEST_LEN];
    for len in lens {
        crosses(&application, &target, len);
    }

    // There: what is too long vanishes as a whole, and what follows is not disturbed.
    for len in [LARGEST_LEN + 1, LARGEST_LEN + 1, 65_507] {
        application.send(&made(len)).expect("a datagram that UDP can carry");
    }
    crosses(&application, &target, 100);
    assert_told_once("mpclient", &client.log());

    // Back: the same.
    for len in [LARGEST_LEN + 1, LARGEST_LEN + 1, 65_507] {
        let len = u32::try_from(len).expect("a length of UDP");
        let ask = [ASK, &len.to_be_bytes()].concat();
        application.send(&ask).expect("a short datagram");
        let (received, _) = target.received.recv_timeout(LIMIT).expect("the question at the target");
        assert_eq!(received, ask);
    }
    crosses(&application, &target, 101);
    assert_told_once("mpserver", &server.log());
}

/// Sends a datagram to the target and back again; nothing else may arrive at either end.
fn crosses(application: &UdpSocket, target: &Target, len: usize) {
    let sent = made(len);
    application.send(&sent).expect("a datagram that UDP can carry");
    let (there, _) = target
        .received
        .recv_timeout(LIMIT)
        .unwrap_or_else(|error| panic!("{len} octets did not reach the target: {error}"));
    assert!(there == sent, "of {len} octets the target received {} others", there.len());
    let mut buffer = vec![0; 1 << 16];
    let back = application
        .recv(&mut buffer)
        .unwrap_or_else(|error| panic!("{len} octets did not come back: {error}"));
    assert!(buffer[..back] == sent, "of {len} octets, {back} others came back");
}

/// Bursts leave as offload runs, which the kernel refuses as a whole where a single one of their datagrams
/// would have been cut into fragments.
fn bursts_of_fragmented_datagrams_cross(test: &str, version: Version) {
    let Some(lab) = Lab::new(test, 3, &["socat"]) else { return };
    let _bridges: Vec<_> = lab.paths().map(|path| socat_bridge(&lab, path, version, SERVER_PORT)).collect();
    let _server = mpserver(&lab);
    let _client = mpclient(&lab, version);
    let target = Target::start(target(&lab));
    let application = application(&lab);
    application.set_read_timeout(Some(LIMIT)).expect("a time that is not zero");
    crosses(&application, &target, 100);

    // 1,472 octets fill a packet of 1,500, so the tunnel's own octets make two of it. 32 of them find room
    // in socat's receive buffer.
    for round in 0..50 {
        let burst: Vec<Vec<u8>> = (0..32).map(|number| datagram(round * 32 + number, 1_472)).collect();
        for datagram in &burst {
            application.send(datagram).expect("a datagram that UDP can carry");
        }
        let mut buffer = vec![0; 1 << 16];
        let mut came_back = HashSet::new();
        while came_back.len() < burst.len() {
            let len = application.recv(&mut buffer).unwrap_or_else(|error| {
                let there = target.received.try_iter().count();
                panic!("{there} of a burst reached the target, {} came back: {error}", came_back.len())
            });
            assert!(came_back.insert(buffer[..len].to_vec()), "a datagram came back twice");
        }
        assert!(burst.iter().all(|datagram| came_back.contains(datagram)), "a datagram was altered");
        assert_eq!(target.received.try_iter().count(), burst.len(), "what reached the target");
    }
}

/// A program says that a datagram was too long: in one line, however many there were.
fn assert_told_once(program: &str, log: &str) {
    let lines: Vec<&str> =
        log.lines().filter(|line| line.contains("65,475") || line.contains("65475")).collect();
    assert_eq!(
        lines.len(),
        1,
        "{program} tells the limit for a datagram's length in one line: {lines:?}\n{log}"
    );
}

#[test]
fn datagrams_cross_ipv4_bridges_whole_or_not_at_all() {
    datagrams_cross_whole_or_not_at_all("lengths-ipv4", Version::V4);
}

#[test]
fn datagrams_cross_ipv6_bridges_whole_or_not_at_all() {
    datagrams_cross_whole_or_not_at_all("lengths-ipv6", Version::V6);
}

#[test]
fn bursts_cross_ipv4_bridges_though_each_datagram_is_cut_into_fragments() {
    bursts_of_fragmented_datagrams_cross("bursts-ipv4", Version::V4);
}

#[test]
fn bursts_cross_ipv6_bridges_though_each_datagram_is_cut_into_fragments() {
    bursts_of_fragmented_datagrams_cross("bursts-ipv6", Version::V6);
}
