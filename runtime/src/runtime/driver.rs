//! The driver thread: it polls the IO driver, fires timers, watches over the workers, and makes threads.
//!
//! # Watching
//!
//! A worker that is stuck in a poll does not fire its timers, so somebody else has to. The driver thread
//! looks every [`WATCH_INTERVAL`] while any IO worker is awake, and fires what is overdue. When all
//! have slept for a while it stops looking, so that an idle process has no periodic wake-ups; a worker
//! that wakes up makes it look again.
//!
//! ```text
//! driver thread, all asleep for a while     worker that wakes up
//! 1. watching = false                       1. clear its bit in `sleeping` (SeqCst)
//! 2. fence (SeqCst)                         2. watching is false: set it, wake the driver thread
//! 3. a worker is awake: watching = true
//! ```
//!
//! Both sides write, then read what the other wrote, with SeqCst in between: one of them sees the other.

use super::Shared;
use crate::lane::worker::set_prompt;
use crate::time::clock;
use crate::time::shard::{NEVER, wake};
use evenkeel_io_driver::{Driver, Handle as IoHandle};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::time::Duration;

/// How often the driver thread looks after the workers while any of them is awake.
const WATCH_INTERVAL: Duration = Duration::from_millis(10);

/// After so many looks at sleeping workers it stops looking: 200 ms.
const QUIET_LOOKS: u32 = 20;

/// A worker's timer is overdue by more than this when the worker must be stuck: 2 ms.
const OVERDUE_NS: u64 = 2_000_000;

/// How long to wait before asking for a thread again that the operating system refused.
const THREAD_RETRY: Duration = Duration::from_millis(100);

/// Whether the driver thread looks after the workers.
pub(super) struct Watch {
    watching: AtomicBool,
    stop: AtomicBool,
    driver: IoHandle,
}

impl Watch {
    pub(super) fn new(driver: IoHandle) -> Self {
        Watch {
            watching: AtomicBool::new(true),
            stop: AtomicBool::new(false),
            driver,
        }
    }

    /// To be called by a worker that wakes up.
    pub(super) fn worker_awake(&self) {
        if !self.watching.load(Ordering::SeqCst) && !self.watching.swap(true, Ordering::SeqCst) {
            self.driver.wake();
        }
    }

    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.driver.wake();
    }
}

/// The body of the driver thread.
pub(super) fn run(mut driver: Driver, shared: &Arc<Shared>) {
    set_prompt();
    let mut quiet = 0;
    while !shared.watch.stop.load(Ordering::Acquire) {
        let retry = make_threads(shared);
        let deadline_ns = shared.driver_timers.prepare_sleep(clock::now_ns(), wake);
        fire_overdue(shared);
        let look = keep_watching(shared, &mut quiet).then_some(WATCH_INTERVAL);
        let until = (deadline_ns != NEVER).then(|| clock::until(deadline_ns));
        let timeout = [retry, look, until].into_iter().flatten().min();
        match driver.turn(timeout) {
            Ok(0) => {}
            Ok(_) => {
                // Workers are being woken: they need not tell.
                shared.watch.watching.store(true, Ordering::SeqCst);
                quiet = 0;
            }
            Err(error) => {
                tracing::error!(%error, "polling for IO failed");
                // Not a busy loop, whatever the cause.
                std::thread::sleep(WATCH_INTERVAL);
            }
        }
    }
}

/// Makes the threads that the blocking pool wants. Some time if it has to be tried again.
fn make_threads(shared: &Shared) -> Option<Duration> {
    if !shared.threads_wanted.swap(false, Ordering::AcqRel) {
        return None;
    }
    match shared.blocking.make_threads() {
        Ok(_) => None,
        Err(_) => {
            // The pool has logged it.
            shared.threads_wanted.store(true, Ordering::Release);
            Some(THREAD_RETRY)
        }
    }
}

/// Fires the timers of workers that do not get to it.
fn fire_overdue(shared: &Shared) {
    for worker in 0..shared.io.workers() {
        let timers = shared.io.timers(worker);
        let next = timers.next_ns();
        if next != NEVER && !shared.io.is_asleep(worker) {
            let now = clock::now_ns();
            if next.saturating_add(OVERDUE_NS) <= now {
                timers.fire(now).into_iter().for_each(wake);
            }
        }
    }
}

/// True if there is an IO worker to look after, or has been lately.
fn keep_watching(shared: &Shared, quiet: &mut u32) -> bool {
    if shared.io.awake_count() > 0 {
        *quiet = 0;
        return true;
    }
    if !shared.watch.watching.load(Ordering::SeqCst) {
        return false;
    }
    *quiet += 1;
    if *quiet < QUIET_LOOKS {
        return true;
    }
    *quiet = 0;
    shared.watch.watching.store(false, Ordering::SeqCst);
    fence(Ordering::SeqCst);
    let awake = shared.io.awake_count() > 0;
    if awake {
        shared.watch.watching.store(true, Ordering::SeqCst);
    }
    awake
}
