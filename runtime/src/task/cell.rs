//! The allocation of a task, and the operations on it that need to know the future's type.
//!
//! One task is one [`Cell`]: a [`Header`] that does not know the type, the scheduler, and the stage. The
//! rest of the runtime handles it through the [`owners`](super::owners) of one reference each. Who may
//! touch which field when is written in [`state`](super::state).

use super::class::TaskClass;
use super::coop;
use super::error::Failure;
use super::id::Id;
use super::join_waker::JoinWaker;
use super::meta::{Shard, TaskMeta};
use super::owners::{Handle, Task, waker_of};
use super::schedule::Schedule;
use super::state::{COMPLETE, JOIN_INTEREST, JOIN_WAKER, Notified, State, ToIdle, ToRunning};
use crate::panics::{contain, drop_quietly};
use crate::sync::UnsafeCell;
use crate::sync::atomic::AtomicPtr;
use std::future::Future;
use std::mem::{self, ManuallyDrop};
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::ptr::{self, NonNull};
use std::task::{Context, Poll};
use std::thread;

/// The part of a task that does not depend on its type.
pub(crate) struct Header {
    pub(super) state: State,
    pub(super) vtable: &'static Vtable,
    /// The id, the class, and the registry that holds the task. Written by whoever has RUNNING.
    meta: TaskMeta,
    pub(super) spawned_at: &'static Location<'static>,
    /// Link of the [`Inbox`](super::inbox::Inbox); belongs to the holder of the `Task`.
    pub(super) queue_next: AtomicPtr<Header>,
    /// Links of the [`Registry`](super::registry::Registry); belong to the holder of its lock.
    pub(super) prev: AtomicPtr<Header>,
    pub(super) next: AtomicPtr<Header>,
    pub(super) join_waker: UnsafeCell<Option<JoinWaker>>,
}

/// The operations that need the future's type. All take a pointer to a live cell of that type.
pub(super) struct Vtable {
    pub(super) run: unsafe fn(TaskRef) -> bool,
    pub(super) wake: unsafe fn(TaskRef),
    pub(super) cancel: unsafe fn(TaskRef),
    pub(super) take_output: unsafe fn(TaskRef, *mut ()),
    pub(super) drop_output: unsafe fn(TaskRef),
    pub(super) leave: unsafe fn(TaskRef, Shard),
    pub(super) drop_handed: unsafe fn(TaskRef),
    pub(super) dealloc: unsafe fn(TaskRef),
}

/// The future, then the output, then nothing: the state word says which (see [`state`](super::state)), since a tag
/// of its own would cost a word.
union Stage<F: Future> {
    future: ManuallyDrop<F>,
    output: ManuallyDrop<Result<F::Output, Failure>>,
}

#[repr(C)]
struct Cell<F: Future, S> {
    header: Header,
    scheduler: S,
    stage: UnsafeCell<Stage<F>>,
}

/// A pointer to a task, without a reference of its own. Valid as long as whoever handed it out says.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct TaskRef(pub(super) NonNull<Header>);

// SAFETY: a cell is only made of a `Send` future and a `Send + Sync` scheduler (see `new`), and access
// to its fields from several threads is ordered by the state word.
unsafe impl Send for TaskRef {}
// SAFETY: as above; `&TaskRef` gives nothing that `TaskRef` does not.
unsafe impl Sync for TaskRef {}

/// Makes a task that is not queued yet, and the handle of its result.
pub(crate) fn new<F, S>(
    future: F,
    scheduler: S,
    id: Id,
    spawned_at: &'static Location<'static>,
) -> (Task, Handle<F::Output>)
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
    S: Schedule,
{
    let cell = Box::new(Cell {
        header: Header {
            state: State::new(),
            vtable: const {
                &Vtable {
                    run: run::<F, S>,
                    wake: wake::<F, S>,
                    cancel: cancel::<F, S>,
                    take_output: take_output::<F, S>,
                    drop_output: drop_output::<F, S>,
                    leave: leave::<F, S>,
                    drop_handed: drop_handed::<F, S>,
                    dealloc: dealloc::<F, S>,
                }
            },
            meta: TaskMeta::new(id),
            spawned_at,
            queue_next: AtomicPtr::new(ptr::null_mut()),
            prev: AtomicPtr::new(ptr::null_mut()),
            next: AtomicPtr::new(ptr::null_mut()),
            join_waker: UnsafeCell::new(None),
        },
        scheduler,
        stage: UnsafeCell::new(Stage {
            future: ManuallyDrop::new(future),
        }),
    });
    // `repr(C)` puts the header first, so a pointer to the cell is a pointer to the header.
    let raw = TaskRef(NonNull::from(Box::leak(cell)).cast());
    // SAFETY: a new state counts one reference for each, and NOTIFIED for the `Task`.
    let task = unsafe { Task::from_raw(raw) };
    // SAFETY: as above; the output is of this future, so of this type.
    let handle = unsafe { Handle::from_raw(raw) };
    (task, handle)
}

