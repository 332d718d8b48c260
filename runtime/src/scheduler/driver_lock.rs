//! The lock of the IO driver, which is only ever tried.
//!
//! One thread at a time polls the operating system. An idle IO worker does so in place of parking,
//! so that an event is handled by the thread that received it; a busy one looks in from time to
//! time; and the supervisor does when nobody else has for a while. (A dedicated thread alone costs
//! a second hop for every event; polling workers alone stop all IO when the one that left the poll
//! gets stuck: tokio#4730.)
//!
//! Nobody ever waits for the lock, and only IO workers and the supervisor, which are never
//! preempted for long, try. So it does no harm that wakers run while it is held.

#[cfg(evenkeel_loom)]
use super::model_driver::{Driver, Handle};
#[cfg(not(evenkeel_loom))]
use evenkeel_io_driver::{Driver, Handle};
use evenkeel_sync::exclusive::{Exclusive, Guard};
use evenkeel_sync::panics::log;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub(crate) struct DriverLock {
    /// Gone once the runtime is shut down.
    driver: Exclusive<Driver>,
    handle: Handle,
    /// How many times somebody has polled.
    polls: AtomicU64,
}

/// The right to poll.
pub(crate) struct DriverGuard<'a> {
    driver: Guard<'a, Driver>,
    polls: &'a AtomicU64,
}

impl DriverLock {
    pub(crate) fn new(driver: Driver) -> Self {
        let handle = driver.handle();
        DriverLock {
            driver: Exclusive::new(driver),
            handle,
            polls: AtomicU64::new(0),
        }
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// `None` if another thread is at it, or the driver is gone.
    pub(crate) fn try_lock(&self) -> Option<DriverGuard<'_>> {
        Some(DriverGuard {
            driver: self.driver.try_take()?,
            polls: &self.polls,
        })
    }

    pub(crate) fn polls(&self) -> u64 {
        self.polls.load(Ordering::Relaxed)
    }

    /// Drops the driver, now or when the thread that polls it leaves: whatever waits for IO gets an
    /// error.
    pub(crate) fn close(&self) {
        self.driver.close();
        self.handle.wake();
    }
}

impl DriverGuard<'_> {
    /// Polls without waiting. Returns the number of events.
    pub(crate) fn look(&mut self) -> usize {
        self.poll(Some(Duration::ZERO))
    }

    /// Waits for events, or for `timeout`; may return early. Returns the number of events.
    pub(crate) fn poll(&mut self, timeout: Option<Duration>) -> usize {
        self.polls.fetch_add(1, Ordering::Relaxed);
        self.driver.turn(timeout).unwrap_or_else(|error| {
            log(|| tracing::error!(%error, "polling for IO failed"));
            // Not a busy loop, whatever the cause.
            std::thread::sleep(Duration::from_millis(10));
            0
        })
    }
}
