//! Seeds, and the statistics of what they give.

use std::num::NonZero;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// Runs one seed alone.
const ONE_SEED: &str = "MPTUNNEL_SIM_SEED";
/// Multiplies the number of seeds: a long run.
const MORE_SEEDS: &str = "MPTUNNEL_SIM_FACTOR";

/// Runs a test with the seeds 0 to `count`. The one that fails says how to run it again.
pub fn seeds(count: u64, mut run: impl FnMut(u64)) {
    for seed in chosen(count) {
        let _notice = Notice(seed);
        run(seed);
    }
}

/// As [`seeds`], on all processors.
pub fn seeds_at_once(count: u64, run: impl Fn(u64) + Sync) {
    let Range { start, end } = chosen(count);
    let next = AtomicU64::new(start);
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end {
                break;
            }
            let _notice = Notice(seed);
            let _stop = Stop(&next, end);
            run(seed);
        }
    };
    let name = thread::current().name().unwrap_or_default().to_owned();
    let workers = thread::available_parallelism().map_or(1, NonZero::get);
    thread::scope(|scope| {
        for _ in 0..workers {
            // The notice names the test after its thread.
            thread::Builder::new().name(name.clone()).spawn_scoped(scope, work).expect("a thread");
        }
    });
}

fn chosen(count: u64) -> Range<u64> {
    let variable = |name| {
        let value: Option<String> = std::env::var(name).ok();
        value.map(|value| value.parse::<u64>().unwrap_or_else(|_| panic!("{name}={value} is not a number")))
    };
    match variable(ONE_SEED) {
        Some(seed) => seed..seed + 1,
        None => 0..count * variable(MORE_SEEDS).unwrap_or(1),
    }
}

/// Lets no worker begin another seed once one has failed.
struct Stop<'a>(&'a AtomicU64, u64);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.store(self.1, Ordering::Relaxed);
        }
    }
}

struct Notice(u64);

impl Drop for Notice {
    fn drop(&mut self) {
        if thread::panicking() {
            let thread = thread::current();
            let test = thread.name().unwrap_or("");
            eprintln!(
                "seed {} failed; to replay it: {ONE_SEED}={} cargo test --test tests -- --exact {test}",
                self.0, self.0
            );
        }
    }
}

/// Whether `lost` of `sent` lies within the central interval of a binomial distribution with this probability; `confidence`
/// is the interval's part of it.
pub fn plausible(lost: usize, sent: usize, probability: f64, confidence: f64) -> bool {
    let tail = (1.0 - confidence) / 2.0;
    // In logarithms: the first terms may be too small for a float.
    let (mut term, mut below, mut upto) = (sent as f64 * (1.0 - probability).ln(), 0.0, 0.0);
    for k in 0..=lost {
        below = upto;
        upto += term.exp();
        term += ((sent - k) as f64 / (k + 1) as f64).ln() + (probability / (1.0 - probability)).ln();
    }
    upto >= tail && below <= 1.0 - tail
}

/// Milliseconds, for people.
pub fn ms(time: Duration) -> String {
    format!("{:.0} ms", time.as_secs_f64() * 1e3)
}

#[test]
fn the_interval_is_the_binomial_distributions() {
    // The 0.05 % and the 99.95 % quantile, from factorials.
    let plausible = |lost| plausible(lost, 20_000, 0.001, 0.999);
    assert_eq!((0..100).filter(|lost| plausible(*lost)).collect::<Vec<_>>(), (7..=36).collect::<Vec<_>>());
}
