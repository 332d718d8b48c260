//! The end of a pool, and of its threads.
//!
//! # Joining
//!
//! A thread that has left the pool has not ended: the destructors of its thread-locals, which are
//! foreign code, run after that. So every thread is joined. One that leaves an open pool is joined
//! by the next that leaves; who is left when the pool is closed, by whoever waits for the end.
//!
//! Maker:
//! 1. announces the thread under the lock, together with counting it;
//! 2. creates it;
//! 3. lists its handle under the lock.
//!
//! Leaving thread, of an open pool: under the lock that uncounts it, it is marked as left, and
//! takes all those out that were marked before, are listed, and have nothing but their
//! thread-locals left. It joins them after the unlock. Whoever is joined by it, is so for all who
//! join it. (One that does not get away from a thread-local so keeps one other thread, and not each
//! that comes after.)
//!
//! Who waits for the end:
//! 1. closes the pool, which it may have been;
//! 2. waits until it is over: no job waits, no thread is counted, and all that were announced are
//!    listed (or forgotten, because they were refused);
//! 3. takes all handles out, joins them, and says so. Others that come meanwhile wait for that.
//!
//! With a deadline a thread of its own does step 3, for a join has none.

use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use evenkeel_sync::{MutexGuard, join_all, run_until, wait_until};

use crate::shared::{Core, Shared};

impl Shared {
    /// Closes the pool, and waits until the timeout for its jobs and threads; true if all have
    /// ended.
    pub(crate) fn shutdown(self: &Arc<Self>, timeout: Option<Duration>) -> bool {
        // A timeout that the clock cannot express is none.
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        self.close();
        let mut core = self.core.lock();
        // A thread of the pool would wait for its own end.
        if timeout == Some(Duration::ZERO) || self.is_current() {
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

    /// Joins the threads of a pool that is over. False if that took too long, or the system has no
    /// thread to do it.
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
}
