//! The tasks that wait, so that a shutdown can find them.
//!
//! A task enters the registry of the worker that polled it first, after that poll returned `Pending`;
//! one that completes in its first poll never comes here. So a live task is always in a queue, or
//! running, or registered, and a shutdown reaches it in each of the three. Only workers of one lane
//! take the lock, so no thread of low priority ever holds one that an IO worker wants.

use super::cell::{Header, TaskRef};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicUsize, Ordering};
use std::ptr;

/// A list of waiting tasks, linked through the tasks. Owns one reference to each.
pub(crate) struct Registry {
    list: Mutex<List>,
    /// For dumps, which must not take the lock from any thread.
    len: AtomicUsize,
}

struct List {
    first: *mut Header,
    closed: bool,
}

// SAFETY: the pointers are to tasks, which are `Send`; each is owned by one reference.
unsafe impl Send for List {}

impl Registry {
    pub(crate) fn new() -> Self {
        Registry {
            list: Mutex::new(List {
                first: ptr::null_mut(),
                closed: false,
            }),
            len: AtomicUsize::new(0),
        }
    }

    /// Adds a task, and takes over one reference to it; false (and no reference) once closed.
    pub(crate) fn insert(&self, task: TaskRef) -> bool {
        let mut list = self.list.lock();
        if list.closed {
            return false;
        }
        // SAFETY: alive by the reference that is handed over.
        let header = unsafe { task.header() };
        header.prev.store(ptr::null_mut(), Ordering::Relaxed);
        header.next.store(list.first, Ordering::Relaxed);
        // SAFETY: a listed task is alive by the list's reference.
        if let Some(second) = unsafe { TaskRef::from_ptr(list.first) } {
            // SAFETY: as above.
            unsafe { second.header() }
                .prev
                .store(task.as_ptr(), Ordering::Relaxed);
        }
        list.first = task.as_ptr();
        self.len.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// Removes a task that was inserted here. True if its reference goes to the caller; false if
    /// [`Registry::close`] has it.
    pub(crate) fn remove(&self, task: TaskRef) -> bool {
        let mut list = self.list.lock();
        let removed = list.unlink(task);
        if removed {
            self.len.fetch_sub(1, Ordering::Relaxed);
        }
        removed
    }

    /// Takes no more tasks, and cancels those that are there. Futures are dropped outside the lock.
    pub(crate) fn close(&self) {
        self.list.lock().closed = true;
        while let Some(task) = self.pop() {
            // SAFETY: the list's reference, handed over by `pop`.
            unsafe { task.shutdown() };
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    fn pop(&self) -> Option<TaskRef> {
        let mut list = self.list.lock();
        // SAFETY: a listed task is alive by the list's reference.
        let first = unsafe { TaskRef::from_ptr(list.first) }?;
        list.unlink(first);
        self.len.fetch_sub(1, Ordering::Relaxed);
        Some(first)
    }
}

impl List {
    fn unlink(&mut self, task: TaskRef) -> bool {
        // SAFETY: alive: the caller has a reference, or it is in the list.
        let header = unsafe { task.header() };
        let prev = header.prev.load(Ordering::Relaxed);
        let next = header.next.load(Ordering::Relaxed);
        if prev.is_null() && self.first != task.as_ptr() {
            return false;
        }
        // SAFETY: neighbours in the list are alive by the list's references.
        match unsafe { TaskRef::from_ptr(prev) } {
            // SAFETY: as above.
            Some(prev) => unsafe { prev.header() }.next.store(next, Ordering::Relaxed),
            None => self.first = next,
        }
        // SAFETY: neighbours in the list are alive by the list's references.
        if let Some(next) = unsafe { TaskRef::from_ptr(next) } {
            // SAFETY: as above.
            unsafe { next.header() }.prev.store(prev, Ordering::Relaxed);
        }
        header.prev.store(ptr::null_mut(), Ordering::Relaxed);
        header.next.store(ptr::null_mut(), Ordering::Relaxed);
        true
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.close();
    }
}
