//! The part of a task that does not depend on its type, what owns a reference to it, and its
//! wakers.
//!
//! A [`TaskRef`] is one reference. [`Task`], [`Running`] and [`Completed`] are a reference with a
//! right that the state word grants. They are records: what can be done with them is in
//! [`owners`](super::owners), and what needs the future's type is in [`cell`](super::cell), behind
//! the [`Vtable`].

use super::class::TaskClass;
use super::id::Id;
use super::meta::{Shard, TaskMeta};
use super::state::State;
use evenkeel_sync::UnsafeCell;
use evenkeel_sync::atomic::AtomicPtr;
use std::marker::PhantomData;
use std::mem::{self, ManuallyDrop};
use std::ops::Deref;
use std::panic::Location;
use std::ptr::{self, NonNull};
use std::task::{RawWaker, RawWakerVTable, Waker};

/// The part of a task that does not depend on its type.
///
/// First comes what is seldom written, last what each wake and poll uses: so that lies a cache
/// line's length away from the end of the task before this one in memory, which may be polled on
/// another core. (Tasks that begin with a cache line would have the same, for 40 bytes more each,
/// and the allocator takes 100 ns longer for them.)
#[repr(C)]
pub(super) struct Header {
    /// Links of the [`Registry`](super::registry::Registry); belong to the holder of its lock.
    pub(super) prev: AtomicPtr<Header>,
    pub(super) next: AtomicPtr<Header>,
    pub(super) spawned_at: &'static Location<'static>,
    pub(super) join_waker: UnsafeCell<Option<JoinWaker>>,
    /// Link of the [`Inbox`](super::inbox::Inbox); belongs to the holder of the `Task`.
    pub(super) queue_next: AtomicPtr<Header>,
    meta: TaskMeta,
    pub(super) vtable: &'static Vtable,
    pub(super) state: State,
}

/// The operations that need the future's type. Each may only be called on a task that has this
/// vtable.
///
/// An owner that is passed by value is given away, with its reference and its right. Of one that is
/// passed by reference, both stay with the caller.
pub(super) struct Vtable {
    /// Polls the task. It comes back if it has to be queued again.
    pub(super) poll: unsafe fn(Running) -> Option<Task>,

    /// Does what comes after a poll that returned `Pending`. The task comes back if it has to be
    /// queued again.
    pub(super) settle: unsafe fn(Running) -> Option<Task>,

    /// Has the task queued, unless it is queued already, or complete.
    pub(super) wake: unsafe fn(&TaskRef),

    /// Drops the future, and completes the task as cancelled.
    pub(super) cancel: unsafe fn(Running),

    /// Moves the output to the place that the pointer gives: an initialised `Poll<Result<F::Output,
    /// Failure>>`. The output must be the caller's, and is gone afterwards.
    pub(super) take_output: unsafe fn(&TaskRef, *mut ()),

    /// Drops the output, which must be the caller's, and is gone afterwards.
    pub(super) drop_output: unsafe fn(&TaskRef),

    /// Takes the task out of its registry: here or, if this thread may not do that, on a worker.
    pub(super) leave: unsafe fn(Completed),

    /// Takes the task out of its registry here, whatever thread this is.
    pub(super) leave_here: unsafe fn(Completed),

    /// Frees the task, to which there is no reference any more.
    pub(super) dealloc: unsafe fn(NonNull<Header>),
}

impl Header {
    pub(super) fn new(
        id: Id,
        vtable: &'static Vtable,
        spawned_at: &'static Location<'static>,
    ) -> Header {
        Header {
            prev: AtomicPtr::new(ptr::null_mut()),
            next: AtomicPtr::new(ptr::null_mut()),
            spawned_at,
            join_waker: UnsafeCell::new(None),
            queue_next: AtomicPtr::new(ptr::null_mut()),
            meta: TaskMeta::new(id),
            vtable,
            state: State::new(),
        }
    }

    pub(super) fn id(&self) -> Id {
        self.meta.id()
    }

    pub(super) fn shard(&self) -> Option<Shard> {
        self.meta.shard()
    }

    pub(super) fn class(&self) -> TaskClass {
        self.meta.class()
    }
}

