//! The one place that chooses between the real primitives and loom's.

#[cfg(not(evenkeel_loom))]
mod imp {
    pub(crate) use std::sync::OnceLock;
    pub(crate) use std::sync::atomic::{
        AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, fence,
    };

    /// A lock that can only be tried: no method of it waits.
    #[derive(Debug, Default)]
    pub(crate) struct TryLock<T>(parking_lot::Mutex<T>);

    impl<T> TryLock<T> {
        pub(crate) fn try_lock(&self) -> Option<parking_lot::MutexGuard<'_, T>> {
            self.0.try_lock()
        }
    }

    /// Tells loom that the caller is about to try again; nothing elsewhere.
    pub(crate) fn about_to_retry() {}
}

#[cfg(evenkeel_loom)]
mod imp {
    pub(crate) use loom::sync::atomic::{
        AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, fence,
    };

    /// loom's own mutex is no place for a switch while it is held, and so is never contended when
    /// there is nothing but plain memory behind it. An atomic flag is, and it is as weakly ordered
    /// as parking_lot's.
    #[derive(Debug, Default)]
    pub(crate) struct TryLock<T> {
        locked: AtomicBool,
        value: std::sync::Mutex<T>,
    }

    impl<T> TryLock<T> {
        pub(crate) fn try_lock(&self) -> Option<Guard<'_, T>> {
            use super::Ordering::{Acquire, Relaxed};
            self.locked
                .compare_exchange(false, true, Acquire, Relaxed)
                .ok()?;
            let value = self
                .value
                .try_lock()
                .expect("the flag lets one in at a time");
            Some(Guard {
                value,
                _unlock: Unlock(&self.locked),
            })
        }
    }

    /// Drops the value's guard first, and then unlocks.
    pub(crate) struct Guard<'a, T> {
        value: std::sync::MutexGuard<'a, T>,
        _unlock: Unlock<'a>,
    }

    struct Unlock<'a>(&'a AtomicBool);

    impl Drop for Unlock<'_> {
        fn drop(&mut self) {
            self.0.store(false, super::Ordering::Release);
        }
    }

    impl<T> std::ops::Deref for Guard<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            &self.value
        }
    }

    impl<T> std::ops::DerefMut for Guard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            &mut self.value
        }
    }

    /// What `std::sync::OnceLock` promises: who sees the value sees what was done before; who sees
    /// none may be late.
    #[derive(Debug)]
    pub(crate) struct OnceLock<T> {
        set: AtomicBool,
        value: std::sync::OnceLock<T>,
    }

    impl<T> OnceLock<T> {
        pub(crate) fn new() -> OnceLock<T> {
            OnceLock {
                set: AtomicBool::new(false),
                value: std::sync::OnceLock::new(),
            }
        }

        pub(crate) fn get(&self) -> Option<&T> {
            self.set
                .load(super::Ordering::Acquire)
                .then(|| self.value.get())?
        }

        pub(crate) fn get_or_init(&self, init: impl FnOnce() -> T) -> &T {
            let value = self.value.get_or_init(init);
            self.set.swap(true, super::Ordering::AcqRel);
            value
        }
    }

    pub(crate) fn about_to_retry() {
        loom::thread::yield_now();
    }
}

pub(crate) use imp::*;
pub(crate) use std::sync::atomic::Ordering;
