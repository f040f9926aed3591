//! Both programs, in every state that a scenario of 19 kinds of steps can bring them to: see `scenario` and `world`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mptunnel_fuzz::{log_lines, scenario};

fuzz_target!(|octets: &[u8]| {
    log_lines::check();
    scenario::play(octets);
});
