//! Keeping the panics of foreign code, which are wakers and whoever receives the log, from the threads that drive.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `f`. True if it did not panic; the panic has been printed by the panic hook.
pub(crate) fn contain(f: impl FnOnce()) -> bool {
    let Err(payload) = catch_unwind(AssertUnwindSafe(f)) else {
        return true;
    };
    // A value like any other, whose destructor may panic again.
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        mem::forget(again);
    }
    false
}

/// Drops a value whose destructor may panic.
pub(crate) fn drop_quietly<T>(value: T) {
    contain(|| drop(value));
}

/// Writes a line of the log.
pub(crate) fn log(line: impl FnOnce()) {
    contain(line);
}
