//! Either end is killed and started at any time, alone: traffic flows again within a second of both running.

use std::time::Duration;

use mptunnel::tunnel::chronicle::Kind;
use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::sim::network::Faults;
use crate::sim::seeds::{ms, seeds};
use crate::sim::setup::Setup;
use crate::sim::traffic::{APP, Way};
use crate::sim::{Sim, Stream};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// What is killed, and when it is started again.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Server(Duration),
    Client(Duration),
    /// Both, started one after the other.
    ServerThenClient(Duration),
    ClientThenServer(Duration),
    /// All paths are black.
    Blackout(Duration),
    /// The client's machine sleeps; its clock goes on, or does not.
    Suspended(Duration, bool),
    /// Both machines sleep, and their clocks go on.
    Jump(Duration),
}

impl Fault {
    /// Plays the fault. Afterwards everything runs.
    fn play(self, sim: &mut Sim) {
        let half = SECOND / 2;
        match self {
            Self::Server(gap) => {
                sim.kill_server();
                sim.run_for(gap);
                sim.start_server();
            }
            Self::Client(gap) => {
                sim.kill_client(0);
                sim.run_for(gap);
                sim.start_client(0);
            }
            Self::ServerThenClient(gap) => {
                sim.kill_server();
                sim.kill_client(0);
                sim.run_for(gap);
                sim.start_server();
                sim.run_for(half);
                sim.start_client(0);
            }
            Self::ClientThenServer(gap) => {
                sim.kill_client(0);
                sim.kill_server();
                sim.run_for(gap);
                sim.start_client(0);
                sim.run_for(half);
                sim.start_server();
            }
            Self::Blackout(gap) => {
                let when = sim.now..sim.now + gap;
                sim.bridges.iter_mut().for_each(|bridge| bridge.black_out(when.clone()));
                sim.run_for(gap);
            }
            Self::Suspended(gap, clock_goes_on) => sim.suspend_client(0, gap, clock_goes_on),
            Self::Jump(gap) => sim.now += gap,
        }
    }
}

/// How long after the end of a fault the first datagram sent after it came out at the target, and at the application.
fn recovery(sim: &mut Sim, fault: Fault, per_second: u32) -> [Duration; 2] {
    sim.echo = true;
    let stream = sim.stream(Stream::new(APP, Way::Up, per_second));
    sim.run_for(SECOND);
    fault.play(sim);
    let end = sim.now;
    let flows = |sim: &mut Sim| [Way::Up, Way::Down].map(|way| sim.record(APP, way).first_after(end));
    let back = sim.run_until(20 * SECOND, |sim| flows(sim).iter().all(Option::is_some));
    assert!(back.is_some(), "{fault:?}: nothing flows 20 s later");
    let times = flows(sim).map(|at| at.expect("both ways flow") - end);
    sim.stop([stream]);
    times
}

fn setup(rtt: Duration, loss: f64) -> Setup {
    // Paths are never equal.
    Setup::new([10, 11, 13].map(|tenths| Faults::new(rtt * tenths / 10, loss)))
}

/// Every fault, with every round trip and loss, and many seeds: the worst times are within what is allowed.
fn all_recover(faults: &[Fault], count: u64, per_second: u32) {
    let mut failures = Vec::new();
    for fault in faults {
        for rtt in [1, 40, 200].map(Duration::from_millis) {
            for loss in [0.0, 0.05] {
                let mut worst = [(Duration::ZERO, 0); 2];
                seeds(count, |seed| {
                    let mut sim = setup(rtt, loss).connect(seed);
                    let times = recovery(&mut sim, *fault, per_second);
                    worst = std::array::from_fn(|way| worst[way].max((times[way], seed)));
                });
                let [(up, up_seed), (down, down_seed)] = worst;
                let what = format!(
                    "{fault:?}, round trip {}, loss {loss}: to the target after {} (seed {up_seed}), back after {} (seed {down_seed})",
                    ms(rtt),
                    ms(up),
                    ms(down),
                );
                println!("{what}");
                // After a blackout a round trip comes on top: what was on its way is lost with it.
                let allowed = if matches!(fault, Fault::Blackout(_)) { SECOND + rtt } else { SECOND };
                if up.max(down) > allowed {
                    failures.push(what);
                }
            }
        }
    }
    assert!(
        failures.is_empty(),
        "later than a second (after a blackout: and a round trip):\n{}",
        failures.join("\n")
    );
}

const GAPS: [Duration; 3] = [Duration::from_millis(200), Duration::from_secs(3), Duration::from_secs(30)];

#[test]
fn a_restarted_server_is_found_within_a_second() {
    all_recover(&GAPS.map(Fault::Server), 20, 50);
}

#[test]
fn a_restarted_client_is_heard_within_a_second() {
    all_recover(&GAPS.map(Fault::Client), 20, 50);
}

#[test]
fn both_ends_restarted_in_either_order_find_each_other_within_a_second() {
    let gap = Duration::from_secs(2);
    all_recover(&[Fault::ServerThenClient(gap), Fault::ClientThenServer(gap)], 20, 50);
}

