//! How a thread sleeps until somebody wakes it: in a futex, or in the IO driver.
//!
//! ```text
//! sleeper                                   waker
//! 1. EMPTY -> PARKED (or IN_DRIVER);        1. swap NOTIFIED
//!    NOTIFIED: done                         2. it was EMPTY: done; PARKED: wake the futex;
//! 2. wait while PARKED (poll the driver)       IN_DRIVER: wake the driver; NOTIFIED: both
//! 3. swap EMPTY
//! ```
//!
//! Both ways to wake are sticky: a futex compares the state before it sleeps, and the driver's wake-up ends
//! the next poll if it comes before it.
//!
//! A waker that finds NOTIFIED still makes the system call: the one that set it may have been preempted
//! before its own, for as long as a busy core keeps a thread of low priority waiting. `std`'s unpark
//! would leave it at that, and crossbeam's takes a lock.

use evenkeel_io_driver::Handle;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

const EMPTY: u32 = 0;
const PARKED: u32 = 1;
const IN_DRIVER: u32 = 2;
const NOTIFIED: u32 = 3;

pub(crate) struct Parker {
    state: AtomicU32,
    #[cfg(not(target_os = "linux"))]
    thread: std::sync::OnceLock<std::thread::Thread>,
}

impl Parker {
    pub(crate) fn new() -> Self {
        Parker {
            state: AtomicU32::new(EMPTY),
            #[cfg(not(target_os = "linux"))]
            thread: std::sync::OnceLock::new(),
        }
    }

    fn begin(&self, how: u32) -> bool {
        self.state
            .compare_exchange(EMPTY, how, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    fn end(&self) {
        self.state.swap(EMPTY, Ordering::AcqRel);
    }

    /// Sleeps until [`unpark`](Parker::unpark), which may have come already, or until `timeout` is over.
    /// May return early when there is a timeout. Only ever called by one thread.
    pub(crate) fn park(&self, timeout: Option<Duration>) {
        if self.begin(PARKED) {
            loop {
                self.wait(timeout);
                // A caller with a timeout looks at the clock again anyway.
                if timeout.is_some() || self.state.load(Ordering::Acquire) != PARKED {
                    break;
                }
            }
        }
        self.end();
    }

    /// Runs `poll`, which is to end when the driver is woken. Not at all, if the wake-up has come already.
    pub(crate) fn park_in_driver<R>(&self, poll: impl FnOnce() -> R) -> Option<R> {
        let polled = self.begin(IN_DRIVER).then(poll);
        self.end();
        polled
    }

    /// `driver` is the one that the sleeper may be polling.
    pub(crate) fn unpark(&self, driver: Option<&Handle>) {
        let before = self.state.swap(NOTIFIED, Ordering::AcqRel);
        if before == PARKED || before == NOTIFIED {
            self.wake();
        }
        if (before == IN_DRIVER || before == NOTIFIED)
            && let Some(driver) = driver
        {
            driver.wake();
        }
    }
}

#[cfg(target_os = "linux")]
impl Parker {
    /// Returns at once if the state is not PARKED; may return for no reason.
    fn wait(&self, timeout: Option<Duration>) {
        use rustix::thread::futex::{Flags, Timespec, wait};
        // A duration that the kernel's type cannot hold is as good as none.
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        // The three errors (changed, interrupted, timed out) all mean: look again.
        let _ = wait(&self.state, Flags::PRIVATE, PARKED, timeout.as_ref());
    }

    fn wake(&self) {
        // Fails only for an address that is not ours.
        let _ = rustix::thread::futex::wake(&self.state, rustix::thread::futex::Flags::PRIVATE, 1);
    }
}

#[cfg(not(target_os = "linux"))]
impl Parker {
    /// May return for no reason.
    fn wait(&self, timeout: Option<Duration>) {
        self.thread.get_or_init(std::thread::current);
        // A waker that came before the line above found no thread to wake.
        std::sync::atomic::fence(Ordering::SeqCst);
        if self.state.load(Ordering::Acquire) != PARKED {
            return;
        }
        match timeout {
            Some(timeout) => std::thread::park_timeout(timeout),
            None => std::thread::park(),
        }
    }

    fn wake(&self) {
        std::sync::atomic::fence(Ordering::SeqCst);
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }
}
