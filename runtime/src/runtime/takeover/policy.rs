use crate::lane::Limits;
use std::io;
use std::time::Duration;

/// When a worker that is stuck in a poll is replaced, for [`Builder::takeover`](super::super::Builder::takeover).
///
/// An IO worker that has been in the same poll for longer than [`after`](TakeoverPolicy::after), computing or blocked, while
/// something waits for it, is replaced by another thread, so that other tasks are not held up; and one that has computed for
/// eight times as long, whether something waits or not. Before that the [budget](crate::task::coop) of a poll that computes is
/// declared to be used up, so that it can end by itself. It goes on where it is: if it computes, at the priority of the compute
/// lane.
///
/// # Examples
///
/// ```
/// use evenkeel::runtime::{Builder, TakeoverPolicy};
/// use std::time::Duration;
///
/// let policy = TakeoverPolicy {
///     after: Duration::from_millis(5),
///     ..TakeoverPolicy::default()
/// };
/// let runtime = Builder::new().takeover(policy).build()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakeoverPolicy {
    /// How long a poll may take; 1 ms by default. It is noticed up to half as much later, and up to 8 ms later if no worker
    /// was replaced in the last two seconds. [`Duration::MAX`]: workers are not replaced. Zero is an error of
    /// [`Builder::build`](super::super::Builder::build).
    pub after: Duration,
    /// So many threads at most may be in polls that were taken over, or in
    /// [`block_in_place`](crate::task::block_in_place), at a time; 512 by default. Beyond that a worker that is
    /// stuck stays so, and the others do its work, until one of those polls ends. Zero is an error of
    /// [`Builder::build`](super::super::Builder::build).
    pub max_threads: usize,
    /// Whether a task whose polls were taken over twice is polled elsewhere from then on: on the compute lane if it was
    /// computing, on a thread of the blocking pool if it was asleep. It comes back after seven short polls in a
    /// row. `true` by default.
    pub own_lane: bool,
}

impl Default for TakeoverPolicy {
    fn default() -> Self {
        TakeoverPolicy {
            after: Duration::from_millis(1),
            max_threads: 512,
            own_lane: true,
        }
    }
}

impl TakeoverPolicy {
    /// Workers are not replaced, as in other runtimes, but for [`block_in_place`](crate::task::block_in_place).
    pub fn disabled() -> Self {
        TakeoverPolicy {
            after: Duration::MAX,
            ..TakeoverPolicy::default()
        }
    }

    pub(crate) fn is_enabled(&self) -> bool {
        self.after < Duration::MAX
    }

    pub(crate) fn limits(&self) -> Limits {
        Limits {
            after: self.after,
            sorts: self.is_enabled(),
            moves: self.is_enabled() && self.own_lane,
        }
    }

    pub(crate) fn check(&self) -> io::Result<()> {
        let refuse = |message| Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        if self.after.is_zero() {
            return refuse("`TakeoverPolicy::after` is 0, but every poll takes some time");
        }
        if self.max_threads == 0 {
            return refuse(
                "`TakeoverPolicy::max_threads` is 0: use `TakeoverPolicy::disabled` for no takeovers",
            );
        }
        Ok(())
    }
}
