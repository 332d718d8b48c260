//! A place for one task: the next-slot of a worker.
//!
//! ```text
//! owner: put                                anybody: take
//! 1. empty: store the task, release         1. empty: nothing to do
//! 2. else swap it in, and get the other     2. swap null in, acquire; what was there is ours
//! ```
//!
//! Only the owner fills it, so what it sees empty stays empty; everything else is one exchange. How often in a
//! row a worker takes from it is bounded (`lane::worker`). Loom model: `models::inboxes`.

use super::header::{Header, Task};
use crate::sync::atomic::{AtomicPtr, Ordering};
use std::ptr::{self, NonNull};

/// Filled by one thread, its owner; emptied by anybody.
pub(crate) struct Slot {
    task: AtomicPtr<Header>,
}

impl Slot {
    pub(crate) fn new() -> Self {
        Slot {
            task: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// Puts a task in, and returns the one that was there. Only for the owner.
    pub(crate) fn put(&self, task: Task) -> Option<Task> {
        let raw = task.into_raw().as_ptr();
        if self.is_empty() {
            // Nobody else fills it, so it is still empty.
            self.task.store(raw, Ordering::Release);
            return None;
        }
        Self::from_raw(self.task.swap(raw, Ordering::AcqRel))
    }

    pub(crate) fn take(&self) -> Option<Task> {
        if self.is_empty() {
            return None;
        }
        Self::from_raw(self.task.swap(ptr::null_mut(), Ordering::Acquire))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.task.load(Ordering::Relaxed).is_null()
    }

    /// Where the task is that is in the slot: no more than a number, since it may be gone by now.
    pub(crate) fn peek(&self) -> Option<usize> {
        let address = self.task.load(Ordering::Relaxed).addr();
        (address != 0).then_some(address)
    }

    fn from_raw(raw: *mut Header) -> Option<Task> {
        let raw = NonNull::new(raw)?;
        // SAFETY: from `put`; the swap that took it out gave it to nobody else.
        Some(unsafe { Task::from_raw(raw) })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        drop(self.take());
    }
}