impl TaskRef {
    pub(super) fn as_ptr(self) -> *mut Header {
        self.0.as_ptr()
    }

    /// # Safety
    /// `header` points to a task that stays alive for as long as the result is used.
    pub(super) unsafe fn from_ptr(header: *mut Header) -> Option<TaskRef> {
        NonNull::new(header).map(TaskRef)
    }

    /// # Safety
    /// The task is alive for `'a`.
    pub(super) unsafe fn header<'a>(self) -> &'a Header {
        // SAFETY: alive, by the caller's word; nobody ever has a `&mut Header`.
        unsafe { self.0.as_ref() }
    }

    /// # Safety
    /// The task is alive for `'a`, and `F` and `S` are its types.
    unsafe fn cell<'a, F: Future, S>(self) -> &'a Cell<F, S> {
        // SAFETY: alive and of this type, by the caller's word; made by `Box::new` in `new`.
        unsafe { self.0.cast::<Cell<F, S>>().as_ref() }
    }

    /// Gives back `n` references, and the memory with the last of them.
    ///
    /// # Safety
    /// The caller owns `n` references and uses the task no more.
    pub(super) unsafe fn release(self, n: usize) {
        // SAFETY: the caller's references keep it alive.
        let header = unsafe { self.header() };
        let dealloc = header.vtable.dealloc;
        if header.state.ref_dec(n) {
            // SAFETY: those were the last references.
            unsafe { dealloc(self) };
        }
    }

    /// Publishes the output that was just stored, wakes the handle, and gives back the caller's
    /// reference together with the registry's.
    ///
    /// # Safety
    /// The caller has RUNNING and a reference, and has stored the output.
    unsafe fn complete(self) {
        // SAFETY: the caller's reference keeps it alive.
        let header = unsafe { self.header() };
        let seen = header.state.to_complete();
        if !seen.has(JOIN_INTEREST) {
            // SAFETY: nobody is left to read the output, so it belongs to us.
            unsafe { (header.vtable.drop_output)(self) };
        } else if seen.has(JOIN_WAKER) {
            header.wake_join_handle();
        }
        match header.shard() {
            // SAFETY: alive, of the type of its vtable, and the reference is ours.
            Some(shard) => unsafe { (header.vtable.leave)(self, shard) },
            // SAFETY: the reference is ours.
            None => unsafe { self.release(1) },
        }
    }

    /// Cancels the task where it stands, unless somebody is running it (who will see the request).
    ///
    /// # Safety
    /// The caller owns a reference, and gives it away here.
    pub(super) unsafe fn shutdown(self) {
        // SAFETY: the caller's reference keeps it alive.
        let header = unsafe { self.header() };
        if header.state.shutdown() {
            // SAFETY: RUNNING is ours.
            unsafe { (header.vtable.cancel)(self) };
            // SAFETY: RUNNING and the reference are ours, and `cancel` stored the failure.
            unsafe { self.complete() };
        } else {
            // SAFETY: the caller's reference.
            unsafe { self.release(1) };
        }
    }
}

impl Header {
    pub(super) fn id(&self) -> Id {
        self.meta.id()
    }

    pub(super) fn shard(&self) -> Option<Shard> {
        self.meta.shard()
    }

    pub(super) fn class(&self) -> TaskClass {
        self.meta.class()
    }

    /// Only for the one who has RUNNING, or the `Task`.
    pub(super) fn set_class(&self, class: TaskClass) {
        self.meta.set_class(class);
    }
}

impl<F: Future, S: Schedule> Cell<F, S> {
    /// # Safety
    /// The caller has RUNNING.
    unsafe fn poll(&self, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.stage.with_mut(|stage| {
            // SAFETY: the stage is the caller's alone.
            let stage = unsafe { &mut *stage };
            // SAFETY: RUNNING is set and COMPLETE is not, so it is the future.
            let future = unsafe { &mut *stage.future };
            // SAFETY: the future never moves: it stays in its heap cell until it is dropped in place.
            unsafe { Pin::new_unchecked(future) }.poll(cx)
        })
    }

