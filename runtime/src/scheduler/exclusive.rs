//! A value that one thread at a time may have, that nobody waits for, and that can be taken away for good.
//!
//! ```text
//! close                                     the one who has it
//! 1. closing = true (SeqCst)                1. unlock
//! 2. fence (SeqCst)                         2. fence (SeqCst)
//! 3. try the lock; got it: drop the value   3. closing: try the lock; got it: drop the value
//! ```
//!
//! If the try of `close` fails, the unlock comes after it, so step 3 of the other side sees the mark, or a
//! third thread has it by then, of whom the same holds. Loom model: `models::turns`.

use crate::sync::atomic::{AtomicBool, Ordering, fence};
use crate::sync::{TryLock, TryLockGuard};
use std::ops::{Deref, DerefMut};

pub(crate) struct Exclusive<T> {
    value: TryLock<Option<T>>,
    closing: AtomicBool,
}

/// The value, until this is dropped.
pub(crate) struct Guard<'a, T> {
    owner: &'a Exclusive<T>,
    /// Some until the drop, and holding some value.
    value: Option<TryLockGuard<'a, Option<T>>>,
}

impl<T> Exclusive<T> {
    pub(crate) fn new(value: T) -> Self {
        Exclusive {
            value: TryLock::new(Some(value)),
            closing: AtomicBool::new(false),
        }
    }

    /// `None` if another thread has it, or it is gone.
    pub(crate) fn try_take(&self) -> Option<Guard<'_, T>> {
        let value = self.value.try_lock()?;
        value.is_some().then_some(Guard {
            owner: self,
            value: Some(value),
        })
    }

    /// Drops the value now, or when the thread that has it gives it back.
    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        self.drop_if_free();
    }

    fn drop_if_free(&self) {
        let value = self.value.try_lock().and_then(|mut value| value.take());
        drop(value);
    }
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value
            .as_deref()
            .and_then(Option::as_ref)
            .expect("there until the drop")
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.value
            .as_deref_mut()
            .and_then(Option::as_mut)
            .expect("there until the drop")
    }
}

impl<T> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        drop(self.value.take());
        fence(Ordering::SeqCst);
        if self.owner.closing.load(Ordering::SeqCst) {
            self.owner.drop_if_free();
        }
    }
}
