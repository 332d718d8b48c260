//! What others see of a worker, and what belongs to whoever works in its place.

use super::long::Counted;
use super::parker::Parker;
use super::tenure::Tenure;
use crate::tasks::budget::Urge;
use crate::tasks::{Place, Registry, Slot, SlotOwner, Task};
use crate::timers::TimerShard;
use crossbeam_deque::{Stealer, Worker as Deque};
use crossbeam_utils::CachePadded;
use evenkeel_topology::current_thread_id;
use parking_lot::Mutex;
use std::cell::UnsafeCell;
use std::panic::Location;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, Ordering};

/// A worker's place in its lane. The thread that works there may change: see [`tenure`](super::tenure).
pub(super) struct Seat {
    pub(super) stealer: Stealer<Task>,
    pub(super) queue: Queue,
    /// The task that the worker's current one woke or spawned last. Runs next, while its data is in
    /// cache. Only a shutdown takes it from the worker.
    pub(super) next: Arc<Slot>,
    pub(super) parker: Parker,
    pub(super) registry: Registry,
    pub(super) timers: Arc<TimerShard>,
    /// Others use the worker's core, so it is not to be woken for what another worker can do.
    pub(super) reserve: AtomicBool,
    /// The worker's thread, for its CPU clock; 0 until it has started.
    pub(super) thread: AtomicU32,
    /// How often somebody has sat down where tasks waited.
    pub(super) sittings: AtomicU32,
    /// On the IO lane, whose seat can be taken. Locked by IO workers and the driver thread only.
    pub(super) tenant: Mutex<Option<Arc<Tenant>>>,
    pub(super) status: Status,
    /// The other workers, nearest first, in tiers of equal distance.
    pub(super) victims: Vec<Vec<usize>>,
}

impl Seat {
    pub(super) fn new(victims: Vec<Vec<usize>>) -> Self {
        let deque = Deque::new_fifo();
        let next = SlotOwner::new();
        Seat {
            stealer: deque.stealer(),
            next: next.slot().clone(),
            queue: Queue(UnsafeCell::new(Ends { deque, next })),
            parker: Parker::new(),
            registry: Registry::new(),
            timers: Arc::new(TimerShard::new()),
            reserve: AtomicBool::new(false),
            thread: AtomicU32::new(0),
            sittings: AtomicU32::new(0),
            tenant: Mutex::new(None),
            status: Status {
                polls: AtomicU64::new(0),
                task: AtomicU64::new(0),
                spawned_at: AtomicPtr::new(ptr::null_mut()),
            },
            victims,
        }
    }

    pub(super) fn queued(&self) -> usize {
        self.stealer.len() + usize::from(!self.next.is_empty())
    }
}

/// The owner's ends of a seat's deque and of its next-slot.
pub(super) struct Ends {
    pub(super) deque: Deque<Task>,
    pub(super) next: SlotOwner,
}

/// The owner's ends, for whoever has the seat.
pub(super) struct Queue(UnsafeCell<Ends>);

// SAFETY: the ends are `Send`, and `get` is called by one thread at a time, which sees what the one before it did.
unsafe impl Sync for Queue {}

impl Queue {
    /// # Safety
    /// The calling thread has hold of the seat, and uses the result no longer than that.
    pub(super) unsafe fn get(&self) -> &Ends {
        // SAFETY: by the caller's word no other thread uses them; and only shared references are ever made.
        unsafe { &*self.0.get() }
    }
}

/// A thread that works in a seat, or did until the seat was taken from it.
pub(crate) struct Tenant {
    pub(super) tenure: CachePadded<Tenure>,
    /// For the poll that it is in.
    pub(super) urge: Arc<Urge>,
    thread: u32,
    /// What it did in the poll in which it lost its seat, by where that is done; set before that.
    verdict: AtomicU8,
    /// Where its poll counts as a long one.
    pub(super) counted: Counted,
    /// The thread's priority was lowered.
    lowered: AtomicBool,
    /// It works, or is still in the poll in which it lost its seat. The thread itself locks this once, at the end, and
    /// whoever acts on the thread only tries to.
    is_here: Mutex<bool>,
}

const VERDICTS: [Option<Place>; 3] = [None, Some(Place::Compute), Some(Place::Blocking)];

impl Tenant {
    /// The calling thread, from now on.
    pub(super) fn new() -> Self {
        Tenant {
            tenure: CachePadded::new(Tenure::new()),
            urge: Arc::default(),
            thread: current_thread_id(),
            verdict: AtomicU8::new(0),
            counted: Counted::new(),
            lowered: AtomicBool::new(false),
            is_here: Mutex::new(true),
        }
    }

    pub(crate) fn thread(&self) -> u32 {
        self.thread
    }

    /// Has the poll that the thread is in end after some more operations.
    pub(crate) fn urge(&self) {
        self.urge.set();
    }

    /// Calls `f` if the thread has not ended, and cannot before `f` has. (Otherwise another may have its id.)
    pub(crate) fn if_here<R>(&self, f: impl FnOnce(u32) -> R) -> Option<R> {
        let is_here = self.is_here.try_lock()?;
        is_here.then(|| f(self.thread))
    }

    pub(crate) fn is_lowered(&self) -> bool {
        self.lowered.load(Ordering::Relaxed)
    }

    /// To be called in [`if_here`](Tenant::if_here).
    pub(crate) fn set_lowered(&self) {
        self.lowered.store(true, Ordering::Relaxed);
    }

    /// True until the thread is done with the poll in which it lost its seat.
    pub(crate) fn is_here(&self) -> bool {
        self.is_here.try_lock().is_some_and(|is_here| *is_here)
    }

    /// To be called by the thread when it has lost its seat and its poll is over.
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
    /// The id of the task in the poll, or zero.
    task: AtomicU64,
    spawned_at: AtomicPtr<Location<'static>>,
}

impl Status {
    pub(super) fn polls(&self) -> u64 {
        self.polls.load(Ordering::Relaxed)
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

    pub(super) fn current(&self) -> Option<(u64, &'static Location<'static>)> {
        let task = self.task.load(Ordering::Relaxed);
        let location = self.spawned_at.load(Ordering::Relaxed);
        if task == 0 {
            return None;
        }
        // SAFETY: null, or from a `&'static Location`.
        Some((task, unsafe { location.as_ref() }?))
    }
}
