//! What the log says of the whole, and how little it says of single packets.

use super::setup::{KEYED, Setup, V4, lines, wait_until_all_carry};
use crate::lossy_bridge::{Faults, LossyBridge};
use crate::process::{MPCLIENT, PATIENCE, Running};
use crate::wait::poll_until;

fn with(bridges: &[LossyBridge], setting: &str) -> Vec<String> {
    [lines(bridges), vec![setting.to_owned()]].concat()
}

#[test]
fn sigusr1_writes_the_table_and_summaries_come_as_often_as_the_file_says() {
    let setup = Setup::new("logs-asked", V4);
    let bridges = setup.three_bridges(Faults::default());
    let mpserver = setup.mpserver_and(&["--summary", "1s"], KEYED);
    let configuration = setup.configure(&with(&bridges, "summary = off"));
    let mpclient = Running::start(MPCLIENT, &[&configuration], KEYED);
    let stream = setup.stream(200);
    wait_until_all_carry(&stream, &bridges);
    for (running, table) in [(&mpclient, "server: heard "), (&mpserver, "client 0: heard ")] {
        running.signal("USR1");
        running.wait_for_lines(1, table);
        running.wait_for_lines(1, "path  loss from there");
        let level = |line: &str| line.contains(" INFO ");
        assert!(running.log().lines().filter(|line| line.contains(table)).all(level), "{}", running.log());
    }
    mpserver.wait_for_lines(2, "were lost on all paths");
    assert!(!mpclient.log().contains("were lost on all paths"), "it is off: {}", mpclient.log());
    setup.configure(&with(&bridges, "summary = 1s"));
    mpclient.signal("HUP");
    mpclient.wait_for_lines(2, " in 1.0 s: ");
    stream.finish();
}

#[test]
fn ten_thousand_datagrams_make_no_lines_however_much_is_logged() {
    const DATAGRAMS: u64 = 10_000;
    let setup = Setup::new("logs-quiet", V4);
    let bridges = setup.three_bridges(Faults { loss: 0.1, ..Faults::default() });
    let loud = [KEYED, &[("RUST_LOG", "debug")]].concat();
    let mpserver = setup.mpserver(&loud);
    let mpclient = setup.mpclient(&lines(&bridges), &loud);
    let stream = setup.stream(2_000);
    let first = wait_until_all_carry(&stream, &bridges);
    let said = || [&mpclient, &mpserver].map(|running| running.log().lines().count());
    let before = said();
    assert!(poll_until(PATIENCE * 2, || stream.sent() >= first + DATAGRAMS), "{} sent", stream.sent());
    for (before, after) in before.into_iter().zip(said()) {
        // Whatever happened meanwhile on a busy machine: paths that were silent for a while, say.
        assert!(after - before <= 50, "{} lines:\n{}{}", after - before, mpclient.log(), mpserver.log());
    }
    stream.finish();
}
