//! The owners of a task: each has one reference, and a right that goes with it.
//!
//! [`Task`] is a place in a queue, and the right to run; [`Handle`] is the right to the output; [`Remote`] can
//! abort; a waker can wake.

use super::cell::{Header, TaskRef};
use super::class::TaskClass;
use super::error::Failure;
use super::id::Id;
use super::state::{CANCELLED, COMPLETE, HANDED};
use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::panic::Location;
use std::ptr::{self, NonNull};
use std::task::{Poll, RawWaker, RawWakerVTable, Waker};

/// A task that is to be run: a place in a queue. Exactly one exists for a task that is NOTIFIED.
///
/// Dropping it cancels the task, because nobody else would ever run it.
pub(crate) struct Task(TaskRef);

impl Task {
    /// Polls the task once. `Some` if it was woken meanwhile and has to be queued again.
    pub(crate) fn run(self) -> Option<Task> {
        let raw = self.into_raw();
        // SAFETY: the reference of `self` keeps it alive.
        let run = unsafe { raw.header() }.vtable.run;
        // SAFETY: alive, with the types of its vtable, and the reference of `self` is handed over.
        let again = unsafe { run(raw) };
        again.then(|| Task(raw))
    }

    /// Gives up the place in the queue of a task that a registry holds: its shutdown will cancel it.
    /// A task that no registry holds is cancelled here.
    pub(crate) fn abandon(self) {
        if self.header().shard().is_none() {
            return;
        }
        let raw = self.into_raw();
        // SAFETY: the reference of `self`.
        unsafe { raw.release(1) };
    }

    pub(crate) fn id(&self) -> Id {
        self.header().id()
    }

    pub(crate) fn class(&self) -> TaskClass {
        self.header().class()
    }

    /// It is polled on the IO lane again, with a strike left.
    pub(crate) fn forgive(&self) {
        let header = self.header();
        header.set_class(header.class().back());
    }

    /// It has been polled, and only what comes after that is left to do.
    pub(crate) fn is_handed(&self) -> bool {
        self.header().state.load().has(HANDED)
    }

