//! Whether the workers that are awake get on with what there is to do: the judge of it, for a
//! worker on standby and for the supervisor.
//!
//! Both look now and then, and compare what they see with what they saw at the look before. A
//! worker on standby then helps, and tells the supervisor, which finds out who is stuck and in
//! what. See [`idle`](super::idle) for who is on standby, and why nothing is left.

/// How far a lane had come at a time.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// For each worker, how many polls it had begun, and how many tasks were queued with it.
    pub(super) workers: Vec<(u64, usize)>,
    /// Tasks waited in the inbox, which every worker empties before each poll.
    pub(super) injected: bool,
    /// How many times somebody had polled the driver.
    pub(super) driver_polls: u64,
}

/// What has not got on between two looks, though a worker was awake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Suspicion {
    /// Nobody has polled the driver.
    pub(crate) unpolled: bool,
    /// A task that waited has not been begun.
    pub(crate) left: bool,
}

impl Suspicion {
    pub(crate) fn is_any(self) -> bool {
        self.unpolled || self.left
    }
}

impl Progress {
    /// What was there at this time, and had not got on by the time of `later`.
    pub(crate) fn suspicion(&self, later: &Progress) -> Suspicion {
        Suspicion {
            unpolled: self.driver_polls == later.driver_polls,
            left: self.is_left(later),
        }
    }

    fn is_left(&self, later: &Progress) -> bool {
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
        assert!(before.is_left(&progress(&[(10, 3), (0, 0)], false)));
        assert!(before.is_left(&progress(&[(12, 9), (50, 0)], false)));
        assert!(!before.is_left(&progress(&[(13, 9), (0, 0)], false)));
    }

    #[test]
    fn nothing_queued_is_nothing_stuck() {
        let before = progress(&[(10, 0), (0, 0)], false);
        assert!(!before.is_left(&progress(&[(10, 5), (0, 0)], true)));
    }

    #[test]
    fn the_inbox_is_emptied_by_whoever_polls() {
        let before = progress(&[(10, 0), (0, 0)], true);
        assert!(before.is_left(&progress(&[(10, 0), (0, 0)], true)));
        assert!(!before.is_left(&progress(&[(10, 0), (0, 0)], false)));
        assert!(!before.is_left(&progress(&[(11, 0), (0, 0)], true)));
    }

    #[test]
    fn the_driver_has_to_be_polled() {
        let at = |driver_polls| Progress {
            driver_polls,
            ..progress(&[(10, 0)], false)
        };
        let unpolled = Suspicion {
            unpolled: true,
            left: false,
        };
        assert_eq!(at(7).suspicion(&at(7)), unpolled);
        assert!(!at(7).suspicion(&at(8)).is_any());
    }

    #[test]
    fn counters_may_wrap() {
        let before = progress(&[(u64::MAX, 2)], false);
        assert!(before.is_left(&progress(&[(0, 2)], false)));
        assert!(!before.is_left(&progress(&[(1, 2)], false)));
    }
}
