//! The replay window, in three lengths, against a set that forgets nothing.

#![no_main]

use std::collections::HashSet;

use libfuzzer_sys::fuzz_target;
use mptunnel::tunnel::window::{WINDOW_LEN, Window};
use mptunnel::tunnel::wire::Reject;

fuzz_target!(|octets: &[u8]| {
    // Three octets a step: where the counter is, and how far from there.
    let (steps, _) = octets.as_chunks();
    walk::<64>(steps);
    walk::<1024>(steps);
    walk::<WINDOW_LEN>(steps);
});

/// A counter near one of the places where something changes.
fn counter(place: u8, by: i16, highest: u64, len: u64) -> u64 {
    let place = match place % 8 {
        0 | 1 => highest,
        2 => highest.saturating_sub(len),
        3 => highest.saturating_add(len),
        // The ring has one word more than the window.
        4 => highest.saturating_add(len + 64),
        5 => 0,
        6 => highest.saturating_mul(2),
        _ => u64::MAX,
    };
    place.saturating_add_signed(by.into())
}

fn walk<const LEN: u64>(steps: &[[u8; 3]]) {
    let mut window = Window::<LEN>::new();
    let mut seen = HashSet::new();
    let mut highest: Option<u64> = None;
    for &[place, by @ ..] in steps {
        let counter = counter(place, i16::from_be_bytes(by), highest.unwrap_or(0), LEN);
        let expected =
            if counter == u64::MAX || highest.is_some_and(|high| high.saturating_sub(counter) >= LEN) {
                Err(Reject::TooOld)
            } else if seen.contains(&counter) {
                Err(Reject::Copy)
            } else {
                Ok(())
            };
        assert_eq!(window.check(counter), expected, "counter {counter}, highest {highest:?}, length {LEN}");
        // One that is forged is asked about, and not accepted.
        let genuine = place & 0x80 == 0;
        if expected.is_ok() && genuine {
            window.accept(counter);
            seen.insert(counter);
            highest = highest.max(Some(counter));
        }
    }
}
