//! Where tasks come in from threads that are not workers of the lane.
//!
//! A Treiber stack linked through the tasks themselves. A push is one compare-exchange: it has
//! happened or it has not. So a preempted thread of low priority never leaves a half-written place
//! behind that a worker would have to wait for, as there are in crossbeam's `Injector` and
//! `SegQueue`. Workers take everything with one exchange, so there is no ABA problem either.
//!
//! ```text
//! push                                      take_all / close
//! 1. link = head                            1. head <-> null (or CLOSED), acquire
//! 2. head: link -> task, release;           2. the chain is ours; oldest last
//!    CLOSED seen: give the task back
//! ```
//!
//! Loom models: `models::inboxes`.

use super::header::{Header, Task};
use evenkeel_sync::atomic::{AtomicPtr, Ordering};
use std::mem;
use std::ptr::{self, NonNull};

/// A stack of tasks on which any thread may push, and which is taken as a whole.
pub(crate) struct Inbox {
    head: AtomicPtr<Header>,
}

/// The head of an inbox that takes no more tasks: not the address of anything.
fn closed() -> *mut Header {
    ptr::without_provenance_mut(1)
}

impl Inbox {
    pub(crate) fn new() -> Self {
        Inbox {
            head: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// Gives the task back if the inbox is closed.
    pub(crate) fn push(&self, task: Task) -> Result<(), Task> {
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            if head == closed() {
                return Err(task);
            }
            task.header().queue_next.store(head, Ordering::Relaxed);
            match self.head.compare_exchange(
                head,
                task.as_raw().as_ptr(),
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => {
                    // It belongs to the inbox, or to whoever has taken it out by now.
                    mem::forget(task);
                    return Ok(());
                }
                Err(seen) => head = seen,
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        let head = self.head.load(Ordering::Acquire);
        head.is_null() || head == closed()
    }

    /// All that was pushed so far, the oldest first.
    pub(crate) fn take_all(&self) -> Batch {
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            if head.is_null() || head == closed() {
                return Batch {
                    first: ptr::null_mut(),
                };
            }
            // Not a swap, which could overwrite CLOSED.
            match self.head.compare_exchange(
                head,
                ptr::null_mut(),
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(taken) => return Batch::reversed(taken),
                Err(seen) => head = seen,
            }
        }
    }

    /// Takes no more tasks, and returns those that are there.
    pub(crate) fn close(&self) -> Batch {
        let taken = self.head.swap(closed(), Ordering::Acquire);
        if taken == closed() {
            Batch {
                first: ptr::null_mut(),
            }
        } else {
            Batch::reversed(taken)
        }
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        drop(self.close());
    }
}

/// Tasks taken from an inbox. Those that are not taken out of it are dropped, and so cancelled.
pub(crate) struct Batch {
    first: *mut Header,
}

impl Batch {
    /// Reverses a taken chain, so that the oldest comes first.
    fn reversed(newest: *mut Header) -> Batch {
        let mut batch = Batch {
            first: ptr::null_mut(),
        };
        for task in (Batch { first: newest }) {
            task.header()
                .queue_next
                .store(batch.first, Ordering::Relaxed);
            batch.first = task.into_raw().as_ptr();
        }
        batch
    }
}

impl Iterator for Batch {
    type Item = Task;

    fn next(&mut self) -> Option<Task> {
        let first = NonNull::new(self.first)?;
        // SAFETY: pushed by `Inbox::push`, and unlinked here.
        let task = unsafe { Task::from_raw(first) };
        self.first = task.header().queue_next.load(Ordering::Relaxed);
        Some(task)
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.for_each(drop);
    }
}
