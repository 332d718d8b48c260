//! Tasks whose next poll is expected to be long.
//!
//! They wait in a queue of their own, one for the whole lane, first come first served. A worker
//! that finds no short task takes one from it and polls it where it is. So a short task never waits
//! behind a row of long ones, and a worker is replaced for the sake of short ones only: if all that
//! wait are long, to start another beside the one that is there would not make anybody faster.
//!
//! A worker begins none while another is in progress on its core, by a thread that has lost its
//! seat. So at normal priority long polls have half of a core that the worker wants too, and hardly
//! ever has a core two of them while another has none. (Of workers that are not pinned, *core* is
//! but another word for the worker's place.)
//!
//! ```text
//! a core becomes free of long polls         a worker that found nothing
//! 1. its count -= 1                         1. to 3. as in `idle`, the fence among them
//! 2. fence (SeqCst)                         4. the last look: tasks wait, and its own count is 0
//! 3. tasks wait: steps 4 and 5 of a
//!    submitter in `idle`, with a sleeper   a worker takes a task
//!    whose count is 0                       1. its count is 0
//!                                           2. under the lock: pop; its count += 1
//!
//! a task comes
//! 1. push, under the lock; waiting += 1
//! 2. fence (SeqCst)
//! 3. as above
//! ```
//!
//! A seat is taken while its thread may be done with the poll:
//!
//! ```text
//! the thread                                the taker
//! 1. the count of its core += 1;            1. takes out what counted, and off the count
//!    counted = the core                     2. the count of the new core += 1; counted = that
//! 2. the poll is over: takes out what          core, unless it is one already
//!    counted, and off that core's count     3. the seat was not taken, as the poll is over: as
//!                                              step 1
//! ```
//!
//! The fences see to it that of a core that becomes free and a task that comes, one sees the other,
//! or the worker's last look sees both. A worker that sorts what has come in tells of it in the
//! same way before it polls, or sleeps. Searchers do not keep anybody from being woken, as they do
//! for short tasks: their own cores may be taken.
//!
//! A thread that leaves may be of low priority, so it takes no lock. Loom model: `models::long`.

use crate::latency_critical::LatencyCritical;
use crossbeam_utils::CachePadded;
use evenkeel_sync::Mutex;
use evenkeel_sync::atomic::{AtomicU64, AtomicUsize, Ordering, fence};
use std::collections::VecDeque;
use std::time::Duration;

/// The queue, and where long polls are in progress. `T` is a task.
pub(crate) struct LongQueue<T> {
    /// `None` once it takes no more. Locked by latency-critical threads, and when all is over.
    queue: Mutex<Option<VecDeque<Waiting<T>>>>,
    /// How many are in the queue.
    waiting: AtomicUsize,
    /// How much CPU long polls have used so far.
    used_ns: AtomicU64,
    /// How many long polls are in progress on the core of each worker.
    counts: Box<[CachePadded<AtomicUsize>]>,
}

/// Where the poll that a thread is in counts as a long one: the worker of that core, plus one; 0 if
/// it does not. Whoever takes it out, the thread when its poll is over, or another on its behalf,
/// takes it off the core's count.
pub(crate) struct Counted(AtomicUsize);

impl Counted {
    pub(crate) fn new() -> Self {
        Counted(AtomicUsize::new(0))
    }

    /// False if it is counted already.
    fn put(&self, worker: usize) -> bool {
        let none = self
            .0
            .compare_exchange(0, worker + 1, Ordering::AcqRel, Ordering::Relaxed);
        none.is_ok()
    }

    #[inline]
    fn take(&self) -> Option<usize> {
        if !self.is_some() {
            return None;
        }
        self.0.swap(0, Ordering::AcqRel).checked_sub(1)
    }

    #[inline]
    pub(crate) fn is_some(&self) -> bool {
        self.0.load(Ordering::Relaxed) != 0
    }
}

/// A task in the queue.
pub(crate) struct Waiting<T> {
    pub(crate) task: T,
    /// How much CPU long polls had used in all when it came.
    pub(crate) since: Duration,
}

impl<T> LongQueue<T> {
    pub(crate) fn new(workers: usize) -> Self {
        let count = |_| CachePadded::new(AtomicUsize::new(0));
        LongQueue {
            queue: Mutex::new(Some(VecDeque::new())),
            waiting: AtomicUsize::new(0),
            used_ns: AtomicU64::new(0),
            counts: (0..workers).map(count).collect(),
        }
    }

