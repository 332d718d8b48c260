//! Whether it is worth looking for work a little longer before going to sleep.
//!
//! Sleeping and being woken costs two threads a system call each, and the woken one the time until its
//! CPU is back, some ten to thirty microseconds on a virtual machine. Where the next piece of work comes
//! sooner than that (the answer of a blocking call, of a compute task or of a thread that was just woken),
//! looking on is cheaper; everywhere else it is wasted. Which of the two it is shows by trying: after each
//! failure the next tries are left out, twice as many every time, and a success makes it worth trying at
//! once again. So a worker to whom work comes seldom looks on in one of [`SKIP_MAX`] times.

use std::cell::Cell;

/// So many chances in a row are left out at most.
const SKIP_MAX: u32 = 127;

#[derive(Debug, Default)]
pub(crate) struct SpinBackoff {
    /// So many chances are still to be left out.
    skip: Cell<u32>,
    /// How many were left out after the last failure.
    skipped: Cell<u32>,
}

impl SpinBackoff {
    /// Looks on with `look`, which says whether it has found something, if that is worth trying.
    pub(crate) fn try_with(&self, look: impl FnOnce() -> bool) -> bool {
        if let Some(left) = self.skip.get().checked_sub(1) {
            self.skip.set(left);
            return false;
        }
        let found = look();
        let skip = if found {
            0
        } else {
            (2 * self.skipped.get() + 1).min(SKIP_MAX)
        };
        self.skip.set(skip);
        self.skipped.set(skip);
        found
    }
}

#[cfg(test)]
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
