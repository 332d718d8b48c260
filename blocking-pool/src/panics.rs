//! What foreign code that panics may do to a thread of ours: nothing.
//!
//! Foreign are jobs, hooks, wakers, the destructors of all that, and whoever receives the log. Each is called through one of
//! these functions, and never under the lock of the pool.

use std::any::Any;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::panic_text;

/// Runs `f`; logs its panic. `what` completes the sentence "... panicked".
pub(crate) fn contained<R>(what: &str, f: impl FnOnce() -> R) -> Option<R> {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(value) => Some(value),
        Err(payload) => {
            let text = panic_text(&*payload);
            log(|| tracing::error!("blocking pool: {what} panicked: {text}"));
            drop_payload(payload);
            None
        }
    }
}

/// Drops `value`; logs the panic of its destructor.
pub(crate) fn drop_quietly<T>(value: T) {
    contained("a destructor", || drop(value));
}

/// Writes a line of the log. If whoever receives it panics, that is lost, but for what the panic hook says of it.
pub(crate) fn log(line: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(line)) {
        drop_payload(payload);
    }
}

/// A payload is a value like any other, and its destructor may panic in turn. What that one panics with is not tried again.
fn drop_payload(payload: Box<dyn Any + Send>) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        mem::forget(again);
    }
}
