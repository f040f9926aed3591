//! Each of three paths in turn in each trouble that a path may have, with a copy of each datagram on all of
//! them: nothing is lost, and each datagram takes as long as the fastest path that carries it.
//!
//! The network is the one drawn in `netns.rs`, with bridges of our own that delay what they relay:
//!
//! ```text
//!  mpclient .1 p1 ==== bridge, 10 ms each way ==== p1 .1 mpserver, port 2000
//!              p2 ==== bridge, 40 ms each way ==== p2
//!              p3 ==== bridge, 70 ms each way ==== p3
//! ```
//!
//! Both ends of the stream are in this process, which has one clock: the way there and the way back are
//! measured each by itself.

use std::ops::Range;
use std::thread;
use std::time::Duration;

use super::lab::{Lab, Version, bridge_address};
use super::lossy_bridge::{Faults, LossyBridge};
use super::programs::{SERVER_PORT, application, lossy_bridge, mpclient, mpserver, target};
use super::stream::{Echo, Stream};
use super::wait::poll_until;

/// Datagrams a second, and octets of each.
const RATE: u32 = 1_000;
const LEN: usize = 200;

/// What a path takes each way; path 1 comes first.
const DELAYS: [Duration; 3] =
    [Duration::from_millis(10), Duration::from_millis(40), Duration::from_millis(70)];
/// What a slow one takes besides.
const SLOWER: Duration = Duration::from_millis(300);

/// How long each trouble lasts.
const WHILE: Duration = Duration::from_millis(1_500);
/// How soon all paths carry, at the start and after a trouble, with room for a busy machine.
const RETURN: Duration = Duration::from_secs(10);

/// What a busy machine may add to half of the datagrams, without which a slower path could not be told from
/// a faster one; and to 99 of 100, without which a datagram that waited for a slow path would not be noticed.
const MEDIAN_ROOM: Duration = Duration::from_millis(25);
const P99_ROOM: Duration = Duration::from_millis(150);

/// A tenth of what `RATE` datagrams of `LEN` octets, 60 octets of headers and Ethernet's 14 need.
const TENTH: &str = "rate 220kbit burst 2kb limit 20kb";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    None,
    Dead,
    DeadThere,
    DeadBack,
    HalfLost,
    Slow,
    Limited,
}

impl Trouble {
    const ALL: [Self; 6] =
        [Self::Dead, Self::DeadThere, Self::DeadBack, Self::HalfLost, Self::Slow, Self::Limited];

    fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Dead => "interface down",
            Self::DeadThere => "dead on the way there",
            Self::DeadBack => "dead on the way back",
            Self::HalfLost => "50 % lost each way",
            Self::Slow => "300 ms slower each way",
            Self::Limited => "a tenth of the rate each way",
        }
    }

    /// Whether it strikes the way there, and the way back.
    fn strikes(self) -> [bool; 2] {
        match self {
            Self::None => [false, false],
            Self::DeadThere => [true, false],
            Self::DeadBack => [false, true],
            Self::Dead | Self::HalfLost | Self::Slow | Self::Limited => [true, true],
        }
    }

    fn begin(self, lab: &Lab, path: usize, bridge: &LossyBridge) {
        let drop = |from: &str| lab.filter(path, "input", &format!("iifname {from} meta l4proto udp drop"));
        match self {
            Self::None => {}
            Self::Dead => lab.client.ip(&format!("link set p{path} down")),
            Self::DeadThere => drop("c"),
            Self::DeadBack => drop("s"),
            Self::HalfLost => lab.lose(path, 50),
            Self::Slow => bridge.set_faults(faults(path, SLOWER)),
            Self::Limited => [&lab.client, &lab.server].into_iter().for_each(|end| {
                end.tc(&format!("qdisc add dev p{path} root tbf {TENTH}"));
            }),
        }
    }

    fn end(self, lab: &Lab, path: usize, bridge: &LossyBridge) {
        match self {
            Self::None => {}
            Self::Dead => lab.client.ip(&format!("link set p{path} up")),
            Self::DeadThere | Self::DeadBack | Self::HalfLost => lab.clear_filters(path),
            Self::Slow => {
                bridge.set_faults(faults(path, Duration::ZERO));
                // A bridge keeps the order: what comes now leaves behind what is still under way.
                thread::sleep(SLOWER);
            }
            Self::Limited => [&lab.client, &lab.server].into_iter().for_each(|end| {
                end.tc(&format!("qdisc del dev p{path} root"));
            }),
        }
    }
}

