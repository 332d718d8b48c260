//! [`block_in_place`].

use super::context;
use crate::scheduler::worker::leave_seat;
use crate::tasks::budget;

/// Runs `f`, which may block or compute, without holding up the other tasks of the calling worker.
///
/// On an IO worker another thread takes the worker's place first, at once, and the calling thread
/// ends or is put aside when the current poll is over. Everywhere else (on a compute worker, a
/// blocking thread, in [`block_on`](crate::runtime::Runtime::block_on), outside a runtime) `f` is
/// just called. If `f` uses more than 100 ms of CPU, it goes on at the priority of the compute
/// lane, at the latest when a worker is awake.
///
/// A worker whose task blocks without this is replaced as well, after a millisecond and if other
/// tasks wait ([`TakeoverPolicy`](crate::runtime::TakeoverPolicy)), so this saves its neighbours
/// that millisecond, and costs the waking of a thread, some ten microseconds.
/// [`spawn_blocking`](crate::spawn_blocking) and [`spawn_compute`](crate::spawn_compute) leave the
/// worker where it is; prefer them where the closure can be `'static`. What else the task awaits at
/// the same time (other branches of a `select!` or `join!`) stands still until `f` returns.
///
/// Inside `f`, `block_on` is allowed, but for the thread in `block_on` of a current-thread runtime,
/// which nobody can replace. If no thread can take the worker's place, because the
/// policy's `max_threads` is reached or the system refuses one, `f` is called all the same, holds
/// the worker up, and `block_on` panics, since what it waits for might wait for the worker.
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