/// One reference to a task, which is freed with the last of them.
pub(super) struct TaskRef(NonNull<Header>);

// SAFETY: a cell is only made of a `Send + Sync` scheduler and a future that is `Send`, or that
// only its own thread reaches (see `cell::new_local`); and access to its fields from several
// threads is ordered by the state word.
unsafe impl Send for TaskRef {}
// SAFETY: as above; `&TaskRef` gives nothing that `TaskRef` does not.
unsafe impl Sync for TaskRef {}

impl TaskRef {
    /// # Safety
    /// `raw` points to a task, and the caller gives away one reference to it.
    pub(super) unsafe fn from_raw(raw: NonNull<Header>) -> TaskRef {
        TaskRef(raw)
    }

    pub(super) fn into_raw(self) -> NonNull<Header> {
        ManuallyDrop::new(self).0
    }

    pub(super) fn as_raw(&self) -> NonNull<Header> {
        self.0
    }

    /// Drops both, in one step if they are references to the same task.
    pub(super) fn drop_with(self, other: TaskRef) {
        if self.0 == other.0 {
            mem::forget(other);
            // SAFETY: the references of both.
            unsafe { release(self.into_raw(), 2) };
        }
    }
}

impl Clone for TaskRef {
    fn clone(&self) -> Self {
        self.state.ref_inc();
        TaskRef(self.0)
    }
}

impl Drop for TaskRef {
    fn drop(&mut self) {
        // SAFETY: our reference.
        unsafe { release(self.0, 1) };
    }
}

impl Deref for TaskRef {
    type Target = Header;

    fn deref(&self) -> &Header {
        // SAFETY: our reference keeps it alive, and nobody ever has a `&mut Header`.
        unsafe { self.0.as_ref() }
    }
}

/// Gives back `n` references, and the memory with the last of them.
///
/// # Safety
/// The caller owns `n` references, and gives them away here.
unsafe fn release(raw: NonNull<Header>, n: usize) {
    // SAFETY: the caller's references keep it alive.
    let header = unsafe { raw.as_ref() };
    let dealloc = header.vtable.dealloc;
    if header.state.ref_dec(n) {
        // SAFETY: it is the task's own vtable, and those were the last references.
        unsafe { dealloc(raw) };
    }
}

/// A task that is to be taken up: a place in a queue. Exactly one exists for a task that is
/// NOTIFIED, or HANDED.
///
/// Dropping it cancels the task, because nobody else would ever run it.
pub(crate) struct Task(pub(super) ManuallyDrop<TaskRef>);

impl Task {
    /// # Safety
    /// The caller gives away what NOTIFIED, or HANDED, stands for.
    pub(super) unsafe fn new(task: TaskRef) -> Task {
        Task(ManuallyDrop::new(task))
    }

    /// # Safety
    /// `raw` is from `into_raw`, or `as_raw` of a `Task` that was forgotten, and is used only once.
    pub(super) unsafe fn from_raw(raw: NonNull<Header>) -> Task {
        // SAFETY: the reference that went into `raw`.
        let task = unsafe { TaskRef::from_raw(raw) };
        // SAFETY: and the right that went with it.
        unsafe { Task::new(task) }
    }

    pub(super) fn into_raw(self) -> NonNull<Header> {
        ManuallyDrop::new(self).as_raw()
    }

    pub(super) fn as_raw(&self) -> NonNull<Header> {
        self.0.as_raw()
    }

    /// # Safety
    /// The caller takes the right over, or somebody else completes the task: its future would never
    /// be dropped.
    pub(super) unsafe fn into_ref(self) -> TaskRef {
        // SAFETY: the reference of the `Task` that ends here.
        unsafe { TaskRef::from_raw(self.into_raw()) }
    }

    pub(super) fn header(&self) -> &Header {
        &self.0
    }

    pub(super) fn set_class(&mut self, class: TaskClass) {
        // SAFETY: nobody gets RUNNING without a `Task` but a shutdown, which enters the task in no
        // registry.
        unsafe { self.0.meta.set_class(class) };
    }
}

/// The right to the stage, which RUNNING stands for, while the future is in it.
///
/// Dropping it leaks the task, since its future would be left in the stage.
#[must_use]
pub(super) struct Running(ManuallyDrop<TaskRef>);

