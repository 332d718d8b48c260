//! Tasks whose next poll is expected to be long.
//!
//! They wait in a queue of their own, one for the whole lane, first come first served. A worker that finds no short task takes
//! one from it and polls it where it is. So a short task never waits behind a row of long ones, and a worker is replaced for
//! the sake of short ones only: if all that wait are long, to start another beside the one that is there would not
//! make anybody faster.
//!
//! A worker begins none while another is in progress on its core, by a thread that has lost its seat. So at normal priority long
//! polls have half of a core that the worker wants too, and no core has two of them while another has none.
//!
//! ```text
//! a core becomes free of long polls         a worker that found nothing
//! 1. its count -= 1                         1. to 3. as in `sleep`, the fence among them
//! 2. fence (SeqCst)                         4. the last look: tasks wait, and its own count is 0
//! 3. tasks wait: steps 4 and 5 of a
//!    submitter in `sleep`, with a sleeper   a worker takes a task
//!    whose count is 0                       under the lock: its count is 0; pop; its count += 1
//!
//! a task comes
//! 1. push, under the lock; waiting += 1
//! 2. fence (SeqCst)
//! 3. as above
//! ```
//!
//! The fences see to it that of a core that becomes free and a task that comes, one sees the other, or the worker's last look
//! sees both. Searchers do not keep anybody from being woken, as they do for short tasks: their own cores may be taken.
//!
//! A thread that leaves may be of low priority, so it takes no lock. Loom model: `models::long`.

use crate::sync::Mutex;
use crate::sync::atomic::{AtomicUsize, Ordering, fence};
use crossbeam_utils::CachePadded;
use std::collections::VecDeque;

/// So many tasks for each worker may wait for one that has much to do to have a large share of a core.
const FEW_WAIT: usize = 8;

/// The queue, and where long polls are in progress. `T` is a task.
pub(crate) struct Long<T> {
    /// `None` once it takes no more. Locked by IO workers and the driver thread only.
    queue: Mutex<Option<VecDeque<T>>>,
    /// How many are in the queue.
    waiting: AtomicUsize,
    /// How many long polls are in progress on the core of each worker.
    counts: Box<[CachePadded<AtomicUsize>]>,
}

impl<T> Long<T> {
    pub(crate) fn new(workers: usize) -> Self {
        let count = |_| CachePadded::new(AtomicUsize::new(0));
        Long {
            queue: Mutex::new(Some(VecDeque::new())),
            waiting: AtomicUsize::new(0),
            counts: (0..workers).map(count).collect(),
        }
    }

    /// Gives the task back if the queue is closed. Otherwise the caller has to see to it that a worker knows.
    pub(crate) fn push(&self, task: T) -> Result<(), T> {
        let mut queue = self.queue.lock();
        let Some(tasks) = &mut *queue else {
            drop(queue);
            return Err(task);
        };
        tasks.push_back(task);
        self.waiting.store(tasks.len(), Ordering::Relaxed);
        Ok(())
    }

    /// The worker could begin one.
    #[inline]
    pub(crate) fn may_begin(&self, worker: usize) -> bool {
        self.is_waiting() && self.is_free(worker)
    }

    /// The first task, which counts as in progress on the worker's core from now on.
    pub(crate) fn begin(&self, worker: usize) -> Option<T> {
        if !self.may_begin(worker) {
            return None;
        }
        let mut queue = self.queue.lock();
        let tasks = queue.as_mut()?;
        let task = tasks.pop_front()?;
        self.waiting.store(tasks.len(), Ordering::Relaxed);
        self.enter(worker);
        Some(task)
    }

    /// A poll has turned out to be long.
    pub(crate) fn enter(&self, worker: usize) {
        self.counts[worker].fetch_add(1, Ordering::Relaxed);
    }

    /// One is over, or is not to count any more. If any [waits](Long::is_waiting) then, a worker has to know.
    pub(crate) fn leave(&self, worker: usize) {
        self.counts[worker].fetch_sub(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    #[inline]
    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting() > 0
    }

    #[inline]
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// So few wait that a task which is long and always comes back has a large share of a core.
    pub(crate) fn few_wait(&self) -> bool {
        self.waiting() < FEW_WAIT * self.counts.len()
    }

    #[inline]
    fn is_free(&self, worker: usize) -> bool {
        self.count(worker) == 0
    }

    fn count(&self, worker: usize) -> usize {
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
        (0..self.counts.len()).map(|worker| self.count(worker)).sum()
    }

    /// Takes no more from now on, and returns what is there.
    pub(crate) fn close(&self) -> VecDeque<T> {
        let tasks = self.queue.lock().take();
        self.waiting.store(0, Ordering::Relaxed);
        tasks.unwrap_or_default()
    }
}
