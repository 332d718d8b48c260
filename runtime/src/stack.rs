//! A stack on which any thread may push, and which is taken as a whole: how values cross from
//! threads of low priority.
//!
//! A push is one compare-exchange: it has happened or it has not, so a preempted pusher never
//! leaves anything half-written that the taker would have to wait for. The protocol and the reasons
//! are those of `tasks::inbox`, for values that are not tasks.

use crate::sync::atomic::{AtomicPtr, Ordering};
use std::ptr;

pub(crate) struct Stack<T> {
    head: AtomicPtr<Node<T>>,
}

struct Node<T> {
    value: T,
    next: *mut Node<T>,
}

// SAFETY: the stack owns its nodes, and hands each value to one taker only.
unsafe impl<T: Send> Send for Stack<T> {}
// SAFETY: as above; no `&T` is ever given out.
unsafe impl<T: Send> Sync for Stack<T> {}

impl<T> Stack<T> {
    pub(crate) fn new() -> Self {
        Stack {
            head: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// Sequentially consistent, so that the pusher may check next whether the taker sleeps.
    pub(crate) fn push(&self, value: T) {
        let mut node = Box::new(Node {
            value,
            next: self.head.load(Ordering::Relaxed),
        });
        loop {
            let next = node.next;
            let raw = Box::into_raw(node);
            match self
                .head
                .compare_exchange(next, raw, Ordering::SeqCst, Ordering::Relaxed)
            {
                Ok(_) => return,
                Err(seen) => {
                    // SAFETY: from `into_raw` above, and not published.
                    node = unsafe { Box::from_raw(raw) };
                    node.next = seen;
                }
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.head.load(Ordering::SeqCst).is_null()
    }

    /// Everything that was pushed so far, oldest first.
    pub(crate) fn take_all(&self) -> Vec<T> {
        let mut node = self.head.swap(ptr::null_mut(), Ordering::SeqCst);
        let mut values = Vec::new();
        while !node.is_null() {
            // SAFETY: pushed by `into_raw`, and taken out by the swap; each node is met once.
            let boxed = unsafe { Box::from_raw(node) };
            node = boxed.next;
            values.push(boxed.value);
        }
        values.reverse();
        values
    }
}

impl<T> Drop for Stack<T> {
    fn drop(&mut self) {
        self.take_all();
    }
}