impl Running {
    /// # Safety
    /// The caller gives RUNNING away, and the stage is the future.
    pub(super) unsafe fn new(task: TaskRef) -> Running {
        Running(ManuallyDrop::new(task))
    }

    /// # Safety
    /// The caller takes the right over: the future would never be dropped.
    pub(super) unsafe fn into_ref(self) -> TaskRef {
        ManuallyDrop::into_inner(self.0)
    }

    pub(super) fn set_class(&mut self, class: TaskClass) {
        // SAFETY: RUNNING is ours, without which nobody sets the shard.
        unsafe { self.0.meta.set_class(class) };
    }

    /// # Safety
    /// The task was polled, and its scheduler has registered it there.
    pub(super) unsafe fn set_shard(&mut self, shard: Shard) {
        // SAFETY: RUNNING is ours, and there is no `Task` after a poll.
        unsafe { self.0.meta.set_shard(shard) };
    }
}

/// A complete task that its registry may still have.
pub(crate) struct Completed {
    pub(super) task: TaskRef,
    shard: Shard,
}

impl Completed {
    /// # Safety
    /// The task is complete, and `shard` is where it is registered.
    pub(super) unsafe fn new(task: TaskRef, shard: Shard) -> Completed {
        Completed { task, shard }
    }

    /// The registry that the task has entered.
    pub(crate) fn shard(&self) -> Shard {
        self.shard
    }
}

impl AsRef<TaskRef> for TaskRef {
    fn as_ref(&self) -> &TaskRef {
        self
    }
}

impl AsRef<TaskRef> for Task {
    fn as_ref(&self) -> &TaskRef {
        &self.0
    }
}

impl AsRef<TaskRef> for Running {
    fn as_ref(&self) -> &TaskRef {
        &self.0
    }
}

impl AsRef<TaskRef> for Completed {
    fn as_ref(&self) -> &TaskRef {
        &self.task
    }
}

static WAKER: RawWakerVTable =
    RawWakerVTable::new(waker_clone, waker_wake, waker_wake_by_ref, waker_drop);

impl TaskRef {
    pub(super) fn wake(&self) {
        // SAFETY: it is the task's own vtable.
        unsafe { (self.vtable.wake)(self) };
    }

    /// A waker that has this reference.
    pub(super) fn into_waker(self) -> Waker {
        let data = self.into_raw().as_ptr().cast_const().cast();
        // SAFETY: the vtable keeps the contract of wakers, given a reference in `data`.
        unsafe { Waker::from_raw(RawWaker::new(data, &WAKER)) }
    }

    /// A waker without a reference of its own.
    pub(super) fn as_waker(&self) -> WakerRef<'_> {
        // SAFETY: our reference, which is not given away, as this is never dropped.
        let same = unsafe { TaskRef::from_raw(self.0) };
        WakerRef {
            waker: ManuallyDrop::new(same.into_waker()),
            task: PhantomData,
        }
    }

    /// The reference of `waker`, if that is one of these wakers; else `waker`.
    fn from_waker(waker: Waker) -> Result<TaskRef, Waker> {
        match task_of(&waker) {
            Some(raw) => {
                mem::forget(waker);
                // SAFETY: the waker's reference, which it does not give back.
                Ok(unsafe { TaskRef::from_raw(raw) })
            }
            None => Err(waker),
        }
    }
}

/// A waker that lives on another one's reference.
pub(super) struct WakerRef<'a> {
    waker: ManuallyDrop<Waker>,
    task: PhantomData<&'a TaskRef>,
}

impl Deref for WakerRef<'_> {
    type Target = Waker;

    fn deref(&self) -> &Waker {
        &self.waker
    }
}

/// The task that `waker` wakes, if it is one of these wakers.
fn task_of(waker: &Waker) -> Option<NonNull<Header>> {
    let is_ours = ptr::eq(waker.vtable(), &WAKER);
    is_ours.then(|| NonNull::new(waker.data().cast_mut().cast()))?
}

