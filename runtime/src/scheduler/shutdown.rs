//! The end of a lane.
//!
//! 1. [`begin_shutdown`](Lane::begin_shutdown): every worker leaves after its current poll.
//! 2. [`finish_shutdown`](Lane::finish_shutdown): whatever waits is cancelled. Every worker that
//!    leaves does this, not only the last, and whoever waits for them does it again and again: a
//!    worker that is stuck in a poll may be waiting for one of these tasks to go away.
//! 3. What is queued from then on is cancelled at once.

use super::current_thread::Arrivals;
use super::lane::Lane;
use crate::panics::wake;
use evenkeel_sync::panics::drop_quietly;
use std::sync::atomic::Ordering;

impl Lane {
    /// Tells every worker to leave after its current poll.
    pub(crate) fn begin_shutdown(&self) {
        self.is_shut_down.store(true, Ordering::SeqCst);
        (0..self.workers()).for_each(|worker| self.unpark(worker));
    }

    /// Cancels all that is left.
    pub(crate) fn finish_shutdown(&self) {
        self.is_finished.store(true, Ordering::SeqCst);
        drop(self.inbox.close());
        drop(self.long.close());
        self.drop_deferred();
        self.arrivals.iter().for_each(Arrivals::cancel_all);
        for seat in self.seats() {
            seat.cancel_all();
            seat.timers.drain().into_iter().for_each(wake);
        }
    }

    pub(super) fn drop_deferred(&self) {
        self.deferred.take_all().for_each(drop_quietly);
    }
}
