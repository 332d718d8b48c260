//! What a lane asks of its runtime.

use super::seat::{FreeSeat, WorkerThread};
use crate::tasks::{Place, Task};
use std::sync::Arc;

pub(crate) trait LaneHooks: Send + Sync {
    /// A worker has found nothing to do, and is about to sleep; after this it looks once more.
    fn parks(&self) {}

    /// And has slept.
    fn unparks(&self) {}

    /// A worker wakes up, and the supervisor has to watch over it.
    fn worker_awake(&self);

    /// A worker has seen that another one does not get on.
    fn worker_stuck(&self);

    /// Has the supervisor look after the workers.
    fn wake_supervisor(&self);

    /// A task would not have to wait at `place` for what may be waiting for it.
    fn has_room(&self, place: Place) -> bool;

    /// Has a task of the IO lane polled at `place`.
    fn send(&self, task: Task, place: Place);

    /// Another thread is to take the seat of the calling one, a worker in a poll. True if one has:
    /// then `surrender`, which is to be called at most once, has given the seat.
    fn replace(
        &self,
        worker: usize,
        thread: &Arc<WorkerThread>,
        surrender: &mut dyn FnMut() -> FreeSeat,
    ) -> bool;

    /// A task is polled somewhere else from now on.
    fn task_moved(&self, to: Place);
}
