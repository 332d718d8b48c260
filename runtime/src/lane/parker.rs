//! How a thread sleeps until somebody wakes it.
//!
//! ```text
//! sleeper                                   waker
//! 1. EMPTY -> PARKED; NOTIFIED: done        1. swap NOTIFIED
//! 2. wait while PARKED                      2. it was EMPTY: done; otherwise wake the sleeper
//! 3. swap EMPTY
//! ```
//!
//! A waker that finds NOTIFIED still makes the system call: the one that set it may have been preempted
//! before its own, for as long as a busy core keeps a thread of low priority waiting. `std`'s unpark
//! would leave it at that, and crossbeam's takes a lock.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

const EMPTY: u32 = 0;
const PARKED: u32 = 1;
const NOTIFIED: u32 = 2;

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

    /// Sleeps until [`unpark`](Parker::unpark), which may have come already, or until `timeout` is over.
    /// May return early when there is a timeout. Only ever called by one thread.
    pub(crate) fn park(&self, timeout: Option<Duration>) {
        let parked =
            self.state
                .compare_exchange(EMPTY, PARKED, Ordering::AcqRel, Ordering::Acquire);
        if parked.is_ok() {
            loop {
                self.wait(timeout);
                // A caller with a timeout looks at the clock again anyway.
                if timeout.is_some() || self.state.load(Ordering::Acquire) != PARKED {
                    break;
                }
            }
        }
        self.state.swap(EMPTY, Ordering::AcqRel);
    }

    pub(crate) fn unpark(&self) {
        if self.state.swap(NOTIFIED, Ordering::AcqRel) != EMPTY {
            self.wake();
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
