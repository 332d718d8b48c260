//! A place for one task: the LIFO slot of a worker.
//!
//! ```text
//! owner: put                                anybody: take
//! 1. empty: store the task, release         1. empty: nothing to do
//! 2. else swap it in, and get the other     2. swap null in, acquire; what was there is ours
//! ```
//!
//! Only the owner fills it, so what it sees empty stays empty; everything else is one exchange. A
//! worker takes a bounded number of tasks in a row from it (`scheduler::queue`). Loom model:
//! `models::inboxes`.

use super::header::{Header, Task};
use evenkeel_sync::atomic::{AtomicPtr, Ordering};
use std::cell::Cell;
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::sync::Arc;

/// Emptied by anybody, and filled by its [`SlotOwner`]. On cache lines of its own: its worker
/// writes to it all the time.
#[repr(align(128))]
pub(crate) struct Slot {
    task: AtomicPtr<Header>,
}

/// The end of a slot at which it is filled. There is one, and it is not `Sync`, so one thread at a
/// time fills the slot.
pub(crate) struct SlotOwner {
    slot: Arc<Slot>,
    not_sync: PhantomData<Cell<()>>,
}

impl SlotOwner {
    /// The owner of a new slot.
    pub(crate) fn new() -> Self {
        let task = AtomicPtr::new(ptr::null_mut());
        SlotOwner {
            slot: Arc::new(Slot { task }),
            not_sync: PhantomData,
        }
    }

    pub(crate) fn slot(&self) -> &Arc<Slot> {
        &self.slot
    }

    /// Puts a task in, and returns the one that was there.
    pub(crate) fn put(&self, task: Task) -> Option<Task> {
        let raw = task.into_raw().as_ptr();
        if self.slot.is_empty() {
            // Nobody else fills it, so it is still empty.
            self.slot.task.store(raw, Ordering::Release);
            return None;
        }
        Slot::from_raw(self.slot.task.swap(raw, Ordering::AcqRel))
    }
}

impl Slot {
    pub(crate) fn take(&self) -> Option<Task> {
        if self.is_empty() {
            return None;
        }
        Self::from_raw(self.task.swap(ptr::null_mut(), Ordering::Acquire))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.task.load(Ordering::Relaxed).is_null()
    }

    /// The address of the task in the slot: no more than a number, since the task may be gone by
    /// now.
    pub(crate) fn peek(&self) -> Option<usize> {
        let address = self.task.load(Ordering::Relaxed).addr();
        (address != 0).then_some(address)
    }

    fn from_raw(raw: *mut Header) -> Option<Task> {
        let raw = NonNull::new(raw)?;
        // SAFETY: from `SlotOwner::put`; the swap that took it out gave it to nobody else.
        Some(unsafe { Task::from_raw(raw) })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        drop(self.take());
    }
}
