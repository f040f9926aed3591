//! All ways into a tunnel at once, each with as much as an application may send: the plain listener, two forwards and
//! SOCKS5. Nothing gets to another's target or application, and limits that others meet meanwhile are theirs alone.
//!
//! The bridge of this test is mpserver itself: what a bridge of ours could carry is not the question here.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mptunnel::tunnel::snapshot::{Program, Snapshot};
use mptunnel::tunnel::socks5::wire::{self, Address};
use mptunnel::tunnel::wire::Reject;

use super::setup::{KEYED, Setup, V4, address, free_address, line, socket};
use super::socks5::{Client, Target};
use super::status::snapshot;
use crate::process::PATIENCE;
use crate::stream::{Echo, Mark, Stream};
use crate::wait::poll_until;

/// Datagrams a second on each way, and their octets.
const PER_SECOND: u32 = 5_000;
const LEN: usize = 100;
/// How long all run at once.
const TIME: Duration = Duration::from_secs(3);
/// The ways, and the applications of this test that are served.
const NAMES: [&str; 4] = ["listener", "forward 1", "forward 2", "SOCKS5"];

/// How many datagrams a program has not taken for this reason.
fn rejected(snapshot: &Snapshot, reason: Reject) -> u64 {
    snapshot.counters.rejected.get(&reason).copied().unwrap_or_default()
}

#[test]
fn forwards_socks5_and_the_listener_carry_5000_a_second_each_and_nothing_strays() {
    let setup = Setup::new("together", V4);
    let targets = [setup.target(), socket(V4), socket(V4), socket(V4)];
    let reached = targets.each_ref().map(address);
    let (first, second, proxy) = (free_address(), free_address(), free_address());
    let allowed = reached.map(|target| target.to_string());
    let mut options = vec!["--max-flows", "5"];
    let last = Target::start('4', socket(V4));
    let lasts = last.address.to_string();
    options.extend(["--allow-target", &lasts]);
    options.extend(allowed[1..].iter().flat_map(|target| ["--allow-target", target]));
    let mpserver = setup.mpserver_and(&options, KEYED);
    let lines = [
        line(setup.server),
        format!("forward = {first} {}", reached[1]),
        format!("forward = {second} {}", reached[2]),
        format!("socks5 = {proxy}"),
    ];
    let mpclient = setup.mpclient(&lines, KEYED);
    mpclient.wait_for_lines(1, " is up, ");

    let associated = Client::new(proxy);
    let connected = |remote: SocketAddr| {
        let application = socket(V4);
        application.connect(remote).expect("an address to send to");
        application
    };
    associated.socket.connect(associated.relay).expect("an address to send to");
    let applications = [
        setup.application(),
        connected(first),
        connected(second),
        associated.socket.try_clone().expect("a second descriptor"),
    ];
    let mut header = Vec::new();
    wire::write_header(Address::Ip(reached[3]), &mut header);
    let begin = Instant::now();
    let mut number = 0;
    let mut streams: Vec<_> = std::iter::zip(applications, targets)
        .map(|(application, target)| {
            let header = if number == 3 { header.clone() } else { Vec::new() };
            number += 1;
            let mark = Mark { stream: number, header };
            Stream::marked(&mark, application, Echo::of(&mark, target), PER_SECOND, LEN)
        })
        .collect();
    for stream in &streams {
        stream.wait_until_it_flows(PATIENCE);
    }

    // Beside them others come: one that names what is not allowed, one that gets the last place, and one more.
    let refused = |reason| rejected(&snapshot(&mpserver, Program::Mpserver), reason) > 0;
    let other = Client::new(proxy);
    let not_allowed = || {
        other.send(Address::Ip(free_address()), b"let me in");
        refused(Reject::NotAllowed)
    };
    assert!(poll_until(PATIENCE, not_allowed), "a target that is not allowed");
    assert_eq!(other.ask(Address::Ip(last.address), "let me in").1, "4let me in");
    let sixth = setup.application();
    let too_many = || {
        sixth.send(b"let me in").expect("mpclient's address is one");
        refused(Reject::FlowLimit)
    };
    assert!(poll_until(PATIENCE, too_many), "an application beyond the limit");
    assert!(sixth.recv(&mut [0; 64]).is_err(), "it is served");
    while let Some((source, _)) = other.receive() {
        assert_eq!(source, last.address, "what is not allowed has answered");
    }
    std::thread::sleep(TIME.saturating_sub(begin.elapsed()));

    let rates: Vec<_> =
        streams.iter().map(|stream| stream.sent() as f64 / begin.elapsed().as_secs_f64()).collect();
    streams.iter_mut().for_each(Stream::stop);
    // Where the machine is busy, much is still under way. What has not come by the end is in the books.
    poll_until(PATIENCE, || streams.iter().all(Stream::is_complete));
    for ((name, rate), stream) in std::iter::zip(std::iter::zip(NAMES, rates), streams) {
        let (there, back) = stream.finish();
        assert!(rate > f64::from(PER_SECOND) / 2.0, "{name}: {rate:.0} a second were sent");
        println!("{name}: {rate:.0} a second; there: {there:?}; back: {back:?}");
        for direction in [&there, &back] {
            assert_eq!((direction.doubled, direction.altered), (0, 0), "{name}: {direction:?}");
            // A machine that is busy with other tests may lose some by itself.
            assert!(direction.missing.len() as u64 <= there.sent / 10, "{name}: {direction:?}");
        }
    }
    assert_eq!(snapshot(&mpserver, Program::Mpserver).peers[0].flows, 5, "the limit holds");
    // The limit was not mpclient's own.
    assert!(!mpclient.log().contains("the limit"), "{}", mpclient.log());
}
