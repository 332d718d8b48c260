//! The compute lane: work that needs the CPU, at a priority that IO does not notice.
//!
//! Its threads, one per core, run only while the IO lane of their core has nothing to do
//! (`SCHED_IDLE` on Linux), and make way within microseconds when it has. So they may be kept busy
//! without end. Use [`spawn_compute`](crate::spawn_compute) for a closure, and [`spawn`] for a
//! future that computes between its awaits.
//!
//! A lock that compute code holds stays locked for as long as the IO lane keeps the core
//! busy, so do not share a lock between the two lanes. Return results through the join handle or a
//! oneshot channel; other channels take locks, or claim a place before they fill it.
//!
//! Some locks are shared without being seen. A thread that is preempted while it writes a line to
//! standard error, or while it maps or unmaps memory, as the allocator does for large buffers, has
//! the lock of that stream, or the kernel's lock of the process's memory. Beside jobs that do
//! little else, handlers that do the same had a p99 1.3 to 1.5 times as long as without jobs (two
//! CPUs; 1.8 to 4.6 with rayon's threads at nice 19). So let compute code write many lines at once,
//! or hand them to a logger with a thread of its own, and use its large buffers again.

use crate::join::JoinHandle;
use crate::runtime::context;
use crate::runtime::handle::{Size, spawn_on_compute};
use crate::scheduler::kind::Kind;
use crate::scheduler::worker::Caller;
use std::future::Future;

/// Spawns a future on the compute lane of the current runtime. All its polls are made there.
///
/// Sockets and timers work in it; the driver thread keeps its timers.
///
/// # Panics
///
/// Outside a runtime.
///
/// # Examples
///
/// ```
/// # evenkeel::runtime::Runtime::new().unwrap().block_on(async {
/// let sum = evenkeel::compute::spawn(async {
///     let mut sum = 0_u64;
///     for i in 0..1000 {
///         sum += i * i;
///         if i % 100 == 0 && evenkeel::compute::should_yield() {
///             evenkeel::task::yield_now().await;
///         }
///     }
///     sum
/// });
/// assert_eq!(sum.await.unwrap(), 332_833_500);
/// # });
/// ```
#[track_caller]
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    if F::IS_LARGE {
        return spawn_on_compute(&context::current_shared(), Box::pin(future));
    }
    spawn_on_compute(&context::current_shared(), future)
}

/// True if the calling compute worker is in the way of IO, because the IO worker of its core has
/// work, or the compute lane has had its part of a CPU quota. Also true if the thread is not a
/// compute worker.
///
/// A [`yield_now`](crate::task::yield_now) then lets a free compute worker of another core take the
/// rest of the task. It costs three loads of memory that is seldom written, so it may be called in
/// every iteration that takes a microsecond. Under a quota it also reads the clock and, once a
/// millisecond, the CPU clocks of the lane's threads.
pub fn should_yield() -> bool {
    Caller::with(|caller| match caller.worker() {
        Some(worker) if worker.kind() == Kind::Compute => {
            worker.partner_is_awake() || worker.has_to_pause()
        }
        _ => true,
    })
}
