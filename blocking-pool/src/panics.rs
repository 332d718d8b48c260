//! What foreign code that panics may do to a pool thread: nothing.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::panic_text;

/// Runs `f`; logs its panic. `what` completes the sentence "... panicked".
pub(crate) fn contained<R>(what: &str, f: impl FnOnce() -> R) -> Option<R> {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(value) => Some(value),
        Err(payload) => {
            tracing::error!("blocking pool: {what} panicked: {}", panic_text(&*payload));
            drop_quietly(payload);
            None
        }
    }
}

/// Drops `value`; logs the panic of its destructor.
pub(crate) fn drop_quietly<T>(value: T) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
        tracing::error!(
            "blocking pool: a destructor panicked: {}",
            panic_text(&*payload)
        );
        leak(payload);
    }
}

/// The payload came out of a destructor that was already the second try; its own destructor is not trusted.
fn leak(payload: Box<dyn Any + Send>) {
    std::mem::forget(payload);
}
