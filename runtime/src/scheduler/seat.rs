//! A worker's place in its lane, and the proof that a thread has it.
//!
//! What belongs to a seat (the owner's end of the deque, the LIFO slot, the registry, the timers)
//! is reached through [`Held`] only, and there is one `Held` for a seat at a time, on one thread.
//! The thread in a seat may change: see [`lease`](super::lease).

use super::deque::{Deque, Steal, Stealer};
use super::lease::Lease;
use super::long_queue::Counted;
use super::parker::Parker;
use crate::tasks::budget::PreemptRequest;
use crate::tasks::{Completed, Place, Registered, Registry, Slot, SlotOwner, Task};
use crate::timers::{OwnTimers, TimerShard};
use crossbeam_utils::CachePadded;
use evenkeel_sync::UnsafeCell;
use evenkeel_sync::atomic::{AtomicU8, AtomicU64, Ordering};
use evenkeel_topology::current_thread_id;
use parking_lot::Mutex;
use std::cell::Cell;
use std::marker::PhantomData;
use std::panic::Location;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32};

/// A worker's place in its lane. On cache lines of its own: its worker writes to it all the time.
#[repr(align(128))]
pub(super) struct Seat {
    pub(super) index: usize,
    /// No thread has had it.
    is_new: AtomicBool,
    pub(super) stealer: Stealer<Task>,
    ends: Ends,
    /// The task that the worker's current one woke or spawned last. It runs next, while its data is
    /// in the cache. Only a shutdown takes it from the worker.
    lifo: Arc<Slot>,
    pub(super) parker: Parker,
    registry: Registry,
    pub(super) timers: Arc<TimerShard>,
    /// Others use the worker's core, so it is not to be woken for what another worker can do.
    pub(super) reserve: AtomicBool,
    /// The worker's thread, for its CPU clock; 0 until it has started.
    thread_id: AtomicU32,
    /// How often a thread has sat down where tasks waited.
    pub(super) sittings: AtomicU32,
    /// The thread in the seat. On the IO lane locked by latency-critical threads only.
    thread: Mutex<Option<Arc<WorkerThread>>>,
    pub(super) status: Status,
    /// The other workers, nearest first, in tiers of equal distance.
    pub(super) victims: Vec<Vec<usize>>,
}

impl Seat {
    pub(super) fn new(index: usize, victims: Vec<Vec<usize>>) -> Self {
        let (deque, lifo) = (Deque::new_fifo(), SlotOwner::new());
        Seat {
            index,
            is_new: AtomicBool::new(true),
            stealer: deque.stealer(),
            lifo: lifo.slot().clone(),
            ends: Ends(UnsafeCell::new(OwnerEnds { deque, lifo })),
            parker: Parker::new(),
            registry: Registry::new(),
            timers: Arc::new(TimerShard::new()),
            reserve: AtomicBool::new(false),
            thread_id: AtomicU32::new(0),
            sittings: AtomicU32::new(0),
            thread: Mutex::new(None),
            status: Status {
                polls: AtomicU64::new(0),
                parks: AtomicU64::new(0),
                busy_ns: AtomicU64::new(0),
                task: AtomicU64::new(0),
                spawned_at: AtomicPtr::new(ptr::null_mut()),
            },
            victims,
        }
    }

    /// The seat before any thread has had it; only once.
    pub(super) fn first(self: &Arc<Self>) -> Option<FreeSeat> {
        let is_new = self.is_new.swap(false, Ordering::AcqRel);
        is_new.then(|| FreeSeat(self.clone()))
    }

    /// How many tasks are queued here, about.
    pub(super) fn queued(&self) -> usize {
        self.stealer.len() + usize::from(!self.lifo.is_empty())
    }

    /// Which task is in the LIFO slot: an address, for comparison.
    pub(super) fn lifo_task(&self) -> Option<usize> {
        self.lifo.peek()
    }

    /// How many tasks wait that a worker here polled first.
    pub(super) fn waiting(&self) -> usize {
        self.registry.len()
    }

    /// The thread in the seat.
    pub(super) fn thread(&self) -> Option<Arc<WorkerThread>> {
        self.thread.lock().clone()
    }

    /// As [`thread`](Seat::thread), if that takes no waiting.
    pub(super) fn try_thread(&self) -> Option<Arc<WorkerThread>> {
        self.thread.try_lock()?.clone()
    }

