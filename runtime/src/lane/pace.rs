//! How long the polls of a lane take, and so whether tasks in a queue are worth waking another worker for.
//!
//! To wake a worker costs some ten microseconds of two CPUs, and what the tasks need moves to another cache. A
//! handful of tasks that take a few microseconds each are done sooner by the worker that has them. How long
//! polls take is not known before, so this goes by the past: by the slowest stretches of late, so that a few
//! long polls among many short ones count. And a wrong guess must not cost much: work is only held back while
//! a worker dozes, who sees within a millisecond that a poll has got in the way.

use std::sync::atomic::{AtomicU64, Ordering};

/// Tasks that take less than this together wait for the worker that has them.
const WORTH_WAKING_NS: u64 = 100_000;

/// Polls that take less than this, on average, are short: the worker at it will soon be at the driver again.
const SHORT_NS: u64 = 20_000;

/// While nothing is known, polls are long.
const UNKNOWN_NS: u64 = 1_000_000;

/// An eighth of what is expected is forgotten with each stretch.
const FORGET: u64 = 8;

#[derive(Debug)]
pub(super) struct Pace {
    /// Written by any worker of the lane; one that overwrites another's does little harm.
    expected_ns: AtomicU64,
}

impl Pace {
    pub(super) fn new() -> Self {
        Pace {
            expected_ns: AtomicU64::new(UNKNOWN_NS),
        }
    }

    /// A stretch of work is over: `polls` polls took `ns`.
    pub(super) fn record(&self, polls: u64, ns: u64) {
        if polls == 0 {
            return;
        }
        let expected = self.expected_ns();
        let kept = expected - expected / FORGET;
        let now = kept.max(ns / polls);
        if now != expected {
            self.expected_ns.store(now, Ordering::Relaxed);
        }
    }

    fn expected_ns(&self) -> u64 {
        self.expected_ns.load(Ordering::Relaxed)
    }

    pub(super) fn polls_are_short(&self) -> bool {
        self.expected_ns() < SHORT_NS
    }

    /// True if so many tasks had better wait for the worker that has them.
    pub(super) fn is_little(&self, tasks: usize) -> bool {
        self.expected_ns().saturating_mul(tasks as u64) < WORTH_WAKING_NS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_long() {
        let pace = Pace::new();
        assert!(!pace.polls_are_short());
        assert!(!pace.is_little(1));
        pace.record(0, 0);
        assert!(!pace.polls_are_short());
    }

    #[test]
    fn short_polls_are_learnt() {
        let pace = Pace::new();
        (0..100).for_each(|_| pace.record(10, 50_000));
        assert!(pace.polls_are_short());
        assert!(pace.is_little(10));
        assert!(!pace.is_little(20));
    }

    #[test]
    fn one_long_stretch_is_remembered() {
        let pace = Pace::new();
        (0..100).for_each(|_| pace.record(10, 50_000));
        pace.record(1, 500_000);
        for _ in 0..10 {
            assert!(!pace.polls_are_short());
            pace.record(10, 50_000);
        }
        (0..100).for_each(|_| pace.record(10, 50_000));
        assert!(pace.polls_are_short());
    }
}
