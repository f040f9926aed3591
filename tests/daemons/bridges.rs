//! Bridges of all kinds beside good ones: what is wrong with one costs its own path only.

use std::time::{Duration, Instant};

use super::setup::{
    KEYED, Setup, V4, V6, address, free_port, has_ipv6, line, lines, socket, wait_until_all_carry,
};
use crate::lossy_bridge::{Faults, LossyBridge};
use crate::process::PATIENCE;
use crate::stream::{Echo, Stream};
use crate::wait::poll_until;

/// So long after the start of both programs, datagrams flow.
const PROMISE: Duration = Duration::from_secs(1);
/// Datagrams a second.
const PER_SECOND: u32 = 500;

/// Waits for so many datagrams more, and asserts that the tunnel has carried each from this number on, once.
fn finish_complete_from(stream: Stream, first: u64, datagrams: u64) {
    let last = stream.sent() + datagrams;
    assert!(poll_until(PATIENCE, || stream.sent() >= last), "the stream has come to a halt");
    let (there, back) = stream.finish();
    for direction in [&there, &back] {
        let lost = direction.missing.iter().filter(|number| **number >= first).count();
        assert_eq!((lost, direction.doubled, direction.altered), (0, 0, 0), "{direction:?}");
    }
}

/// The time that a datagram takes to the target and back: the median and the longest of 300, one after the other.
fn round_trips(setup: &Setup) -> (Duration, Duration) {
    let application = setup.application();
    let _echo = Echo::start(setup.target());
    let mut all_took: Vec<_> = (0..300_u32)
        .map(|number| {
            let start = Instant::now();
            let returned = poll_until(PATIENCE, || {
                application.send(&number.to_be_bytes()).expect("mpclient listens");
                let mut buffer = [0; 64];
                // A late reply to a datagram that was sent again is not this one's.
                (0..3).any(
                    |_| matches!(application.recv(&mut buffer), Ok(4) if buffer[..4] == number.to_be_bytes()),
                )
            });
            assert!(returned, "datagram {number} does not return");
            start.elapsed()
        })
        .collect();
    all_took.sort();
    (all_took[all_took.len() / 2], all_took[all_took.len() - 1])
}

#[test]
fn names_that_do_not_resolve_and_dead_bridges_do_not_delay_the_start() {
    let setup = Setup::new("bad-beside-good", V4);
    let good = setup.bridge(Faults::default(), 1);
    let bridges =
        ["nonexistent.invalid 4000".to_owned(), format!("127.0.0.1 {}", free_port(V4)), line(good.address())];
    let mpserver = setup.mpserver(KEYED);
    mpserver.wait_for_lines(1, "listening on");
    let mpclient = setup.mpclient(&bridges, KEYED);
    let stream = setup.stream(PER_SECOND);
    let took = stream.wait_until_it_flows(PATIENCE);
    println!("beside two bad bridges: flows {} ms after the start of mpclient", took.as_millis());
    assert!(took <= PROMISE, "{took:?}");
    let first = stream.sent();
    mpclient.wait_for_lines(1, "bridge nonexistent.invalid:4000 cannot be looked up");
    finish_complete_from(stream, first, 1_000);
}

#[test]
fn bridge_and_target_may_be_names() {
    let setup = Setup::new("names", V4);
    let bridge = setup.bridge(Faults::default(), 1);
    let mpserver = setup.mpserver_with(&["--bind", "127.0.0.1"], "localhost", KEYED);
    mpserver.wait_for_lines(1, "target localhost");
    let _mpclient = setup.mpclient(&[format!("localhost {}", bridge.address().port())], KEYED);
    let stream = setup.stream(PER_SECOND);
    // Where localhost is ::1 first, nobody listens at the first address: the second has its turn.
    let took = stream.wait_until_it_flows(PATIENCE);
    println!("names: flows {} ms after the start of mpclient", took.as_millis());
    let first = stream.sent();
    finish_complete_from(stream, first, 500);
}

#[test]
fn one_mpserver_takes_bridges_of_both_ip_versions() {
    if !has_ipv6() {
        return;
    }
    let setup = Setup::new("mixed", V4);
    let mpserver = setup.mpserver_with(&[], "127.0.0.1", KEYED);
    mpserver.wait_for_lines(1, "listening on [::]:");
    let port = setup.server.port();
    let bridges = [V4, V6, V6].map(|host| {
        LossyBridge::start((host, 0).into(), (host, port).into(), Faults::default(), 1)
            .expect("a bridge starts")
    });
    let [v4, v6, bracketed] = &bridges;
    let configured =
        [line(v4.address()), line(v6.address()), format!("[::1] {}", bracketed.address().port())];
    let _mpclient = setup.mpclient(&configured, KEYED);
    let stream = setup.stream(PER_SECOND);
    let first = wait_until_all_carry(&stream, &bridges);
    // Each version carries everything alone.
    for dead in [&bridges[..1], &bridges[1..]] {
        dead.iter().for_each(|bridge| bridge.set_dead(true));
        let sent = stream.sent();
        assert!(poll_until(PATIENCE, || stream.sent() >= sent + 300), "the stream has come to a halt");
        // What is under way must have come before the next ones die.
        dead.iter().for_each(|bridge| bridge.set_dead(false));
        wait_until_all_carry(&stream, &bridges);
    }
    finish_complete_from(stream, first, 100);
}

#[test]
fn stalled_and_rejecting_bridges_neither_delay_nor_lose_what_the_others_carry() {
    let setup = Setup::new("stalled", V4);
    let good = [setup.bridge(Faults::default(), 1)];
    // Nobody reads it: its buffer is full from the first second on.
    let stalled = socket(V4);
    let _ = socket2::SockRef::from(&stalled).set_recv_buffer_size(4_096);
    let rejecting = format!("127.0.0.1 {}", free_port(V4));
    let _mpserver = setup.mpserver(KEYED);
    let mpclient = setup.mpclient(&[line(address(&stalled)), rejecting, lines(&good).remove(0)], KEYED);
    let stream = setup.stream(2_000);
    let first = wait_until_all_carry(&stream, &good);
    finish_complete_from(stream, first, 6_000);
    let (median, longest) = round_trips(&setup);
    println!("beside a stalled and a rejecting bridge: median {median:?}, longest {longest:?}");
    assert!(median < Duration::from_millis(20), "median {median:?}, longest {longest:?}");
    drop(mpclient);
}
