use crate::join::JoinHandle;
use crate::runtime::Handle;
use crate::runtime::context;
use crate::runtime::handle::{Size, spawn_closure, spawn_current};
use std::future::Future;

/// Spawns a future on the IO lane of the current runtime.
///
/// It is queued at once and runs whether or not the handle is awaited. If the runtime was shut
/// down, it never runs, and the handle gives an error. Meant for futures that mostly wait: use
/// [`spawn_compute`] or [`compute::spawn`](crate::compute::spawn) for what computes for longer than
/// some tens of microseconds, and [`spawn_blocking`] for what blocks.
///
/// # Panics
///
/// Outside a runtime.
///
/// # Examples
///
/// ```
/// # evenkeel::runtime::Runtime::new().unwrap().block_on(async {
/// let answer = evenkeel::spawn(async { 6 * 7 });
/// assert_eq!(answer.await.unwrap(), 42);
/// # });
/// ```
#[track_caller]
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    if F::IS_LARGE {
        return spawn_current(Box::pin(future));
    }
    spawn_current(future)
}

/// Runs a closure that blocks (file IO, a database client, a lock held for long) on a thread of the
/// blocking pool.
///
/// The pool has a thread for each call that runs at the same time, up to
/// [`max_blocking_threads`](crate::runtime::Builder::max_blocking_threads); further calls wait in a
/// queue. For work that keeps a CPU busy use [`spawn_compute`]: hundreds of threads do not make a
/// core faster. A closure that has started cannot be aborted.
///
/// A closure that is in the queue when the runtime is shut down still runs, and dropping the
/// runtime waits for it as it does for one that has started: for ever, if the closure never ends.
/// See [`Runtime`](crate::runtime::Runtime#shutdown).
///
/// # Panics
///
/// Outside a runtime.
///
/// # Examples
///
/// ```
/// # evenkeel::runtime::Runtime::new().unwrap().block_on(async {
/// let text = evenkeel::spawn_blocking(|| std::fs::read_to_string("Cargo.toml")).await.unwrap();
/// assert!(text.unwrap().contains("[package]"));
/// # });
/// ```
#[track_caller]
pub fn spawn_blocking<F, R>(f: F) -> JoinHandle<R>
where
    F: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    if F::IS_LARGE {
        return Handle::current().spawn_blocking(Box::new(f));
    }
    Handle::current().spawn_blocking(f)
}

/// Runs a closure that computes on the compute lane, where it gets what the IO lane leaves of the
/// CPU.
///
/// Each core has one compute worker. Further closures wait in its queue, or are stolen by an idle
/// worker. A closure that has started cannot be aborted.
///
/// # Panics
///
/// Outside a runtime.
///
/// # Examples
///
/// ```
/// # evenkeel::runtime::Runtime::new().unwrap().block_on(async {
/// let sum = evenkeel::spawn_compute(|| (1..=1_000_000_u64).sum::<u64>()).await.unwrap();
/// assert_eq!(sum, 500_000_500_000);
/// # });
/// ```
#[track_caller]
pub fn spawn_compute<F, R>(f: F) -> JoinHandle<R>
where
    F: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    spawn_closure(&context::current_shared(), f)
}
