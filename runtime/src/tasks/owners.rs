//! What the owners of a task do with it: each has one reference, and a right that goes with it.
//!
//! [`Task`] is a place in a queue, and the right to run; [`Running`] is the right to the future.
//! [`JoinRef`] is the right to the output; [`AbortRef`] can abort; a waker can wake.

use super::class::TaskClass;
use super::header::{Completed, Header, JoinWaker, Running, Task, TaskRef};
use super::id::Id;
use super::state::{
    CANCELLED, COMPLETE, HANDED, JOIN_INTEREST, JOIN_WAKER, Notified, ToIdle, ToRunning,
};
use evenkeel_sync::panics::{contain, drop_quietly};
use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::panic::Location;
use std::ptr;
use std::task::{Poll, Waker};

impl Task {
    /// Polls the task, cancels it, or does what a poll has left to do. `Some` if it was woken
    /// meanwhile and has to be queued again.
    #[inline]
    pub(crate) fn run(self) -> Option<Task> {
        match self.take_up() {
            TakenUp::Poll(running) => return running.poll(),
            TakenUp::Settle(running) => return running.settle(),
            TakenUp::Cancel(running) => running.cancel(),
            TakenUp::Leave(completed) => completed.leave(),
            TakenUp::Stale => {}
        }
        None
    }

    /// Gives up the place in the queue of a task that a registry holds: its shutdown will cancel
    /// it. A task that no registry holds is cancelled here.
    pub(crate) fn abandon(self) {
        if self.header().shard().is_some() {
            // SAFETY: the registry completes it.
            drop(unsafe { self.into_ref() });
        }
    }

    pub(crate) fn id(&self) -> Id {
        self.header().id()
    }

    pub(crate) fn class(&self) -> TaskClass {
        self.header().class()
    }

    /// Has the task polled on the IO lane again, with a strike left.
    pub(crate) fn forgive(&mut self) {
        self.set_class(self.class().back());
    }

    /// True if the task has been polled, and only what comes after that is left to do.
    pub(crate) fn is_handed(&self) -> bool {
        self.header().state.load().has(HANDED)
    }

    /// True if the task is to be dropped instead of being polled.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.header().state.load().has(CANCELLED)
    }

    pub(crate) fn spawned_at(&self) -> &'static Location<'static> {
        self.header().spawned_at
    }

    /// Turns the place in the queue into what is to be done with the task.
    #[inline]
    fn take_up(self) -> TakenUp {
        let to_running = self.header().state.to_running();
        // SAFETY: the right goes where the state word says, below.
        let task = unsafe { self.into_ref() };
        match to_running {
            // SAFETY: RUNNING was set for us, and nobody has completed the task.
            ToRunning::Poll => TakenUp::Poll(unsafe { Running::new(task) }),
            // SAFETY: as above.
            ToRunning::Cancel => TakenUp::Cancel(unsafe { Running::new(task) }),
            ToRunning::Stale => TakenUp::Stale,
            // SAFETY: HANDED was set, and cleared for us.
            ToRunning::Handed => match unsafe { handed(task) } {
                Handed::Running(running) => TakenUp::Settle(running),
                Handed::Completed(completed) => TakenUp::Leave(completed),
            },
        }
    }
}

/// What is to be done with a task that was in a queue.
enum TakenUp {
    /// To poll it.
    Poll(Running),
    /// It has been polled: to do what comes after that.
    Settle(Running),
    /// It was cancelled.
    Cancel(Running),
    /// It is complete: to take it out of its registry.
    Leave(Completed),
    /// Nothing: a shutdown has it.
    Stale,
}

/// What a thread that polled or cancelled the task has handed over.
enum Handed {
    Running(Running),
    Completed(Completed),
}

/// # Safety
/// HANDED was set, and the caller has cleared it.
unsafe fn handed(task: TaskRef) -> Handed {
    match task.shard() {
        Some(shard) if task.state.load().has(COMPLETE) => {
            // SAFETY: it is complete, and this is its shard.
            Handed::Completed(unsafe { Completed::new(task, shard) })
        }
        // SAFETY: not complete, so RUNNING went with HANDED.
        _ => Handed::Running(unsafe { Running::new(task) }),
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        let unpolled = !self.header().state.clear_handed();
        // SAFETY: not used after this.
        let task = unsafe { ManuallyDrop::take(&mut self.0) };
        if unpolled {
            return task.shutdown();
        }
        // SAFETY: HANDED was set, and cleared by us.
        match unsafe { handed(task) } {
            Handed::Running(running) => running.cancel(),
            Handed::Completed(completed) => completed.leave_here(),
        }
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Task({} at {}: {:?})",
            self.id(),
            self.spawned_at(),
            self.header().state
        )
    }
}

impl Running {
    #[inline]
    fn poll(self) -> Option<Task> {
        let poll = self.header().vtable.poll;
        // SAFETY: it is the task's own vtable.
        unsafe { poll(self) }
    }

    fn settle(self) -> Option<Task> {
        let settle = self.header().vtable.settle;
        // SAFETY: it is the task's own vtable.
        unsafe { settle(self) }
    }