    /// Enters the task in a registry. False if there is none any more.
    ///
    /// # Safety
    /// The caller has RUNNING and a reference to this cell, which is `raw`'s.
    unsafe fn register(&self, raw: TaskRef) -> bool {
        // The registry's reference. It must exist before the registry knows the task: a shutdown may
        // take it from there at any moment.
        self.header.state.ref_inc();
        match self.scheduler.register(raw) {
            Some(shard) => self.header.meta.set_shard(shard),
            // SAFETY: the reference that was just made; the caller's is still there.
            None => unsafe { raw.release(1) },
        }
        self.header.shard().is_some()
    }

    /// Polls. If the future panics, it is dropped in the unwinding, as a local would be: what rolls back in its drop if the thread is
    /// panicking finds it so.
    ///
    /// # Safety
    /// The caller has RUNNING. After an error the future is gone: `store` and `complete` come next.
    unsafe fn poll_or_drop(&self, cx: &mut Context<'_>) -> thread::Result<Poll<F::Output>> {
        catch_unwind(AssertUnwindSafe(|| {
            let drops = DropOnPanic(self);
            // SAFETY: RUNNING is the caller's.
            let polled = coop::with_budget(|| unsafe { self.poll(cx) });
            mem::forget(drops);
            polled
        }))
    }

    /// Drops the future in place.
    ///
    /// # Safety
    /// The caller has RUNNING, the future is there, and `store` and `complete` come next, whether or not this panics.
    unsafe fn drop_future(&self) {
        self.stage.with_mut(|stage| {
            // SAFETY: the stage is the caller's alone.
            let stage = unsafe { &mut *stage };
            // SAFETY: RUNNING is set and COMPLETE is not, so it is the future, and nobody uses it after
            // this, even if its drop panics.
            unsafe { ManuallyDrop::drop(&mut stage.future) };
        });
    }

    /// Drops the future in place and stores `result`, or the panic of the future's drop.
    ///
    /// # Safety
    /// The caller has RUNNING, the future is there, and `complete` comes next.
    unsafe fn finish(&self, result: Result<F::Output, Failure>) {
        // SAFETY: RUNNING is the caller's, and `store` is next.
        let dropped = catch_unwind(AssertUnwindSafe(|| unsafe { self.drop_future() }));
        let result = match dropped {
            Ok(()) => result,
            Err(panic) => {
                drop_quietly(result);
                Err(Failure::Panicked(panic))
            }
        };
        // SAFETY: RUNNING is the caller's, and the future is gone.
        unsafe { self.store(result) };
    }

    /// # Safety
    /// The caller has RUNNING, the future is gone, and `complete` comes next.
    unsafe fn store(&self, result: Result<F::Output, Failure>) {
        self.stage.with_mut(|stage| {
            // SAFETY: the stage is the caller's alone; what it was is gone.
            unsafe { &mut *stage }.output = ManuallyDrop::new(result);
        });
    }
}

/// Drops the future, during a panic. A second one, of that drop, ends here.
struct DropOnPanic<'a, F: Future, S: Schedule>(&'a Cell<F, S>);

impl<F: Future, S: Schedule> Drop for DropOnPanic<'_, F, S> {
    fn drop(&mut self) {
        contain(|| {
            // SAFETY: only `poll_or_drop` makes it, whose caller has RUNNING and stores a result next; and the poll is over.
            unsafe { self.0.drop_future() };
        });
    }
}

/// Polls once. True if the task has to be queued again, with the reference that came in.
unsafe fn run<F: Future, S: Schedule>(raw: TaskRef) -> bool {
    // SAFETY: the caller's reference keeps it alive; the types are the vtable's.
    let cell = unsafe { raw.cell::<F, S>() };
    match cell.header.state.to_running() {
        ToRunning::Poll => {
            // SAFETY: RUNNING and the caller's reference are ours.
            return unsafe { poll_once::<F, S>(raw) };
        }
        // SAFETY: RUNNING and the caller's reference are ours.
        ToRunning::Cancel => unsafe { cancel_and_complete::<F, S>(raw) },
        // SAFETY: the caller's reference.
        ToRunning::Stale => unsafe { raw.release(1) },
        // SAFETY: what comes after the poll is ours to do, and the caller's reference.
        ToRunning::Handed => return unsafe { take_up::<F, S>(raw) },
    }
    false
}

