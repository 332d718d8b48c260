//! Keeps the panics of foreign code from the runtime's own threads.
//!
//! Foreign code is the user's polls and closures, wakers of other executors, hooks, the destructors
//! of all these, and the subscriber of the log. A thread of the runtime calls it in one of these
//! ways; what is promised for each is in ARCHITECTURE.md.

use std::any::Any;
use std::fmt;
use std::mem;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Waker;

/// Runs `f`. True if it did not panic; the panic has been printed by the panic hook.
pub(crate) fn contain(f: impl FnOnce()) -> bool {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(()) => true,
        Err(payload) => {
            drop_payload(payload);
            false
        }
    }
}

/// Drops a value whose destructor may panic.
pub(crate) fn drop_quietly<T>(value: T) {
    contain(|| drop(value));
}

/// Writes a line of the log. Not to be called under a lock: the subscriber may do all that a waker
/// may, except block.
pub(crate) fn log(line: impl FnOnce()) {
    contain(line);
}

/// Calls a waker, which may be any executor's, and contains its panic.
pub(crate) fn wake(waker: Waker) {
    if !contain(|| waker.wake()) {
        log(|| tracing::error!("a waker panicked"));
    }
}

/// Drops the payload of a panic, whose destructor may panic again.
fn drop_payload(payload: Box<dyn Any + Send>) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        mem::forget(again);
    }
}

/// A function of the user. Its last owner may be a thread that ends, where a panic of a captured
/// value's destructor would end the process.
pub(crate) struct Foreign<F: ?Sized>(Option<Arc<F>>);

impl<F: ?Sized> Foreign<F> {
    pub(crate) fn new(f: Arc<F>) -> Self {
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
    use std::task::Wake;

    #[test]
    fn a_waker_that_panics_is_kept_from_the_owner() {
        struct Panics;
        impl Wake for Panics {
            fn wake(self: Arc<Self>) {
                panic!("from a waker");
            }
        }
        wake(Waker::from(Arc::new(Panics)));
    }
}
