//! The tasks that wait, so that a shutdown can find them.
//!
//! A task enters the registry of the worker that polled it first, after that poll returned
//! `Pending`. A task that completes in its first poll never enters one. So a live task is always in
//! a queue, or running, or registered, and a shutdown reaches it in each of the three. Only workers
//! of one lane take the lock, so no thread of low priority ever holds one that an IO worker needs.

use super::header::{Completed, Header, TaskRef};
use evenkeel_sync::Mutex;
use evenkeel_sync::atomic::{AtomicUsize, Ordering};
use std::ptr::{self, NonNull};

/// The registry's reference to a task: handed over when the task enters, and given back when it
/// leaves. A task has at most one.
pub(crate) struct Registered(TaskRef);

impl Registered {
    /// # Safety
    /// There was none for this task before, and there will be no other.
    pub(super) unsafe fn new(task: TaskRef) -> Registered {
        Registered(task)
    }

    pub(super) fn into_ref(self) -> TaskRef {
        self.0
    }
}

/// A list of waiting tasks, linked through the tasks.
pub(crate) struct Registry {
    list: Mutex<List>,
    /// For dumps, which must not take the lock.
    len: AtomicUsize,
}

/// Owns the [`Registered`] of each task in it.
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

    /// Gives the task back once the registry is closed.
    pub(crate) fn insert(&self, task: Registered) -> Result<(), Registered> {
        let mut list = self.list.lock();
        if list.closed {
            return Err(task);
        }
        list.link(task);
        self.len.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Takes a task out; `None` if [`close`](Registry::close) has done that.
    ///
    /// # Safety
    /// The task was inserted here.
    pub(crate) unsafe fn remove(&self, task: &Completed) -> Option<Registered> {
        let mut list = self.list.lock();
        // SAFETY: the caller's reference keeps it alive, and it is in this list or in none.
        let removed = unsafe { list.unlink(task.task.as_raw()) };
        if removed.is_some() {
            self.len.fetch_sub(1, Ordering::Relaxed);
        }
        removed
    }

    /// Takes no more tasks, and cancels those that are there. Futures are dropped while the lock is
    /// free.
    pub(crate) fn close(&self) {
        self.list.lock().closed = true;
        while let Some(task) = self.pop() {
            task.0.shutdown();
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    fn pop(&self) -> Option<Registered> {
        let mut list = self.list.lock();
        let first = NonNull::new(list.first)?;
        // SAFETY: a listed task is alive by the list's reference.
        let removed = unsafe { list.unlink(first) };
        self.len.fetch_sub(1, Ordering::Relaxed);
        removed
    }
}

impl List {
    fn link(&mut self, task: Registered) {
        let header = &*task.0;
        header.prev.store(ptr::null_mut(), Ordering::Relaxed);
        header.next.store(self.first, Ordering::Relaxed);
        let raw = task.0.as_raw().as_ptr();
        // SAFETY: a listed task is alive by the list's reference.
        if let Some(second) = unsafe { self.first.as_ref() } {
            second.prev.store(raw, Ordering::Relaxed);
        }
        self.first = task.0.into_raw().as_ptr();
    }

    /// `None` if the task is not in the list.
    ///
    /// # Safety
    /// The task is alive, and in no other list.
    unsafe fn unlink(&mut self, task: NonNull<Header>) -> Option<Registered> {
        // SAFETY: alive, by the caller's word.
        let header = unsafe { task.as_ref() };
        let prev = header.prev.load(Ordering::Relaxed);
        let next = header.next.load(Ordering::Relaxed);
        if prev.is_null() && self.first != task.as_ptr() {
            return None;
        }
        // SAFETY: neighbours in the list are alive by the list's references.
        match unsafe { prev.as_ref() } {
            Some(prev) => prev.next.store(next, Ordering::Relaxed),
            None => self.first = next,
        }
        // SAFETY: as above.
        if let Some(next) = unsafe { next.as_ref() } {
            next.prev.store(prev, Ordering::Relaxed);
        }
        header.prev.store(ptr::null_mut(), Ordering::Relaxed);
        header.next.store(ptr::null_mut(), Ordering::Relaxed);
        // SAFETY: `link` has put the reference here, and it is taken out once.
        Some(Registered(unsafe { TaskRef::from_raw(task) }))
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.close();
    }
}
