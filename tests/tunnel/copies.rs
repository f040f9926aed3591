//! How many copies leave, and on which paths: `copies = N`, backups, and what a path's trouble costs.

use std::time::Duration;

use mptunnel::tunnel::role::{Copies, LossTarget};
use mptunnel::tunnel::set::PathSet;

use crate::sim::network::Rate;
use crate::sim::setup::Setup;
use crate::sim::traffic::{APP, Way};
use crate::sim::{Sim, Stream};

const SECOND: Duration = Duration::from_secs(1);
/// Octets of IPv4 and UDP in front of a packet.
const HEADERS_LEN: u64 = 28;

/// Data packets that went into each path, this way.
fn offered(sim: &mut Sim, way: Way) -> Vec<u64> {
    sim.bridges.iter_mut().map(|bridge| bridge.line(way).offered).collect()
}

/// The part of the datagrams that each path was given, this way, in a while.
fn shares(sim: &mut Sim, way: Way, time: Duration) -> Vec<f64> {
    let (before, sent) = (offered(sim, way), sim.record(APP, way).sent.len());
    sim.run_for(time);
    let sent = sim.record(APP, way).sent.len() - sent;
    offered(sim, way).iter().zip(before).map(|(now, before)| (now - before) as f64 / sent as f64).collect()
}

#[test]
fn so_many_copies_leave_on_the_paths_that_lose_least_and_then_are_fastest() {
    for way in [Way::Up, Way::Down] {
        let setup = Setup::paths(&[(40, 0.0), (20, 0.05), (60, 0.0), (30, 0.0)]);
        let mut sim = Setup { copies: Copies::Best(2), ..setup }.connect(1);
        sim.stream(Stream::new(APP, way, 500));
        sim.run_for(20 * SECOND);
        let shares = shares(&mut sim, way, 20 * SECOND);
        let best: Vec<_> = shares.iter().map(|share| *share > 0.9).collect();
        assert_eq!(best, [true, false, false, true], "{way:?}: {shares:?}");
        let samples: f64 = shares[1] + shares[2];
        assert!((0.01..0.3).contains(&samples), "the others are measured, at little cost: {shares:?}");
    }
}

#[test]
fn a_chosen_path_that_dies_is_replaced() {
    for way in [Way::Up, Way::Down] {
        let setup = Setup::paths(&[(20, 0.0), (30, 0.0), (40, 0.0)]);
        let mut sim = Setup { copies: Copies::Best(1), ..setup }.connect(1);
        sim.stream(Stream::new(APP, way, 200));
        sim.run_for(20 * SECOND);
        sim.bridges[0].set_dead(true);
        let died = sim.now;
        sim.run_for(10 * SECOND);
        let (sent, lost) = sim.record(APP, way).lost(died, died + 5 * SECOND);
        assert!(lost < 150, "{way:?}: {lost} of {sent} lost");
        let (_, lost) = sim.record(APP, way).lost(died + SECOND, died + 9 * SECOND);
        assert_eq!(lost, 0, "{way:?}, a second later");
        sim.run_for(20 * SECOND);
        let shares = shares(&mut sim, way, 10 * SECOND);
        assert!(shares[1] > 0.9 && shares[2] < 0.2, "{way:?}: {shares:?}");
    }
}

