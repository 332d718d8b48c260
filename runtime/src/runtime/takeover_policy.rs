//! What becomes of polls that take long.

use crate::scheduler::lane::Limits;
use std::io;
use std::time::Duration;

/// What becomes of polls that take long, for [`Builder::takeover`](super::Builder::takeover).
///
/// **A request handler that needs 5 ms of CPU** is served in the order in which it came, at normal
/// priority, before everything on the compute lane, however many there are like it. Other tasks do
/// not wait for it: after a millisecond another thread takes the place of its worker, and the
/// handler goes on beside that, with half of the core for as long as both want it. If only other
/// long polls wait, nobody is replaced, since none of them would be done sooner. After some polls
/// the runtime expects that the task's next ones take as long, and starts them when no short task
/// waits.
///
/// More happens only to polls that are mistakes, most likely:
/// - one that **blocks** for longer than [`after`](TakeoverPolicy::after) has its worker replaced
///   if anything waits. A task that does so again is polled on a thread of the blocking pool, until
///   some hundred of its polls in a row were short;
/// - one that has used **100 ms of CPU** goes on at the priority of the compute lane, and its
///   worker is replaced, whether anything waits or not;
/// - a task that **hogs**, that is, goes on computing without waiting for anything in between (it
///   yields, say) until it has used more than about 20 ms, with more than an eighth of a core for
///   itself, is polled on the compute lane. It comes back after seven polls in a row that were
///   short, or ended with waiting for something.
///
/// A poll during which short tasks wait is asked first to come to its end: its
/// [budget](crate::task::coop) is cut to a few operations after a quarter of `after`.
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
    /// A poll is long that takes so much CPU, or sleeps for so long; 1 ms by default. It is noticed
    /// up to half as much later, and up to 8 ms later if no worker was replaced in the last two
    /// seconds. [`Duration::MAX`]: workers are not replaced, and all tasks wait in one queue. Zero
    /// is an error of [`Builder::build`](super::Builder::build).
    pub after: Duration,
    /// So many threads at most may be in polls that were taken over, or in
    /// [`block_in_place`](crate::task::block_in_place), at a time; 512 by default. Beyond that a
    /// worker that is stuck stays so, and the others do its work, until one of those polls ends.
    /// Zero is an error of [`Builder::build`](super::Builder::build).
    pub max_threads: usize,
    /// Whether tasks that hog or block are polled elsewhere: on the compute lane or on a thread of
    /// the blocking pool. `true` by default. If not, each of their polls is dealt with by itself.
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
    /// Workers are not replaced, as in other runtimes, but for
    /// [`block_in_place`](crate::task::block_in_place).
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
