//! The allocation of a task, and the operations on it that need to know the future's type.
//!
//! One task is one [`Cell`]: a [`Header`] that does not know the type, the scheduler, and the
//! stage. The rest of the runtime handles it through its [`owners`](super::owners). Who may touch
//! which field when is written in [`state`](super::state).

use super::budget;
use super::header::{Completed, Header, Running, Task, TaskRef, Vtable};
use super::id::{CurrentTask, Id};
use super::owners::{DeferredWake, Failure, JoinRef, Woken};
use super::registry::Registered;
use super::schedule::Schedule;
use super::state::COMPLETE;
use evenkeel_sync::UnsafeCell;
use evenkeel_sync::panics::{contain, drop_quietly};
use std::future::Future;
use std::marker::PhantomData;
use std::mem::{self, ManuallyDrop};
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::ptr::NonNull;
use std::task::{Context, Poll};
use std::thread;

/// The future, then the output, then nothing: the state word says which (see
/// [`state`](super::state)), since a tag of its own would cost a word.
union Stage<F: Future> {
    future: ManuallyDrop<F>,
    output: ManuallyDrop<Result<F::Output, Failure>>,
}

/// The header comes first, so that a pointer to the cell is a pointer to it.
#[repr(C)]
struct Cell<F: Future, S> {
    header: Header,
    scheduler: S,
    stage: UnsafeCell<Stage<F>>,
}

/// Makes a task that is not queued yet, and the handle of its result.
pub(crate) fn new<F, S>(
    future: F,
    scheduler: S,
    id: Id,
    spawned_at: &'static Location<'static>,
) -> (Task, JoinRef<F::Output>)
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
    S: Schedule,
{
    // SAFETY: whoever does either may do so on any thread.
    unsafe { new_local(future, scheduler, id, spawned_at) }
}

/// As [`new`], for a future that stays on the calling thread. (Its output stays where the handle
/// may go.)
///
/// # Safety
/// If the future is not `Send`, only this thread ever runs or drops a [`Task`] of this scheduler's,
/// or closes a registry of its; and it may settle there. If the output is not `Send`, the handle is
/// not either.
pub(crate) unsafe fn new_local<F, S>(
    future: F,
    scheduler: S,
    id: Id,
    spawned_at: &'static Location<'static>,
) -> (Task, JoinRef<F::Output>)
where
    F: Future + 'static,
    F::Output: 'static,
    S: Schedule,
{
    let vtable = const {
        &Vtable {
            poll: poll::<F, S>,
            settle: settle::<F, S>,
            wake: wake::<F, S>,
            cancel: cancel::<F, S>,
            take_output: take_output::<F, S>,
            drop_output: drop_output::<F, S>,
            leave: leave::<F, S>,
            leave_here: leave_here::<F, S>,
            dealloc: dealloc::<F, S>,
        }
    };
    let cell = Box::new(Cell {
        header: Header::new(id, vtable, spawned_at),
        scheduler,
        stage: UnsafeCell::new(Stage {
            future: ManuallyDrop::new(future),
        }),
    });
    let raw = NonNull::from(Box::leak(cell)).cast();
    // SAFETY: a new state counts a reference for the `Task`,
    let task = unsafe { TaskRef::from_raw(raw) };
    // SAFETY: with NOTIFIED,
    let task = unsafe { Task::new(task) };
    // SAFETY: and one for the handle,
    let handle = unsafe { TaskRef::from_raw(raw) };
    // SAFETY: with JOIN_INTEREST; and the output is of this future, so of this type.
    let handle = unsafe { JoinRef::new(handle) };
    (task, handle)
}

// ---- the vtable ----

unsafe fn poll<F: Future, S: Schedule>(task: Running) -> Option<Task> {
    // SAFETY: called through the task's vtable, so these are its types. The same for all functions
    // below.
    unsafe { Typed::<_, F, S>::new(task) }.poll()
}

