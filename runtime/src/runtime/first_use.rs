//! Threads that are made when something is first used, by the supervisor: it is of normal
//! priority and not pinned, and a thread inherits both from its maker.
//!
//! ```text
//! first user                                supervisor
//! 1. (queue what they are to do)            1. stage is WANTED: make the threads, each of which
//! 2. stage: UNUSED -> WANTED; it was           looks for what there is to do; stage = OVER
//!    something else: done                   2. park
//! 3. unpark the supervisor
//! ```
//!
//! The unpark of step 3 is kept until the supervisor parks, so it looks at the stage after step
//! 2.

use std::sync::atomic::{AtomicU8, Ordering};

/// Nobody has used it yet.
const UNUSED: u8 = 0;
/// Threads are wanted, or some of them are.
const WANTED: u8 = 1;
/// All threads have been made, or no more are to be.
const OVER: u8 = 2;

pub(super) struct FirstUse(AtomicU8);

impl FirstUse {
    pub(super) fn new() -> Self {
        FirstUse(AtomicU8::new(UNUSED))
    }

    /// The caller uses it. True if it is the first, and has to unpark the supervisor.
    pub(super) fn want(&self) -> bool {
        self.0.load(Ordering::Relaxed) == UNUSED
            && self
                .0
                .compare_exchange(UNUSED, WANTED, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
    }

    /// True if the supervisor has threads to make.
    pub(super) fn is_wanted(&self) -> bool {
        self.0.load(Ordering::Acquire) == WANTED
    }

    pub(super) fn set_over(&self) {
        self.0.store(OVER, Ordering::Release);
    }
}
