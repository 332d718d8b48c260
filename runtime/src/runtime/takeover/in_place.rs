//! [`block_in_place`].

use super::Stray;
use crate::lane::hold::leave_seat;
use crate::lane::worker::Local;
use crate::runtime::{Shared, context};
use crate::tasks::budget;
use evenkeel_topology::thread_cpu_time;
use std::sync::Arc;
use std::time::Instant;

/// Runs `f`, which may block or compute, without holding up the other tasks of the calling worker.
///
/// On an IO worker another thread takes the worker's place first, at once, and the calling thread ends or is put aside
/// when the current poll is over. Everywhere else (on a compute worker, a blocking thread, in
/// [`block_on`](crate::runtime::Runtime::block_on), outside a runtime) `f` is just called. If `f` uses more than
/// 100 ms of CPU, it goes on at the priority of the compute lane, at the latest when a worker is awake.
///
/// A worker whose task blocks without this is replaced as well, after a millisecond and if other tasks wait
/// ([`TakeoverPolicy`](crate::runtime::TakeoverPolicy)), so this saves its neighbours that millisecond, and costs the
/// waking of a thread, some ten microseconds. [`spawn_blocking`](crate::spawn_blocking) and
/// [`spawn_compute`](crate::spawn_compute) leave the worker where it is; prefer them where the closure can be `'static`.
/// What else the task awaits at the same time (other branches of a `select!` or `join!`) stands still until `f` returns.
///
/// Inside `f`, `block_on` is allowed. If no thread can take the worker's place, because the
/// policy's `max_threads` is reached or the system refuses one, `f` is called all the same, holds the worker up, and
/// `block_on` panics, since what it waits for might wait for the worker.
///
/// # Panics
///
/// If `f` does.
///
/// # Examples
///
/// ```
/// # evenkeel::runtime::Runtime::new().unwrap().block_on(async {
/// let words = evenkeel::spawn(async {
///     let text = String::from("not 'static, if borrowed");
///     evenkeel::task::block_in_place(|| text.split(' ').count())
/// });
/// assert_eq!(words.await.unwrap(), 4);
/// # });
/// ```
pub fn block_in_place<F, R>(f: F) -> R
where
    F: FnOnce() -> R,
{
    let _may_block = leave_seat().then(context::allow_blocking);
    budget::with_leave_to_block(f)
}

impl Shared {
    /// The calling worker, in a poll, gives its seat to a spare. False if there is none.
    pub(in crate::runtime) fn replace(self: &Arc<Self>, local: &Local) -> bool {
        let (worker, tenant) = (local.index(), local.tenant().clone());
        let Some(poll) = self.io.current_poll(worker) else {
            return false;
        };
        let Some(spare) = self.spare() else {
            return false;
        };
        // Its core is free for others.
        self.io.end_long(&tenant);
        local.give_up();
        // First of all: as a stray this thread may be lowered, and then stop anywhere.
        self.fill(worker, &spare);
        let cpu_time = thread_cpu_time(tenant.thread());
        let stray = Stray::new(tenant, worker, poll, Instant::now(), cpu_time);
        stray.unpin(&self.takeover);
        self.takeover.new_strays.push(stray);
        true
    }
}