    /// It is to be dropped instead of being polled.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.header().state.load().has(CANCELLED)
    }

    pub(crate) fn spawned_at(&self) -> &'static Location<'static> {
        self.header().spawned_at
    }

    fn header(&self) -> &Header {
        // SAFETY: our reference keeps it alive.
        unsafe { self.0.header() }
    }

    pub(super) fn into_raw(self) -> TaskRef {
        ManuallyDrop::new(self).0
    }

    /// # Safety
    /// The caller owns a reference and the notification that NOTIFIED stands for, and gives both away.
    pub(super) unsafe fn from_raw(raw: TaskRef) -> Task {
        Task(raw)
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        let unpolled = !self.header().state.unhand();
        if unpolled {
            // SAFETY: our reference, given away here.
            unsafe { self.0.shutdown() };
        } else {
            // SAFETY: our reference, given away here; what was handed over is ours by the bit just cleared.
            unsafe { (self.header().vtable.drop_handed)(self.0) };
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

/// The owner of a task's output.
pub(crate) struct Handle<T> {
    raw: TaskRef,
    output: PhantomData<fn() -> T>,
}

impl<T> Handle<T> {
    /// # Safety
    /// The caller owns a reference and JOIN_INTEREST, and gives both away; `T` is the task's output.
    pub(super) unsafe fn from_raw(raw: TaskRef) -> Handle<T> {
        Handle {
            raw,
            output: PhantomData,
        }
    }

    pub(crate) fn poll_result(&mut self, waker: &Waker) -> Poll<Result<T, Failure>> {
        let mut result: Poll<Result<T, Failure>> = Poll::Pending;
        let header = self.header();
        if header.poll_join(waker) {
            assert!(
                header.state.consume(),
                "a JoinHandle was polled after it had given its result"
            );
            let take = header.vtable.take_output;
            let slot = ptr::from_mut(&mut result).cast();
            // SAFETY: COMPLETE is set and the output is there, ours to take, which we do once; `slot` points to a place of the
            // type that the vtable of a task with output `T` writes.
            unsafe { take(self.raw, slot) };
        }
        result
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.header().state.load().has(COMPLETE)
    }

    pub(crate) fn id(&self) -> Id {
        self.header().id()
    }

    pub(crate) fn abort(&self) {
        abort(self.raw, self.header());
    }

    pub(crate) fn remote(&self) -> Remote {
        self.header().state.ref_inc();
        Remote(self.raw)
    }

    fn header(&self) -> &Header {
        // SAFETY: our reference keeps it alive.
        unsafe { self.raw.header() }
    }
}

impl<T> Drop for Handle<T> {
    fn drop(&mut self) {
        let header = self.header();
        let (output_is_ours, waker_is_ours) = header.state.drop_join_handle();
        if output_is_ours {
            // SAFETY: COMPLETE is set and JOIN_INTEREST was ours, so the output is too, and CONSUMED is clear.
            unsafe { (header.vtable.drop_output)(self.raw) };
        }
        if waker_is_ours {
            header.take_join_waker();
        }
        // SAFETY: our reference.
        unsafe { self.raw.release(1) };
    }
}

/// A reference that can do no more than abort: what an abort handle holds.
pub(crate) struct Remote(TaskRef);

impl Remote {
    pub(crate) fn abort(&self) {
        abort(self.0, self.header());
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.header().state.load().has(COMPLETE)
    }

    pub(crate) fn id(&self) -> Id {
        self.header().id()
    }

    fn header(&self) -> &Header {
        // SAFETY: our reference keeps it alive.
        unsafe { self.0.header() }
    }
}

impl Clone for Remote {
    fn clone(&self) -> Self {
        self.header().state.ref_inc();
        Remote(self.0)
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        // SAFETY: our reference.
        unsafe { self.0.release(1) };
    }
}

fn abort(raw: TaskRef, header: &Header) {
    header.state.cancel();
    // Somebody has to carry it out.
    // SAFETY: `header` is the caller's live task, of the type of its vtable.
    unsafe { (header.vtable.wake)(raw) };
}

static WAKER: RawWakerVTable =
    RawWakerVTable::new(waker_clone, waker_wake, waker_wake_by_ref, waker_drop);

/// # Safety
/// The caller gives a reference away, to the waker; or keeps its own for as long as the waker lives, and
/// does not drop the waker.
pub(super) unsafe fn waker_of(raw: TaskRef) -> Waker {
    let waker = RawWaker::new(raw.as_ptr().cast_const().cast(), &WAKER);
    // SAFETY: the vtable keeps the contract of wakers, given the reference.
    unsafe { Waker::from_raw(waker) }
}

/// The task that `waker` wakes, if it is one of this module's.
pub(super) fn task_of(waker: &Waker) -> Option<TaskRef> {
    let is_ours = ptr::eq(waker.vtable(), &WAKER);
    // SAFETY: a live waker of this vtable.
    is_ours.then(|| unsafe { waker_task(waker.data()) })
}

/// The number of the task that `waker` wakes, if it is one of this module's.
pub(crate) fn id_of(waker: &Waker) -> Option<Id> {
    // SAFETY: the waker's reference keeps the task alive.
    task_of(waker).map(|raw| unsafe { raw.header() }.id())
}

/// # Safety
/// `data` is that of a live waker of this vtable.
unsafe fn waker_task(data: *const ()) -> TaskRef {
    // SAFETY: every waker of this vtable is made from a `TaskRef`, which is never null.
    TaskRef(unsafe { NonNull::new_unchecked(data.cast_mut().cast()) })
}

unsafe fn waker_clone(data: *const ()) -> RawWaker {
    // SAFETY: called on a live waker.
    let raw = unsafe { waker_task(data) };
    // SAFETY: the waker's reference keeps it alive.
    unsafe { raw.header() }.state.ref_inc();
    RawWaker::new(data, &WAKER)
}

unsafe fn waker_wake_by_ref(data: *const ()) {
    // SAFETY: called on a live waker.
    let raw = unsafe { waker_task(data) };
    // SAFETY: the waker's reference keeps it alive.
    let wake = unsafe { raw.header() }.vtable.wake;
    // SAFETY: alive, and of the type of its vtable.
    unsafe { wake(raw) };
}

unsafe fn waker_wake(data: *const ()) {
    // The waker's own reference keeps the scheduler alive until it has queued the task (async-rs#11).
    // SAFETY: called on a live waker.
    unsafe { waker_wake_by_ref(data) };
    // SAFETY: called by value, so the waker ends here.
    unsafe { waker_drop(data) };
}

unsafe fn waker_drop(data: *const ()) {
    // SAFETY: called on a live waker, which ends here.
    let raw = unsafe { waker_task(data) };
    // SAFETY: the waker's reference.
    unsafe { raw.release(1) };
}
