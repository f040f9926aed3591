//! `target-loss` and `backup` with real programs: fewer copies, both ways, and still nothing lost.

use std::thread;
use std::time::Duration;

use super::setup::{KEYED, Setup, V4, lines, wait_until_all_carry};
use crate::lossy_bridge::{Faults, LossyBridge};
use crate::process::PATIENCE;
use crate::wait::poll_until;

/// Datagrams a second, and copies, both ways.
const PER_SECOND: u32 = 1_000;
/// The choice is looked at over so long.
const WATCHED: Duration = Duration::from_secs(5);

/// Packets that went through each bridge while time passed, there and back.
fn forwarded(bridges: &[LossyBridge], time: Duration) -> [Vec<u64>; 2] {
    let counts = || bridges.iter().map(|bridge| bridge.counts()).collect::<Vec<_>>();
    let before = counts();
    thread::sleep(time);
    let both = counts().into_iter().zip(before);
    both.map(|(now, before)| {
        [now.forward.forwarded - before.forward.forwarded, now.backward.forwarded - before.backward.forwarded]
    })
    .fold([Vec::new(), Vec::new()], |[mut there, mut back], [forward, backward]| {
        there.push(forward);
        back.push(backward);
        [there, back]
    })
}

#[test]
fn a_target_is_met_with_one_copy_where_a_path_is_good_and_its_death_is_noticed() {
    let setup = Setup::new("copies", V4);
    let bridges = setup.three_bridges(Faults::default());
    let _mpserver = setup.mpserver(KEYED);
    let mut conf = lines(&bridges);
    conf.push("target-loss = 1%".to_owned());
    let _mpclient = setup.mpclient(&conf, KEYED);
    let stream = setup.stream(PER_SECOND);
    wait_until_all_carry(&stream, &bridges);

    // At first all are used; then one is enough, and the others carry samples.
    let datagrams = u64::from(PER_SECOND) * WATCHED.as_secs();
    let mut last = [Vec::new(), Vec::new()];
    let one_is_enough = poll_until(PATIENCE, || {
        last = forwarded(&bridges, WATCHED);
        last.iter().all(|way| way.iter().sum::<u64>() < datagrams * 3 / 2)
    });
    println!("packets in {} s, there and back: {last:?}", WATCHED.as_secs());
    assert!(one_is_enough, "{last:?}");

    // The one that carries most dies: the others go on.
    for packets in last {
        let best = (0..3).max_by_key(|path| packets[*path]).expect("three");
        bridges[best].set_dead(true);
        thread::sleep(Duration::from_secs(2));
        bridges[best].set_dead(false);
    }
    let (there, back) = stream.finish();
    for direction in [&there, &back] {
        assert_eq!((direction.doubled, direction.altered), (0, 0), "{direction:?}");
        let lost = direction.missing.len() as u64;
        println!("{lost} lost in all");
        // Some tenths of a second for each death; a path alone would have lost two seconds of them.
        assert!(lost < u64::from(PER_SECOND) * 2, "{lost} lost");
    }
}
