//! The case of the sleeping tasks. It needs no load: they watch the clock themselves.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::disturbance::{compute_in_tasks, workers};
use super::{Contender, Work};
use crate::runtimes;
use crate::suite::{self, Case, Turn};

pub(super) const NAME: &str = "timers";

/// How many tasks sleep.
const SLEEPERS: u64 = 16;
/// How long they sleep, each in turn.
const SLEEPS_MS: std::ops::RangeInclusive<u64> = 1..=10;
/// How long they do before anything counts.
const WARM_UP: Duration = Duration::from_millis(300);
/// Tasks per worker that keep it from them.
const COMPUTING: usize = 2;
/// How long the child may take beside its window and warm-up.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest lateness that is told apart, in nanoseconds: over an hour.
const LONGEST_NS: u64 = 1 << 42;

/// The parent's side: one measurement.
pub(super) fn measure(case: &'static Case, turn: Turn) -> Result<Vec<f64>, String> {
    let mut child = suite::start_computing_child(case, turn)?;
    let values = child.expect_json(WARM_UP + turn.window + PATIENCE)?;
    match child.finish() {
        stderr if stderr.is_empty() => Ok(values),
        stderr => Err(format!("the process wrote: {stderr}")),
    }
}

/// The child's side.
pub(super) fn run<R: Contender>(window: Duration) -> Result<Vec<f64>, String> {
    let spin = suite::spin_of_parent().map_err(|error| error.to_string())?;
    let runtime = runtimes::start::<R>()?;
    let sleepers: Vec<_> = (0..SLEEPERS).map(|_| Arc::new(Sleeper::new())).collect();
    for (index, sleeper) in (0..).zip(&sleepers) {
        R::detach(runtime.spawn(sleep::<R>(index, Arc::clone(sleeper))));
    }
    thread::sleep(WARM_UP);

    for sleeper in &sleepers {
        sleeper.change(|sleeping| sleeping.lateness.reset());
    }
    let (begin, work) = (Instant::now(), Work::none());
    compute_in_tasks(runtime, COMPUTING * workers(), spin, work);
    thread::sleep(window);

    let work_per_s = work.done() / begin.elapsed().as_secs_f64();
    let mut lateness = new_histogram();
    for sleeper in &sleepers {
        sleeper.change(|sleeping| {
            sleeping.record_if_overdue();
            lateness += &sleeping.lateness;
        });
    }
    let ms = |quantile| lateness.value_at_quantile(quantile) as f64 / 1e6;
    Ok(vec![ms(0.5), ms(0.99), work_per_s])
}

async fn sleep<R: Contender>(index: u64, sleeper: Arc<Sleeper>) {
    // Not all in step.
    let first = (index % SLEEPS_MS.end()) as usize;
    for ms in SLEEPS_MS.cycle().skip(first) {
        let sleep = Duration::from_millis(ms);
        sleeper.change(|sleeping| sleeping.due = Some(Instant::now() + sleep));
        R::sleep(sleep).await;
        sleeper.change(Sleeping::record_if_overdue);
    }
}

/// A task's own record. Its lock is the task's alone until the end of the window, so that no sleeper
/// waits for another's.
struct Sleeper(Mutex<Sleeping>);

struct Sleeping {
    /// Of the sleep that has not been recorded.
    due: Option<Instant>,
    lateness: Histogram<u64>,
}

impl Sleeper {
    fn new() -> Self {
        Self(Mutex::new(Sleeping {
            due: None,
            lateness: new_histogram(),
        }))
    }

    fn change(&self, change: impl FnOnce(&mut Sleeping)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Sleeping {
    /// Records how late it is by now. At the end of the window this is asked of those as well that
    /// still sleep.
    fn record_if_overdue(&mut self) {
        let now = Instant::now();
        if let Some(due) = self.due.take_if(|due| *due <= now) {
            let late_ns = (now - due).as_nanos();
            self.lateness
                .saturating_record(u64::try_from(late_ns).unwrap_or(u64::MAX));
        }
    }
}

fn new_histogram() -> Histogram<u64> {
    Histogram::new_with_max(LONGEST_NS, 3).expect("the bounds are valid")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleep_counts_once_and_only_when_it_is_due() {
        let sleeper = Sleeper::new();
        sleeper.change(|sleeping| {
            sleeping.due = Some(Instant::now() + Duration::from_secs(3600));
            sleeping.record_if_overdue();
            assert!(sleeping.lateness.is_empty() && sleeping.due.is_some());

            let late = Duration::from_millis(20);
            sleeping.due = Some(Instant::now() - late);
            sleeping.record_if_overdue();
            sleeping.record_if_overdue();
            assert_eq!(sleeping.lateness.len(), 1);
            assert!(sleeping.lateness.max() >= late.as_nanos() as u64);
        });
    }
}
