//! The replay window: which counters have been seen. It makes every copy but the first, and every
//! replay, cost one bit test.
//!
//! A ring of 64-bit words as in RFC 6479: a counter has its own bit, and when the window moves on,
//! whole words are cleared in front of it. One word more than the window is kept, so that the word
//! being filled never holds bits that are still wanted.
//!
//! `check` and `accept` are apart so that a packet is opened between them: a forged packet can
//! neither shadow the real one nor move the window.

use super::wire::Reject;

/// How many counters back a packet may be. At 100,000 packets a second this is 1.3 s of difference
/// between the fastest and the slowest path.
pub const WINDOW_LEN: u64 = 131_072;

const WORD_BITS: u64 = u64::BITS as u64;

/// Counters seen, as far back as `LEN` (a multiple of 64) before the highest.
#[derive(Debug)]
pub struct Window<const LEN: u64 = WINDOW_LEN> {
    /// One past the highest counter seen, 0 at first.
    next: u64,
    /// The ring. Empty until the first counter is accepted, so that a session nobody uses is small.
    words: Vec<u64>,
}

impl<const LEN: u64> Window<LEN> {
    const WORDS: u64 = LEN / WORD_BITS + 1;

    /// A window that has seen nothing.
    pub fn new() -> Self {
        const { assert!(LEN > 0 && LEN.is_multiple_of(WORD_BITS)) };
        Self { next: 0, words: Vec::new() }
    }

    /// Whether this counter is news.
    ///
    /// # Errors
    /// [`Reject::Copy`] where it was accepted before, [`Reject::TooOld`] where the window has moved
    /// past it.
    #[inline]
    pub fn check(&self, counter: u64) -> Result<(), Reject> {
        if counter >= self.next {
            // The last counter of all has no successor; no session lives long enough to send it.
            if counter == u64::MAX { Err(Reject::TooOld) } else { Ok(()) }
        } else if self.next - counter > LEN {
            Err(Reject::TooOld)
        } else if self.words[Self::word(counter)] & Self::bit(counter) != 0 {
            Err(Reject::Copy)
        } else {
            Ok(())
        }
    }

    /// Marks a counter that `check` passed as seen.
    #[inline]
    pub fn accept(&mut self, counter: u64) {
        if counter >= self.next {
            self.advance(counter);
        }
        self.words[Self::word(counter)] |= Self::bit(counter);
    }

    fn advance(&mut self, counter: u64) {
        if self.words.is_empty() {
            self.words = vec![0; Self::WORDS as usize];
        }
        // The word of the highest counter so far is in use; those after it are stale until cleared.
        let used = self.next.div_ceil(WORD_BITS);
        let wanted = counter / WORD_BITS + 1;
        for word in used.max(wanted.saturating_sub(Self::WORDS))..wanted {
            self.words[(word % Self::WORDS) as usize] = 0;
        }
        self.next = counter + 1;
    }

    fn word(counter: u64) -> usize {
        (counter / WORD_BITS % Self::WORDS) as usize
    }

    fn bit(counter: u64) -> u64 {
        1 << (counter % WORD_BITS)
    }
}

impl<const LEN: u64> Default for Window<LEN> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use rand::{RngExt, SeedableRng, rngs::StdRng};

    use super::*;

    fn take<const LEN: u64>(window: &mut Window<LEN>, counter: u64) -> Result<(), Reject> {
        window.check(counter)?;
        window.accept(counter);
        Ok(())
    }

    #[test]
    fn a_counter_is_taken_once() {
        let mut window = Window::<64>::new();
        for counter in [0, 5, 3, 64, 63] {
            assert_eq!(take(&mut window, counter), Ok(()), "{counter}");
            assert_eq!(take(&mut window, counter), Err(Reject::Copy), "{counter}");
        }
    }

    #[test]
    fn the_window_reaches_back_its_whole_length_and_no_further() {
        let mut window = Window::<WINDOW_LEN>::new();
        take(&mut window, 1_000_000).unwrap();
        assert_eq!(take(&mut window, 1_000_001 - WINDOW_LEN), Ok(()));
        assert_eq!(take(&mut window, 1_000_000 - WINDOW_LEN), Err(Reject::TooOld));
    }

    #[test]
    fn checking_alone_changes_nothing() {
        let mut window = Window::<64>::new();
        take(&mut window, 7).unwrap();
        window.check(1_000_000).unwrap();
        assert_eq!(window.check(8), Ok(()));
        assert_eq!(window.check(7), Err(Reject::Copy));
    }

    #[test]
    fn the_last_counter_of_all_is_refused() {
        let mut window = Window::<64>::new();
        assert_eq!(take(&mut window, u64::MAX), Err(Reject::TooOld));
        assert_eq!(take(&mut window, u64::MAX - 1), Ok(()));
        assert_eq!(take(&mut window, u64::MAX - 1), Err(Reject::Copy));
        assert_eq!(take(&mut window, 0), Err(Reject::TooOld));
    }

    /// Random walks with jumps of every scale, against a set that forgets nothing.
    #[test]
    fn the_window_agrees_with_a_set() {
        fn walk<const LEN: u64>(seed: u64) {
            let mut rng = StdRng::seed_from_u64(seed);
            let mut window = Window::<LEN>::new();
            let mut seen = HashSet::new();
            let mut highest = None;
            let mut around = 0u64;
            for step in 0..20_000 {
                around += match rng.random_range(0..1000) {
                    0 => rng.random_range(0..4 * LEN),
                    1..5 => LEN,
                    5..20 => 64,
                    _ => rng.random_range(0..3),
                };
                let counter = around.saturating_sub(rng.random_range(0..LEN + LEN / 4));
                let expected = match highest {
                    Some(highest) if counter + LEN <= highest => Err(Reject::TooOld),
                    _ if seen.contains(&counter) => Err(Reject::Copy),
                    _ => Ok(()),
                };
                assert_eq!(take(&mut window, counter), expected, "seed {seed}, step {step}, {counter}");
                if expected.is_ok() {
                    seen.insert(counter);
                    highest = highest.max(Some(counter));
                }
            }
        }
        for seed in 0..20 {
            walk::<64>(seed);
            walk::<1024>(seed);
            walk::<WINDOW_LEN>(seed);
        }
    }
}
