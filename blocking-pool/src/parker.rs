//! How an idle thread waits: spinning for a moment, where that has been of use, or asleep.

use std::time::{Duration, Instant};

use evenkeel_sync::atomic::{AtomicBool, Ordering};
use evenkeel_sync::thread::{Thread, current, park, park_timeout};
use evenkeel_sync::{SpinBackoff, WAKE_UP, spin_pause};

/// How long an idle thread spins before it sleeps. Models have no time.
const SPIN: Duration = if cfg!(evenkeel_loom) {
    Duration::ZERO
} else {
    WAKE_UP
};

/// Where one pool thread waits, and how others wake it.
pub(crate) struct Parker {
    thread: Thread,
    /// Set before every unpark. A job or hook may have used up the park token that was meant for
    /// this, and the token may come from a job; the flag can do neither.
    signal: AtomicBool,
}

impl Parker {
    /// That of the calling thread.
    pub(crate) fn of_current() -> Self {
        Self {
            thread: current(),
            signal: AtomicBool::new(false),
        }
    }

    /// Unparks even if the flag was set: who set it may have been preempted before its unpark.
    pub(crate) fn signal(&self) {
        // A swap, because loom does not order a plain store with the swap in `wait`.
        self.signal.swap(true, Ordering::Release);
        self.thread.unpark();
    }

    fn take_signal(&self) -> bool {
        self.signal.swap(false, Ordering::Acquire)
    }

    /// Waits for the signal without sleeping; true if it came.
    fn spin(&self) -> bool {
        let start = Instant::now();
        loop {
            // A load first, so that a submitter finds the line in its cache.
            if self.signal.load(Ordering::Relaxed) && self.take_signal() {
                return true;
            }
            if start.elapsed() >= SPIN {
                return false;
            }
            spin_pause();
        }
    }

    /// Waits for the signal; true if the deadline passed without one.
    pub(crate) fn wait(&self, backoff: &SpinBackoff, deadline: Option<Instant>) -> bool {
        if backoff.try_with(|| self.spin()) {
            return false;
        }
        loop {
            if self.take_signal() {
                return false;
            }
            let Some(deadline) = deadline else {
                park();
                continue;
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            park_timeout(left);
        }
    }
}
