//! One look of the supervisor's, for all that it does in it.

use crate::runtime::shared::Shared;
use crate::scheduler::worker::Caller;
use evenkeel_sync::panics::log;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What workers see to themselves if they get on, the supervisor leaves to them for this long:
/// polling, and what else it looks at now and then. Each look preempts somebody: with one every 2
/// ms, the compute lane did 7% less work beside busy IO.
pub(super) const PATIENCE: Duration = Duration::from_millis(20);

/// Between two looks at the workers, as long as nobody is stuck. What has not been done by the next
/// must have been left by somebody who is.
pub(super) const COARSE: Duration = Duration::from_millis(4);

/// What the system changes seldom is looked at this often, while somebody is awake.
pub(super) const SELDOM: Duration = Duration::from_secs(1);

/// One look, from the supervisor's thread. Each duty takes it, and says when the next is due.
#[derive(Clone, Copy)]
pub(super) struct Look<'a> {
    pub(super) shared: &'a Arc<Shared>,
    pub(super) caller: &'a Caller<'a>,
    pub(super) now: Instant,
}

impl<'a> Look<'a> {
    /// One of this moment.
    pub(super) fn now(shared: &'a Arc<Shared>, caller: &'a Caller<'a>) -> Self {
        Look {
            shared,
            caller,
            now: Instant::now(),
        }
    }
}

/// The time until the first of several is due.
pub(super) fn shortest<const N: usize>(pauses: [Option<Duration>; N]) -> Option<Duration> {
    pauses.into_iter().flatten().min()
}

/// Not on the supervisor: the stuck poll may hold the lock of whatever writes the log.
pub(super) fn log_elsewhere(shared: &Shared, line: impl FnOnce() + Send + 'static) {
    // Refused only when the runtime shuts down.
    let _ = shared.blocking.execute(|| log(line));
}