    /// The id of the thread in the seat, once one has started.
    pub(super) fn thread_id(&self) -> Option<u32> {
        let id = self.thread_id.load(Ordering::Relaxed);
        (id != 0).then_some(id)
    }

    /// Takes a task that has completed out of the registry; `None` if a shutdown has done that.
    ///
    /// # Safety
    /// The task was registered here.
    pub(super) unsafe fn unregister(&self, task: &Completed) -> Option<Registered> {
        // SAFETY: by the caller's word.
        unsafe { self.registry.remove(task) }
    }

    /// Cancels the tasks that are queued here, or wait. For a shutdown, on whatever thread.
    pub(super) fn cancel_all(&self) {
        drop(self.lifo.take());
        loop {
            match self.stealer.steal() {
                Steal::Success(task) => drop(task),
                Steal::Retry => {}
                Steal::Empty => break,
            }
        }
        self.registry.close();
    }
}

/// The owner's ends of a seat's deque and of its LIFO slot.
struct OwnerEnds {
    deque: Deque<Task>,
    lifo: SlotOwner,
}

/// The owner's ends, for the thread that holds the seat.
struct Ends(UnsafeCell<OwnerEnds>);

// SAFETY: the ends are `Send`, and `get` is called by one thread at a time, which sees what the one
// before it did.
unsafe impl Sync for Ends {}

impl Ends {
    /// # Safety
    /// The calling thread holds the seat, and uses the result no longer than that.
    unsafe fn get(&self) -> &OwnerEnds {
        // Not that anything is changed: so loom sees to it that nobody else is here.
        self.0.with_mut(|ends| {
            // SAFETY: by the caller's word no other thread uses them; and only shared references
            // are made.
            unsafe { &*ends }
        })
    }
}

/// A seat that nobody has, for a thread to sit down there.
///
/// There is one for each seat at first, and one whenever a seat was taken or surrendered.
pub(crate) struct FreeSeat(Arc<Seat>);

impl FreeSeat {
    pub(crate) fn index(&self) -> usize {
        self.0.index
    }

    /// The calling thread has the seat from now on.
    pub(super) fn sit_down(self) -> Sitting {
        let thread = Arc::new(WorkerThread::new());
        self.0.thread_id.store(thread.id(), Ordering::Relaxed);
        *self.0.thread.lock() = Some(thread.clone());
        Sitting {
            seat: self.0,
            thread,
            holds: Cell::new(0),
            not_send: PhantomData,
        }
    }
}

/// Takes the seat from `thread`, which is in the user's code, and in the poll that `is_same_poll`
/// knows.
pub(super) fn try_take(
    seat: &Arc<Seat>,
    thread: &Arc<WorkerThread>,
    is_same_poll: impl FnOnce() -> bool,
) -> Option<FreeSeat> {
    let sits_here = seat
        .thread()
        .is_some_and(|sitting| Arc::ptr_eq(&sitting, thread));
    let taken = sits_here && thread.lease.try_revoke(is_same_poll);
    taken.then(|| FreeSeat(seat.clone()))
}

/// The calling thread's right to a seat, until it is revoked or surrendered.
pub(super) struct Sitting {
    seat: Arc<Seat>,
    thread: Arc<WorkerThread>,
    /// How many [`Held`] there are.
    holds: Cell<u32>,
    not_send: PhantomData<*const ()>,
}

impl Sitting {
    pub(super) fn seat(&self) -> &Seat {
        &self.seat
    }

    pub(super) fn thread(&self) -> &Arc<WorkerThread> {
        &self.thread
    }

    pub(super) fn is_held(&self) -> bool {
        self.holds.get() > 0
    }

    /// Acquires the seat for as long as the result lives. `None` if it is lost.
    #[inline]
    pub(super) fn hold(&self) -> Option<Held<'_>> {
        let holds = self.holds.get();
        if holds == 0 && !self.thread.lease.acquire() {
            return None;
        }
        self.holds.set(holds + 1);
        Some(Held(self))
    }
}

/// Proof that the calling thread has the seat and keeps it for as long as this lives.
pub(crate) struct Held<'a>(&'a Sitting);

impl<'a> Held<'a> {
    #[inline]
    fn ends(&self) -> &OwnerEnds {
        // SAFETY: this value is the proof, and outlives the result.
        unsafe { self.0.seat.ends.get() }
    }