fn faults(path: usize, slower: Duration) -> Faults {
    Faults { delay: DELAYS[path - 1] + slower, ..Faults::default() }
}

/// Waits until a bridge passes on what comes, both ways.
fn wait_until_it_carries(bridge: &LossyBridge) {
    let passed = || [bridge.counts().forward.forwarded, bridge.counts().backward.forwarded];
    let before = passed();
    let carries = poll_until(RETURN, || passed().iter().zip(before).all(|(now, before)| *now > before + 100));
    assert!(carries, "the bridge at {} passed on {before:?}, and now {:?}", bridge.address(), passed());
}

/// A trouble of a path, and the numbers of the datagrams that were sent meanwhile.
struct Spell {
    trouble: Trouble,
    path: usize,
    numbers: Range<u64>,
}

/// What the fastest path takes, of those that may count.
fn fastest(may_count: impl Fn(usize) -> bool) -> Duration {
    let delays = DELAYS.into_iter().enumerate().filter(|(index, _)| may_count(index + 1));
    delays.map(|(_, delay)| delay).min().expect("three paths, one of them in trouble")
}

#[test]
fn no_trouble_of_a_path_loses_or_delays_what_the_others_carry() {
    let Some(lab) = Lab::new("troubles", 3, &["nft", "tc"]) else { return };
    let bridges: Vec<_> =
        lab.paths().map(|path| lossy_bridge(&lab, path, SERVER_PORT, 0.0, DELAYS[path - 1])).collect();
    let mut server = mpserver(&lab);
    let mut client = mpclient(&lab, Version::V4);
    let stream = Stream::start(application(&lab), Echo::start(target(&lab)), RATE, LEN);
    stream.wait_until_it_flows(RETURN);
    for path in lab.paths() {
        client.wait_for_line(&format!("bridge {} is up", bridge_address(Version::V4, path)), RETURN);
        server.wait_for_line(&format!("path {} is up from", path - 1), RETURN);
    }

    let mut spells = Vec::new();
    let turns = Trouble::ALL.into_iter().flat_map(|trouble| lab.paths().map(move |path| (trouble, path)));
    for (trouble, path) in [(Trouble::None, 1)].into_iter().chain(turns) {
        let bridge = &bridges[path - 1];
        wait_until_it_carries(bridge);
        trouble.begin(&lab, path, bridge);
        let first = stream.sent();
        thread::sleep(WHILE);
        spells.push(Spell { trouble, path, numbers: first..stream.sent() });
        trouble.end(&lab, path, bridge);
    }
    let (there, back) = stream.finish();

    println!("\n| trouble | path | lost | median there | p99 there | median back | p99 back |");
    println!("|---|---|---|---|---|---|---|");
    let mut wrong = Vec::new();
    for Spell { trouble, path, numbers } in spells {
        let ways = [&there, &back].map(|way| way.excerpt(numbers.clone()));
        let (name, lost) = (trouble.name(), ways.map(|way| way.lost).iter().sum::<usize>());
        let shown = if trouble == Trouble::None { "–".to_owned() } else { path.to_string() };
        let delays = ways.map(|way| format!("{} | {}", ms(way.median), ms(way.p99))).join(" | ");
        println!("| {name} | {shown} | {lost} of {} | {delays} |", ways[0].sent);

        for (way, strikes) in ways.into_iter().zip(trouble.strikes()) {
            let first_copy = fastest(|other| !strikes || other != path);
            // None is faster than its bridge: if 99 of 100 seem to be, there was no trouble.
            let p99 = way.p99.is_some_and(|p99| (first_copy..first_copy + P99_ROOM).contains(&p99));
            let median = way.median.is_some_and(|median| median < first_copy + MEDIAN_ROOM);
            // A machine that is busy with other tests may lose some by itself.
            if !p99 || !median || way.lost > way.sent / 100 {
                wrong.push(format!("path {path}, {name}: {way:?}, where the others take {first_copy:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for way in [&there, &back] {
        let flawless = way.doubled == 0 && way.altered == 0;
        assert!(flawless && way.missing.len() as u64 <= way.sent / 200, "there: {there:?}; back: {back:?}");
    }
}

/// Milliseconds as a table has them.
fn ms(time: Option<Duration>) -> String {
    time.map_or_else(|| "–".to_owned(), |time| format!("{:.1} ms", time.as_secs_f64() * 1e3))
}
