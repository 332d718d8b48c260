//! How an idle thread waits for its next job: awake for a moment, where that has been of use, or asleep.
//!
//! To be woken costs the submitter a system call, and the job the time until a CPU has switched to the thread. Where
//! jobs come one after another, each submitted when the last has been answered, looking on for a moment saves both.
//! Whether it does shows by trying: after each failure the next chances are left out, twice as many every time, and a
//! success makes it worth trying at once again. So a pool to which jobs come seldom hardly ever looks on.

use std::hint;
use std::time::Instant;

use crate::sync::LOOK_ON;

/// Pauses of the CPU between two looks, so that a hyperthread beside this one is not slowed down.
const PAUSES: u32 = 16;

/// So many chances in a row are left out at most.
const SKIP_MAX: u32 = 127;

#[derive(Default)]
pub(crate) struct Patience {
    /// So many chances are still to be left out.
    skip: u32,
    /// How many were left out after the last failure.
    skipped: u32,
}

impl Patience {
    /// Waits for `signalled` without sleeping, if that is worth it; true if it came.
    pub(crate) fn look_on(&mut self, mut signalled: impl FnMut() -> bool) -> bool {
        if let Some(left) = self.skip.checked_sub(1) {
            self.skip = left;
            return false;
        }
        let start = Instant::now();
        let found = loop {
            if signalled() {
                break true;
            }
            if start.elapsed() >= LOOK_ON {
                break false;
            }
            (0..PAUSES).for_each(|_| hint::spin_loop());
        };
        self.skipped = if found {
            0
        } else {
            (2 * self.skipped + 1).min(SKIP_MAX)
        };
        self.skip = self.skipped;
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn success_makes_it_worth_trying() {
        let mut patience = Patience::default();
        assert!((0..100).all(|_| patience.look_on(|| true)));
    }

    #[test]
    fn failure_makes_it_seldom_and_success_brings_it_back() {
        let mut patience = Patience::default();
        let mut tries = 0;
        for _ in 0..1024 {
            let mut tried = false;
            patience.look_on(|| {
                tried = true;
                false
            });
            tries += u32::from(tried);
        }
        assert!((8..=16).contains(&tries), "{tries}");
        while !patience.look_on(|| true) {}
        assert!((0..100).all(|_| patience.look_on(|| true)));
    }
}