/// Whatever the other paths are like: the one that would have answered first says when the server is gone.
#[test]
fn other_paths_do_not_hide_that_the_server_has_crashed() {
    seeds(300, |seed| {
        let mut rng = StdRng::seed_from_u64(seed);
        let good = Faults::new(Duration::from_millis(rng.random_range(0..120)), 0.0);
        let mut draw_other = || {
            let rtt = Duration::from_millis(rng.random_range(0..3_000));
            Faults::new(rtt, [0.0, 0.0, 0.3, 0.9][rng.random_range(0..4)])
        };
        let others = [draw_other(), draw_other()];
        let number_of_others = rng.random_range(1..=2);
        let mut sim = Setup::new([&[good], &others[..number_of_others]].concat()).connect(seed);
        // All paths are known, and the crash comes at any moment between two probes.
        sim.run_for(6 * SECOND + Duration::from_millis(rng.random_range(0..200)));
        let gap = GAPS[0].mul_f64(rng.random_range(0.5..1.5));
        let times = recovery(&mut sim, Fault::Server(gap), 50);
        assert!(times.into_iter().max() < Some(SECOND), "{times:?} with {good:?} beside {others:?}");
    });
}

/// A handshake may begin then, since the fast path would have answered first; it takes longer than its datagrams.
#[test]
fn a_slow_path_that_is_all_that_is_left_is_not_told_as_silence() {
    seeds(10, |seed| {
        let mut sim =
            Setup::new([50, 2_500].map(|rtt| Faults::new(Duration::from_millis(rtt), 0.0))).connect(seed);
        sim.streams(APP, 50);
        sim.run_for(6 * SECOND);
        sim.bridges[0].set_dead(true);
        sim.run_for(30 * SECOND);
        let [client, _] = sim.snapshots();
        let silence = client.events.iter().find(|event| event.kind == Kind::Disconnected);
        assert_eq!(silence.map(|event| &event.text), None);
    });
}

#[test]
fn traffic_flows_within_a_second_of_the_end_of_a_blackout() {
    all_recover(&[5 * SECOND, 30 * SECOND, 10 * MINUTE].map(Fault::Blackout), 5, 20);
}

#[test]
fn a_server_killed_under_500_datagrams_a_second_is_found_within_a_second() {
    seeds(5, |seed| {
        let mut sim = setup(Duration::from_millis(20), 0.02).connect(seed);
        for times in GAPS.map(|gap| recovery(&mut sim, Fault::Server(gap), 500)) {
            assert!(times.into_iter().max() < Some(SECOND), "{times:?}");
        }
    });
}

#[test]
fn the_target_sees_the_same_address_after_a_blackout_of_less_than_five_minutes() {
    seeds(3, |seed| {
        let mut sim = setup(Duration::from_millis(40), 0.0).connect(seed);
        for gap in [5 * SECOND, 30 * SECOND, 5 * MINUTE - 5 * SECOND] {
            recovery(&mut sim, Fault::Blackout(gap), 20);
            assert_eq!(sim.flow_addresses(APP).len(), 1, "after {gap:?}");
        }
    });
}

#[test]
fn nothing_is_lost_on_clean_paths_once_a_restart_is_over() {
    seeds(10, |seed| {
        for fault in [Fault::Server(SECOND), Fault::Client(SECOND), Fault::Blackout(20 * SECOND)] {
            let mut sim = setup(Duration::from_millis(40), 0.0).connect(seed);
            recovery(&mut sim, fault, 50);
            let start = sim.now;
            let stream = sim.stream(Stream::new(APP, Way::Up, 50));
            sim.run_for(20 * SECOND);
            sim.stop([stream]);
            sim.run_for(SECOND);
            for way in [Way::Up, Way::Down] {
                let (sent, lost) = sim.record(APP, way).lost(start, Duration::MAX);
                assert!(sent >= 1000 && lost == 0, "{fault:?}: {lost} of {sent} lost, {way:?}");
            }
        }
    });
}

/// A laptop that was closed. After the shorter time the server still knows it, after the longer one it
/// does not.
#[test]
fn a_suspended_client_goes_on_within_a_second() {
    for gap in [2 * MINUTE, 30 * MINUTE] {
        all_recover(&[true, false].map(|clock_goes_on| Fault::Suspended(gap, clock_goes_on)), 3, 50);
    }
}

#[test]
fn a_jump_of_both_clocks_is_got_over_within_a_second() {
    all_recover(&[Fault::Jump(180 * MINUTE)], 10, 50);
}

/// The response promises a session that nobody has any more.
#[test]
fn a_server_that_dies_right_after_its_response_is_found_within_a_second() {
    for rtt in [20, 100] {
        seeds(5, |seed| {
            let mut sim =
                Setup::new([10, 11, 13].map(|part| Faults::new(Duration::from_millis(rtt) * part / 10, 0.0)))
                    .connect(seed);
            sim.streams(APP, 50);
            sim.run_for(SECOND);
            sim.kill_server();
            sim.run_for(SECOND);
            sim.start_server();
            let sent = sim.account.packets_sent;
            assert!(sim.run_until(5 * SECOND, |sim| sim.account.packets_sent > sent).is_some());
            sim.kill_server();
            sim.start_server();
            let start = sim.now;
            let found = |sim: &mut Sim| sim.record(APP, Way::Up).first_after(start).is_some();
            let took = sim.run_until(SECOND, found);
            assert!(took.is_some(), "not found within a second at {rtt} ms");
        });
    }
}
