//! The shim over the real primitives. `modelled.rs` has the same items over loom's.

use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwapOption;

pub use parking_lot::{Condvar, Mutex, MutexGuard};
pub use std::thread_local;

/// `thread_local!` with initial values that are constant, and cost nothing to look at.
#[macro_export]
macro_rules! const_thread_local {
    ($($(#[$attribute:meta])* static $name:ident: $type:ty = $value:expr;)*) => {
        $crate::thread_local! {
            $($(#[$attribute])* static $name: $type = const { $value };)*
        }
    };
}

/// Atomics and fences.
pub mod atomic {
    pub use std::sync::atomic::{
        AtomicBool, AtomicIsize, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering,
        fence,
    };
}

/// Threads, and parking.
pub mod thread {
    pub use std::thread::{Builder, JoinHandle, Thread, current, park, park_timeout};

    /// True if nothing is left of the thread but the destructors of its thread-locals.
    pub fn is_finished(thread: &JoinHandle<()>) -> bool {
        thread.is_finished()
    }

    /// Lets loom switch to another thread before the caller tries again. Does nothing elsewhere.
    pub fn yield_in_model() {}
}

/// Waits until `condvar` is notified, or until `deadline` if there is one. True if the deadline
/// passed.
pub fn wait_until<T>(
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

/// A lock that can only be tried: no method of it waits.
#[derive(Debug, Default)]
pub struct TryLock<T>(Mutex<T>);

/// The value of a [`TryLock`], which is unlocked when this is dropped.
pub type TryLockGuard<'a, T> = MutexGuard<'a, T>;

impl<T> TryLock<T> {
    /// An unlocked one.
    pub fn new(value: T) -> Self {
        TryLock(Mutex::new(value))
    }

    /// `None` if it is locked.
    pub fn try_lock(&self) -> Option<TryLockGuard<'_, T>> {
        self.0.try_lock()
    }
}

/// std's cell behind loom's interface: access is a closure, so that loom can see its extent.
#[derive(Debug)]
#[repr(transparent)]
pub struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

impl<T> UnsafeCell<T> {
    /// A cell with `value` in it.
    pub const fn new(value: T) -> Self {
        UnsafeCell(std::cell::UnsafeCell::new(value))
    }

    /// Calls `f` with a pointer to read through.
    #[inline(always)]
    pub fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        f(self.0.get())
    }

    /// Calls `f` with a pointer to write through.
    #[inline(always)]
    pub fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }
}

/// A shared value, or none, that can be replaced while others read it. Nobody waits.
///
/// A reader that sees a value sees what was done before it was put there. It may see a value for a
/// while after that was replaced.
#[derive(Debug)]
pub struct AtomicArc<T>(ArcSwapOption<T>);

impl<T> Default for AtomicArc<T> {
    fn default() -> Self {
        AtomicArc(ArcSwapOption::empty())
    }
}

impl<T> AtomicArc<T> {
    /// The value.
    pub fn load(&self) -> Option<Arc<T>> {
        self.0.load_full()
    }

    /// Calls `f` with the value, if there is one. Does not count another owner, as `load` does.
    pub fn with<R>(&self, f: impl FnOnce(&Arc<T>) -> R) -> Option<R> {
        self.0.load().as_ref().map(f)
    }

    /// Replaces the value.
    pub fn store(&self, value: Option<&Arc<T>>) {
        self.0.store(value.cloned());
    }

    /// Puts `new` there if `current` is what is there.
    pub fn replace(&self, current: Option<&Arc<T>>, new: Arc<T>) {
        self.0.compare_and_swap(&current.cloned(), Some(new));
    }
}