    /// Gives the task back if the queue is closed. Otherwise the caller has to see to it that a
    /// worker knows.
    pub(crate) fn push(&self, task: T, _proof: LatencyCritical<'_>) -> Result<(), T> {
        let mut queue = self.queue.lock();
        let Some(tasks) = &mut *queue else {
            drop(queue);
            return Err(task);
        };
        let since = self.used();
        tasks.push_back(Waiting { task, since });
        self.waiting.store(tasks.len(), Ordering::Relaxed);
        Ok(())
    }

    /// The worker could begin one.
    #[inline]
    pub(crate) fn may_begin(&self, worker: usize) -> bool {
        self.is_waiting() && self.is_free(worker)
    }

    /// The first task, whose poll by the caller's thread counts as in progress on the worker's core
    /// from now on.
    pub(crate) fn begin(
        &self,
        worker: usize,
        counted: &Counted,
        _proof: LatencyCritical<'_>,
    ) -> Option<Waiting<T>> {
        if !self.may_begin(worker) {
            return None;
        }
        let mut queue = self.queue.lock();
        let tasks = queue.as_mut()?;
        let task = tasks.pop_front()?;
        self.waiting.store(tasks.len(), Ordering::Relaxed);
        self.enter(worker, counted);
        Some(task)
    }

    /// The poll of a thread counts on the core of the worker from now on, unless it counts on some
    /// already. True if a worker has to be [told](LongQueue::leave): one may have been woken that
    /// was about to begin one there.
    pub(crate) fn enter(&self, worker: usize, counted: &Counted) -> bool {
        // First of all, since whoever finds it there may take it back at once.
        self.counts[worker].fetch_add(1, Ordering::Relaxed);
        if !counted.put(worker) {
            self.counts[worker].fetch_sub(1, Ordering::Relaxed);
        }
        fence(Ordering::SeqCst);
        self.is_waiting()
    }

    /// It does not count any more. True if a worker has to be told, because some wait.
    #[inline]
    pub(crate) fn leave(&self, counted: &Counted) -> bool {
        let Some(worker) = counted.take() else {
            return false;
        };
        let before = self.counts[worker].fetch_sub(1, Ordering::Relaxed);
        debug_assert!(before > 0, "a long poll ended that was never counted");
        fence(Ordering::SeqCst);
        self.is_waiting()
    }

    /// How much CPU long polls have used so far, in all.
    pub(crate) fn used(&self) -> Duration {
        Duration::from_nanos(self.used_ns.load(Ordering::Relaxed))
    }

    /// One has used so much.
    pub(crate) fn record(&self, used: Duration) {
        let used_ns = used.as_nanos() as u64;
        self.used_ns.fetch_add(used_ns, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting() > 0
    }

    #[inline]
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    #[inline]
    fn is_free(&self, worker: usize) -> bool {
        self.count(worker) == 0
    }

    pub(crate) fn count(&self, worker: usize) -> usize {
        self.counts[worker].load(Ordering::Relaxed)
    }

    /// A bit for each worker from `from` on whose core is free of long polls.
    pub(crate) fn free_from(&self, from: usize) -> u64 {
        let workers = self.counts.len().min(from + u64::BITS as usize);
        let free = (from..workers).filter(|&worker| self.is_free(worker));
        free.fold(0, |bits, worker| bits | 1 << (worker - from))
    }

    /// The worker whose core has the fewest; `preferred` among equals.
    pub(crate) fn least(&self, preferred: usize) -> usize {
        let others = (0..self.counts.len()).filter(|&worker| worker != preferred);
        // The first of the least.
        let workers = std::iter::once(preferred).chain(others);
        workers
            .min_by_key(|&worker| self.count(worker))
            .unwrap_or(preferred)
    }

    /// How many are in progress.
    pub(crate) fn running(&self) -> usize {
        (0..self.counts.len())
            .map(|worker| self.count(worker))
            .sum()
    }

    /// Takes no more from now on, and returns what is there.
    pub(crate) fn close(&self) -> VecDeque<Waiting<T>> {
        let tasks = self.queue.lock().take();
        self.waiting.store(0, Ordering::Relaxed);
        tasks.unwrap_or_default()
    }
}
