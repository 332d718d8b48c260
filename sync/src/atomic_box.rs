//! A boxed value that is handed from thread to thread by swaps.
#![allow(unsafe_code, reason = "a pointer to a box is turned back into it")]

use std::ptr;

use crate::atomic::{AtomicPtr, Ordering};

/// Holds a boxed value or nothing; the one operation that changes it is a swap.
///
/// So a thread that is preempted in the middle of an operation has either done it or not begun, and
/// nobody ever waits for it.
pub struct AtomicBox<T: Send> {
    value: AtomicPtr<T>,
}

impl<T: Send> AtomicBox<T> {
    /// With `value` in it.
    pub fn new(value: Option<Box<T>>) -> Self {
        AtomicBox {
            value: AtomicPtr::new(value.map_or(ptr::null_mut(), Box::into_raw)),
        }
    }

    /// Stores `value` and returns what was there. Acquires from and releases to every other swap of
    /// this one.
    pub fn swap(&self, value: Option<Box<T>>) -> Option<Box<T>> {
        let new = value.map_or(ptr::null_mut(), Box::into_raw);
        let old = self.value.swap(new, Ordering::AcqRel);
        if old.is_null() {
            return None;
        }
        // SAFETY: every non-null pointer in `value` came from `Box::into_raw`, and the swap gave
        // this one to this thread alone.
        Some(unsafe { Box::from_raw(old) })
    }

    /// Takes what is there.
    pub fn take(&self) -> Option<Box<T>> {
        self.swap(None)
    }

    /// Whether there is nothing. Orders nothing.
    pub fn is_empty(&self) -> bool {
        self.value.load(Ordering::Relaxed).is_null()
    }
}

impl<T: Send> Drop for AtomicBox<T> {
    fn drop(&mut self) {
        drop(self.take());
    }
}

#[cfg(all(test, not(evenkeel_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_swap_returns_what_was_there() {
        let slot = AtomicBox::new(None);
        assert!(slot.is_empty());
        assert_eq!(slot.swap(Some(Box::new(1))), None);
        assert!(!slot.is_empty());
        assert_eq!(slot.swap(Some(Box::new(2))), Some(Box::new(1)));
        assert_eq!(slot.take(), Some(Box::new(2)));
        assert_eq!(slot.take(), None);
    }
}

#[cfg(all(test, evenkeel_loom))]
mod models {
    use super::*;
    use crate::models::{model, read, written};
    use loom::sync::Arc;
    use loom::thread;

    /// Two put a value in, one takes: each value comes out once, and what is in it can be seen.
    ///
    /// Caught: the swap with `Acquire` alone, and with `Release` alone.
    #[test]
    fn swaps() {
        model(3, || {
            let slot = Arc::new(AtomicBox::new(None));
            let putters: Vec<_> = (0..2)
                .map(|number| {
                    let slot = slot.clone();
                    let put = move || slot.swap(Some(Box::new(written(number))));
                    thread::spawn(move || put().map(|value| read(*value)))
                })
                .collect();
            let mut numbers = vec![slot.take().map(|value| read(*value))];
            numbers.extend(putters.into_iter().map(|putter| putter.join().unwrap()));
            numbers.push(slot.take().map(|value| read(*value)));
            let mut numbers: Vec<_> = numbers.into_iter().flatten().collect();
            numbers.sort_unstable();
            assert_eq!(numbers, [0, 1]);
        });
    }
}
