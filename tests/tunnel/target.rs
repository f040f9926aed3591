//! `target-loss`: the fewest copies that keep what all paths lose together under the target.
//!
//! Ten scenarios, each held against an oracle that knows the loss rates and uses the fewest paths that
//! are enough. What comes out is the table in docs/paths.md.

use std::fmt::Write;
use std::time::Duration;

use mptunnel::tunnel::role::{Copies, LossTarget};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::sim::network::Faults;
use crate::sim::setup::Setup;
use crate::sim::traffic::{APP, Way};
use crate::sim::{Sim, Stream};

const SECOND: Duration = Duration::from_secs(1);
const WINDOW: Duration = Duration::from_secs(10);
const RUN: u64 = 300;
const PER_SECOND: u32 = 1000;
/// 0.1 %.
const TARGET: LossTarget = LossTarget(1000);

struct Scenario {
    name: &'static str,
    /// What each path loses at the start.
    losses: &'static [f64],
    /// What changes at the start of a second.
    change: fn(&mut Sim, u64, &mut StdRng),
    /// How many paths the oracle uses in a second.
    oracle: fn(u64) -> u32,
}

fn set(sim: &mut Sim, path: usize, loss: f64) {
    sim.bridges[path].up.faults.loss = loss;
    sim.bridges[path].down.faults.loss = loss;
}

fn nothing(_: &mut Sim, _: u64, _: &mut StdRng) {}

/// Two paths that are black together, ten times a second for a millisecond.
fn storms(sim: &mut Sim, rng: &mut StdRng) {
    for _ in 0..10 {
        let start = sim.now + SECOND.mul_f64(rng.random());
        for path in [0, 1] {
            sim.bridges[path].black_out(start..start + Duration::from_millis(1));
        }
    }
}

/// Between two values, from one second to another.
fn ramp(second: u64, from: u64, to: u64, low: f64, high: f64) -> f64 {
    let part = (second.saturating_sub(from) as f64 / (to - from) as f64).min(1.0);
    low + (high - low) * part
}

const SCENARIOS: [Scenario; 10] = [
    Scenario {
        name: "one path without loss, two bad ones",
        losses: &[0.0, 0.05, 0.05],
        change: nothing,
        oracle: |_| 1,
    },
    Scenario {
        name: "three independent paths, 1 % each",
        losses: &[0.01, 0.01, 0.01],
        change: nothing,
        oracle: |_| 2,
    },
    Scenario {
        name: "four independent paths, 5 % each",
        losses: &[0.05, 0.05, 0.05, 0.05],
        change: nothing,
        oracle: |_| 3,
    },
    Scenario {
        name: "two paths that lose together, 1 %, and one that does not",
        losses: &[0.0, 0.0, 0.01],
        change: |sim, _, rng| storms(sim, rng),
        oracle: |_| 2,
    },
    Scenario {
        name: "losses in bursts of 5, 1 % on each of three",
        losses: &[0.01, 0.01, 0.01],
        change: |sim, second, _| {
            if second == 0 {
                for bridge in &mut sim.bridges {
                    bridge.up.faults.mean_burst = 5.0;
                    bridge.down.faults.mean_burst = 5.0;
                }
            }
        },
        oracle: |_| 2,
    },
    Scenario {
        name: "a good path that drifts to 3 %",
        losses: &[0.0, 0.01, 0.01],
        change: |sim, second, _| set(sim, 0, ramp(second, 100, 250, 0.0, 0.03)),
        oracle: |second| if second < 105 { 1 } else { 2 },
    },
    Scenario {
        name: "the good path dies",
        losses: &[0.0, 0.01, 0.01],
        change: |sim, second, _| sim.bridges[0].set_dead(second >= 150),
        oracle: |second| if second < 150 { 1 } else { 2 },
    },
    Scenario {
        name: "the good path comes back",
        losses: &[0.0, 0.01, 0.01],
        change: |sim, second, _| sim.bridges[0].set_dead((60..120).contains(&second)),
        oracle: |second| if (60..120).contains(&second) { 2 } else { 1 },
    },
    Scenario {
        name: "day and night: all paths between 0 % and 4 %",
        losses: &[0.0, 0.0, 0.0],
        change: |sim, second, _| {
            let loss = match second % 200 {
                at @ 0..100 => ramp(at, 50, 80, 0.0, 0.04),
                at => ramp(at, 150, 180, 0.04, 0.0),
            };
            (0..3).for_each(|path| set(sim, path, loss));
        },
        oracle: |second| match second % 200 {
            0..51 | 180.. => 1,
            51..73 | 158..180 => 2,
            _ => 3,
        },
    },
    Scenario {
        name: "five paths, 0.5, 1, 2, 4 and 8 %",
        losses: &[0.005, 0.01, 0.02, 0.04, 0.08],
        change: nothing,
        oracle: |_| 2,
    },
];

