//! Two lock-free containers, the only `unsafe` of this crate.
//!
//! Both hand boxed values from thread to thread by one atomic step, so a thread that is preempted in the middle of an
//! operation has either done it or not begun: nobody ever waits for it. (The block-based queues at hand, crossbeam's
//! `SegQueue` and std's channel, do not give that: who pushes the last item of a block installs the next block, and
//! until then every other pusher spins.)
#![allow(unsafe_code)]

use std::collections::VecDeque;
use std::ptr;

use crate::sync::{AtomicPtr, Ordering};

/// A Treiber stack whose consumer takes everything at once, which leaves no room for ABA.
pub(crate) struct Stack<T: Send> {
    head: AtomicPtr<Node<T>>,
}

struct Node<T> {
    value: T,
    next: *mut Node<T>,
}

impl<T: Send> Stack<T> {
    pub(crate) fn new() -> Self {
        Self {
            head: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// Adds `value`. Lock-free.
    pub(crate) fn push(&self, value: T) {
        let node = Box::leak(Box::new(Node {
            value,
            next: ptr::null_mut(),
        }));
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            node.next = head;
            // Release: whoever takes the node sees what is in it. The nodes below stay visible to the same taker,
            // because this read-modify-write continues the release sequences of their pushes.
            let swapped =
                self.head
                    .compare_exchange_weak(head, node, Ordering::Release, Ordering::Relaxed);
            match swapped {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    /// Moves everything to the end of `queue`, oldest first, and returns how many that was.
    pub(crate) fn take_all(&self, queue: &mut VecDeque<T>) -> usize {
        let start = queue.len();
        let mut next = self.head.swap(ptr::null_mut(), Ordering::Acquire);
        while !next.is_null() {
            // SAFETY: `next` was made from a `Box` in `push`. The swap above took the whole list out of `head`, from
            // which alone its nodes can be reached, so this thread owns them, and it visits each one once.
            let node = unsafe { Box::from_raw(next) };
            next = node.next;
            queue.push_back(node.value);
        }
        let end = queue.len();
        for i in 0..(end - start) / 2 {
            queue.swap(start + i, end - 1 - i);
        }
        end - start
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.head.load(Ordering::Relaxed).is_null()
    }
}

impl<T: Send> Drop for Stack<T> {
    fn drop(&mut self) {
        self.take_all(&mut VecDeque::new());
    }
}

/// Holds a boxed value or nothing; the one operation that changes it is a swap.
pub(crate) struct Slot<T: Send> {
    value: AtomicPtr<T>,
}

impl<T: Send> Slot<T> {
    pub(crate) fn new(value: Option<Box<T>>) -> Self {
        Self {
            value: AtomicPtr::new(value.map_or(ptr::null_mut(), Box::into_raw)),
        }
    }

    /// Stores `value` and returns what was there. Acquires from and releases to every other swap of this slot.
    pub(crate) fn swap(&self, value: Option<Box<T>>) -> Option<Box<T>> {
        let new = value.map_or(ptr::null_mut(), Box::into_raw);
        let old = self.value.swap(new, Ordering::AcqRel);
        if old.is_null() {
            return None;
        }
        // SAFETY: every non-null pointer in `value` came from `Box::into_raw`, and the swap gave this one to this
        // thread alone.
        Some(unsafe { Box::from_raw(old) })
    }

    pub(crate) fn take(&self) -> Option<Box<T>> {
        self.swap(None)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.value.load(Ordering::Relaxed).is_null()
    }
}

impl<T: Send> Drop for Slot<T> {
    fn drop(&mut self) {
        drop(self.take());
    }
}
