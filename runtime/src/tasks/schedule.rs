//! What a task needs of its scheduler: a lane, or the blocking pool.

use super::class::TaskClass;
use super::header::{Completed, Task};
use super::id::Id;
use super::meta::Shard;
use super::owners::DeferredWake;
use super::registry::Registered;

/// Where a task goes when it is woken, and what remembers it while it waits.
///
/// Some steps must not be left half done. Between marking a task as queued and queueing it, nobody
/// else can wake it; and while a registry is locked, others cannot complete their tasks. A thread
/// that may be preempted for long at any point leaves those steps to the lane. The scheduler says
/// whether the calling thread may take them, of its [`Caller`](Schedule::Caller): the answer is
/// valid while that lives.
pub(crate) trait Schedule: Send + Sync + 'static {
    /// What the calling thread is to the scheduler.
    type Caller<'a>;

    fn with_caller<R>(f: impl FnOnce(&Self::Caller<'_>) -> R) -> R;

    /// Queues the task. The caller keeps the cell alive, and `self` with it.
    fn schedule(&self, caller: &Self::Caller<'_>, task: Task);

    /// True of a thread that may mark the task as queued, and queue it.
    fn may_wake(&self, caller: &Self::Caller<'_>) -> bool;

    /// Leaves the wake-up to the lane. Only called where `may_wake` has refused.
    fn defer(&self, caller: &Self::Caller<'_>, wake: DeferredWake);

    /// True of a thread that may enter the task in a registry, or take it out.
    fn may_settle(&self, caller: &Self::Caller<'_>) -> bool;

    /// Queues a task that was polled where `may_settle` has refused, so that a worker does what
    /// comes after the poll. Gives the task back if there are no workers any more.
    fn hand_back(&self, caller: &Self::Caller<'_>, task: Task) -> Result<(), Task>;

    /// The task was woken during a poll, and possibly by that poll.
    fn woken_in_poll(&self, _task: Id) {}

    /// The class of a task from now on, after a poll that returned `Pending`.
    fn judge(&self, class: TaskClass) -> TaskClass {
        class
    }

    /// The first poll returned `Pending`: enters the task in a registry, until it completes. `None`
    /// if the lane is shut down and the task must be cancelled.
    fn register(&self, caller: &Self::Caller<'_>, task: Registered) -> Option<Shard>;

    /// Takes a task that has completed out of its registry; `None` if a shutdown has done that.
    ///
    /// # Safety
    /// This is the task's own scheduler, and so the one that registered it.
    unsafe fn unregister(&self, task: &Completed) -> Option<Registered>;
}
