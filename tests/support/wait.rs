//! Waiting for what another thread or program does.

use std::thread;
use std::time::{Duration, Instant};

/// Asks again and again until the answer is yes or the time is up; says which.
pub(crate) fn poll_until(limit: Duration, mut reached: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    loop {
        if reached() {
            return true;
        }
        if start.elapsed() >= limit {
            return false;
        }
        thread::sleep(Duration::from_millis(10));
    }
}
