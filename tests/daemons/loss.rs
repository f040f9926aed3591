//! What is left of three bridges' losses: their product, in every mode.

use std::net::IpAddr;
use std::thread;
use std::time::Duration;

use super::setup::{KEYED, PLAIN, Setup, UNKEYED, V4, V6, has_ipv6, lines, wait_until_all_carry};
use crate::lossy_bridge::Faults;
use crate::stream::Direction;
use crate::wait::poll_until;

/// The part of the packets that each bridge loses, in each direction.
const LOSS: f64 = 0.1;
/// Datagrams each way, and how many a second: few enough that a machine that is busy with other tests loses none itself.
const DATAGRAMS: u64 = 20_000;
const PER_SECOND: u32 = 2_000;
/// The part of correct programs that all the figures here together may call wrong: 0.1 %, over four modes with two
/// directions.
const FALSE_ALARMS: f64 = 0.001 / 8.0;

#[test]
fn three_bridges_that_lose_a_tenth_lose_a_thousandth_in_every_mode() {
    thread::scope(|scope| {
        scope.spawn(|| carries_all_but_a_thousandth("loss-keyed", V4, KEYED));
        scope.spawn(|| carries_all_but_a_thousandth("loss-unkeyed", V4, UNKEYED));
        scope.spawn(|| carries_all_but_a_thousandth("loss-plain", V4, PLAIN));
        if has_ipv6() {
            scope.spawn(|| carries_all_but_a_thousandth("loss-ipv6", V6, KEYED));
        }
    });
}

fn carries_all_but_a_thousandth(name: &str, host: IpAddr, variables: &[(&str, &str)]) {
    let setup = Setup::new(name, host);
    let bridges = setup.three_bridges(Faults { loss: LOSS, ..Faults::default() });
    let _mpserver = setup.mpserver(variables);
    let _mpclient = setup.mpclient(&lines(&bridges), variables);
    let stream = setup.stream(PER_SECOND);
    let first = wait_until_all_carry(&stream, &bridges);
    let limit = Duration::from_secs(60);
    assert!(poll_until(limit, || stream.sent() >= first + DATAGRAMS), "too slow for {PER_SECOND} a second");
    let (there, back) = stream.finish();

    // What was sent while the paths were still being tried does not count.
    let lost =
        |direction: &Direction| direction.missing.iter().filter(|number| **number >= first).count() as u64;
    let sent_there = there.sent - first;
    let sent_back = sent_there - lost(&there);
    for (way, direction, sent) in [("there", &there, sent_there), ("back", &back, sent_back)] {
        let lost = lost(direction);
        let (least, most) = interval(sent, LOSS.powi(3));
        println!("{name}, {way}: {lost} of {sent} lost, {least} to {most} are right");
        assert!(
            (least..=most).contains(&lost),
            "{name}, {way}: {lost} of {sent} lost, not {least} to {most}"
        );
        assert_eq!((direction.doubled, direction.altered), (0, 0), "{name}, {way}");
    }
}

/// The number of losses among `count` independent packets, at most [`FALSE_ALARMS`] outside of the interval.
fn interval(count: u64, loss: f64) -> (u64, u64) {
    let mut exactly = (1.0 - loss).powf(count as f64);
    let mut at_most = 0.0;
    let (mut least, mut lost) = (0, 0);
    loop {
        at_most += exactly;
        if at_most <= FALSE_ALARMS / 2.0 {
            least = lost + 1;
        }
        if at_most >= 1.0 - FALSE_ALARMS / 2.0 {
            return (least, lost);
        }
        exactly *= (count - lost) as f64 / (lost + 1) as f64 * loss / (1.0 - loss);
        lost += 1;
    }
}

#[test]
fn the_interval_is_that_of_the_binomial_distribution() {
    // 10 packets of which each is lost with 1/2: 0, 1, 9 and 10 losses have 1, 10, 10 and 1 in 1,024.
    assert_eq!(interval(10, 0.5), (0, 10));
    // 20 packets: none, or all, in 2 of 1,048,576; one or 19 in 40 more; two or 18 in 380 more.
    assert_eq!(interval(20, 0.5), (2, 18));
    let (least, most) = interval(20_000, 0.001);
    assert!((4..=8).contains(&least) && (36..=42).contains(&most), "{least} to {most}");
}