    /// Drops the future, and completes the task as cancelled.
    pub(super) fn cancel(self) {
        let cancel = self.header().vtable.cancel;
        // SAFETY: it is the task's own vtable.
        unsafe { cancel(self) };
    }

    /// After `Pending`: gives the right up, unless the task is cancelled. `Some` if it was woken
    /// meanwhile and has to be queued again.
    ///
    /// # Safety
    /// The task is in a registry.
    #[inline]
    pub(super) unsafe fn become_idle(self) -> Option<Task> {
        match self.header().state.to_idle() {
            // Our reference is counted off already, and the task may be gone.
            ToIdle::Idle => None,
            ToIdle::Notified => {
                // SAFETY: it goes on to the `Task`.
                let task = unsafe { self.into_ref() };
                // SAFETY: NOTIFIED is for the runner to queue the task.
                Some(unsafe { Task::new(task) })
            }
            ToIdle::Cancel => {
                self.cancel();
                None
            }
        }
    }

    /// Publishes the output, wakes the join handle, and takes the task out of its registry.
    ///
    /// # Safety
    /// The output is stored.
    pub(super) unsafe fn complete(self) {
        // SAFETY: RUNNING becomes COMPLETE.
        let task = unsafe { self.into_ref() };
        let seen = task.state.to_complete();
        if !seen.has(JOIN_INTEREST) {
            // SAFETY: it is the task's own vtable, and without a join handle the output is ours.
            unsafe { (task.vtable.drop_output)(&task) };
        } else if seen.has(JOIN_WAKER) {
            // SAFETY: we have set COMPLETE, and JOIN_WAKER was set.
            unsafe { task.wake_join_handle() };
        }
        if let Some(shard) = task.shard() {
            // SAFETY: it is complete, and this is its shard.
            unsafe { Completed::new(task, shard) }.leave();
        }
    }

    /// Hands what comes after the poll over to whoever takes the `Task` up.
    pub(super) fn hand_over(self) -> Task {
        // SAFETY: it goes with HANDED.
        let task = unsafe { self.into_ref() };
        task.state.hand_over();
        // SAFETY: HANDED was just set for it.
        unsafe { Task::new(task) }
    }

    pub(super) fn header(&self) -> &Header {
        self.as_ref()
    }
}

impl Completed {
    /// Takes the task out of its registry: here or, if this thread may not do that, on a worker.
    fn leave(self) {
        let leave = self.task.vtable.leave;
        // SAFETY: it is the task's own vtable.
        unsafe { leave(self) };
    }

    /// Takes the task out of its registry here, whatever thread this is.
    fn leave_here(self) {
        let leave_here = self.task.vtable.leave_here;
        // SAFETY: it is the task's own vtable.
        unsafe { leave_here(self) };
    }

    /// Hands the leaving over to whoever takes the `Task` up.
    pub(super) fn hand_over(self) -> Task {
        self.task.state.hand_over();
        // SAFETY: HANDED was just set for it.
        unsafe { Task::new(self.task) }
    }
}

/// What a waker has to do.
pub(super) enum Woken {
    /// To queue the task.
    Queue(Task),
    /// Nothing: whoever runs the task will do that.
    Running,
    /// Nothing: it is queued already, or complete.
    Already,
}

impl TaskRef {
    /// Marks the task as queued.
    pub(super) fn notify(&self) -> Woken {
        match self.state.notify() {
            Notified::Queue => {
                // SAFETY: `notify` has made the reference,
                let task = unsafe { TaskRef::from_raw(self.as_raw()) };
                // SAFETY: and set NOTIFIED for this `Task`.
                Woken::Queue(unsafe { Task::new(task) })
            }
            Notified::Running => Woken::Running,
            Notified::Already => Woken::Already,
        }
    }

    /// Cancels the task where it stands, unless somebody is running it, who will see the request.
    pub(super) fn shutdown(self) {
        if self.state.shutdown() {
            // SAFETY: RUNNING was set for us, and nobody has completed the task.
            unsafe { Running::new(self) }.cancel();
        }
    }

    /// Asks for the task to be cancelled. Somebody has to carry that out, so it is woken.
    fn abort(&self) {
        self.state.cancel();
        self.wake();
    }

    fn is_finished(&self) -> bool {
        self.state.load().has(COMPLETE)
    }
}

/// A wake-up that a thread has left to the task's lane.
pub(crate) struct DeferredWake(TaskRef);

impl DeferredWake {
    pub(super) fn new(task: TaskRef) -> Self {
        DeferredWake(task)
    }

    pub(crate) fn id(&self) -> Id {
        self.0.id()
    }

    /// Marks the task as queued. `Some` if it is to be queued.
    pub(crate) fn notify(self) -> Option<Task> {
        match self.0.notify() {
            Woken::Queue(task) => Some(task),
            Woken::Running | Woken::Already => None,
        }
    }
}

/// How a task ended without an output; stored in the task's cell.
pub(crate) enum Failure {
    Cancelled,
    Panicked(Box<dyn Any + Send>),
}

