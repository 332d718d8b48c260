//! The one place that chooses between the real primitives and loom's.

pub(crate) use imp::*;

#[cfg(not(evenkeel_loom))]
mod imp {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use arc_swap::{ArcSwapOption, Guard};

    pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard};
    pub(crate) use std::sync::atomic::{
        AtomicBool, AtomicPtr, AtomicU8, AtomicU64, AtomicUsize, Ordering, fence,
    };
    pub(crate) use std::thread::{
        Builder as ThreadBuilder, JoinHandle, Thread, current, park, park_timeout,
    };
    pub(crate) use std::thread_local;

    /// True if nothing is left of the thread but the destructors of its thread-locals.
    pub(crate) fn is_finished(thread: &JoinHandle<()>) -> bool {
        thread.is_finished()
    }

    /// How long an idle thread may look for its next job before it sleeps: about what sleeping and being woken costs.
    pub(crate) const LOOK_ON: Duration = Duration::from_micros(20);

    /// Waits to be notified, until `deadline` if there is one; true when the deadline passed.
    pub(crate) fn wait_until<T>(
        condvar: &Condvar,
        guard: &mut MutexGuard<'_, T>,
        deadline: Option<Instant>,
    ) -> bool {
        match deadline {
            Some(deadline) => condvar.wait_until(guard, deadline).timed_out(),
            None => {
                condvar.wait(guard);
                false
            }
        }
    }

    /// A shared value that readers get without ever waiting for another reader or for the writer.
    pub(crate) struct Published<T>(ArcSwapOption<T>);

    impl<T> Published<T> {
        pub(crate) fn new() -> Self {
            Self(ArcSwapOption::empty())
        }

        pub(crate) fn set(&self, value: Option<&Arc<T>>) {
            self.0.store(value.cloned());
        }

        pub(crate) fn get(&self) -> Guard<Option<Arc<T>>> {
            self.0.load()
        }
    }
}

#[cfg(evenkeel_loom)]
mod imp {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    pub(crate) use loom::sync::atomic::{
        AtomicBool, AtomicPtr, AtomicU8, AtomicU64, AtomicUsize, Ordering, fence,
    };
    pub(crate) use loom::thread::{Builder as ThreadBuilder, JoinHandle, Thread, current, park};
    pub(crate) use loom::thread_local;

    /// Loom does not tell.
    pub(crate) fn is_finished(_: &JoinHandle<()>) -> bool {
        true
    }

    /// One look.
    pub(crate) const LOOK_ON: Duration = Duration::ZERO;

    /// Loom has no clock, and no model gives a deadline that is neither past nor absent.
    pub(crate) fn park_timeout(_: Duration) {
        unreachable!("a model with a finite keep-alive");
    }

    /// Loom's mutex in parking_lot's dress.
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    /// An `Option` because loom's condition variable takes the guard by value.
    pub(crate) struct MutexGuard<'a, T>(Option<loom::sync::MutexGuard<'a, T>>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            MutexGuard(Some(self.0.lock().unwrap()))
        }
    }

    impl<T> std::ops::Deref for MutexGuard<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            self.0.as_ref().unwrap()
        }
    }

    impl<T> std::ops::DerefMut for MutexGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            self.0.as_mut().unwrap()
        }
    }

    pub(crate) struct Condvar(loom::sync::Condvar);

    impl Condvar {
        pub(crate) fn new() -> Self {
            Self(loom::sync::Condvar::new())
        }

        pub(crate) fn notify_all(&self) {
            self.0.notify_all();
        }
    }

    /// A deadline, if there is one, passes at once.
    pub(crate) fn wait_until<T>(
        condvar: &Condvar,
        guard: &mut MutexGuard<'_, T>,
        deadline: Option<Instant>,
    ) -> bool {
        if deadline.is_some() {
            return true;
        }
        guard.0 = Some(condvar.0.wait(guard.0.take().unwrap()).unwrap());
        false
    }

    /// Stands for arc-swap. Whether there is a value at all is a relaxed atomic, as weak as the real one can be, so
    /// that a model which needs a fence around it fails without the fence.
    pub(crate) struct Published<T> {
        current: AtomicUsize,
        values: loom::sync::Mutex<Vec<Arc<T>>>,
    }

    impl<T> Published<T> {
        pub(crate) fn new() -> Self {
            Self {
                current: AtomicUsize::new(0),
                values: loom::sync::Mutex::new(Vec::new()),
            }
        }

        pub(crate) fn set(&self, value: Option<&Arc<T>>) {
            let index = value.map_or(0, |value| {
                let mut values = self.values.lock().unwrap();
                let known = values.iter().position(|known| Arc::ptr_eq(known, value));
                known.unwrap_or_else(|| {
                    values.push(value.clone());
                    values.len() - 1
                }) + 1
            });
            self.current.store(index, Ordering::Relaxed);
        }

        pub(crate) fn get(&self) -> Option<Arc<T>> {
            let index = self.current.load(Ordering::Relaxed);
            (index > 0).then(|| self.values.lock().unwrap()[index - 1].clone())
        }
    }
}