unsafe fn settle<F: Future, S: Schedule>(task: Running) -> Option<Task> {
    // SAFETY: as above.
    unsafe { Typed::<_, F, S>::new(task) }.settle()
}

unsafe fn wake<F: Future, S: Schedule>(task: &TaskRef) {
    // SAFETY: as above.
    unsafe { Typed::<_, F, S>::new(task) }.wake();
}

unsafe fn cancel<F: Future, S: Schedule>(task: Running) {
    // SAFETY: as above.
    unsafe { Typed::<_, F, S>::new(task) }.cancel();
}

unsafe fn take_output<F: Future, S>(task: &TaskRef, slot: *mut ()) {
    // SAFETY: as above.
    let task = unsafe { Typed::<_, F, S>::new(task) };
    // SAFETY: the output is the caller's, who does not use it again.
    let output = unsafe { task.cell().take_output() };
    let slot = slot.cast::<Poll<Result<F::Output, Failure>>>();
    // SAFETY: the caller's slot is of this type and initialised.
    unsafe { *slot = Poll::Ready(output) };
}

unsafe fn drop_output<F: Future, S>(task: &TaskRef) {
    // SAFETY: as above.
    let task = unsafe { Typed::<_, F, S>::new(task) };
    // The panic of an output's drop has nobody left to go to.
    contain(|| {
        let _current = CurrentTask::set(task.cell().header.id());
        // SAFETY: the output is the caller's, who does not use it again.
        unsafe { task.cell().drop_output() };
    });
}

unsafe fn leave<F: Future, S: Schedule>(task: Completed) {
    // SAFETY: as above.
    unsafe { Typed::<_, F, S>::new(task) }.leave();
}

unsafe fn leave_here<F: Future, S: Schedule>(task: Completed) {
    // SAFETY: as above.
    unsafe { Typed::<_, F, S>::new(task) }.leave_here();
}

unsafe fn dealloc<F: Future, S>(raw: NonNull<Header>) {
    // The stage is nothing by now: every task completes, and its output is taken or dropped.
    // SAFETY: made by `Box::new` in `new`, and the last reference is gone.
    drop(unsafe { Box::from_raw(raw.cast::<Cell<F, S>>().as_ptr()) });
}

// ---- the stage ----

impl<F: Future, S> Cell<F, S> {
    /// # Safety
    /// The caller has RUNNING, and the stage is the future.
    unsafe fn poll(&self, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.stage.with_mut(|stage| {
            // SAFETY: the stage is the caller's alone.
            let stage = unsafe { &mut *stage };
            // SAFETY: it is the future.
            let future = unsafe { &mut *stage.future };
            // SAFETY: the future never moves: it stays in its heap cell until it is dropped in
            // place.
            unsafe { Pin::new_unchecked(future) }.poll(cx)
        })
    }

    /// Polls. If the future panics, it is dropped in the unwinding, as a local would be: what rolls
    /// back in its drop if the thread is panicking finds it so.
    ///
    /// # Safety
    /// The caller has RUNNING, and the stage is the future. After an error it is nothing.
    unsafe fn poll_or_drop(&self, cx: &mut Context<'_>) -> thread::Result<Poll<F::Output>> {
        catch_unwind(AssertUnwindSafe(|| {
            let _current = CurrentTask::set(self.header.id());
            let drops = DropOnPanic(self);
            // SAFETY: as the caller's.
            let polled = budget::with_budget(|| unsafe { self.poll(cx) });
            mem::forget(drops);
            polled
        }))
    }

    /// Drops the future in place.
    ///
    /// # Safety
    /// The caller has RUNNING, and the stage is the future. It is nothing afterwards, even if this
    /// panics.
    unsafe fn drop_future(&self) {
        self.stage.with_mut(|stage| {
            // SAFETY: the stage is the caller's alone.
            let stage = unsafe { &mut *stage };
            // SAFETY: it is the future, and nobody uses it after this.
            unsafe { ManuallyDrop::drop(&mut stage.future) };
        });
    }

