//! The shim over loom's primitives. `native.rs` has the same items over the real ones.

use std::sync::Arc;
use std::time::Instant;

use atomic::{AtomicBool, AtomicUsize, Ordering};

pub use loom::cell::UnsafeCell;
pub use loom::thread_local;

/// `thread_local!`: loom's takes no constants.
#[macro_export]
macro_rules! const_thread_local {
    ($($(#[$attribute:meta])* static $name:ident: $type:ty = $value:expr;)*) => {
        $crate::thread_local! {
            $($(#[$attribute])* static $name: $type = $value;)*
        }
    };
}

/// Atomics and fences.
pub mod atomic {
    pub use loom::sync::atomic::{
        AtomicBool, AtomicIsize, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering,
        fence,
    };
}

/// Threads, and parking.
pub mod thread {
    pub use loom::thread::{Builder, JoinHandle, Thread, current, park};

    /// Loom does not tell.
    pub fn is_finished(_: &JoinHandle<()>) -> bool {
        true
    }

    /// Loom has no clock, and no model waits for a time that is neither zero nor unlimited.
    pub fn park_timeout(_: std::time::Duration) {
        unreachable!("a model that waits for some time");
    }

    /// Lets loom switch to another thread before the caller tries again.
    pub fn yield_in_model() {
        loom::thread::yield_now();
    }
}

/// Loom's mutex with parking_lot's interface.
#[derive(Debug)]
pub struct Mutex<T>(loom::sync::Mutex<T>);

/// An `Option`, because loom's condition variable takes the guard by value.
pub struct MutexGuard<'a, T>(Option<loom::sync::MutexGuard<'a, T>>);

impl<T> Mutex<T> {
    /// An unlocked one.
    pub fn new(value: T) -> Self {
        Mutex(loom::sync::Mutex::new(value))
    }

    /// Waits for the lock.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard(Some(self.0.lock().expect("no thread of a model panics")))
    }
}

impl<T> std::ops::Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().expect("there until the drop")
    }
}

impl<T> std::ops::DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.as_mut().expect("there until the drop")
    }
}

/// Loom's condition variable, without poisoning.
#[derive(Debug)]
pub struct Condvar(loom::sync::Condvar);

impl Condvar {
    /// One that nobody waits on.
    pub fn new() -> Self {
        Condvar(loom::sync::Condvar::new())
    }

    /// Wakes all who wait.
    pub fn notify_all(&self) {
        self.0.notify_all();
    }
}

/// Waits until `condvar` is notified. A deadline, if there is one, passes at once.
pub fn wait_until<T>(
    condvar: &Condvar,
    guard: &mut MutexGuard<'_, T>,
    deadline: Option<Instant>,
) -> bool {
    if deadline.is_some() {
        return true;
    }
    let waiting = guard.0.take().expect("there until the drop");
    let woken = condvar.0.wait(waiting);
    guard.0 = Some(woken.expect("no thread of a model panics"));
    false
}

/// A lock that can only be tried: a flag beside the value.
///
/// Loom's own mutex is no place for a switch while it is held, and so is never contended where
/// there is nothing but plain memory behind it. An atomic flag is, and it is as weakly ordered as
/// parking_lot's.
#[derive(Debug, Default)]
pub struct TryLock<T> {
    locked: AtomicBool,
    value: std::sync::Mutex<T>,
}

/// Drops the value's guard first, by the order of the fields, and then unlocks.
pub struct TryLockGuard<'a, T> {
    value: std::sync::MutexGuard<'a, T>,
    _unlock: Unlock<'a>,
}

struct Unlock<'a>(&'a AtomicBool);

impl<T> TryLock<T> {
    /// An unlocked one.
    pub fn new(value: T) -> Self {
        TryLock {
            locked: AtomicBool::new(false),
            value: std::sync::Mutex::new(value),
        }
    }

    /// `None` if it is locked.
    pub fn try_lock(&self) -> Option<TryLockGuard<'_, T>> {
        self.locked
            .compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed)
            .ok()?;
        let value = self.value.try_lock();
        Some(TryLockGuard {
            value: value.expect("the flag lets one in at a time"),
            _unlock: Unlock(&self.locked),
        })
    }
}

impl Drop for Unlock<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
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

/// Stands for arc-swap, as weak as its promise: a reader that sees a value sees what was done
/// before it was put there, and one that does not see it may be late. Values are kept until the end
/// of the model, behind a lock that loom does not see and that orders nothing.
#[derive(Debug)]
pub struct AtomicArc<T> {
    /// 0, or the number + 1 of what is there.
    current: AtomicUsize,
    values: std::sync::Mutex<Vec<Arc<T>>>,
}

impl<T> Default for AtomicArc<T> {
    fn default() -> Self {
        AtomicArc {
            current: AtomicUsize::new(0),
            values: std::sync::Mutex::default(),
        }
    }
}

impl<T> AtomicArc<T> {
    /// The value.
    pub fn load(&self) -> Option<Arc<T>> {
        let number = self.current.load(Ordering::Acquire).checked_sub(1)?;
        Some(Arc::clone(&self.values.lock().unwrap()[number]))
    }

    /// Calls `f` with the value, if there is one.
    pub fn with<R>(&self, f: impl FnOnce(&Arc<T>) -> R) -> Option<R> {
        self.load().map(|value| f(&value))
    }

    /// Replaces the value.
    pub fn store(&self, value: Option<&Arc<T>>) {
        self.current.store(self.place_of(value), Ordering::Release);
    }

    /// Puts `new` there if `current` is what is there.
    pub fn replace(&self, current: Option<&Arc<T>>, new: Arc<T>) {
        let (old, new) = (self.place_of(current), self.place_of(Some(&new)));
        let _ = self
            .current
            .compare_exchange(old, new, Ordering::AcqRel, Ordering::Acquire);
    }

    /// What `current` is with `value` there.
    fn place_of(&self, value: Option<&Arc<T>>) -> usize {
        let Some(value) = value else { return 0 };
        let mut values = self.values.lock().unwrap();
        let known = values.iter().position(|known| Arc::ptr_eq(known, value));
        known.unwrap_or_else(|| {
            values.push(Arc::clone(value));
            values.len() - 1
        }) + 1
    }
}