/// # Safety
/// `data` is that of a waker of this vtable, whose reference the caller gives away.
unsafe fn waker_task(data: *const ()) -> TaskRef {
    // SAFETY: from `into_waker`, where it was not null.
    let raw = unsafe { NonNull::new_unchecked(data.cast_mut().cast()) };
    // SAFETY: by the caller's word.
    unsafe { TaskRef::from_raw(raw) }
}

unsafe fn waker_clone(data: *const ()) -> RawWaker {
    // SAFETY: called on a live waker, which keeps its reference.
    let task = ManuallyDrop::new(unsafe { waker_task(data) });
    mem::forget(TaskRef::clone(&task));
    RawWaker::new(data, &WAKER)
}

unsafe fn waker_wake_by_ref(data: *const ()) {
    // SAFETY: called on a live waker, which keeps its reference.
    let task = ManuallyDrop::new(unsafe { waker_task(data) });
    task.wake();
}

unsafe fn waker_wake(data: *const ()) {
    // SAFETY: called by value, so the waker ends here.
    let task = unsafe { waker_task(data) };
    // The reference keeps the scheduler alive until it has queued the task (async-rs#11).
    task.wake();
}

unsafe fn waker_drop(data: *const ()) {
    // SAFETY: called on a live waker, which ends here.
    drop(unsafe { waker_task(data) });
}

const BOXED: usize = 1;

/// The waker of a join handle, in one word.
///
/// Nearly always it is that of another task of a runtime: then the word is the address of that
/// task's header, with one reference to it. Other executors' wakers are boxed, and the lowest bit
/// is set.
pub(super) struct JoinWaker(NonNull<Header>);

const _: () = assert!(align_of::<Header>() > BOXED && align_of::<Waker>() > BOXED);

// SAFETY: it is a waker, which may be sent.
unsafe impl Send for JoinWaker {}
// SAFETY: it is a waker, which may be shared.
unsafe impl Sync for JoinWaker {}

impl JoinWaker {
    pub(super) fn new(waker: Waker) -> Self {
        match TaskRef::from_waker(waker) {
            Ok(task) => JoinWaker(task.into_raw()),
            Err(waker) => {
                let boxed = NonNull::from(Box::leak(Box::new(waker)));
                JoinWaker(boxed.cast().map_addr(|address| address | BOXED))
            }
        }
    }

    pub(super) fn will_wake(&self, waker: &Waker) -> bool {
        self.with(|own| own.will_wake(waker))
    }

    pub(super) fn wake_by_ref(&self) {
        self.with(Waker::wake_by_ref);
    }

    fn with<R>(&self, f: impl FnOnce(&Waker) -> R) -> R {
        if let Some(boxed) = self.boxed() {
            // SAFETY: from `Box::leak` in `new`, and freed only by the drop of `self`.
            return f(unsafe { &*boxed });
        }
        // SAFETY: the word's reference, which is not given away, as this is never dropped.
        let task = ManuallyDrop::new(unsafe { TaskRef::from_raw(self.0) });
        f(&task.as_waker())
    }

    fn boxed(&self) -> Option<*mut Waker> {
        let raw = self.0.as_ptr();
        let is_boxed = raw.addr() & BOXED != 0;
        is_boxed.then(|| raw.map_addr(|address| address & !BOXED).cast())
    }
}

impl Drop for JoinWaker {
    fn drop(&mut self) {
        match self.boxed() {
            // SAFETY: from `Box::leak` in `new`, and nobody uses it any more.
            Some(boxed) => drop(unsafe { Box::from_raw(boxed) }),
            // SAFETY: the word's reference.
            None => drop(unsafe { TaskRef::from_raw(self.0) }),
        }
    }
}

#[cfg(all(test, not(evenkeel_loom)))]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn the_waker_of_another_executor_is_kept_and_dropped() {
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(count.clone());
        let packed = JoinWaker::new(waker.clone());
        assert!(packed.will_wake(&waker));
        assert!(!packed.will_wake(Waker::noop()));
        packed.wake_by_ref();
        packed.wake_by_ref();
        assert_eq!(count.0.load(Ordering::SeqCst), 2);
        drop((packed, waker));
        assert_eq!(Arc::strong_count(&count), 1);
    }

    #[test]
    fn it_is_one_word() {
        assert_eq!(size_of::<Option<JoinWaker>>(), size_of::<usize>());
    }
}