    /// # Safety
    /// The caller has RUNNING, and the stage is nothing.
    unsafe fn store(&self, result: Result<F::Output, Failure>) {
        self.stage.with_mut(|stage| {
            // SAFETY: the stage is the caller's alone.
            unsafe { &mut *stage }.output = ManuallyDrop::new(result);
        });
    }

    /// # Safety
    /// The stage is the output, and the caller's. It is nothing afterwards.
    unsafe fn take_output(&self) -> Result<F::Output, Failure> {
        self.stage.with_mut(|stage| {
            // SAFETY: the stage is the caller's alone.
            let stage = unsafe { &mut *stage };
            // SAFETY: it is the output, and nobody uses it after this.
            unsafe { ManuallyDrop::take(&mut stage.output) }
        })
    }

    /// # Safety
    /// The stage is the output, and the caller's. It is nothing afterwards, even if this panics.
    unsafe fn drop_output(&self) {
        self.stage.with_mut(|stage| {
            // SAFETY: the stage is the caller's alone.
            let stage = unsafe { &mut *stage };
            // SAFETY: it is the output, and nobody uses it after this.
            unsafe { ManuallyDrop::drop(&mut stage.output) };
        });
    }
}

/// Drops the future, during a panic. A second one, of that drop, ends here.
struct DropOnPanic<'a, F: Future, S>(&'a Cell<F, S>);

impl<F: Future, S> Drop for DropOnPanic<'_, F, S> {
    fn drop(&mut self) {
        contain(|| {
            // SAFETY: only `poll_or_drop` makes it, whose caller has RUNNING; and the poll is over.
            unsafe { self.0.drop_future() };
        });
    }
}

// ---- the operations ----

/// An owner of a task whose types are known.
struct Typed<O, F, S> {
    owner: O,
    types: PhantomData<fn() -> (F, S)>,
}

// All that gives the owner away takes `self` by value: the cell may be freed before such a function
// returns, and so must not be borrowed by an argument of it.
impl<O: AsRef<TaskRef>, F: Future, S> Typed<O, F, S> {
    /// # Safety
    /// `F` and `S` are the types of the owner's task.
    unsafe fn new(owner: O) -> Self {
        Typed {
            owner,
            types: PhantomData,
        }
    }

    fn cell(&self) -> &Cell<F, S> {
        let raw = self.owner.as_ref().as_raw().cast::<Cell<F, S>>();
        // SAFETY: alive by the owner's reference, and of this type by the word of who called `new`.
        unsafe { raw.as_ref() }
    }
}

impl<F: Future, S: Schedule> Typed<Task, F, S> {
    /// Leaves what comes after a poll to a worker.
    fn hand_back(self, caller: &S::Caller<'_>) {
        let task = self.owner.as_ref().clone();
        // SAFETY: the same task. The reference keeps the scheduler alive until it has queued the
        // task.
        let kept = unsafe { Typed::<_, F, S>::new(task) };
        // Without workers the task is dropped here, which does what was left to do.
        drop(kept.cell().scheduler.hand_back(caller, self.owner));
    }
}

impl<F: Future, S: Schedule> Typed<Running, F, S> {
    fn poll(mut self) -> Option<Task> {
        let waker = self.owner.as_ref().as_waker();
        let mut cx = Context::from_waker(&waker);
        // SAFETY: what `Running` says.
        let polled = unsafe { self.cell().poll_or_drop(&mut cx) };
        match polled {
            Ok(Poll::Pending) => {
                let class = self.owner.header().class();
                let now = self.cell().scheduler.judge(class);
                if now != class {
                    self.owner.set_class(now);
                }
                return self.settle();
            }
            Ok(Poll::Ready(output)) => self.finish(Ok(output)),
            // SAFETY: a future that panics is gone.
            Err(panic) => unsafe { self.complete_with(Err(Failure::Panicked(panic))) },
        }
        None
    }