struct Result {
    windows: usize,
    good: usize,
    lost: f64,
    copies: f64,
    oracle: f64,
    paths: usize,
}

impl Scenario {
    fn play(&self, seed: u64, way: Way) -> Result {
        let delays = [20, 30, 40, 26, 34];
        let faults = self.losses.iter().zip(delays);
        let faults = faults.map(|(loss, rtt)| Faults::new(Duration::from_millis(rtt), *loss));
        let setup = Setup { copies: Copies::Target(TARGET), ..Setup::new(faults) };
        let mut sim = setup.connect(seed);
        let mut rng = StdRng::seed_from_u64(seed);
        let start = sim.now;
        let offered = |sim: &mut Sim| -> u64 { sim.bridges.iter_mut().map(|b| b.line(way).offered).sum() };
        let before = offered(&mut sim);
        let stream = sim.stream(Stream { len: 60..=60, ..Stream::new(APP, way, PER_SECOND) });
        let mut oracle = 0.0;
        for second in 0..RUN {
            (self.change)(&mut sim, second, &mut rng);
            oracle += f64::from((self.oracle)(second)) * f64::from(PER_SECOND);
            sim.run_for(SECOND);
        }
        sim.stop([stream]);
        let copies = (offered(&mut sim) - before) as f64;
        sim.run_for(SECOND);
        let record = sim.record(APP, way);
        let windows: Vec<_> = (1..RUN as u32 / 10).map(|n| start + WINDOW * n).collect();
        let bearable = |at: &&Duration| {
            let (sent, lost) = record.lost(**at, **at + WINDOW);
            lost as f64 <= TARGET.part() * sent as f64
        };
        let (sent, lost) = record.lost(start + WINDOW, start + SECOND * RUN as u32);
        Result {
            windows: windows.len(),
            good: windows.iter().filter(bearable).count(),
            lost: lost as f64 / sent as f64,
            copies,
            oracle,
            paths: self.losses.len(),
        }
    }
}

#[test]
fn the_fewest_copies_keep_the_loss_under_the_target() {
    let mut table = String::from(
        "| scenario | lost | 10 s windows under 0.1 % | copies a datagram | the oracle's | ratio | saved against all |\n\
         |---|---|---|---|---|---|---|\n",
    );
    let (mut windows, mut good) = (0, 0);
    let (mut copies, mut fewest) = (0.0, 0.0);
    let mut high = Vec::new();
    for (number, scenario) in SCENARIOS.iter().enumerate() {
        let result = scenario.play(number as u64, Way::Up);
        windows += result.windows;
        good += result.good;
        let datagrams = f64::from(PER_SECOND) * RUN as f64;
        let ratio = result.copies / result.oracle;
        writeln!(
            table,
            "| {} | {:.3} % | {} of {} | {:.2} | {:.2} | {ratio:.2} | {:.0} % |",
            scenario.name,
            result.lost * 100.0,
            result.good,
            result.windows,
            result.copies / datagrams,
            result.oracle / datagrams,
            100.0 * (1.0 - result.copies / datagrams / result.paths as f64),
        )
        .expect("a string takes all");
        copies += result.copies;
        fewest += result.oracle;
        // One run of five minutes: another draw of the same scenario has it some hundredths higher or lower.
        if ratio > 1.3 {
            high.push(scenario.name);
        }
    }
    println!("{table}");
    let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/paths.md");
    let docs = std::fs::read_to_string(docs).expect("docs/paths.md");
    assert!(docs.contains(&table), "docs/paths.md has another table: put the one above in its place");
    assert!(high.is_empty(), "more than 1.3 times the oracle's copies: {high:?}");
    let ratio = copies / fewest;
    assert!(ratio <= 1.25, "{ratio:.2} times the oracle's copies, in all scenarios together");
    // Two are those in which the only path in use dies, and the draw may have one more.
    assert!(1000 * good >= 985 * windows, "{good} of {windows} windows under the target");
}
