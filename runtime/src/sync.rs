//! The one place that chooses between the real atomics and loom's.
//!
//! Everything that takes part in a modelled protocol (`task`, `lane::sleep`, `lane::inbox`) imports its
//! atomics, cells and threads from here.

#[cfg(not(evenkeel_loom))]
mod imp {
    pub(crate) mod atomic {
        pub(crate) use std::sync::atomic::{
            AtomicBool, AtomicIsize, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize,
            Ordering, fence,
        };
    }
    pub(crate) use evenkeel_topology::{heavy_fence, light_fence};
    pub(crate) use parking_lot::Mutex;

    /// A lock that is only ever tried.
    pub(crate) struct TryLock<T>(Mutex<T>);

    pub(crate) type TryLockGuard<'a, T> = parking_lot::MutexGuard<'a, T>;

    impl<T> TryLock<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(Mutex::new(value))
        }

        pub(crate) fn try_lock(&self) -> Option<TryLockGuard<'_, T>> {
            self.0.try_lock()
        }
    }

    /// `std`'s cell behind loom's interface: access is a closure, so that loom can see its extent.
    #[derive(Debug)]
    #[repr(transparent)]
    pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        pub(crate) const fn new(value: T) -> Self {
            Self(std::cell::UnsafeCell::new(value))
        }

        #[inline(always)]
        pub(crate) fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
            f(self.0.get())
        }

        #[inline(always)]
        pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
            f(self.0.get())
        }
    }
}

#[cfg(evenkeel_loom)]
mod imp {
    pub(crate) mod atomic {
        pub(crate) use loom::sync::atomic::{
            AtomicBool, AtomicIsize, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize,
            Ordering, fence,
        };
    }
    pub(crate) use loom::cell::UnsafeCell;

    pub(crate) fn light_fence() {
        atomic::fence(atomic::Ordering::SeqCst);
    }

    pub(crate) fn heavy_fence() -> bool {
        atomic::fence(atomic::Ordering::SeqCst);
        true
    }

    /// loom's mutex with parking_lot's interface.
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> loom::sync::MutexGuard<'_, T> {
            self.0.lock().expect("no thread of a model panics")
        }
    }

    /// A flag beside the value: loom's own mutex is never contended where nothing else happens while it
    /// is held, because unlocking it is no place for a switch.
    pub(crate) struct TryLock<T> {
        locked: atomic::AtomicBool,
        value: std::sync::Mutex<T>,
    }

    /// The value's guard is dropped first, by the order of the fields, and the flag after it.
    pub(crate) struct TryLockGuard<'a, T> {
        value: std::sync::MutexGuard<'a, T>,
        _unlock: Unlock<'a>,
    }

    struct Unlock<'a>(&'a atomic::AtomicBool);

    impl<T> TryLock<T> {
        pub(crate) fn new(value: T) -> Self {
            Self {
                locked: atomic::AtomicBool::new(false),
                value: std::sync::Mutex::new(value),
            }
        }

        pub(crate) fn try_lock(&self) -> Option<TryLockGuard<'_, T>> {
            use atomic::Ordering::{Acquire, Relaxed};
            self.locked
                .compare_exchange(false, true, Acquire, Relaxed)
                .ok()?;
            let value = self
                .value
                .try_lock()
                .expect("the flag lets one in at a time");
            Some(TryLockGuard {
                value,
                _unlock: Unlock(&self.locked),
            })
        }
    }

    impl Drop for Unlock<'_> {
        fn drop(&mut self) {
            self.0.store(false, atomic::Ordering::Release);
        }
    }

    impl<T> std::ops::Deref for TryLockGuard<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            &self.value
        }
    }

    impl<T> std::ops::DerefMut for TryLockGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            &mut self.value
        }
    }
}

pub(crate) use imp::*;