#[test]
fn a_backup_carries_only_while_the_others_cannot() {
    for way in [Way::Up, Way::Down] {
        let setup = Setup::paths(&[(20, 0.0), (30, 0.0), (60, 0.0)]);
        let mut sim = Setup { backups: vec![2], ..setup }.connect(1);
        sim.stream(Stream::new(APP, way, 200));
        sim.run_for(30 * SECOND);
        assert_eq!(shares(&mut sim, way, 20 * SECOND)[2], 0.0, "{way:?}: it is idle");

        // One of the others is left: that is enough.
        sim.bridges[0].set_dead(true);
        let died = sim.now;
        assert_eq!(shares(&mut sim, way, 20 * SECOND)[2], 0.0, "{way:?}: it is idle still");
        assert_eq!(sim.record(APP, way).lost(died, sim.now - SECOND).1, 0);

        // None is: from the next second on nothing is lost.
        sim.bridges[1].set_dead(true);
        let died = sim.now;
        sim.run_for(20 * SECOND);
        let (_, lost) = sim.record(APP, way).lost(died, sim.now - SECOND);
        assert!(lost <= 400, "{way:?}: {lost} lost until the backup carried");
        assert_eq!(sim.record(APP, way).lost(died + 2 * SECOND, sim.now - SECOND).1, 0, "{way:?}");

        // Back they are, and it is idle again.
        sim.bridges[0].set_dead(false);
        sim.bridges[1].set_dead(false);
        sim.run_for(30 * SECOND);
        assert_eq!(shares(&mut sim, way, 20 * SECOND)[2], 0.0, "{way:?}: it is idle again");
    }
}

#[test]
fn a_backup_helps_where_the_others_lose_too_much() {
    let setup = Setup::paths(&[(20, 0.3), (30, 0.3), (60, 0.0)]);
    let mut sim = Setup { backups: vec![2], ..setup }.connect(1);
    sim.stream(Stream::new(APP, Way::Up, 200));
    sim.run_for(5 * SECOND);
    let start = sim.now;
    sim.run_for(60 * SECOND);
    let (sent, lost) = sim.record(APP, Way::Up).lost(start, sim.now - SECOND);
    // Two paths alone would lose nine in a hundred.
    assert!(lost * 50 < sent, "{lost} of {sent} lost");
}

#[test]
fn an_idle_backup_costs_less_than_a_megabyte_a_day() {
    let setup = Setup::paths(&[(20, 0.0), (30, 0.0), (60, 0.0)]);
    let mut setup = Setup { backups: vec![2], ..setup };
    setup.bridges[2].whole = 1411;
    let mut sim = setup.connect(1);
    sim.stream(Stream::new(APP, Way::Up, 20));
    sim.run_for(60 * SECOND);
    // What is found out once about its MTU included.
    let packets = |sim: &Sim| sim.bridges[2].up.entered + sim.bridges[2].down.entered;
    let octets = |sim: &Sim| {
        let lines = [&sim.bridges[2].up, &sim.bridges[2].down];
        packets(sim) * HEADERS_LEN + lines.iter().map(|line| line.entered_len).sum::<u64>()
    };
    let so_far = octets(&sim);
    sim.run_for(3600 * SECOND);
    let once = octets(&sim);
    sim.run_for(30 * 60 * SECOND);
    let octets = once - so_far + (octets(&sim) - once) * 46;
    assert!(octets > 0 && octets < 1_000_000, "{octets} octets a day");
}

/// Every path in turn, in every trouble, with every policy: nothing is lost that another path carried, once
/// the choice had its time.
#[test]
fn no_trouble_of_one_path_costs_what_the_others_carry() {
    type Trouble = fn(&mut Sim, usize);
    let troubles: [(&str, Trouble); 5] = [
        ("dead", |sim, path| sim.bridges[path].set_dead(true)),
        ("dead one way", |sim, path| sim.bridges[path].up.dead = true),
        ("half lost", |sim, path| {
            sim.bridges[path].up.faults.loss = 0.5;
            sim.bridges[path].down.faults.loss = 0.5;
        }),
        ("300 ms slow", |sim, path| {
            sim.bridges[path].up.faults.delay += Duration::from_millis(300);
            sim.bridges[path].down.faults.delay += Duration::from_millis(300);
        }),
        ("a tenth of the rate", |sim, path| {
            // 200 datagrams of some 110 octets a second want ten times as much.
            let rate = Some(Rate { per_second: 2_000, queue_len: 10_000 });
            sim.bridges[path].up.faults.rate = rate;
            sim.bridges[path].down.faults.rate = rate;
        }),
    ];
    for copies in [Copies::All, Copies::Best(2), Copies::Target(LossTarget(1000))] {
        for (name, trouble) in troubles {
            for path in 0..3 {
                let setup = Setup::paths(&[(20, 0.0), (30, 0.0), (40, 0.0)]);
                let mut sim = Setup { copies, ..setup }.connect(path as u64);
                sim.streams(APP, 200);
                sim.run_for(18 * SECOND);
                trouble(&mut sim, path);
                let start = sim.now;
                sim.run_for(15 * SECOND);
                for way in [Way::Up, Way::Down] {
                    // One path of one may have been the troubled one.
                    let settled = if copies == Copies::All { start } else { start + SECOND };
                    let (sent, lost) = sim.record(APP, way).lost(settled, sim.now - SECOND);
                    let may = if matches!(copies, Copies::Target(_)) { sent / 200 } else { 0 };
                    assert!(lost <= may, "{copies:?}, path {path} {name}, {way:?}: {lost} of {sent} lost");
                }
            }
        }
    }
}

