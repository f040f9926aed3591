//! What the logs tell an operator who looks on while bridges and programs come and go.

use std::net::SocketAddr;

use super::setup::{KEYED, Setup, V4, lines};
use crate::lossy_bridge::Faults;
use crate::process::{MPCLIENT, Running, run_with};

fn count(running: &Running, text: &str) -> usize {
    running.log().lines().filter(|line| line.contains(text)).count()
}

#[test]
fn each_path_of_a_client_is_told_at_mpserver_once() {
    let setup = Setup::new("told-paths", V4);
    let bridges = setup.three_bridges(Faults::default());
    let mpserver = setup.mpserver(KEYED);
    let _mpclient = setup.mpclient(&lines(&bridges), KEYED);
    let paths = [0, 1, 2].map(|path| format!("client 0: path {path} is up from 127.0.0.1:"));
    paths.iter().for_each(|path| mpserver.wait_for_lines(1, path));
    // Some more probes.
    let before = bridges[0].counts().forward.forwarded;
    let probed = || bridges[0].counts().forward.forwarded >= before + 3;
    assert!(crate::wait::poll_until(crate::process::PATIENCE, probed), "mpclient probes its paths");
    for path in &paths {
        assert_eq!(count(&mpserver, path), 1, "{}", mpserver.log());
    }
}

#[test]
fn a_restart_of_mpserver_is_one_line_that_says_so() {
    let setup = Setup::new("told-restart", V4);
    let bridges = setup.three_bridges(Faults::default());
    let mpclient = setup.mpclient(&lines(&bridges), KEYED);
    let silent = "no answer from mpserver through any of 3 bridges for 3 s: ";
    mpclient.wait_for_lines(1, &format!("{silent}check that it runs"));
    let mpserver = setup.mpserver(KEYED);
    mpclient.wait_for_lines(1, "connected to mpserver");
    assert_eq!(count(&mpclient, "again"), 0, "it never answered before: {}", mpclient.log());
    mpserver.kill();
    mpclient.wait_for_lines(1, &format!("{silent}it has stopped, or no bridge leads to it any more"));
    let _mpserver = setup.mpserver(KEYED);
    // That was said for 3 s at least.
    let anew = "connected to mpserver anew: nothing had come from it for ";
    mpclient.wait_for_lines(1, anew);
    assert_eq!(count(&mpclient, &format!("{anew}0.")), 0, "{}", mpclient.log());
    assert_eq!(count(&mpclient, "connected to mpserver"), 2, "{}", mpclient.log());
    assert_eq!(count(&mpclient, "mpserver answers again"), 0, "{}", mpclient.log());
}

#[test]
fn a_bridge_that_cannot_be_sent_to_is_told_once_a_minute() {
    let setup = Setup::new("told-unreachable", V4);
    let bridge = setup.bridge(Faults::default(), 1);
    // Nobody may send to the broadcast address unasked, so each try from each new socket fails.
    let unreachable = SocketAddr::from(([255, 255, 255, 255], 4_000));
    let both = [super::setup::line(unreachable), super::setup::line(bridge.address())];
    let mpclient = setup.mpclient(&both, KEYED);
    let told = format!("cannot send to bridge {unreachable}: ");
    mpclient.wait_for_lines(1, &told);
    // By then a second socket has been tried.
    mpclient.wait_for_lines(1, "no answer from mpserver through any of 2 bridges");
    assert_eq!(count(&mpclient, &told), 1, "{}", mpclient.log());
}

#[test]
#[cfg(unix)]
fn a_bridge_that_is_taken_out_and_a_client_that_ends_are_told_at_mpserver() {
    let setup = Setup::new("told-leaving", V4);
    let bridges = setup.three_bridges(Faults::default());
    let mpserver = setup.mpserver(KEYED);
    let mpclient = setup.mpclient(&lines(&bridges), KEYED);
    mpserver.wait_for_lines(3, "is up from 127.0.0.1:");
    setup.configure(&lines(&bridges[..2]));
    mpclient.signal("HUP");
    mpserver.wait_for_lines(1, "client 0: path 2 was taken out");
    mpclient.signal("TERM");
    mpserver.wait_for_lines(1, "client 0 has left");
    assert_eq!(mpclient.finish().code, Some(0));
    // A check is a client for each bridge.
    let checked = run_with(MPCLIENT, &["check", &setup.configure(&lines(&bridges))], KEYED);
    assert_eq!(checked.code, Some(0), "{checked:?}");
    mpserver.wait_for_lines(4, "has left");
    assert_eq!(count(&mpserver, "silent"), 0, "{}", mpserver.log());
}