    #[inline]
    pub(super) fn queue(&self) -> &Deque<Task> {
        &self.ends().deque
    }

    /// Puts a task in the LIFO slot, and returns the one that was there.
    #[inline]
    pub(super) fn put_lifo(&self, task: Task) -> Option<Task> {
        self.ends().lifo.put(task)
    }

    #[inline]
    pub(super) fn take_lifo(&self) -> Option<Task> {
        self.0.seat.lifo.take()
    }

    #[inline]
    pub(super) fn is_lifo_empty(&self) -> bool {
        self.0.seat.lifo.is_empty()
    }

    pub(super) fn registry(&self) -> &Registry {
        &self.0.seat.registry
    }

    pub(super) fn timers(&self) -> OwnTimers<'_> {
        OwnTimers::assume(&self.0.seat.timers)
    }

    /// Runs `f`, the user's code, without the seat held. `None` with its result if the seat was
    /// lost.
    #[inline]
    pub(super) fn release_while<R>(self, f: impl FnOnce() -> R) -> (Option<Held<'a>>, R) {
        let sitting = self.0;
        debug_assert_eq!(sitting.holds.get(), 1, "held for longer than until a poll");
        drop(self);
        let result = f();
        (sitting.hold(), result)
    }

    /// Gives the seat away in the midst of a poll.
    pub(super) fn surrender(self) -> FreeSeat {
        let Sitting { seat, thread, .. } = self.0;
        debug_assert_eq!(self.0.holds.get(), 1, "held for longer than this");
        seat.status.end();
        thread.set_verdict(None);
        thread.lease.surrender();
        FreeSeat(seat.clone())
    }
}

impl Drop for Held<'_> {
    #[inline]
    fn drop(&mut self) {
        let holds = self.0.holds.get() - 1;
        self.0.holds.set(holds);
        if holds == 0 {
            self.0.thread.lease.release();
        }
    }
}

/// A thread that works in a seat, or did until it was displaced.
pub(crate) struct WorkerThread {
    lease: CachePadded<Lease>,
    /// For the poll that it is in.
    pub(super) preempt: Arc<PreemptRequest>,
    id: u32,
    /// What it did in the poll in which it lost its seat, by where that is done; set before that.
    verdict: AtomicU8,
    /// Where its poll counts as a long one.
    pub(super) counted: Counted,
    /// The thread's priority was lowered.
    lowered: AtomicBool,
    /// It has gone to other CPUs than its worker's by itself, for a while. The thread itself locks
    /// this to go, and to come back; who moves the thread only tries to.
    is_elsewhere: Mutex<bool>,
    /// It works, or is still in the poll in which it lost its seat. The thread itself locks this
    /// once, at the end, and whoever acts on the thread only tries to.
    is_here: Mutex<bool>,
}

const VERDICTS: [Option<Place>; 3] = [None, Some(Place::Compute), Some(Place::Blocking)];

