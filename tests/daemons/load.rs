//! More than anybody can carry, and the end under load.

use std::thread;
use std::time::Duration;

use super::setup::{KEYED, Setup, V4, lines, wait_until_all_carry};
use crate::lossy_bridge::Faults;
use crate::process::PATIENCE;
use crate::stream::datagram;
use crate::wait::poll_until;

#[test]
fn a_burst_of_5000_datagrams_disturbs_nothing_that_comes_after_it() {
    let setup = Setup::new("burst", V4);
    let bridges = setup.three_bridges(Faults::default());
    let mpserver = setup.mpserver(KEYED);
    let mpclient = setup.mpclient(&lines(&bridges), KEYED);
    let stream = setup.stream(200);
    wait_until_all_carry(&stream, &bridges);
    let application = setup.application();
    let reader = application.try_clone().expect("a second descriptor");
    for _ in 0..5_000 {
        // A number that the target's books do not count.
        let _ = application.send(&datagram(u64::MAX, 1_200));
    }
    // Replies came for some of them at least, and then no more: the burst is over.
    let mut replies = 0;
    let quiet = || {
        let mut quiet = true;
        while reader.recv(&mut [0; 2_048]).is_ok() {
            replies += 1;
            quiet = false;
        }
        quiet
    };
    assert!(poll_until(PATIENCE, quiet), "a burst has no end");
    println!("{replies} of 5000 datagrams sent at once came back");
    assert!(replies > 0, "nothing of the burst came back");
    let first = wait_until_all_carry(&stream, &bridges);
    assert!(poll_until(PATIENCE, || stream.sent() >= first + 300), "the stream has come to a halt");
    let (there, back) = stream.finish();
    for direction in [&there, &back] {
        assert!(
            direction.missing.iter().all(|number| *number < first),
            "lost after the burst: {direction:?}"
        );
        assert_eq!(direction.doubled, 0, "{direction:?}");
    }
    for running in [mpclient, mpserver] {
        running.signal("TERM");
        let finished = running.finish();
        assert_eq!(finished.code, Some(0), "{finished:?}");
    }
}

#[test]
fn both_programs_end_with_0_under_load() {
    let setup = Setup::new("end-under-load", V4);
    let bridges = setup.three_bridges(Faults::default());
    let mpserver = setup.mpserver(KEYED);
    let mpclient = setup.mpclient(&lines(&bridges), KEYED);
    let stream = setup.stream(5_000);
    wait_until_all_carry(&stream, &bridges);
    for (name, running) in [("mpserver", mpserver), ("mpclient", mpclient)] {
        running.signal("TERM");
        let finished = running.finish();
        assert_eq!(finished.code, Some(0), "{name}: {finished:?}");
        // The other one goes on for a while without it.
        thread::sleep(Duration::from_millis(300));
    }
}
