//! What a task asks of the one who schedules it: a lane, or the blocking pool.

use super::Id;
use super::cell::TaskRef;
use super::class::TaskClass;
use super::owners::Task;
use std::task::Waker;

/// Where a task goes when it is woken, and who remembers it while it waits.
///
/// Some steps must not be left half done: between marking a task as queued and queueing it nobody else
/// can wake it, and a registry's lock keeps others from completing theirs. A thread that may be preempted
/// for long at any point leaves those steps to the lane. Whether the calling thread may take them itself
/// the scheduler says, of the [`Caller`](Schedule::Caller): for as long as that lives, the answer stays.
pub(crate) trait Schedule: Send + Sync + 'static {
    /// What the calling thread is to the scheduler.
    type Caller<'a>;

    fn with_caller<R>(&self, f: impl FnOnce(&Self::Caller<'_>) -> R) -> R;

    /// Queues the task. The cell, and with it `self`, is kept alive by the caller.
    fn schedule(&self, caller: &Self::Caller<'_>, task: Task);

    /// True of a thread that may mark the task as queued and queue it.
    fn may_wake(&self, caller: &Self::Caller<'_>) -> bool;

    /// Has the lane call `wake` on the waker. Only called where `may_wake` has refused.
    fn defer(&self, caller: &Self::Caller<'_>, waker: Waker);

    /// True of a thread that may enter the task in a registry, or take it out.
    fn may_settle(&self, caller: &Self::Caller<'_>) -> bool;

    /// Queues a task that was polled where `may_settle` has refused, for a worker to do what comes after
    /// the poll; gives it back if there are no workers any more.
    fn hand_back(&self, caller: &Self::Caller<'_>, task: Task) -> Result<(), Task>;

    /// The task was woken in the midst of a poll, and possibly by that poll.
    fn woken_in_poll(&self, _task: Id) {}

    /// A poll returned `Pending`. What the task is like from now on.
    fn judge(&self, class: TaskClass) -> TaskClass {
        class
    }

    /// The first poll returned `Pending`: remember the task until it completes, and keep one reference
    /// to it. `None` if the lane is shut down and the task must be cancelled. Called with RUNNING held.
    fn register(&self, caller: &Self::Caller<'_>, task: TaskRef) -> Option<Shard>;

    /// Forgets a task that completed. True if its reference is given back to the caller; false if a
    /// shutdown has taken it.
    fn unregister(&self, task: TaskRef, shard: Shard) -> bool;
}

/// Which registry a task is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shard(pub(crate) usize);

impl Shard {
    /// There are no more shards than this in a lane, or workers: the cell has twelve bits for it.
    pub(crate) const COUNT_MAX: usize = (1 << 12) - 1;
}
