//! Keeping the panics of foreign code from the threads of a runtime.
//!
//! Foreign are jobs and the polls of a user's tasks, wakers of other executors, hooks, the
//! destructors of all that, and whoever receives the log. A thread of a runtime calls each through
//! one of these functions, and never under a lock.

use std::any::Any;
use std::fmt;
use std::mem;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Runs `f`. If it panics, which the panic hook has printed by then, `report` is called with the
/// payload, and the result is `None`.
pub fn contain_with<R>(f: impl FnOnce() -> R, report: impl FnOnce(&(dyn Any + Send))) -> Option<R> {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(value) => Some(value),
        Err(payload) => {
            report(&*payload);
            drop_payload(payload);
            None
        }
    }
}

/// Runs `f`. True if it did not panic; the panic has been printed by the panic hook.
pub fn contain(f: impl FnOnce()) -> bool {
    contain_with(f, |_| ()).is_some()
}

/// Drops a value whose destructor may panic.
pub fn drop_quietly<T>(value: T) {
    contain(|| drop(value));
}

/// Writes a line of the log. Whoever receives it may do whatever a waker may, except block.
pub fn log(line: impl FnOnce()) {
    contain(line);
}

/// How many payloads are dropped that each come from the destructor of the one before. One whose
/// destructor panics with its like would go on for ever.
const PAYLOADS_MAX: usize = 16;

/// The payload of a panic is a value like any other, and its destructor may panic in turn, with
/// another payload.
fn drop_payload(mut payload: Box<dyn Any + Send>) {
    for _ in 0..PAYLOADS_MAX {
        match catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            Ok(()) => return,
            Err(next) => payload = next,
        }
    }
    mem::forget(payload);
}

/// A user's function. Its last owner may be a thread that ends, where a panic of the destructor of
/// what the function has captured would end the process.
pub struct Foreign<F: ?Sized>(Option<Arc<F>>);

impl<F: ?Sized> Foreign<F> {
    /// Shares `f`.
    pub fn new(f: Arc<F>) -> Self {
        Foreign(Some(f))
    }
}

impl<F: ?Sized> Clone for Foreign<F> {
    fn clone(&self) -> Self {
        Foreign(self.0.clone())
    }
}

impl<F: ?Sized> Deref for Foreign<F> {
    type Target = F;

    fn deref(&self) -> &F {
        self.0.as_ref().expect("taken only by the drop")
    }
}

impl<F: ?Sized> Drop for Foreign<F> {
    fn drop(&mut self) {
        drop_quietly(self.0.take());
    }
}

impl<F: ?Sized> fmt::Debug for Foreign<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Foreign").finish_non_exhaustive()
    }
}

#[cfg(all(test, not(evenkeel_loom)))]
mod tests {
    use super::*;
    use std::panic::panic_any;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Panics when it is dropped, with a payload that does so as well.
    struct Explode(u32);

    impl Drop for Explode {
        fn drop(&mut self) {
            if self.0 > 0 {
                panic_any(Explode(self.0 - 1));
            }
        }
    }

    #[test]
    fn panics_and_their_payloads_are_contained() {
        assert!(contain(|| ()));
        assert!(!contain(|| panic!("from foreign code")));
        for depth in 0..4 {
            assert!(!contain(|| panic_any(Explode(depth))));
            drop_quietly(Explode(depth));
        }
    }

    /// Counts what is dropped, and panics with another of itself.
    struct Endless(Arc<AtomicUsize>);

    impl Drop for Endless {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
            panic_any(Endless(self.0.clone()));
        }
    }

    #[test]
    fn payloads_of_payloads_are_dropped_but_not_for_ever() {
        let held = Arc::new(());
        let payload = Nested(Some(Box::new(Nested(None, held.clone()))), held.clone());
        assert!(!contain(|| panic_any(payload)));
        assert_eq!(Arc::strong_count(&held), 1);
        let drops = Arc::new(AtomicUsize::new(0));
        assert!(!contain(|| panic_any(Endless(drops.clone()))));
        assert_eq!(drops.load(Ordering::Relaxed), PAYLOADS_MAX);
    }

    /// Panics with what is in it.
    struct Nested(
        Option<Box<Nested>>,
        #[allow(dead_code, reason = "counts the owners")] Arc<()>,
    );

    impl Drop for Nested {
        fn drop(&mut self) {
            if let Some(inner) = self.0.take() {
                panic_any(*inner);
            }
        }
    }

    #[test]
    fn the_payload_is_reported() {
        let mut text = None;
        let report = |payload: &(dyn Any + Send)| text = payload.downcast_ref::<&str>().copied();
        assert_eq!(contain_with(|| -> u8 { panic!("why") }, report), None);
        assert_eq!(text, Some("why"));
        assert_eq!(contain_with(|| 7, |_| unreachable!()), Some(7));
    }

    #[test]
    fn the_last_owner_of_a_function_survives_its_captures() {
        let bomb = Explode(1);
        let function = Foreign::new(Arc::new(move || std::mem::size_of_val(&bomb)));
        let clone = function.clone();
        drop(function);
        assert_eq!(clone(), 4);
        drop(clone);
    }
}