/// The receiver knows what each path lost, what each would have lost alone, and which lose together.
#[test]
fn the_receiver_knows_what_each_path_and_each_set_of_paths_delivered() {
    let losses = [0.1, 0.2, 0.3];
    for way in [Way::Up, Way::Down] {
        let mut sim = Setup::paths(&losses.map(|loss| (20, loss))).connect(1);
        sim.stream(Stream::new(APP, way, 500));
        sim.run_for(100 * SECOND);
        let (sent, lost) = sim.record(APP, way).lost(Duration::ZERO, sim.now - 5 * SECOND);
        let now = sim.instant();
        let receiver = if way == Way::Up { sim.server() } else { sim.client(0) };
        let (brought, journal) = receiver.received().next().expect("a peer");
        let set = |paths: &[usize]| paths.iter().copied().collect::<PathSet>();
        let loss = |paths: &[usize]| {
            let tally = journal.lost_by(now, Duration::from_secs(300), set(paths));
            assert!(tally.sent > 45_000, "{way:?}: {tally:?}");
            tally.loss().expect("there were some")
        };
        for (path, expected) in losses.into_iter().enumerate() {
            // Four standard errors.
            let error = 4.0 * (expected * (1.0 - expected) / 45_000.0_f64).sqrt();
            assert!((loss(&[path]) - expected).abs() < error, "{way:?}, path {path}: {}", loss(&[path]));
            assert_eq!(brought[path].overtaken, 0);
        }
        assert!((loss(&[0, 1]) - 0.02).abs() < 0.003, "{way:?}: {}", loss(&[0, 1]));
        // What came by path 0 alone is what the two others lost together, and it did not.
        let saved = journal.since_start(0).saved as f64 / journal.total().sent as f64;
        assert!((saved - 0.9 * 0.06).abs() < 0.005, "{way:?}: {saved}");
        let total = journal.total();
        assert!(
            total.sent.abs_diff(sent as u64) < 3000 && total.lost.abs_diff(lost as u64) < 40,
            "{total:?}"
        );
        let correlation = journal.correlation(now, Duration::from_secs(300), 0, 1).expect("both lose");
        assert!(correlation.abs() < 0.03, "{way:?}: {correlation}");
    }
}

/// The window holds a path that is two seconds behind at 50,000 datagrams a second.
#[test]
fn eight_paths_of_which_one_is_two_seconds_late_deliver_each_datagram_once() {
    let mut setup = Setup::paths(&[(20, 0.02); 8]);
    setup.bridges[7].delay = 2 * SECOND;
    let mut sim = setup.connect(1);
    let burst = 50;
    let stream = Stream { burst, every: SECOND / 1000, len: 40..=40, ..Stream::new(APP, Way::Up, 1000) };
    let stream = sim.stream(stream);
    sim.run_for(4 * SECOND);
    sim.stop([stream]);
    let until = sim.now;
    sim.run_for(4 * SECOND);
    let (sent, lost) = sim.record(APP, Way::Up).lost(Duration::ZERO, until);
    assert!(sent > 190_000 && lost == 0, "{lost} of {sent} lost");
    let server = sim.counters(crate::sim::host::SERVER);
    assert_eq!(server.rejected(mptunnel::tunnel::wire::Reject::TooOld), 0);
}
