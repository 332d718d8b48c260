//! The end of a runtime.
//!
//! 1. Nothing new starts: no compute threads, no takeovers.
//! 2. The lanes are told: each worker leaves after its current poll, and cancels whatever waits
//!    ([`scheduler::shutdown`](crate::scheduler)).
//! 3. The blocking pools are told. Their queued closures still run.
//! 4. The runtime lets go of [`WorkersAlive`]. With the last worker that leaves, tokio's thread and
//!    the supervisor go, the latter once those closures need no more threads.
//! 5. All threads are waited for, and meanwhile what is left is cancelled again and again: a worker
//!    that is stuck in a poll may be waiting for a task to go away, or for one that it has spawned
//!    since, or for IO.
//! 6. The IO driver goes, so that blocking closures which await IO get an error; timers are woken.
//! 7. The blocking closures are waited for, and all threads joined.

use super::context;
use super::handle::Handle;
use super::shared::Shared;
use super::workers_alive::WorkersAlive;
use crate::panics::wake;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// A worker that has not left so long after a shutdown has begun is stuck.
const STUCK_AFTER: Duration = Duration::from_millis(50);

pub(super) fn shut_down(
    handle: &Handle,
    alive: Option<Arc<WorkersAlive>>,
    timeout: Option<Duration>,
) {
    let Some(alive) = alive else {
        return;
    };
    let shared = &handle.shared;
    if shared.is_of_parent() {
        // What is in there may be half done, by threads that are not here.
        mem::forget((alive, handle.clone()));
        return;
    }
    let timeout = match context::role() {
        // Nor is it outside where its context has gone already, at the end of a thread.
        context::Role::Outside if !shared.threads.is_current() => timeout,
        // Waiting here could never end.
        _ => Some(Duration::ZERO),
    };
    // A timeout that the clock cannot express is none.
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let _entered = handle.enter();
    shared.shut_down.store(true, Ordering::SeqCst);
    shared.compute_start.close();
    shared.takeover.close();
    shared.io.begin_shutdown();
    shared.compute.begin_shutdown();
    // Before the supervisor goes, which makes their threads.
    shared.look_ups.shutdown_background();
    shared.blocking.shutdown_background();
    if shared.current_thread.is_some() {
        // Most likely nobody is in `block_on`.
        shared.io.finish_shutdown();
    }
    if shared.compute.started() == 0 {
        // No worker that leaves will do it.
        shared.compute.finish_shutdown();
    }
    // The last worker that leaves stops the other threads, so that this one need not wake up for
    // it.
    drop(alive);
    shared.wait_for_threads(deadline);
    shared.watch.stop();
    shared.tokio.abandon();
    shared.driver_lock.close();
    shared.driver_timers.drain().into_iter().for_each(wake);
    for pool in [&shared.blocking, &shared.look_ups] {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        pool.shutdown(left);
    }
    shared.threads.join(deadline);
}

impl Shared {
    /// Waits for all threads, but not after `deadline`, and cancels meanwhile what is left.
    fn wait_for_threads(&self, deadline: Option<Instant>) {
        loop {
            let next = Instant::now() + STUCK_AFTER;
            let until = deadline.map_or(next, |deadline| deadline.min(next));
            let none_left = self.threads.wait(Some(until));
            self.io.finish_shutdown();
            self.compute.finish_shutdown();
            if none_left || deadline == Some(until) {
                return;
            }
            // What a stuck poll awaits may be IO.
            self.tokio.abandon();
            self.driver_lock.close();
        }
    }
}