/// Does what a thread that had polled the task has handed over.
///
/// # Safety
/// As for [`poll_once`], unless the task is complete; then it is in a registry, and the caller hands over one reference.
unsafe fn take_up<F: Future, S: Schedule>(raw: TaskRef) -> bool {
    // SAFETY: the caller's reference keeps it alive.
    let header = unsafe { raw.header() };
    match header.shard() {
        Some(shard) if header.state.load().has(COMPLETE) => {
            // SAFETY: the caller's reference.
            unsafe { leave::<F, S>(raw, shard) };
            false
        }
        // SAFETY: not complete, so RUNNING is the caller's, and so is the reference.
        _ => unsafe { settle::<F, S>(raw) },
    }
}

/// What was handed over has nobody left to do it but the caller.
unsafe fn drop_handed<F: Future, S: Schedule>(raw: TaskRef) {
    // SAFETY: the caller's reference keeps it alive.
    let cell = unsafe { raw.cell::<F, S>() };
    match cell.header.shard() {
        Some(shard) if cell.header.state.load().has(COMPLETE) => {
            // SAFETY: the caller's reference, and it is complete.
            unsafe { leave_here::<F, S>(raw, shard) };
        }
        // SAFETY: not complete, so RUNNING is the caller's, and so is the reference.
        _ => unsafe { cancel_and_complete::<F, S>(raw) },
    }
}

/// # Safety
/// The caller has RUNNING and hands over one reference, which comes back if the result is true.
unsafe fn poll_once<F: Future, S: Schedule>(raw: TaskRef) -> bool {
    // No argument, here and below: the cell may be freed before the function returns.
    // SAFETY: the caller's reference keeps it alive until it is given away.
    let cell = unsafe { raw.cell::<F, S>() };
    // SAFETY: the caller's reference outlives the poll; not dropped, so it needs none of its own.
    let waker = ManuallyDrop::new(unsafe { waker_of(raw) });
    // SAFETY: RUNNING is ours.
    let polled = unsafe { cell.poll_or_drop(&mut Context::from_waker(&waker)) };
    match polled {
        Ok(Poll::Pending) => {
            let class = cell.header.class();
            let now = cell.scheduler.judge(class);
            if now != class {
                cell.header.set_class(now);
            }
            // SAFETY: as the caller's.
            return unsafe { settle::<F, S>(raw) };
        }
        // SAFETY: RUNNING is ours.
        Ok(Poll::Ready(output)) => unsafe { cell.finish(Ok(output)) },
        // SAFETY: as above; a future that panics is gone.
        Err(panic) => unsafe { cell.store(Err(Failure::Panicked(panic))) },
    }
    // SAFETY: RUNNING and the reference are ours, and the output is stored.
    unsafe { raw.complete() };
    false
}

/// After `Pending`: into the registry if it is the first time, then idle, queued again, or cancelled.
///
/// # Safety
/// As for [`poll_once`].
#[inline]
unsafe fn settle<F: Future, S: Schedule>(raw: TaskRef) -> bool {
    // SAFETY: the caller's reference keeps it alive until it is given away.
    let header = unsafe { raw.header() };
    // SAFETY: RUNNING and the caller's reference are ours.
    if header.shard().is_none() && !unsafe { enter::<F, S>(raw) } {
        return false;
    }
    match header.state.to_idle() {
        ToIdle::Idle => false,
        ToIdle::Notified => true,
        ToIdle::Cancel => {
            // SAFETY: RUNNING and the caller's reference are still ours.
            unsafe { cancel_and_complete::<F, S>(raw) };
            false
        }
    }
}

/// Into the registry. False if that was not possible, and all has been given away.
///
/// # Safety
/// As for [`poll_once`].
unsafe fn enter<F: Future, S: Schedule>(raw: TaskRef) -> bool {
    // SAFETY: the caller's reference keeps it alive until it is given away.
    let cell = unsafe { raw.cell::<F, S>() };
    let Some(hold) = cell.scheduler.may_settle() else {
        // SAFETY: RUNNING and the caller's reference are ours.
        unsafe { hand_back::<F, S>(raw) };
        return false;
    };
    // SAFETY: RUNNING is ours.
    let registered = unsafe { cell.register(raw) };
    drop(hold);
    if !registered {
        // SAFETY: as the caller's.
        unsafe { cancel_and_complete::<F, S>(raw) };
    }
    registered
}

/// Leaves what comes after a poll to a worker, or does it here if there is none any more.
///
/// # Safety
/// As for [`take_up`].
unsafe fn hand_back<F: Future, S: Schedule>(raw: TaskRef) {
    // SAFETY: the caller's reference keeps it alive.
    let cell = unsafe { raw.cell::<F, S>() };
    // Keeps the scheduler alive until it has queued the task.
    cell.header.state.ref_inc();
    cell.header.state.hand();
    // SAFETY: the caller's reference and, in place of the notification, what was handed over.
    let task = unsafe { Task::from_raw(raw) };
    // Without workers the task is dropped here, which cancels it.
    drop(cell.scheduler.hand_back(task));
    // SAFETY: the reference that was just made.
    unsafe { raw.release(1) };
}

