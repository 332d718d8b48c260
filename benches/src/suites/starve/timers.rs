//! The case of the sleeping tasks. It needs no load: they watch the clock themselves.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::disturbance::workers;
use crate::child;
use crate::harness::Setup;
use crate::histogram::Times;
use crate::open_loop::{CountedWork, Job, inline_jobs};
use crate::runtimes::{self, Runtime, Workload};

/// How many tasks sleep.
const SLEEPERS: u64 = 16;
/// How long they sleep, each in turn.
const SLEEPS_MS: std::ops::RangeInclusive<u64> = 1..=10;
/// How long they do before anything counts.
const WARM_UP: Duration = Duration::from_millis(300);
/// Tasks per worker that keep it from them.
const COMPUTING: usize = 2;

pub(super) struct Sleepers;

impl Workload for Sleepers {
    fn run<R: Runtime>(setup: &Setup) -> Result<Vec<f64>, String> {
        let spin = child::next_json().map_err(|error| error.to_string())?;
        let work = CountedWork::none(spin, Job::COMPUTE);
        watch(runtimes::start::<R>(&setup.options)?, work, setup.window)
    }
}

fn watch<R: Runtime>(
    runtime: &'static R,
    work: CountedWork,
    window: Duration,
) -> Result<Vec<f64>, String> {
    let sleepers: Vec<_> = (0..SLEEPERS).map(|_| Arc::new(Sleeper::new())).collect();
    for (index, sleeper) in (0..).zip(&sleepers) {
        R::detach(runtime.spawn(sleep::<R>(index, Arc::clone(sleeper))));
    }
    thread::sleep(WARM_UP);

    for sleeper in &sleepers {
        sleeper.change(|sleeping| sleeping.lateness.clear());
    }
    let begin = Instant::now();
    inline_jobs(runtime, work, COMPUTING * workers())?;
    thread::sleep(window);

    let work_per_s = work.done() / begin.elapsed().as_secs_f64();
    let mut lateness = Times::new();
    for sleeper in &sleepers {
        sleeper.change(|sleeping| {
            sleeping.record_if_overdue();
            lateness.add(&sleeping.lateness);
        });
    }
    Ok(vec![lateness.ms(0.5), lateness.ms(0.99), work_per_s])
}

async fn sleep<R: Runtime>(index: u64, sleeper: Arc<Sleeper>) {
    // Not all in step.
    let first = (index % SLEEPS_MS.end()) as usize;
    for ms in SLEEPS_MS.cycle().skip(first) {
        let sleep = Duration::from_millis(ms);
        sleeper.change(|sleeping| sleeping.due = Some(Instant::now() + sleep));
        R::sleep(sleep).await;
        sleeper.change(Sleeping::record_if_overdue);
    }
}

/// A task's own record. Its lock is the task's alone until the end of the window, so that no
/// sleeper waits for another's.
struct Sleeper(Mutex<Sleeping>);

struct Sleeping {
    /// Of the sleep that has not been recorded.
    due: Option<Instant>,
    lateness: Times,
}

impl Sleeper {
    fn new() -> Self {
        Self(Mutex::new(Sleeping {
            due: None,
            lateness: Times::new(),
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
            self.lateness.record(now - due);
        }
    }
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
            assert!(sleeping.lateness.count() == 0 && sleeping.due.is_some());

            let late = Duration::from_millis(20);
            sleeping.due = Some(Instant::now() - late);
            sleeping.record_if_overdue();
            sleeping.record_if_overdue();
            assert_eq!(sleeping.lateness.count(), 1);
            assert!(sleeping.lateness.ms(1.0) >= late.as_secs_f64() * 1e3);
        });
    }
}
