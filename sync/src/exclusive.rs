//! A value that one thread at a time may have, that nobody waits for, and that can be taken away
//! for good.
//!
//! ```text
//! close                                     the one who has it
//! 1. closing = true (SeqCst)                1. unlock
//! 2. fence (SeqCst)                         2. fence (SeqCst)
//! 3. try the lock; got it: drop the value   3. closing: try the lock; got it: drop the value
//! ```
//!
//! If the try of `close` fails, the unlock comes after it, so step 3 of the other side sees the
//! mark, or a third thread has it by then, of which the same holds. Model: `models::closing` below.

use crate::atomic::{AtomicBool, Ordering, fence};
use crate::{TryLock, TryLockGuard};
use std::ops::{Deref, DerefMut};

/// A value that one thread at a time may have. Nobody waits for it.
pub struct Exclusive<T> {
    value: TryLock<Option<T>>,
    closing: AtomicBool,
}

/// The value, until this is dropped.
#[must_use = "dropping it gives the value back"]
pub struct Guard<'a, T> {
    owner: &'a Exclusive<T>,
    /// Some until the drop, and holding some value.
    value: Option<TryLockGuard<'a, Option<T>>>,
}

impl<T> Exclusive<T> {
    /// Anybody may take `value`.
    pub fn new(value: T) -> Self {
        Exclusive {
            value: TryLock::new(Some(value)),
            closing: AtomicBool::new(false),
        }
    }

    /// `None` if another thread has it, or it is gone.
    pub fn try_take(&self) -> Option<Guard<'_, T>> {
        let value = self.value.try_lock()?;
        value.is_some().then_some(Guard {
            owner: self,
            value: Some(value),
        })
    }

    /// Drops the value now, or when the thread that has it gives it back.
    pub fn close(&self) {
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

#[cfg(all(test, evenkeel_loom))]
mod models {
    use super::*;
    use crate::models::model;
    use loom::sync::Arc;
    use loom::sync::atomic::AtomicUsize;
    use loom::thread;

    struct CountDrop(Arc<AtomicUsize>);

    impl Drop for CountDrop {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// A close against two threads that take turns: the value is dropped, once.
    ///
    /// Caught: the guard that does not look at `closing`; the guard that looks before it unlocks.
    #[test]
    fn closing() {
        model(3, || {
            let drops = Arc::new(AtomicUsize::new(0));
            let exclusive = Arc::new(Exclusive::new(CountDrop(drops.clone())));
            let takers: Vec<_> = (0..2)
                .map(|_| {
                    let exclusive = exclusive.clone();
                    thread::spawn(move || drop(exclusive.try_take()))
                })
                .collect();
            exclusive.close();
            takers.into_iter().for_each(|taker| taker.join().unwrap());
            assert_eq!(drops.load(Ordering::SeqCst), 1, "closed, and still there");
            assert!(exclusive.try_take().is_none());
        });
    }
}
