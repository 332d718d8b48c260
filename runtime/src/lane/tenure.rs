//! Who has a worker's seat: the thread that sits there, until it is taken from it in the midst of a poll.
//!
//! What belongs to a seat (the owner's end of the deque, the right to fill the next-slot, to fire the timers, to take the
//! turn at the driver and the locks of IO workers) may be used by one thread at a time. That thread *holds* the seat
//! all the time, but for the user's code: while a task is polled it lets go, and takes hold again for the moments in
//! which that code spawns, wakes or sets a timer. A seat that is not held can be taken away. What that means to the
//! rest of the runtime is in [`hold`](mod@super::hold), [`worker`](super::worker) and `runtime::takeover`.
//!
//! ```text
//! the thread in the seat                    the taker; one at a time
//! takes hold:                               1. word: MINE -> ASKED
//! 1. held = true                            2. heavy fence
//! 2. light fence                            3. held (or no fence): ASKED -> MINE, and give up
//! 3. word is MINE: it has hold              4. it is still the same poll, and ASKED -> LOST sticks:
//!    ASKED -> MINE sticks: it has hold         the seat is the taker's
//!    LOST: the seat is gone
//! lets go: held = false (release)
//! ```
//!
//! The fences put each side's write before its read: if the taker sees that the seat is not held, whoever takes hold after that
//! sees ASKED or LOST, and in between the exchange on the word decides. What was done while the seat was held comes
//! before the taker's use of it, through `held`. One side does this at every poll and the other hardly ever, so the
//! fences are [asymmetric](evenkeel_topology::light_fence). Loom models: `models::tenures`.

use crate::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use crate::sync::{heavy_fence, light_fence};

const MINE: u8 = 0;
const ASKED: u8 = 1;
const LOST: u8 = 2;

/// The right of one thread to one seat.
pub(crate) struct Tenure {
    held: AtomicBool,
    word: AtomicU8,
}

impl Tenure {
    /// Of the calling thread, which holds the seat.
    pub(crate) fn new() -> Self {
        Tenure {
            held: AtomicBool::new(true),
            word: AtomicU8::new(MINE),
        }
    }

    // ---- for the thread in the seat ----

    #[inline]
    pub(crate) fn is_held(&self) -> bool {
        self.held.load(Ordering::Relaxed)
    }

    /// True if the thread has hold of the seat from now on; false if the seat is gone.
    #[inline]
    pub(crate) fn take_hold(&self) -> bool {
        self.held.store(true, Ordering::Relaxed);
        light_fence();
        self.word.load(Ordering::Acquire) == MINE || self.refuse()
    }

    #[cold]
    fn refuse(&self) -> bool {
        loop {
            match self.word.load(Ordering::Acquire) {
                MINE => return true,
                ASKED if self.replace(ASKED, MINE) => return true,
                ASKED => {}
                _ => {
                    self.let_go();
                    return false;
                }
            }
        }
    }

    #[inline]
    pub(crate) fn let_go(&self) {
        self.held.store(false, Ordering::Release);
    }

    /// Gives the seat, which is held, away in the midst of a poll.
    pub(crate) fn give_up(&self) {
        debug_assert!(self.is_held());
        // A taker that has asked sees that the seat is held, or that it is LOST. An exchange as everywhere, so that there is one
        // order of them.
        self.word.swap(LOST, Ordering::AcqRel);
        self.let_go();
    }

    // ---- for the taker ----

    /// Takes the seat, if its thread is in the user's code, and in the poll of which `is_same_poll` knows.
    pub(crate) fn try_take(&self, is_same_poll: impl FnOnce() -> bool) -> bool {
        if !self.replace(MINE, ASKED) {
            return false;
        }
        let fenced = heavy_fence();
        // After `held`, which is let go of after the poll was noted.
        let free = fenced && !self.held.load(Ordering::Acquire) && is_same_poll();
        if free && self.replace(ASKED, LOST) {
            return true;
        }
        self.replace(ASKED, MINE);
        false
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.word.load(Ordering::Acquire) == LOST
    }

    fn replace(&self, from: u8, to: u8) -> bool {
        self.word
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }
}
