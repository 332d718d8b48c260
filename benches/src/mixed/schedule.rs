//! When each request is due, whatever became of the others.

use std::time::Duration;

use super::WARM_UP;

/// An open loop: requests at a fixed rate, first for the warm-up and then for the window. Times are
/// from the start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    requests_per_s: u32,
    window: Duration,
}

impl Schedule {
    pub(super) fn new(requests_per_s: u32, window: Duration) -> Self {
        Self {
            requests_per_s,
            window,
        }
    }

    /// When request number `seq` is due.
    pub(super) fn due(self, seq: u64) -> Duration {
        let nanos = u128::from(seq) * 1_000_000_000 / u128::from(self.requests_per_s);
        Duration::from_nanos(nanos as u64)
    }

    /// The number of the first request in the window, which is how many are in the warm-up.
    pub(super) fn first_counted(self) -> u64 {
        self.requests_before(WARM_UP)
    }

    /// How many requests there are.
    pub(super) fn total(self) -> u64 {
        self.requests_before(self.end())
    }

    /// When the window ends.
    pub(super) fn end(self) -> Duration {
        WARM_UP + self.window
    }

    /// How many requests are due before `time`.
    fn requests_before(self, time: Duration) -> u64 {
        (time.as_nanos() * u128::from(self.requests_per_s)).div_ceil(1_000_000_000) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_evenly_spaced() {
        let schedule = Schedule::new(8_000, Duration::from_secs(1));
        assert_eq!(schedule.due(0), Duration::ZERO);
        assert_eq!(schedule.due(1), Duration::from_micros(125));
        assert_eq!(schedule.due(8_000 * 3_600), Duration::from_secs(3_600));
    }

    #[test]
    fn a_rate_that_does_not_divide_a_second_does_not_drift() {
        let schedule = Schedule::new(3, Duration::from_secs(1));
        assert_eq!(schedule.due(3_000_000), Duration::from_secs(1_000_000));
    }

    #[test]
    fn exactly_the_window_counts() {
        for rate in [1, 7, 2_000, 8_000] {
            let schedule = Schedule::new(rate, Duration::from_millis(1_234));
            let (first, total) = (schedule.first_counted(), schedule.total());
            assert!(schedule.due(first) >= WARM_UP);
            assert!(first == 0 || schedule.due(first - 1) < WARM_UP);
            assert!(schedule.due(total) >= schedule.end());
            assert!(schedule.due(total - 1) < schedule.end());
        }
        let schedule = Schedule::new(2_000, Duration::from_secs(1));
        assert_eq!(schedule.total() - schedule.first_counted(), 2_000);
    }
}
