//! The one place that chooses between the real primitives and loom's.

#[cfg(not(evenkeel_loom))]
mod imp {
    use std::sync::Arc;
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

    /// A value that others may replace while it is read. Nobody waits for anybody.
    #[derive(Debug)]
    pub(crate) struct Swap<T>(arc_swap::ArcSwapOption<T>);

    impl<T> Default for Swap<T> {
        fn default() -> Swap<T> {
            Swap(arc_swap::ArcSwapOption::empty())
        }
    }

    impl<T> Swap<T> {
        pub(crate) fn load(&self) -> Option<Arc<T>> {
            self.0.load_full()
        }

        /// As `load`, without counting one more owner meanwhile.
        pub(crate) fn with<R>(&self, f: impl FnOnce(&Arc<T>) -> R) -> Option<R> {
            self.0.load().as_ref().map(f)
        }

        /// Puts `new` there, if `current` is still what is there.
        pub(crate) fn replace(&self, current: Option<&Arc<T>>, new: Arc<T>) {
            self.0.compare_and_swap(&current.cloned(), Some(new));
        }
    }

    /// Tells loom that the caller is about to try again; nothing elsewhere.
    pub(crate) fn about_to_retry() {}
}

#[cfg(evenkeel_loom)]
mod imp {
    use std::sync::Arc;

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

    /// What `arc_swap` promises: who sees a value sees what was done before it was put there; who
    /// does not see it may be late. Values are kept until the end of the model.
    #[derive(Debug)]
    pub(crate) struct Swap<T> {
        /// 0, or number + 1 of what is there.
        current: AtomicUsize,
        values: std::sync::Mutex<Vec<Arc<T>>>,
    }

    impl<T> Default for Swap<T> {
        fn default() -> Swap<T> {
            Swap {
                current: AtomicUsize::new(0),
                values: std::sync::Mutex::default(),
            }
        }
    }

    impl<T> Swap<T> {
        pub(crate) fn load(&self) -> Option<Arc<T>> {
            let number = self.current.load(super::Ordering::Acquire).checked_sub(1)?;
            Some(Arc::clone(&self.values.lock().unwrap()[number]))
        }

        pub(crate) fn with<R>(&self, f: impl FnOnce(&Arc<T>) -> R) -> Option<R> {
            self.load().map(|value| f(&value))
        }

        pub(crate) fn replace(&self, current: Option<&Arc<T>>, new: Arc<T>) {
            let (old, new) = {
                let mut values = self.values.lock().unwrap();
                values.push(new);
                let is_current = |value: &Arc<T>| current.is_some_and(|c| Arc::ptr_eq(value, c));
                let old = values.iter().position(is_current);
                (old.map_or(0, |number| number + 1), values.len())
            };
            use super::Ordering::{AcqRel, Acquire};
            let _ = self.current.compare_exchange(old, new, AcqRel, Acquire);
        }
    }

    pub(crate) fn about_to_retry() {
        loom::thread::yield_now();
    }
}

pub(crate) use imp::*;
pub(crate) use std::sync::atomic::Ordering;
