//! The word that a sleeping thread and those who wake it share. The thread sleeps in a futex, or in
//! the IO driver.
//!
//! ```text
//! sleeper                                   waker
//! 1. EMPTY -> PARKED (or IN_DRIVER);        1. swap NOTIFIED
//!    NOTIFIED: do not sleep                 2. it was EMPTY: done; PARKED: wake the futex;
//! 2. wait while PARKED (poll the driver)       IN_DRIVER: wake the driver; NOTIFIED: both
//! 3. swap EMPTY
//! ```
//!
//! Both ways to wake are sticky: a futex compares the word before it sleeps, and the driver's
//! wake-up ends the next poll if it comes before it.
//!
//! A waker that finds NOTIFIED still makes the system call: the one that set it may have been
//! preempted before its own, for as long as a busy core keeps a thread of low priority waiting.
//! `std`'s unpark would leave it at that, and crossbeam's takes a lock. Loom model:
//! `models::driver`.

use evenkeel_sync::atomic::{AtomicU32, Ordering};

const EMPTY: u32 = 0;
/// The value that a futex waits on.
pub(crate) const PARKED: u32 = 1;
const IN_DRIVER: u32 = 2;
const NOTIFIED: u32 = 3;

/// Where the thread is going to sleep.
#[derive(Clone, Copy)]
pub(crate) enum Place {
    Futex,
    Driver,
}

/// What a waker has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ToWake {
    pub(crate) futex: bool,
    pub(crate) driver: bool,
}

impl ToWake {
    /// The thread sleeps, and nobody else is about to wake it.
    pub(crate) fn is_first(&self) -> bool {
        // Whoever comes after the first does not know where it sleeps.
        self.futex != self.driver
    }
}

pub(crate) struct ParkState(AtomicU32);

impl ParkState {
    pub(crate) fn new() -> Self {
        ParkState(AtomicU32::new(EMPTY))
    }

    /// False if a wake-up has come already.
    pub(crate) fn begin(&self, place: Place) -> bool {
        let word = match place {
            Place::Futex => PARKED,
            Place::Driver => IN_DRIVER,
        };
        self.0
            .compare_exchange(EMPTY, word, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    pub(crate) fn is_parked(&self) -> bool {
        self.0.load(Ordering::Acquire) == PARKED
    }

    /// True if there has been a wake-up since [`begin`](ParkState::begin).
    pub(crate) fn is_notified(&self) -> bool {
        self.0.load(Ordering::SeqCst) == NOTIFIED
    }

    /// True if there was a wake-up.
    pub(crate) fn end(&self) -> bool {
        self.0.swap(EMPTY, Ordering::AcqRel) == NOTIFIED
    }

    pub(crate) fn notify(&self) -> ToWake {
        let before = self.0.swap(NOTIFIED, Ordering::AcqRel);
        ToWake {
            futex: before == PARKED || before == NOTIFIED,
            driver: before == IN_DRIVER || before == NOTIFIED,
        }
    }

    #[cfg(all(target_os = "linux", not(evenkeel_loom)))]
    pub(crate) fn word(&self) -> &AtomicU32 {
        &self.0
    }
}
