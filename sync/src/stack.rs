//! A Treiber stack whose consumer takes everything at once, which leaves no room for ABA.
//!
//! ```text
//! push                                          take_all
//! 1. link the new node to the head              1. swap null in (SeqCst); the whole list is ours
//! 2. compare-exchange it in (SeqCst); else 1.   2. turn the list round, oldest first
//! ```
//!
//! A push is one compare-exchange, complete or not there at all, so a preempted pusher never leaves
//! anything half-written that the taker would have to wait for. (The block-based queues at hand,
//! crossbeam's `SegQueue` and std's channel, do not give that: whoever pushes the last item of a
//! block installs the next block, and until then every other pusher spins.)
//!
//! The taker sees all that is in the nodes. The swap reads from the last push; each push before it
//! is seen as well, because the later ones, being read-modify-writes, continue its release
//! sequence.
//!
//! Model: `models::pushes_meet_takes` below.
#![allow(unsafe_code, reason = "nodes are boxes that are shared as pointers")]

use std::ptr;

use crate::atomic::{AtomicPtr, Ordering};

/// A stack that anybody pushes on and that is taken whole. Nobody waits.
///
/// Its operations are sequentially consistent, so that a pusher may check next whether the taker
/// sleeps.
pub struct Stack<T: Send> {
    head: AtomicPtr<Node<T>>,
}

struct Node<T> {
    value: T,
    next: *mut Node<T>,
}

impl<T: Send> Default for Stack<T> {
    fn default() -> Self {
        Stack::new()
    }
}

impl<T: Send> Stack<T> {
    /// An empty stack.
    pub fn new() -> Self {
        Stack {
            head: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// Adds `value`.
    pub fn push(&self, value: T) {
        let next = self.head.load(Ordering::Relaxed);
        let node = Box::leak(Box::new(Node { value, next }));
        while let Err(now) =
            self.head
                .compare_exchange_weak(node.next, node, Ordering::SeqCst, Ordering::Relaxed)
        {
            node.next = now;
        }
    }

    /// Whether there is nothing to take.
    pub fn is_empty(&self) -> bool {
        self.head.load(Ordering::SeqCst).is_null()
    }

    /// Takes everything that was pushed so far, oldest first.
    pub fn take_all(&self) -> Taken<T> {
        let mut next = self.head.swap(ptr::null_mut(), Ordering::SeqCst);
        let (mut oldest, mut len) = (ptr::null_mut(), 0);
        while !next.is_null() {
            // SAFETY: `next` was made from a `Box` in `push`. The swap above took the whole list
            // out of `head`, from which alone its nodes can be reached, so this thread owns them,
            // and it visits each one once.
            let mut node = unsafe { Box::from_raw(next) };
            next = std::mem::replace(&mut node.next, oldest);
            oldest = Box::into_raw(node);
            len += 1;
        }
        Taken { next: oldest, len }
    }
}

impl<T: Send> Drop for Stack<T> {
    fn drop(&mut self) {
        drop(self.take_all());
    }
}

/// What was taken out of a [`Stack`], oldest first.
#[must_use = "dropping it drops what was taken"]
pub struct Taken<T> {
    next: *mut Node<T>,
    len: usize,
}

impl<T> Iterator for Taken<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        if self.next.is_null() {
            return None;
        }
        // SAFETY: this owns the list, whose nodes come from `Box::into_raw` in `take_all`, and goes
        // on to the next one.
        let node = unsafe { Box::from_raw(self.next) };
        self.next = node.next;
        self.len -= 1;
        Some(node.value)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.len, Some(self.len))
    }
}

impl<T> ExactSizeIterator for Taken<T> {}

impl<T> Drop for Taken<T> {
    fn drop(&mut self) {
        // Collected, because a `Vec` drops the others if the destructor of one panics.
        drop(self.collect::<Vec<_>>());
    }
}

#[cfg(all(test, not(evenkeel_loom)))]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn what_was_pushed_first_is_first() {
        let stack = Stack::new();
        assert!(stack.is_empty());
        (0..3).for_each(|number| stack.push(number));
        assert!(!stack.is_empty());
        let taken = stack.take_all();
        assert_eq!(taken.len(), 3);
        assert!(taken.eq(0..3));
        assert!(stack.is_empty());
        assert_eq!(stack.take_all().next(), None);
    }

    struct CountDrop(Arc<AtomicUsize>, bool);

    impl Drop for CountDrop {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
            if self.1 {
                panic!("from a destructor");
            }
        }
    }

    #[test]
    fn all_that_nobody_has_taken_is_dropped_whatever_panics() {
        let drops = Arc::new(AtomicUsize::new(0));
        let stack = Stack::new();
        for panics in [false, true, false] {
            stack.push(CountDrop(drops.clone(), panics));
        }
        assert!(catch_unwind(AssertUnwindSafe(|| drop(stack))).is_err());
        assert_eq!(drops.load(Ordering::Relaxed), 3);
    }
}

#[cfg(all(test, evenkeel_loom))]
mod models {
    use super::*;
    use crate::models::{model, read, written};
    use loom::sync::Arc;
    use loom::thread;

    /// Two push, one of them twice, while another takes: each value comes out once, can be seen,
    /// and comes after what the same thread pushed before.
    ///
    /// Caught: the swap with `Relaxed`; the compare-exchange with `Relaxed`; a failed
    /// compare-exchange that keeps the old `next`.
    #[test]
    fn pushes_meet_takes() {
        model(3, || {
            let stack = Arc::new(Stack::new());
            let push = |values: &'static [u32]| {
                let stack = stack.clone();
                thread::spawn(move || values.iter().for_each(|value| stack.push(written(*value))))
            };
            let pushers = [push(&[1, 2]), push(&[10])];
            let mut values: Vec<_> = stack.take_all().map(read).collect();
            pushers
                .into_iter()
                .for_each(|pusher| pusher.join().unwrap());
            values.extend(stack.take_all().map(read));
            let place = |value| values.iter().position(|other| *other == value);
            assert!(place(1) < place(2), "{values:?}");
            values.sort_unstable();
            assert_eq!(values, [1, 2, 10]);
        });
    }
}
