//! Repeats a case in tasks of a runtime, and takes the time of each repetition.

use std::time::{Duration, Instant};

use crate::harness::Setup;
use crate::runtimes::{Runtime, spawn_for, start, wait};
use crate::stats::median;

/// The part of the window that does not count: the runtime's threads start, memory is faulted in,
/// caches fill.
const WARM_UP: f64 = 0.15;

/// A stopwatch: a case is repeated while it is [`running`](Self::running), and each repetition ends
/// with a [`lap`](Self::lap).
pub(crate) struct Laps {
    operations: u32,
    warm_from: Instant,
    end: Instant,
    begun: Instant,
    /// How many repetitions there were, those that do not count included.
    repetitions: u32,
    /// Nanoseconds per operation.
    laps: Vec<f64>,
    /// From the begin of the first of them to the end of the last.
    counted: Option<(Instant, Instant)>,
}

impl Laps {
    /// For repetitions of so many operations each.
    pub(crate) fn new(window: Duration, operations: usize) -> Self {
        let now = Instant::now();
        Self {
            operations: u32::try_from(operations).expect("a repetition is short"),
            warm_from: now + window.mul_f64(WARM_UP),
            end: now + window,
            begun: now,
            repetitions: 0,
            laps: Vec::new(),
            counted: None,
        }
    }

    /// Whether there is to be another repetition, which begins now. At least one counts, however
    /// long they take.
    pub(crate) fn running(&mut self) -> bool {
        self.begun = Instant::now();
        self.begun < self.end || self.laps.is_empty()
    }

    /// A repetition has ended.
    pub(crate) fn lap(&mut self) {
        self.repetitions += 1;
        if self.begun >= self.warm_from {
            let now = Instant::now();
            let time_ns = (now - self.begun).as_nanos() as f64;
            self.laps.push(time_ns / f64::from(self.operations));
            let (first, _) = self.counted.unwrap_or((self.begun, now));
            self.counted = Some((first, now));
        }
    }

    /// The median of the repetitions, in nanoseconds per operation: the case's only value.
    pub(crate) fn ns(self) -> Vec<f64> {
        vec![median(&self.laps).expect("there is a repetition that counts")]
    }

    /// [`ns`](Self::ns) in microseconds.
    pub(crate) fn us(self) -> Vec<f64> {
        self.ns().into_iter().map(|ns| ns / 1e3).collect()
    }

    /// How many operations the tasks with these laps have done, those of the warm-up included.
    pub(crate) fn operations(tasks: &[Self]) -> f64 {
        let operations = |task: &Self| f64::from(task.repetitions) * f64::from(task.operations);
        tasks.iter().map(operations).sum()
    }

    /// How many operations the tasks with these laps have done in a second, together. The time is
    /// one for all, so that a task which was let run only after another does not count twice.
    pub(crate) fn per_s(tasks: &[Self]) -> f64 {
        let operations = tasks
            .iter()
            .map(|task| task.laps.len() as f64 * f64::from(task.operations));
        let counted = || tasks.iter().filter_map(|task| task.counted);
        let first = counted().map(|(first, _)| first).min();
        let last = counted().map(|(_, last)| last).max();
        let span = first.zip(last).map(|(first, last)| last - first);
        let span = span.expect("there is a repetition that counts");
        operations.sum::<f64>() / span.as_secs_f64()
    }
}

/// Runs a case as a task of the runtime, where programs spend their time, and not on the thread
/// that waits for it.
pub(crate) fn in_task<R, F>(
    setup: &Setup,
    case: impl Fn(&'static R, Duration) -> F,
) -> Result<Laps, String>
where
    R: Runtime,
    F: Future<Output = Laps> + Send + 'static,
{
    let runtime = start::<R>(&setup.options)?;
    wait(&spawn_for(runtime, case(runtime, setup.window)))
}

/// [`in_task`], as many times at once as the runtime has workers.
pub(crate) fn in_task_per_worker<R, F>(
    setup: &Setup,
    case: impl Fn(&'static R, Duration) -> F,
) -> Result<Vec<Laps>, String>
where
    R: Runtime,
    F: Future<Output = Laps> + Send + 'static,
{
    let runtime = start::<R>(&setup.options)?;
    let tasks =
        (0..setup.options.workers()).map(|_| spawn_for(runtime, case(runtime, setup.window)));
    let tasks: Vec<_> = tasks.collect();
    tasks.iter().map(wait).collect()
}

/// Runs a case on this thread, which is not the runtime's.
pub(crate) fn outside<R: Runtime>(
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
        assert_eq!(Laps::operations(&[laps]), 1.0);
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

    #[test]
    fn tasks_share_their_time() {
        let begin = Instant::now();
        let task = |from_s, to_s, laps: &[f64]| Laps {
            laps: laps.to_vec(),
            counted: Some((
                begin + Duration::from_secs(from_s),
                begin + Duration::from_secs(to_s),
            )),
            ..Laps::new(Duration::ZERO, 100)
        };
        assert_eq!(Laps::per_s(&[task(1, 3, &[1.0; 4])]), 200.0);
        // At the same time, and one after the other.
        let first = || task(0, 2, &[1.0; 4]);
        assert_eq!(Laps::per_s(&[first(), task(0, 2, &[1.0; 4])]), 400.0);
        assert_eq!(Laps::per_s(&[first(), task(2, 4, &[1.0; 4])]), 200.0);
    }
}
