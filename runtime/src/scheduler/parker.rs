//! How a thread sleeps until somebody wakes it. The protocol is in
//! [`park_state`](super::park_state).

#[cfg(evenkeel_loom)]
use super::model_driver::Handle;
#[cfg(all(target_os = "linux", not(evenkeel_loom)))]
use super::park_state::PARKED;
use super::park_state::{ParkState, Place};
#[cfg(not(evenkeel_loom))]
use evenkeel_io_driver::Handle;
use std::time::Duration;

pub(crate) struct Parker {
    state: ParkState,
    #[cfg(evenkeel_loom)]
    notify: loom::sync::Notify,
    /// Who slept here last: the thread of a worker may change.
    #[cfg(all(not(target_os = "linux"), not(evenkeel_loom)))]
    thread: parking_lot::Mutex<Option<std::thread::Thread>>,
}

impl Default for Parker {
    fn default() -> Self {
        Parker::new()
    }
}

impl Parker {
    pub(crate) fn new() -> Self {
        Parker {
            state: ParkState::new(),
            #[cfg(evenkeel_loom)]
            notify: loom::sync::Notify::new(),
            #[cfg(all(not(target_os = "linux"), not(evenkeel_loom)))]
            thread: parking_lot::Mutex::new(None),
        }
    }

    /// Sleeps until [`unpark`](Parker::unpark), which may have come already, or until `timeout` is
    /// over. May return early when there is a timeout. Only ever called by one thread. True if
    /// there was an unpark.
    pub(crate) fn park(&self, timeout: Option<Duration>) -> bool {
        if self.state.begin(Place::Futex) {
            loop {
                self.wait(timeout);
                // A caller with a timeout looks at the clock again anyway.
                if timeout.is_some() || !self.state.is_parked() {
                    break;
                }
            }
        }
        self.state.end()
    }

    /// Runs `poll`, which is to end when the driver is woken. Not at all, if the wake-up has come
    /// already.
    pub(crate) fn park_in_driver<R>(&self, poll: impl FnOnce() -> R) -> Option<R> {
        let polled = self.state.begin(Place::Driver).then(poll);
        self.state.end();
        polled
    }

    /// It was unparked, and has not seen that yet.
    pub(crate) fn is_notified(&self) -> bool {
        self.state.is_notified()
    }

    /// For the thread itself: the next [`park`](Parker::park) returns at once.
    pub(crate) fn keep_awake(&self) {
        self.state.notify();
    }

    /// `driver` is the one that the sleeper may be polling.
    pub(crate) fn unpark(&self, driver: Option<&Handle>) {
        self.unpark_noting(driver, || {});
    }

    /// The same. If the thread sleeps, and this is the first to wake it, calls `note` before that.
    pub(crate) fn unpark_noting(&self, driver: Option<&Handle>, note: impl FnOnce()) {
        let to_wake = self.state.notify();
        if to_wake.is_first() {
            note();
        }
        if to_wake.futex {
            self.wake();
        }
        if to_wake.driver
            && let Some(driver) = driver
        {
            driver.wake();
        }
    }
}

#[cfg(all(target_os = "linux", not(evenkeel_loom)))]
impl Parker {
    /// Returns at once if the state is not PARKED; may return for no reason.
    fn wait(&self, timeout: Option<Duration>) {
        use rustix::thread::futex::{Flags, Timespec, wait};
        // A duration that the kernel's type cannot hold is as good as none.
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        // The three errors (changed, interrupted, timed out) all mean: look again.
        let _ = wait(self.state.word(), Flags::PRIVATE, PARKED, timeout.as_ref());
    }

    fn wake(&self) {
        use rustix::thread::futex::{Flags, wake};
        // Fails only for an address that is not ours.
        let _ = wake(self.state.word(), Flags::PRIVATE, 1);
    }
}

#[cfg(all(not(target_os = "linux"), not(evenkeel_loom)))]
impl Parker {
    /// May return for no reason.
    fn wait(&self, timeout: Option<Duration>) {
        use std::sync::atomic::{Ordering, fence};
        *self.thread.lock() = Some(std::thread::current());
        // A waker that came before the line above found no thread to wake.
        fence(Ordering::SeqCst);
        if !self.state.is_parked() {
            return;
        }
        match timeout {
            Some(timeout) => std::thread::park_timeout(timeout),
            None => std::thread::park(),
        }
    }

    fn wake(&self) {
        std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
        if let Some(thread) = &*self.thread.lock() {
            thread.unpark();
        }
    }
}

#[cfg(evenkeel_loom)]
impl Parker {
    /// Loom has no clock: no timeout ever ends.
    fn wait(&self, _timeout: Option<Duration>) {
        self.notify.wait();
    }

    fn wake(&self) {
        self.notify.notify();
    }
}
