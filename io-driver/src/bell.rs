//! Wakes the driver, with one system call for many wakes.
//!
//! # Protocol
//! `state` is the number of the turn, and a bit `RUNG`: during this turn, the bell was rung.
//!
//! Ringer                                      Driver
//! 1. (caller: makes its change)               1. sleeps in the poll; the bell ends it
//! 2. RMW of `state`; `RUNG`: done             2. `state` becomes the next turn's, not rung (RMW)
//! 3. rings (writes to the eventfd)            3. (caller of `turn`: looks for changes)
//! 4. sets `RUNG`, if it is the same turn
//!
//! `RUNG` is set after the ring, never before: it would else promise a ring that a preempted thread
//! has yet to make, and a worker that trusts it would wait for that thread. Two ringers at once may
//! so ring twice; that is harmless.
//!
//! A ringer that stops at step 2 saw this turn's number, before the driver's step 2 in the order of
//! `state`; both are read-modify-writes, so the driver's step 3 sees the ringer's change. A plain
//! load in the ringer's step 2 would not give that.
//!
//! Model: `loom_tests.rs`.

use evenkeel_sync::atomic::{AtomicU64, Ordering};

const RUNG: u64 = 1;
const TURN: u64 = 1 << 1;

#[derive(Debug, Default)]
pub(crate) struct Bell {
    state: AtomicU64,
}

impl Bell {
    /// Ringer: calls `ring` unless this turn will end anyway.
    pub(crate) fn ring<E>(&self, ring: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
        let state = self.state.fetch_or(0, Ordering::AcqRel);
        if state & RUNG != 0 {
            return Ok(());
        }
        ring()?;
        // Fails if the turn is over, or if somebody else has set it.
        let rung = state | RUNG;
        let _ = self
            .state
            .compare_exchange(state, rung, Ordering::AcqRel, Ordering::Relaxed);
        Ok(())
    }

    /// Driver: the turn is over.
    pub(crate) fn next_turn(&self) {
        let next = |state: u64| Some((state & !RUNG).wrapping_add(TURN));
        let _ = self
            .state
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, next);
    }
}
