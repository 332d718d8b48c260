//! Whether it is worth spinning a little before going to sleep.
//!
//! To sleep and to be woken costs two threads a system call each, and the woken one the time until
//! its CPU is back: some ten to thirty microseconds on a virtual machine. Where the next piece of
//! work comes sooner than that (the answer of a blocking call, of a compute task or of a thread
//! that was just woken), spinning is cheaper; everywhere else it is wasted. Which of the two it is
//! shows by trying.

use std::cell::Cell;
use std::hint;
use std::time::Duration;

/// What sleeping and being woken costs, about. Whoever spins does so for this long at most, so that
/// it never costs much more than twice the best.
pub const WAKE_UP: Duration = Duration::from_micros(20);

/// Pauses of the CPU between two looks.
const PAUSES: u32 = 16;

/// The most chances in a row that are skipped.
const SKIP_MAX: u32 = 127;

/// Decides when to spin: each failure doubles the number of chances that are skipped next, up to
/// 127, and a success ends the skipping. So a thread to which work comes seldom spins on one of 128
/// chances.
#[derive(Debug, Default)]
pub struct SpinBackoff {
    /// How many chances are still to be skipped.
    to_skip: Cell<u32>,
    /// How many were skipped after the last failure.
    skipped: Cell<u32>,
}

/// Waits for a moment between two looks, so that a hyperthread beside this one is not slowed down.
pub fn spin_pause() {
    (0..PAUSES).for_each(|_| hint::spin_loop());
}

impl SpinBackoff {
    /// Calls `spin`, which returns whether it has found something, unless this chance is skipped.
    pub fn try_with(&self, spin: impl FnOnce() -> bool) -> bool {
        if let Some(left) = self.to_skip.get().checked_sub(1) {
            self.to_skip.set(left);
            return false;
        }
        let found = spin();
        let skip = if found {
            0
        } else {
            (2 * self.skipped.get() + 1).min(SKIP_MAX)
        };
        self.to_skip.set(skip);
        self.skipped.set(skip);
        found
    }
}

#[cfg(all(test, not(evenkeel_loom)))]
mod tests {
    use super::*;

    /// How many of `chances` are taken.
    fn tries(backoff: &SpinBackoff, chances: usize, found: bool) -> usize {
        let tries = Cell::new(0);
        for _ in 0..chances {
            backoff.try_with(|| {
                tries.set(tries.get() + 1);
                found
            });
        }
        tries.get()
    }

    #[test]
    fn success_makes_it_worth_trying() {
        assert_eq!(tries(&SpinBackoff::default(), 100, true), 100);
    }

    #[test]
    fn failure_makes_it_seldom_and_never_ends_it() {
        let backoff = SpinBackoff::default();
        assert!(tries(&backoff, 128, false) <= 8);
        assert_eq!(tries(&backoff, 128_000, false), 1000);
    }

    #[test]
    fn one_success_is_enough() {
        let backoff = SpinBackoff::default();
        tries(&backoff, 1000, false);
        while !backoff.try_with(|| true) {}
        assert_eq!(tries(&backoff, 100, true), 100);
    }
}