    /// After `Pending`: into the registry if it is the first time, then idle, queued again, or
    /// cancelled.
    #[inline]
    fn settle(self) -> Option<Task> {
        let registered = if self.owner.header().shard().is_some() {
            self
        } else {
            self.register()?
        };
        // SAFETY: it is in a registry.
        unsafe { registered.owner.become_idle() }
    }

    /// Enters a task that has no shard in a registry. `None` if that was not possible, and all has
    /// been given away.
    fn register(self) -> Option<Self> {
        S::with_caller(|caller| self.register_from(caller))
    }

    fn register_from(mut self, caller: &S::Caller<'_>) -> Option<Self> {
        if !self.cell().scheduler.may_settle(caller) {
            let task = self.owner.hand_over();
            // SAFETY: the same task.
            unsafe { Typed::<_, F, S>::new(task) }.hand_back(caller);
            return None;
        }
        let task = self.owner.as_ref().clone();
        // SAFETY: a task that has no shard was never in a registry, and only who has RUNNING enters
        // it in one.
        let entry = unsafe { Registered::new(task) };
        let shard = self.cell().scheduler.register(caller, entry);
        if let Some(shard) = shard {
            // SAFETY: only a poll is followed by this, and the scheduler has registered the task
            // there.
            unsafe { self.owner.set_shard(shard) };
        }
        if shard.is_none() {
            self.cancel();
            return None;
        }
        Some(self)
    }

    fn cancel(self) {
        self.finish(Err(Failure::Cancelled));
    }

    /// Drops the future in place, and completes the task with `result`, or the panic of the
    /// future's drop.
    fn finish(self, result: Result<F::Output, Failure>) {
        let dropped = catch_unwind(AssertUnwindSafe(|| {
            let _current = CurrentTask::set(self.cell().header.id());
            // SAFETY: what `Running` says; and the output is stored next.
            unsafe { self.cell().drop_future() };
        }));
        let result = match dropped {
            Ok(()) => result,
            Err(panic) => {
                drop_quietly(result);
                Err(Failure::Panicked(panic))
            }
        };
        // SAFETY: the future is gone.
        unsafe { self.complete_with(result) };
    }

    /// # Safety
    /// The stage is nothing.
    unsafe fn complete_with(self, result: Result<F::Output, Failure>) {
        // SAFETY: RUNNING is ours, and the stage is nothing.
        unsafe { self.cell().store(result) };
        // SAFETY: the output was just stored.
        unsafe { self.owner.complete() };
    }
}

impl<F: Future, S: Schedule> Typed<Completed, F, S> {
    /// Takes a task that is complete out of its registry, or leaves that to a worker.
    fn leave(self) {
        S::with_caller(|caller| {
            if self.cell().scheduler.may_settle(caller) {
                return self.leave_here();
            }
            let task = self.owner.hand_over();
            // SAFETY: the same task.
            unsafe { Typed::<_, F, S>::new(task) }.hand_back(caller);
        });
    }

    fn leave_here(self) {
        // SAFETY: it is the task's own scheduler.
        let returned = unsafe { self.cell().scheduler.unregister(&self.owner) };
        if let Some(returned) = returned {
            self.owner.task.drop_with(returned.into_ref());
        }
    }
}

impl<F: Future, S: Schedule> Typed<&TaskRef, F, S> {
    fn wake(&self) {
        let task = self.owner;
        let scheduler = &self.cell().scheduler;
        S::with_caller(|caller| {
            if scheduler.may_wake(caller) {
                match task.notify() {
                    Woken::Queue(task) => scheduler.schedule(caller, task),
                    Woken::Running => scheduler.woken_in_poll(task.id()),
                    Woken::Already => {}
                }
            } else if !task.state.load().has(COMPLETE) {
                scheduler.defer(caller, DeferredWake::new(task.clone()));
            }
        });
    }
}
