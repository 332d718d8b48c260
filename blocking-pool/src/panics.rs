//! What foreign code that panics may do to a thread of ours: nothing, but for a line in the log.
//!
//! Foreign are jobs, hooks, wakers, the destructors of all that, and whoever receives the log. Each
//! is called through one of these functions, and never under the lock of the pool.

use evenkeel_sync::panics::contain_with;

pub(crate) use evenkeel_sync::panics::log;

use crate::error::panic_text;

/// Runs `f`; logs its panic. `what` completes the sentence "... panicked".
pub(crate) fn contained<R>(what: &str, f: impl FnOnce() -> R) -> Option<R> {
    contain_with(f, |payload| {
        let text = panic_text(payload);
        log(|| tracing::error!("blocking pool: {what} panicked: {text}"));
    })
}

/// Drops `value`; logs the panic of its destructor.
pub(crate) fn drop_contained<T>(value: T) {
    contained("a destructor", || drop(value));
}
