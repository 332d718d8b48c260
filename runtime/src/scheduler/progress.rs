//! What a worker on standby goes by: whether the others get on with what there is to do.
//!
//! It helps if what it saw at its last look, a millisecond before, is still not done. See
//! [`idle`](super::idle) for who is on standby, and why nothing is left.

/// How far a lane had come at a time.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// For each worker, how many polls it had begun, and how many tasks were queued with it.
    pub(super) workers: Vec<(u64, usize)>,
    /// Tasks waited in the inbox, which every worker empties before each poll.
    pub(super) injected: bool,
    /// How many times somebody had polled the driver.
    pub(super) driver_polls: u64,
}

impl Progress {
    /// True if work that was there at this time had not been begun by the time of `later`.
    pub(super) fn is_stuck(&self, later: &Progress) -> bool {
        let begun = |(before, now): (&(u64, usize), &(u64, usize))| now.0.wrapping_sub(before.0);
        let workers = || self.workers.iter().zip(&later.workers);
        let queued = workers().any(|(before, now)| begun((before, now)) < before.1 as u64);
        let injected = self.injected && later.injected && workers().all(|both| begun(both) == 0);
        queued || injected
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(workers: &[(u64, usize)], injected: bool) -> Progress {
        Progress {
            workers: workers.to_vec(),
            injected,
            driver_polls: 0,
        }
    }

    #[test]
    fn what_was_queued_has_to_be_begun() {
        let before = progress(&[(10, 3), (0, 0)], false);
        assert!(before.is_stuck(&progress(&[(10, 3), (0, 0)], false)));
        assert!(before.is_stuck(&progress(&[(12, 9), (50, 0)], false)));
        assert!(!before.is_stuck(&progress(&[(13, 9), (0, 0)], false)));
    }

    #[test]
    fn nothing_queued_is_nothing_stuck() {
        let before = progress(&[(10, 0), (0, 0)], false);
        assert!(!before.is_stuck(&progress(&[(10, 5), (0, 0)], true)));
    }

    #[test]
    fn the_inbox_is_emptied_by_whoever_polls() {
        let before = progress(&[(10, 0), (0, 0)], true);
        assert!(before.is_stuck(&progress(&[(10, 0), (0, 0)], true)));
        assert!(!before.is_stuck(&progress(&[(10, 0), (0, 0)], false)));
        assert!(!before.is_stuck(&progress(&[(11, 0), (0, 0)], true)));
    }

    #[test]
    fn counters_may_wrap() {
        let before = progress(&[(u64::MAX, 2)], false);
        assert!(before.is_stuck(&progress(&[(0, 2)], false)));
        assert!(!before.is_stuck(&progress(&[(1, 2)], false)));
    }
}
