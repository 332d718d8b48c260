//! Work that is counted while it is done.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::spin::Spin;
use crate::sys;

/// CPU work in a job of most cases.
pub(super) const JOB_MS: u64 = 20;

/// Size of the buffer of [`Job::Fill`].
const FILLED_BYTES: usize = 8 * 1024 * 1024;
/// How many lines [`Job::Log`] writes: about a millisecond of CPU.
const LOGGED_LINES: u64 = 1_000;

/// What a CPU job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Job {
    /// It computes for so long. Each millisecond counts.
    Compute { ms: u64 },
    /// It fills a fresh buffer of 8 MiB.
    Fill,
    /// It writes 1,000 lines to standard error.
    Log,
}

impl Job {
    /// Of most cases.
    pub(crate) const COMPUTE: Self = Self::Compute { ms: JOB_MS };
}

/// What tasks beside the requests get done, in the unit of the case.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CountedWork {
    spin: Spin,
    job: Job,
    counts: &'static Counts,
}

#[derive(Debug, Default)]
struct Counts {
    done: AtomicU64,
    cpu_ns: AtomicU64,
}

impl CountedWork {
    /// None yet. For processes that end with their measurement: it is never freed.
    pub(crate) fn none(spin: Spin, job: Job) -> Self {
        Self {
            spin,
            job,
            counts: Box::leak(Box::default()),
        }
    }

    pub(crate) fn count(self) {
        self.counts.done.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn done(self) -> f64 {
        self.counts.done.load(Ordering::Relaxed) as f64
    }

    /// CPU time that jobs have used, and [`compute`](Self::compute).
    pub(super) fn cpu_time(self) -> Duration {
        Duration::from_nanos(self.counts.cpu_ns.load(Ordering::Relaxed))
    }

    /// Does one of the case's CPU jobs.
    pub(super) fn run_job(self) {
        match self.job {
            Job::Compute { ms } => return self.compute(ms),
            Job::Fill => self.timed(|| drop(black_box(vec![1_u8; FILLED_BYTES]))),
            Job::Log => self.timed(|| {
                for line in 0..LOGGED_LINES {
                    eprintln!("line {line} of a job");
                }
            }),
        }
        self.count();
    }

    /// Computes, and counts each millisecond of it, so that a long computation which straddles the
    /// edge of the window counts with its part.
    pub(crate) fn compute(self, ms: u64) {
        for _ in 0..ms {
            self.timed(|| self.compute_uncounted(1000));
            self.count();
        }
    }

    pub(crate) fn compute_uncounted(self, us: u64) {
        self.spin.run(us);
    }

    fn timed(self, work: impl FnOnce()) {
        let start = sys::thread_cpu_time();
        work();
        let used = sys::thread_cpu_time().saturating_sub(start);
        let used_ns = used.as_nanos() as u64;
        self.counts.cpu_ns.fetch_add(used_ns, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn computing_counts_its_milliseconds() {
        let work = CountedWork::none(Spin::none(), Job::COMPUTE);
        work.compute(200);
        work.count();
        assert_eq!(work.done(), 201.0);
        work.run_job();
        assert_eq!(work.done(), 221.0);
    }

    #[test]
    fn a_job_that_does_not_compute_counts_once_and_with_its_time() {
        let work = CountedWork::none(Spin::none(), Job::Fill);
        work.run_job();
        assert_eq!(work.done(), 1.0);
        assert!(work.cpu_time() > Duration::ZERO);
    }
}
