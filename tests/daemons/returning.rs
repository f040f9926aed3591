//! One bridge of three goes away and comes back: nothing is lost that the others carry, and it carries again
//! within two seconds, both ways.

use std::thread;
use std::time::{Duration, Instant};

use super::setup::{KEYED, Setup, V4, lines, wait_until_all_carry};
use crate::lossy_bridge::{Faults, LossyBridge};
use crate::process::PATIENCE;
use crate::wait::poll_until;

/// The promise: so long after a bridge is back, it carries.
const PROMISE: Duration = Duration::from_secs(2);
/// Datagrams a second.
const PER_SECOND: u32 = 500;
/// So many packets that they must be datagrams: the probes of two seconds are fewer.
const CARRIED: u64 = 60;

/// How a bridge goes away and comes back.
#[derive(Clone, Copy, Debug)]
enum Outage {
    /// It drops everything for so long, then goes on as before.
    Silent(Duration),
    /// It forgets its clients, so that mpserver sees another port, as after a NAT's restart.
    Rebound,
    /// It ends and is started again so much later: its port is closed meanwhile, and mpserver sees another one.
    Restarted(Duration),
}

#[test]
fn a_bridge_that_returns_carries_within_two_seconds() {
    let outages = [
        Outage::Silent(Duration::from_millis(1_500)),
        Outage::Rebound,
        Outage::Restarted(Duration::from_millis(1_500)),
        // So long that both ends have given it up.
        Outage::Restarted(Duration::from_millis(11_000)),
    ];
    thread::scope(|scope| {
        for (number, outage) in outages.into_iter().enumerate() {
            scope.spawn(move || assert_returns(&format!("returning-{number}"), outage));
        }
    });
}

fn assert_returns(name: &str, outage: Outage) {
    let setup = Setup::new(name, V4);
    let mut bridges = setup.three_bridges(Faults::default());
    let _mpserver = setup.mpserver(KEYED);
    let _mpclient = setup.mpclient(&lines(&bridges), KEYED);
    let stream = setup.stream(PER_SECOND);
    let first = wait_until_all_carry(&stream, &bridges);

    let address = bridges[0].address();
    match outage {
        Outage::Silent(pause) => {
            bridges[0].set_dead(true);
            thread::sleep(pause);
            bridges[0].set_dead(false);
        }
        Outage::Rebound => bridges[0].rebind(),
        Outage::Restarted(pause) => {
            let [killed, others @ ..] = bridges;
            drop(killed);
            thread::sleep(pause);
            let restarted = LossyBridge::start(address, setup.server, Faults::default(), 4);
            let [second, third] = others;
            bridges = [restarted.expect("its port is free"), second, third];
        }
    }
    let back = Instant::now();
    let before = bridges[0].counts();
    let took = |carried: &dyn Fn() -> u64| {
        assert!(poll_until(PATIENCE, || carried() >= CARRIED), "{outage:?}: {:?}", bridges[0].counts());
        back.elapsed()
    };
    let backward = took(&|| bridges[0].counts().backward.forwarded - before.backward.forwarded);
    let forward = took(&|| bridges[0].counts().forward.forwarded - before.forward.forwarded);
    println!(
        "{outage:?}: {CARRIED} packets towards mpserver within {} ms, towards mpclient within {} ms",
        forward.as_millis(),
        backward.as_millis()
    );
    assert!(forward.max(backward) <= PROMISE, "{outage:?}: {forward:?} there, {backward:?} back");

    let (there, back) = stream.finish();
    for direction in [&there, &back] {
        let lost = direction.missing.iter().find(|number| **number >= first);
        assert_eq!(lost, None, "{outage:?}: the other bridges carry everything");
        assert_eq!((direction.doubled, direction.altered), (0, 0), "{outage:?}: {direction:?}");
    }
}
