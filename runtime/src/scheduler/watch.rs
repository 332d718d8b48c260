//! Whether the supervisor looks after the workers, or sleeps because they all do.
//!
//! ```text
//! supervisor                             worker that wakes up
//! 1. watching = false (SeqCst)              1. clear its bit in `sleeping` (SeqCst)
//! 2. fence (SeqCst)                         2. fence (SeqCst)
//! 3. a worker is awake: watching = true     3. watching is false: set it; it was: unpark the
//!    none: sleep until it is unparked          supervisor
//! ```
//!
//! It also rests, for less long, while all workers are in long polls and no task waits for another
//! worker. Then those who queue one are the other side: they push, and make the fence, and see that
//! nobody sleeps who could be woken.
//!
//! Both sides write, then read what the other wrote, with a fence in between: one of them sees the
//! other. Loom model: `models::driver`.

use evenkeel_sync::atomic::{AtomicBool, Ordering, fence};

pub(crate) struct Watching(AtomicBool);

impl Watching {
    pub(crate) fn new() -> Self {
        Watching(AtomicBool::new(true))
    }

    /// The supervisor is at it.
    pub(crate) fn resume(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// To be called by a worker that is awake again. True if the supervisor is to be unparked.
    pub(crate) fn worker_awake(&self) -> bool {
        fence(Ordering::SeqCst);
        self.tell()
    }

    /// The same for who has made the fence already, after what the supervisor is to see.
    #[inline]
    pub(crate) fn tell(&self) -> bool {
        !self.0.load(Ordering::SeqCst) && !self.0.swap(true, Ordering::SeqCst)
    }

    /// True if the supervisor may sleep until it is unparked.
    pub(crate) fn try_rest(&self, anybody_awake: impl FnOnce() -> bool) -> bool {
        self.0.store(false, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        let rest = !anybody_awake();
        if !rest {
            self.resume();
        }
        rest
    }
}
