//! What the tasks of a lane ask of it.

use super::classify;
use super::kind::Kind;
use super::lane::Lane;
use super::worker::Caller;
use crate::tasks::{
    Completed, Id, Registered, Schedule, Shard as TaskShard, Task, TaskClass, id_of,
};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;

/// The scheduler of a lane's tasks.
pub(crate) struct LaneRef(pub(crate) Arc<Lane>);

impl Schedule for LaneRef {
    type Caller<'a> = Caller<'a>;

    #[inline]
    fn with_caller<R>(f: impl FnOnce(&Caller<'_>) -> R) -> R {
        Caller::with(f)
    }

    fn schedule(&self, caller: &Caller<'_>, task: Task) {
        self.0.schedule(caller, task);
    }

    #[inline]
    fn may_wake(&self, caller: &Caller<'_>) -> bool {
        self.0.kind == Kind::Compute || caller.latency_critical().is_some()
    }

    fn defer(&self, caller: &Caller<'_>, waker: Waker) {
        id_of(&waker).into_iter().for_each(classify::woken_in_poll);
        self.0.deferred.push(waker);
        // Mirrors `finish_shutdown`: one of the two sees it. The wakers hold this lane.
        if self.0.is_finished.load(Ordering::SeqCst) {
            self.0.drop_deferred();
        } else {
            self.0.notify(caller.origin(), 1);
        }
    }

    fn may_settle(&self, caller: &Caller<'_>) -> bool {
        caller.worker_of(&self.0).is_some()
    }

    fn hand_back(&self, caller: &Caller<'_>, task: Task) -> Result<(), Task> {
        self.0.try_submit(caller, task)
    }

    #[inline]
    fn woken_in_poll(&self, task: Id) {
        if self.0.kind == Kind::Io {
            classify::woken_in_poll(task);
        }
    }

    #[inline]
    fn judge(&self, class: TaskClass) -> TaskClass {
        match self.0.kind {
            Kind::Io => classify::judge(&self.0, class),
            Kind::Compute => class,
        }
    }

    fn register(&self, caller: &Caller<'_>, task: Registered) -> Option<TaskShard> {
        // Only a worker of the lane settles its tasks.
        let worker = caller.worker_of(&self.0)?;
        worker.held().registry().insert(task).ok()?;
        Some(TaskShard(worker.index()))
    }

    unsafe fn unregister(&self, task: &Completed) -> Option<Registered> {
        let seat = self.0.seat(task.shard().0);
        // SAFETY: by the caller's word `register` has inserted it, in the seat that the shard
        // names.
        unsafe { seat.unregister(task) }
    }
}