impl WorkerThread {
    /// The calling thread, from now on.
    fn new() -> Self {
        WorkerThread {
            lease: CachePadded::new(Lease::new()),
            preempt: Arc::default(),
            id: current_thread_id(),
            verdict: AtomicU8::new(0),
            counted: Counted::new(),
            lowered: AtomicBool::new(false),
            is_elsewhere: Mutex::new(false),
            is_here: Mutex::new(true),
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    pub(crate) fn has_lost_seat(&self) -> bool {
        self.lease.is_lost()
    }

    /// Asks the poll that the thread is in to end after a few more operations.
    pub(crate) fn request_preemption(&self) {
        self.preempt.set();
    }

    /// Calls `f` if the thread has not ended, and cannot before `f` has. (Otherwise another may
    /// have its id.)
    pub(crate) fn if_here<R>(&self, f: impl FnOnce(u32) -> R) -> Option<R> {
        let is_here = self.is_here.try_lock()?;
        is_here.then(|| f(self.id))
    }

    /// As [`if_here`](WorkerThread::if_here), if it is not elsewhere: for who moves the thread.
    pub(crate) fn if_placeable<R>(&self, f: impl FnOnce(u32) -> R) -> Option<R> {
        let is_elsewhere = self.is_elsewhere.try_lock()?;
        (!*is_elsewhere).then(|| self.if_here(f)).flatten()
    }

    /// For the thread itself, which moves in `f`, when nobody else moves it. False if it was so
    /// already, and `f` was not called.
    pub(crate) fn set_elsewhere(&self, is_elsewhere: bool, f: impl FnOnce()) -> bool {
        let mut before = self.is_elsewhere.lock();
        let has_changed = *before != is_elsewhere;
        if has_changed {
            *before = is_elsewhere;
            f();
        }
        has_changed
    }

    pub(crate) fn is_lowered(&self) -> bool {
        self.lowered.load(Ordering::Relaxed)
    }

    /// To be called in [`if_here`](WorkerThread::if_here).
    pub(crate) fn set_lowered(&self) {
        self.lowered.store(true, Ordering::Relaxed);
    }

    /// True until the thread is done with the poll in which it lost its seat.
    pub(crate) fn is_here(&self) -> bool {
        self.is_here.try_lock().is_some_and(|is_here| *is_here)
    }

    /// The thread has left its seat, or lost it and its poll is over.
    pub(super) fn leave(&self) {
        *self.is_here.lock() = false;
    }

    /// Its poll counts as a long one on some core.
    pub(crate) fn is_counted(&self) -> bool {
        self.counted.is_some()
    }

    pub(super) fn verdict(&self) -> Option<Place> {
        VERDICTS[usize::from(self.verdict.load(Ordering::Relaxed))]
    }

    /// For the taker, before it takes the seat.
    pub(super) fn set_verdict(&self, verdict: Option<Place>) {
        let index = VERDICTS.iter().position(|other| *other == verdict);
        self.verdict
            .store(index.unwrap_or_default() as u8, Ordering::Relaxed);
    }
}

/// What a worker is doing. Written by whoever has the seat.
pub(super) struct Status {
    polls: AtomicU64,
    /// How often the worker has begun or ended to sleep: odd while it sleeps.
    parks: AtomicU64,
    /// How long it had been awake when it last began to.
    busy_ns: AtomicU64,
    /// The id of the task in the poll, or zero.
    task: AtomicU64,
    spawned_at: AtomicPtr<Location<'static>>,
}

/// A poll, as seen from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Poll {
    /// Its number among the polls of its worker.
    pub(super) number: u64,
    pub(crate) task: u64,
    pub(crate) spawned_at: &'static Location<'static>,
}

impl Status {
    /// How many polls the worker has begun.
    pub(super) fn polls(&self) -> u64 {
        self.polls.load(Ordering::Relaxed)
    }

    pub(super) fn parks(&self) -> u64 {
        self.parks.load(Ordering::Relaxed)
    }

    pub(super) fn busy_ns(&self) -> u64 {
        self.busy_ns.load(Ordering::Relaxed)
    }

    /// The worker sleeps, after it was awake for `busy_ns`.
    pub(super) fn begin_sleep(&self, busy_ns: u64) {
        self.add_busy(busy_ns);
        self.parks.store(self.parks() + 1, Ordering::Relaxed);
    }

    /// The worker was awake for so long.
    pub(super) fn add_busy(&self, busy_ns: u64) {
        // Only one thread writes, so no read-modify-write is needed.
        self.busy_ns
            .store(self.busy_ns() + busy_ns, Ordering::Relaxed);
    }

    pub(super) fn end_sleep(&self) {
        self.parks.store(self.parks() + 1, Ordering::Relaxed);
    }

    pub(super) fn begin(&self, task: &Task) {
        // Only one thread writes, so no read-modify-write is needed.
        self.polls.store(self.polls() + 1, Ordering::Relaxed);
        let location = ptr::from_ref(task.spawned_at()).cast_mut();
        self.spawned_at.store(location, Ordering::Relaxed);
        self.task.store(task.id().as_u64(), Ordering::Relaxed);
    }

    pub(super) fn end(&self) {
        self.task.store(0, Ordering::Relaxed);
    }

    /// The poll that the worker is in.
    pub(super) fn current(&self) -> Option<Poll> {
        let number = self.polls();
        let task = self.task.load(Ordering::Relaxed);
        let location = self.spawned_at.load(Ordering::Relaxed);
        if task == 0 {
            return None;
        }
        Some(Poll {
            number,
            task,
            // SAFETY: null, or from a `&'static Location`.
            spawned_at: unsafe { location.as_ref() }?,
        })
    }
}
