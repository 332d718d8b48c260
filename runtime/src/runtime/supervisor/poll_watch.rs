//! Whether somebody polls the IO driver.

use super::look::{COARSE, Look, PATIENCE};
use std::time::{Duration, Instant};

/// Whether the workers poll the driver as they should. If none has for [`PATIENCE`], the supervisor
/// does; and once it had to, after [`COARSE`], because they may be stuck.
pub(super) struct PollWatch {
    polls: u64,
    since: Instant,
    patience: Duration,
}

impl PollWatch {
    pub(super) fn new(polls: u64) -> Self {
        PollWatch {
            polls,
            since: Instant::now(),
            patience: PATIENCE,
        }
    }

    /// The time until this thread has to poll if nobody else does; `None` if that is now. So often
    /// has the driver been polled.
    pub(super) fn until_due(&mut self, polls: u64) -> Option<Duration> {
        if polls != self.polls {
            *self = PollWatch::new(polls);
        }
        let left = self.patience.saturating_sub(self.since.elapsed());
        (!left.is_zero()).then_some(left)
    }

    /// This thread has polled, and may have to again soon: that it had to means that they may be
    /// stuck.
    pub(super) fn polled(&mut self, polls: u64) {
        *self = PollWatch {
            patience: COARSE,
            ..PollWatch::new(polls)
        };
    }
}

/// Sees to it that a worker polls, where all of them sleep and none does: the last that fell asleep
/// found the turn taken, and whoever had it has left since, this thread most likely.
pub(super) fn have_somebody_poll(look: Look<'_>) {
    let Look { shared, caller, .. } = look;
    if shared.io.awake_count() == 0 && shared.driver_lock.try_lock().is_some() {
        shared.io.wake_somebody(caller);
    }
}