/// # Safety
/// The caller has RUNNING and hands over one reference.
unsafe fn cancel_and_complete<F: Future, S: Schedule>(raw: TaskRef) {
    // SAFETY: RUNNING is ours.
    unsafe { cancel::<F, S>(raw) };
    // SAFETY: RUNNING and the reference are ours, and `cancel` stored the failure.
    unsafe { raw.complete() };
}

unsafe fn wake<F: Future, S: Schedule>(raw: TaskRef) {
    // SAFETY: the caller keeps it alive until we return.
    let cell = unsafe { raw.cell::<F, S>() };
    let state = &cell.header.state;
    if let Some(_hold) = cell.scheduler.may_wake() {
        match state.notify() {
            // SAFETY: `notify` made the reference, and set NOTIFIED for this `Task`.
            Notified::Queue => cell.scheduler.schedule(unsafe { Task::from_raw(raw) }),
            Notified::Running => cell.scheduler.woken_in_poll(cell.header.id()),
            Notified::Already => {}
        }
    } else if !state.load().has(COMPLETE) {
        state.ref_inc();
        // SAFETY: the reference was just made.
        cell.scheduler.defer(unsafe { waker_of(raw) });
    }
}

unsafe fn cancel<F: Future, S: Schedule>(raw: TaskRef) {
    // SAFETY: alive, by the caller's reference.
    let cell = unsafe { raw.cell::<F, S>() };
    // SAFETY: the caller has RUNNING.
    unsafe { cell.finish(Err(Failure::Cancelled)) };
}

unsafe fn take_output<F: Future, S>(raw: TaskRef, slot: *mut ()) {
    // SAFETY: alive, by the handle's reference.
    let cell = unsafe { raw.cell::<F, S>() };
    let output = cell.stage.with_mut(|stage| {
        // SAFETY: COMPLETE is set and the output belongs to the handle that calls.
        let stage = unsafe { &mut *stage };
        // SAFETY: it is the output, and is taken once, which CONSUMED sees to.
        unsafe { ManuallyDrop::take(&mut stage.output) }
    });
    let slot = slot.cast::<Poll<Result<F::Output, Failure>>>();
    // SAFETY: the caller's slot is of this type and initialised.
    unsafe { *slot = Poll::Ready(output) };
}

unsafe fn drop_output<F: Future, S>(raw: TaskRef) {
    // SAFETY: alive, by the caller's reference.
    let cell = unsafe { raw.cell::<F, S>() };
    // The panic of an output's drop has nobody left to go to.
    contain(|| {
        cell.stage.with_mut(|stage| {
            // SAFETY: COMPLETE is set and the output belongs to the caller.
            let stage = unsafe { &mut *stage };
            // SAFETY: it is the output, which nobody has taken, and the caller drops it once.
            unsafe { ManuallyDrop::drop(&mut stage.output) };
        });
    });
}

/// Takes a task that is complete out of its registry, and gives the caller's reference back.
unsafe fn leave<F: Future, S: Schedule>(raw: TaskRef, shard: Shard) {
    // SAFETY: alive, by the caller's reference.
    let cell = unsafe { raw.cell::<F, S>() };
    match cell.scheduler.may_settle() {
        Some(_hold) => {
            // SAFETY: the caller's reference.
            unsafe { leave_here::<F, S>(raw, shard) };
        }
        // SAFETY: it is complete and registered, and the reference is the caller's.
        None => unsafe { hand_back::<F, S>(raw) },
    }
}

/// As [`leave`], on whatever thread.
///
/// # Safety
/// The task is complete, and the caller gives away a reference to it.
unsafe fn leave_here<F: Future, S: Schedule>(raw: TaskRef, shard: Shard) {
    // SAFETY: alive, by the caller's reference.
    let cell = unsafe { raw.cell::<F, S>() };
    let returned = cell.scheduler.unregister(raw, shard);
    // SAFETY: the caller's, and the registry's if it was returned.
    unsafe { raw.release(1 + usize::from(returned)) };
}

unsafe fn dealloc<F: Future, S>(raw: TaskRef) {
    // The stage is nothing by now: every task completes, and its output is taken or dropped.
    // SAFETY: made by `Box::new` in `new`, and the last reference is gone.
    drop(unsafe { Box::from_raw(raw.as_ptr().cast::<Cell<F, S>>()) });
}
