//! Tasks whose next poll is expected to be long.
//!
//! They wait in a queue of their own, one for the whole lane, first come first served. A worker that finds no short task takes
//! one from it and polls it where it is. So a short task never waits behind a row of long ones, and a worker is replaced for
//! the sake of short ones only: if all that wait are long, to start another beside the one that is there would not
//! make anybody faster.
//!
//! No more than one long poll for each worker is in progress at a time, those included that were not expected and whose threads
//! have lost their seats since; so that at normal priority long polls have at most half of a core that the worker wants too.
//!
//! ```text
//! a place becomes free                      a worker that found nothing
//! 1. running -= 1                           1. to 3. as in `sleep`, the fence among them
//! 2. fence (SeqCst)                         4. the last look: tasks wait, and running < limit
//! 3. tasks wait, and running < limit:
//!    then as a submitter in `sleep`         a worker takes a task
//!                                           under the lock: running < limit, pop, running += 1
//! a task comes
//! as a submitter in `sleep`
//! ```
//!
//! The fences see to it that of a place and a task that come at once, one sees the other, or a worker's last look sees both.
//!
//! `running` grows under the lock only, or by the driver thread's hand, and never for a moment too far: whoever sees no place
//! left may rely on it that somebody who has one will look again when he leaves it. A thread that leaves may be of low
//! priority, so it takes no lock. Loom model: `models::long`.

use crate::sync::Mutex;
use crate::sync::atomic::{AtomicUsize, Ordering, fence};
use std::collections::VecDeque;

/// So many tasks for each worker may wait for one that has much to do to have a large share of a core.
const FEW_WAIT: usize = 8;

/// The queue, and the places of those that are being polled. `T` is a task.
pub(crate) struct Long<T> {
    /// `None` once it takes no more. Locked by IO workers and the driver thread only.
    queue: Mutex<Option<VecDeque<T>>>,
    /// How many are in the queue.
    waiting: AtomicUsize,
    /// How many polls are in progress,
    running: AtomicUsize,
    /// and may be.
    limit: usize,
}

impl<T> Long<T> {
    pub(crate) fn new(limit: usize) -> Self {
        Long {
            queue: Mutex::new(Some(VecDeque::new())),
            waiting: AtomicUsize::new(0),
            running: AtomicUsize::new(0),
            limit,
        }
    }

    /// Gives the task back if the queue is closed.
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

    /// A task waits, and may be polled.
    #[inline]
    pub(crate) fn may_begin(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0 && self.running.load(Ordering::Relaxed) < self.limit
    }

    /// The first task, and a place, which has to be left.
    pub(crate) fn begin(&self) -> Option<T> {
        if !self.may_begin() {
            return None;
        }
        let mut queue = self.queue.lock();
        let tasks = queue.as_mut()?;
        if self.running.load(Ordering::Relaxed) >= self.limit {
            return None;
        }
        let task = tasks.pop_front()?;
        self.running.fetch_add(1, Ordering::Relaxed);
        self.waiting.store(tasks.len(), Ordering::Relaxed);
        Some(task)
    }

    /// A poll has turned out to be long, and has a place from now on, whether there is one or not.
    pub(crate) fn enter(&self) {
        self.running.fetch_add(1, Ordering::Relaxed);
    }

    /// A place becomes free. The caller then does as if it had submitted something, if [`may_begin`](Long::may_begin).
    pub(crate) fn leave(&self) {
        self.running.fetch_sub(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    pub(crate) fn running(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }

    /// So few wait that a task which is long and always comes back has a large share of a core.
    pub(crate) fn few_wait(&self) -> bool {
        self.waiting() < FEW_WAIT * self.limit
    }

    /// Takes no more from now on, and returns what is there.
    pub(crate) fn close(&self) -> VecDeque<T> {
        let tasks = self.queue.lock().take();
        self.waiting.store(0, Ordering::Relaxed);
        tasks.unwrap_or_default()
    }
}
