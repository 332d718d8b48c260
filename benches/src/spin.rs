//! CPU work of a fixed amount.
//!
//! A handler or a job must be a number of instructions, not a stretch of time: a loop that watches
//! the clock would count the time in which it was preempted as work done, and so flatter a runtime
//! whose threads keep preempting each other. The amount is measured once, by the parent, and handed
//! down, so that every case does the same work.

use std::hint::black_box;
use std::io;
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::stats;
use crate::sys;

/// For how long each CPU is measured.
const CALIBRATION: Duration = Duration::from_millis(200);
/// Iterations between two looks at the CPU clock: some hundred microseconds.
const CHUNK: u64 = 200_000;

/// How much work this machine does in a microsecond of CPU time.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Spin {
    iterations_per_us: f64,
}

impl Spin {
    /// This machine's. It is measured once, so that every contender does the same work.
    pub(crate) fn of_machine() -> Result<Self, String> {
        static SPIN: OnceLock<Result<Spin, String>> = OnceLock::new();
        let calibrate = || Self::calibrate().map_err(|error| format!("calibration: {error}"));
        SPIN.get_or_init(calibrate).clone()
    }

    /// Work that takes no time at all.
    #[cfg(test)]
    pub(crate) fn none() -> Self {
        Self {
            iterations_per_us: 0.0,
        }
    }

    /// Measures the speed with all CPUs busy, as they are in the workloads: one of two hyperthreads
    /// alone would be faster. The clock is the thread's own CPU time, so that other processes do
    /// not count.
    fn calibrate() -> io::Result<Self> {
        let cpus = thread::available_parallelism()?.get();
        let threads: Vec<_> = (0..cpus).map(|_| thread::spawn(sample_speed)).collect();
        let mut samples = Vec::new();
        for thread in threads {
            samples.extend(thread.join().expect("calibration does not panic"));
        }
        let iterations_per_us = stats::median(&samples).expect("every thread takes a sample");
        Ok(Self { iterations_per_us })
    }

    /// Does the work of `us` microseconds.
    pub(crate) fn run(self, us: u64) {
        burn((us as f64 * self.iterations_per_us) as u64);
    }
}

/// Works until the process ends.
pub(crate) fn without_end() -> ! {
    loop {
        burn(CHUNK);
    }
}

fn sample_speed() -> Vec<f64> {
    let start = Instant::now();
    let mut samples = Vec::new();
    while samples.is_empty() || start.elapsed() < CALIBRATION {
        let before = sys::thread_cpu_time();
        burn(CHUNK);
        let spent = sys::thread_cpu_time().saturating_sub(before);
        samples.push(CHUNK as f64 / (spent.as_nanos().max(1) as f64 / 1e3));
    }
    samples
}

/// A chain in which every step needs the one before, so that neither the compiler nor the CPU can
/// shorten it.
fn burn(iterations: u64) {
    let mut state = black_box(iterations);
    for step in 0..iterations {
        state = (state ^ (state >> 29))
            .wrapping_mul(0xBF58_476D_1CE4_E5B9)
            .wrapping_add(step);
    }
    black_box(state);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calibrated_work_takes_about_its_cpu_time() {
        let spin = Spin::calibrate().unwrap();
        let before = sys::thread_cpu_time();
        spin.run(20_000);
        let spent = sys::thread_cpu_time() - before;
        // Wide, since a loaded machine may change its speed in between; a wrong unit would be off
        // by a thousand.
        assert!(
            spent > Duration::from_millis(4),
            "20 ms of work took {spent:?}"
        );
        assert!(
            spent < Duration::from_millis(100),
            "20 ms of work took {spent:?}"
        );
    }
}
