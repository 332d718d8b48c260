//! Who has a worker's seat: the thread that sits there, until the seat is taken from it in the
//! midst of a poll.
//!
//! A thread *holds* its seat all the time, but for the user's code: before a poll it releases the
//! lease, and acquires it again for the moments in which that code spawns, wakes or sets a timer.
//! The lease of a seat that is not held can be revoked. The proof that a seat is held is
//! [`Held`](super::seat::Held).
//!
//! ```text
//! the thread in the seat                    the taker; one at a time
//! acquires:                                 1. word: MINE -> ASKED
//! 1. held = true                            2. heavy fence
//! 2. light fence                            3. held (or no fence): ASKED -> MINE, and give up
//! 3. word is MINE: it has the seat          4. it is still the same poll, and ASKED -> LOST
//!    ASKED -> MINE sticks: it has it           sticks: the seat is the taker's
//!    LOST: the seat is gone
//! releases: held = false (release)
//! ```
//!
//! The fences put each side's write before its read: if the taker sees that the seat is not held,
//! whoever acquires after that sees ASKED or LOST, and in between the exchange on the word decides.
//! What was done while the seat was held comes before the taker's use of it, through `held`. One
//! side does this at every poll and the other hardly ever, so the fences are
//! [asymmetric](evenkeel_topology::light_fence). Loom models: `models::leases`.

use crate::fences::{heavy_fence, light_fence};
use evenkeel_sync::atomic::{AtomicBool, AtomicU8, Ordering};

const MINE: u8 = 0;
const ASKED: u8 = 1;
const LOST: u8 = 2;

/// The right of one thread to one seat.
pub(crate) struct Lease {
    held: AtomicBool,
    word: AtomicU8,
}

impl Lease {
    /// Of a thread that has the seat, and does not hold it yet.
    pub(crate) fn new() -> Self {
        Lease {
            held: AtomicBool::new(false),
            word: AtomicU8::new(MINE),
        }
    }

    // ---- for the thread in the seat ----

    /// True if the thread holds the seat from now on; false if the seat is gone.
    #[inline]
    pub(crate) fn acquire(&self) -> bool {
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
                    self.release();
                    return false;
                }
            }
        }
    }

    #[inline]
    pub(crate) fn release(&self) {
        self.held.store(false, Ordering::Release);
    }

    /// Gives the seat, which is held, away in the midst of a poll. It counts as held until
    /// [`release`](Lease::release).
    pub(crate) fn surrender(&self) {
        // A taker that has asked sees that the seat is held, or that it is LOST. An exchange as
        // everywhere, so that there is one order of them.
        self.word.swap(LOST, Ordering::AcqRel);
    }

    // ---- for the taker ----

    /// Takes the seat, if its thread is in the user's code, and in the poll that `is_same_poll`
    /// knows.
    pub(crate) fn try_revoke(&self, is_same_poll: impl FnOnce() -> bool) -> bool {
        if !self.replace(MINE, ASKED) {
            return false;
        }
        let fenced = heavy_fence();
        // After `held`, which is released after the poll was noted.
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
