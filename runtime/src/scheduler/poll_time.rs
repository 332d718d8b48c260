//! How long the polls of a lane take, and so whether tasks in a queue are worth waking another
//! worker for.
//!
//! To wake a worker costs some ten microseconds of two CPUs, and what the tasks need moves to
//! another cache. A handful of tasks that take a few microseconds each are done sooner by the
//! worker that has them. How long polls take is not known before, so this goes by the past: by the
//! slowest stretches of late, so that a few long polls among many short ones count. And a wrong
//! guess must not cost much: work is only held back while a worker is on standby, who sees within a
//! millisecond that a poll has got in the way.

use evenkeel_sync::WAKE_UP;
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

/// Tasks that take less than this together wait for the worker that has them.
const WORTH_WAKING_NS: u64 = 100_000;

/// [`WAKE_UP`], in nanoseconds.
pub(super) const WAKE_UP_NS: u64 = WAKE_UP.as_nanos() as u64;

/// One part in this many of what is expected is forgotten with each stretch of work.
const FORGET: u64 = 8;

#[derive(Debug)]
pub(super) struct PollTime {
    /// Written by any worker of the lane; one that overwrites another's does little harm.
    expected_ns: AtomicU64,
}

impl PollTime {
    pub(super) fn new() -> Self {
        PollTime {
            // Not known, so each is worth waking another for.
            expected_ns: AtomicU64::new(WORTH_WAKING_NS),
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

    pub(super) fn is_short(&self) -> bool {
        self.expected_ns() < WAKE_UP_NS
    }

    /// True if so many tasks had better wait for the worker that has them.
    pub(super) fn is_little(&self, tasks: usize) -> bool {
        self.expected_ns().saturating_mul(tasks as u64) < WORTH_WAKING_NS
    }
}

/// A stretch of work of one worker: when it began, and how many polls there had been.
pub(super) struct Stretch(Cell<(u64, u64)>);

impl Stretch {
    pub(super) fn new(now_ns: u64, polls: u64) -> Self {
        Stretch(Cell::new((now_ns, polls)))
    }

    pub(super) fn begin(&self, now_ns: u64, polls: u64) {
        self.0.set((now_ns, polls));
    }

    /// Ends it, and begins the next.
    pub(super) fn end(&self, now_ns: u64, polls: u64, poll_time: &PollTime) {
        let (start_ns, polls_before) = self.0.replace((now_ns, polls));
        poll_time.record(polls - polls_before, now_ns.saturating_sub(start_ns));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_long() {
        let poll_time = PollTime::new();
        assert!(!poll_time.is_short());
        assert!(!poll_time.is_little(1));
        poll_time.record(0, 0);
        assert!(!poll_time.is_short());
    }

    #[test]
    fn short_polls_are_learnt() {
        let poll_time = PollTime::new();
        (0..100).for_each(|_| poll_time.record(10, 50_000));
        assert!(poll_time.is_short());
        assert!(poll_time.is_little(10));
        assert!(!poll_time.is_little(20));
    }

    #[test]
    fn one_long_stretch_is_remembered() {
        let poll_time = PollTime::new();
        (0..100).for_each(|_| poll_time.record(10, 50_000));
        poll_time.record(1, 500_000);
        for _ in 0..10 {
            assert!(!poll_time.is_short());
            poll_time.record(10, 50_000);
        }
        (0..100).for_each(|_| poll_time.record(10, 50_000));
        assert!(poll_time.is_short());
    }
}
