//! Repeats a case, and takes the time of each repetition.

use std::time::{Duration, Instant};

use crate::harness::Setup;
use crate::runtimes::{Runtime, spawn_for, start, wait};
use crate::stats::median;

/// The part of the window that does not count: the runtime's threads start, memory is faulted in,
/// caches fill.
const WARM_UP: f64 = 0.15;

/// A stopwatch: a case is repeated while it is [`running`](Self::running), and each repetition ends
/// with a [`lap`](Self::lap).
pub(super) struct Laps {
    operations: u32,
    warm_from: Instant,
    end: Instant,
    begun: Instant,
    /// Nanoseconds per operation.
    laps: Vec<f64>,
}

impl Laps {
    /// For repetitions of so many operations each.
    pub(super) fn new(window: Duration, operations: usize) -> Self {
        let now = Instant::now();
        Self {
            operations: u32::try_from(operations).expect("a repetition is short"),
            warm_from: now + window.mul_f64(WARM_UP),
            end: now + window,
            begun: now,
            laps: Vec::new(),
        }
    }

    /// Whether there is to be another repetition, which begins now. At least one counts, however
    /// long they take.
    pub(super) fn running(&mut self) -> bool {
        self.begun = Instant::now();
        self.begun < self.end || self.laps.is_empty()
    }

    /// A repetition has ended.
    pub(super) fn lap(&mut self) {
        if self.begun >= self.warm_from {
            let time_ns = self.begun.elapsed().as_nanos() as f64;
            self.laps.push(time_ns / f64::from(self.operations));
        }
    }

    /// The median of the repetitions, in nanoseconds per operation: the case's only value.
    pub(super) fn ns(self) -> Vec<f64> {
        vec![median(&self.laps).expect("there is a repetition that counts")]
    }

    /// [`ns`](Self::ns) in microseconds.
    pub(super) fn us(self) -> Vec<f64> {
        self.ns().into_iter().map(|ns| ns / 1e3).collect()
    }
}

/// Runs a case as a task of the runtime, where programs spend their time, and not on the thread
/// that waits for it.
pub(super) fn in_task<R, F>(
    setup: &Setup,
    case: fn(&'static R, Duration) -> F,
) -> Result<Laps, String>
where
    R: Runtime,
    F: Future<Output = Laps> + Send + 'static,
{
    let runtime = start::<R>(&setup.options)?;
    wait(&spawn_for(runtime, case(runtime, setup.window)))
}

/// Runs a case on this thread, which is not the runtime's.
pub(super) fn outside<R: Runtime>(
    setup: &Setup,
    case: fn(&'static R, Duration) -> Laps,
) -> Result<Laps, String> {
    Ok(case(start::<R>(&setup.options)?, setup.window))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_warm_up_does_not_count() {
        let mut laps = Laps::new(Duration::from_secs(3600), 1);
        assert!(laps.running());
        laps.lap();
        assert!(laps.laps.is_empty());
    }

    #[test]
    fn one_repetition_counts_when_all_are_too_long() {
        let mut laps = Laps::new(Duration::ZERO, 1);
        assert!(laps.running());
        laps.lap();
        assert!(!laps.running());
        assert!(laps.ns()[0] > 0.0);
    }

    #[test]
    fn the_time_is_that_of_one_operation() {
        let mut laps = Laps::new(Duration::ZERO, 10);
        laps.begun = Instant::now() - Duration::from_secs(3600);
        laps.warm_from = laps.begun;
        laps.lap();
        let hour_ns = 3600.0 * 1e9;
        assert!((hour_ns / 10.0..hour_ns / 5.0).contains(&laps.ns()[0]));
    }
}
