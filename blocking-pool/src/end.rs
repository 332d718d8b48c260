//! The end of a pool, and of its threads.
//!
//! # Joining
//!
//! A thread that has left the pool has not ended: the destructors of its thread-locals, which are foreign code, run after
//! that. So every thread is joined. One that leaves an open pool is joined by the next that leaves; who is left when the pool is
//! closed, by whoever waits for the end.
//!
//! Maker:
//! 1. announces the thread under the lock, together with counting it;
//! 2. creates it;
//! 3. lists its handle under the lock.
//!
//! Leaving thread, of an open pool: under the lock that uncounts it, it is marked as left, and takes all those out that were
//! marked before, are listed, and have nothing but their thread-locals left. It joins them after the unlock. Whoever is joined
//! by it, is so for all who join it. (One that does not get away from a thread-local so keeps one other thread, and not each
//! that comes after.)
//!
//! Who waits for the end:
//! 1. closes the pool, which it may have been;
//! 2. waits until it is over: no job waits, no thread is counted, and all that were announced are listed (or forgotten,
//!    because they were refused);
//! 3. takes all handles out, joins them, and says so. Others that come meanwhile wait for that.
//!
//! With a deadline a thread of its own does step 3, for a join has none.

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use evenkeel_sync::thread::{JoinHandle, is_finished};
use evenkeel_sync::{MutexGuard, join_all, run_until, wait_until};

use crate::shared::{Core, Shared};
use crate::worker;

/// The threads that nobody has joined, by their numbers.
#[derive(Default)]
pub(crate) struct Unjoined {
    next: u64,
    /// Without a handle until it is listed.
    threads: BTreeMap<u64, Option<JoinHandle<()>>>,
    /// Those that have left an open pool.
    left: Vec<u64>,
    /// Somebody joins the last of them.
    joining: bool,
}

impl Unjoined {
    /// A thread is about to be created. The result is its number.
    pub(crate) fn announce(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        self.threads.insert(number, None);
        number
    }

    /// It was.
    pub(crate) fn list(&mut self, number: u64, handle: JoinHandle<()>) {
        self.threads.insert(number, Some(handle));
    }

    /// It was refused.
    pub(crate) fn forget(&mut self, number: u64) {
        self.threads.remove(&number);
    }

    /// The calling thread leaves an open pool, and has to join the others that have.
    pub(crate) fn leave(&mut self, number: u64) -> Vec<JoinHandle<()>> {
        let threads = &mut self.threads;
        let mut before = Vec::new();
        self.left.retain(|left| {
            let handle = threads.get(left).and_then(Option::as_ref);
            let is_ready = handle.is_some_and(is_finished);
            if is_ready {
                before.extend(threads.remove(left).flatten());
            }
            !is_ready
        });
        self.left.push(number);
        before
    }

    fn all_listed(&self) -> bool {
        self.threads.values().all(Option::is_some)
    }
}

impl Core {
    /// Nothing of a closed pool is left but threads that end.
    fn is_over(&self) -> bool {
        self.closed && self.threads == 0 && self.jobs.is_empty() && self.unjoined.all_listed()
    }
}

impl Shared {
    /// Closes the pool, and waits until the timeout for its jobs and threads; true if all have ended.
    pub(crate) fn shutdown(self: &Arc<Self>, timeout: Option<Duration>) -> bool {
        // A timeout that the clock cannot express is none.
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        self.close();
        let mut core = self.core.lock();
        // A thread of the pool would wait for its own end.
        if timeout == Some(Duration::ZERO) || worker::is_current(self) {
            return core.is_over() && core.unjoined.threads.is_empty() && !core.unjoined.joining;
        }
        while !core.is_over() || core.unjoined.joining {
            if wait_until(&self.ended, &mut core, deadline) {
                return false;
            }
        }
        core.unjoined.threads.is_empty() || self.join_all(core, deadline)
    }

    /// What waits now is to run; nothing else is taken in.
    fn close(self: &Arc<Self>) {
        let mut core = self.core.lock();
        self.take_inbox(&mut core);
        core.closed = true;
        let todo = self.settle(&mut core);
        drop(core);
        self.carry_out(todo);
    }

    /// Joins the threads of a pool that is over. False if that took too long, or the system has no thread to do it.
    fn join_all(
        self: &Arc<Self>,
        mut core: MutexGuard<'_, Core>,
        deadline: Option<Instant>,
    ) -> bool {
        core.unjoined.joining = true;
        drop(core);
        let Some(deadline) = deadline else {
            self.join_here();
            return true;
        };
        let shared = self.clone();
        run_until(deadline, move || shared.join_here()).unwrap_or_else(|_refused| {
            self.joined();
            false
        })
    }

    fn join_here(&self) {
        let threads = mem::take(&mut self.core.lock().unjoined.threads);
        join_all(threads.into_values().flatten());
        self.joined();
    }

    fn joined(&self) {
        self.core.lock().unjoined.joining = false;
        self.ended.notify_all();
    }

    pub(crate) fn notify_if_over(&self, core: &Core) {
        if core.is_over() {
            self.ended.notify_all();
        }
    }
}