/// The owner of a task's output, for which JOIN_INTEREST stands.
pub(crate) struct JoinRef<T> {
    task: TaskRef,
    output: PhantomData<*const T>,
}

// SAFETY: it gives the output, or drops it, on whatever thread it is on, and reaches no future.
unsafe impl<T: Send> Send for JoinRef<T> {}
// SAFETY: the output is only reached by who has it to themselves.
unsafe impl<T: Send> Sync for JoinRef<T> {}

impl<T> JoinRef<T> {
    /// # Safety
    /// The caller gives JOIN_INTEREST away; `T` is the task's output.
    pub(super) unsafe fn new(task: TaskRef) -> JoinRef<T> {
        JoinRef {
            task,
            output: PhantomData,
        }
    }

    pub(crate) fn poll_result(&mut self, waker: &Waker) -> Poll<Result<T, Failure>> {
        let mut result: Poll<Result<T, Failure>> = Poll::Pending;
        let task = &self.task;
        // SAFETY: JOIN_INTEREST is ours, and `self` is borrowed for this call alone.
        if unsafe { task.poll_join(waker) } {
            assert!(
                task.state.consume(),
                "a JoinHandle was polled after it had given its result"
            );
            let slot = ptr::from_mut(&mut result).cast();
            // SAFETY: it is the task's own vtable; the output is there and ours, and CONSUMED was
            // clear; `slot` points to a place of the type that the vtable of a task with output `T`
            // writes.
            unsafe { (task.vtable.take_output)(task, slot) };
        }
        result
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.task.is_finished()
    }

    pub(crate) fn id(&self) -> Id {
        self.task.id()
    }

    pub(crate) fn abort(&self) {
        self.task.abort();
    }

    pub(crate) fn abort_ref(&self) -> AbortRef {
        AbortRef(self.task.clone())
    }
}

/// The waker of the handle. Both sides' steps are in [`state`](super::state).
impl Header {
    /// # Safety
    /// The caller has set COMPLETE while JOIN_WAKER was set, and calls this once.
    pub(super) unsafe fn wake_join_handle(&self) {
        // A waker that panics must not take the worker with it, nor keep the task from being freed.
        contain(|| {
            self.join_waker.with(|waker| {
                // SAFETY: JOIN_WAKER is set, so nobody writes the slot.
                if let Some(waker) = unsafe { &*waker } {
                    waker.wake_by_ref();
                }
            });
        });
        if self.state.join_woken() {
            // SAFETY: the handle went away during the wake and left the slot to us.
            unsafe { self.drop_join_waker() };
        }
    }

    /// # Safety
    /// The join waker's slot is the caller's alone.
    pub(super) unsafe fn drop_join_waker(&self) {
        let waker = self.join_waker.with_mut(|slot| {
            // SAFETY: the slot is the caller's alone.
            unsafe { &mut *slot }.take()
        });
        drop_quietly(waker);
    }

    /// True if the output is there to be taken; otherwise `waker` is in place to be woken.
    ///
    /// # Safety
    /// The caller has JOIN_INTEREST, and is in no other call of this.
    pub(super) unsafe fn poll_join(&self, waker: &Waker) -> bool {
        let seen = self.state.load();
        if seen.has(COMPLETE) {
            return true;
        }
        if seen.has(JOIN_WAKER) {
            let same = self.join_waker.with(|slot| {
                // SAFETY: JOIN_WAKER is set and only this handle clears it before COMPLETE, so
                // nobody writes the slot.
                unsafe { &*slot }
                    .as_ref()
                    .is_some_and(|old| old.will_wake(waker))
            });
            if same {
                return false;
            }
            if !self.state.unset_join_waker() {
                return true;
            }
        }
        let new = waker.clone();
        let old = self.join_waker.with_mut(|slot| {
            // SAFETY: JOIN_WAKER is clear and COMPLETE was not set, so the slot is the handle's
            // alone.
            unsafe { &mut *slot }.replace(JoinWaker::new(new))
        });
        drop_quietly(old);
        if self.state.set_join_waker() {
            return false;
        }
        // SAFETY: completed between the two, so the slot is still ours.
        unsafe { self.drop_join_waker() };
        true
    }
}

impl<T> Drop for JoinRef<T> {
    fn drop(&mut self) {
        let task = &self.task;
        let (output_is_ours, waker_is_ours) = task.state.drop_join_handle();
        if output_is_ours {
            // SAFETY: it is the task's own vtable; COMPLETE is set and JOIN_INTEREST was ours, so
            // the output is too, and CONSUMED is clear.
            unsafe { (task.vtable.drop_output)(task) };
        }
        if waker_is_ours {
            // SAFETY: so is its slot.
            unsafe { task.drop_join_waker() };
        }
    }
}

/// A reference that can do no more than abort: what an abort handle holds.
#[derive(Clone)]
pub(crate) struct AbortRef(TaskRef);

impl AbortRef {
    pub(crate) fn abort(&self) {
        self.0.abort();
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.0.is_finished()
    }

    pub(crate) fn id(&self) -> Id {
        self.0.id()
    }
}
