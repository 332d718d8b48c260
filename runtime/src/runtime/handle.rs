use super::block_on;
use super::context::{self, EnterGuard, TryCurrentError};
use super::dump::Dump;
use super::metrics::RuntimeMetrics;
use super::shared::Shared;
use crate::join::JoinHandle;
use crate::scheduler::kind::Kind;
use crate::scheduler::lane::Lane;
use crate::scheduler::queue::LaneRef;
use crate::scheduler::worker::Caller;
use crate::tasks::{self, Id, Schedule, Task, budget};
use crate::timers::InFlight;
use evenkeel_topology::{ComputePriority, CpuSet};
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// True for futures and closures that whoever is given them by a user boxes at once: without
/// optimisation each call that they are handed on by copies them, and a large value on its way
/// overflows a small stack (crossbeam#1146).
pub(crate) trait Size: Sized {
    /// A constant, so that the other way is left out of every build.
    const IS_LARGE: bool = size_of::<Self>() > 4096;
}

impl<T> Size for T {}

/// A way to a runtime: spawns onto it from anywhere. Cheap to clone.
///
/// A handle does not keep its runtime going. Once the [`Runtime`](super::Runtime) is dropped,
/// whatever is spawned through a handle is cancelled at once.
#[derive(Clone)]
pub struct Handle {
    pub(super) shared: Arc<Shared>,
}

impl Handle {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Handle { shared }
    }

    /// The runtime of the calling thread.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    #[track_caller]
    pub fn current() -> Handle {
        // No closure, so that the message names the caller's place.
        match Handle::try_current() {
            Ok(handle) => handle,
            Err(error) => panic!("{error}"),
        }
    }

    /// The runtime of the calling thread, if there is one.
    ///
    /// # Errors
    ///
    /// [`TryCurrentError`] outside a runtime.
    pub fn try_current() -> Result<Handle, TryCurrentError> {
        context::try_current()
            .map(Handle::new)
            .ok_or_else(TryCurrentError::of_thread)
    }

    /// Makes this the current runtime of the calling thread until the guard is dropped.
    ///
    /// With the feature `tokio-rt`, what needs a runtime of tokio's finds the small one behind this
    /// one, unless the thread has another.
    pub fn enter(&self) -> EnterGuard<'_> {
        EnterGuard::new(self.shared.clone())
    }

    /// Spawns a future on the IO lane. See [`spawn`](crate::spawn()).
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        if F::IS_LARGE {
            return spawn_on(&self.shared.io, Box::pin(future));
        }
        spawn_on(&self.shared.io, future)
    }

    /// Runs a closure on the compute lane. See [`spawn_compute`](crate::spawn_compute).
    #[track_caller]
    pub fn spawn_compute<F, R>(&self, f: F) -> JoinHandle<R>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        spawn_closure(&self.shared, f)
    }

    /// Runs a closure on the blocking pool. See [`spawn_blocking`](crate::spawn_blocking).
    #[track_caller]
    pub fn spawn_blocking<F, R>(&self, f: F) -> JoinHandle<R>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        if F::IS_LARGE {
            return self.run_blocking(Box::new(f));
        }
        self.run_blocking(f)
    }

    #[track_caller]
    fn run_blocking<F, R>(&self, f: F) -> JoinHandle<R>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        let (task, handle) = tasks::new(Once(Some(f)), PoolRef, Id::next(), Location::caller());
        let in_flight = InFlight::new(&self.shared.clock);
        // Refused, the job is dropped, and with it the task, which cancels it.
        let _ = self.shared.blocking.execute(move || {
            let _in_flight = in_flight;
            let again = task.run();
            debug_assert!(again.is_none(), "a closure completes in its first poll");
        });
        JoinHandle::new(handle)
    }

    /// Drives `future` on the calling thread until it completes.
    ///
    /// Tasks it spawns run on the runtime's workers. In a runtime of the current-thread flavour
    /// this runs none of them, and events come only while another thread is in
    /// [`Runtime::block_on`](super::Runtime::block_on), which see. In the destructor of a
    /// thread-local, where this works as well, no runtime may be the current one: use the handle.
    ///
    /// # Panics
    ///
    /// On a worker of a runtime, or inside another `block_on`: that thread must not block. In a
    /// child made by `fork`. If the future panics.
    #[track_caller]
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        if F::IS_LARGE {
            return block_on::block_on(&self.shared, Box::pin(future));
        }
        block_on::block_on(&self.shared, future)
    }

    /// The priority of the compute lane that is in force, which may be less than was asked for: the
    /// system can refuse it.
    ///
    /// If the lane has not been used yet, this starts its threads and waits for the first of them,
    /// some tens of microseconds. If the system refuses to make that one, or the runtime is shut
    /// down before it was made, the answer is [`Normal`](ComputePriority::Normal).
    pub fn compute_priority(&self) -> ComputePriority {
        let start = &self.shared.compute_start;
        if let Some(priority) = start.known_priority() {
            return priority;
        }
        self.shared.want_compute();
        if Caller::with(|caller| matches!(caller, Caller::Supervisor)) {
            // A waker, on the supervisor that would make the threads, or one that is as good. The
            // error is known to those who wait.
            let _ = self.shared.start_compute();
        }
        start.wait_for_priority()
    }

    /// The CPU of each IO worker, or `None` for a worker that may run on several: because it is not
    /// pinned to one, or not any more, since the CPUs that the process may use were changed, or,
    /// with [`Pinning::Auto`](crate::runtime::Pinning::Auto), since others use them.
    /// [`dump`](Handle::dump) says which CPUs all workers are kept to.
    pub fn pinned_cpus(&self) -> Vec<Option<usize>> {
        let cpus = &self.shared.cpus;
        let allowed = cpus.allowed();
        let of_worker = |worker| cpus.of_worker_within(Kind::Io, worker, allowed.as_ref());
        let only = |cpus: CpuSet| match cpus.as_slice() {
            [cpu] => Some(*cpu),
            _ => None,
        };
        (0..self.shared.io.workers())
            .map(|worker| of_worker(worker).and_then(only))
            .collect()
    }

    /// What every thread of the runtime is doing and what waits for it, for a log or an error
    /// report.
    ///
    /// A snapshot without a stop: its parts are read one after another. It takes a lock of each
    /// worker for a moment, so it is not for a hot path.
    pub fn dump(&self) -> Dump {
        Dump::of(&self.shared)
    }

    /// Numbers about the runtime, for monitoring.
    pub fn metrics(&self) -> RuntimeMetrics {
        RuntimeMetrics::new(self.shared.clone())
    }

    /// The number of IO workers.
    pub fn worker_threads(&self) -> usize {
        self.shared.io.workers()
    }

    /// The number of compute workers.
    pub fn compute_threads(&self) -> usize {
        self.shared.compute.workers()
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("worker_threads", &self.worker_threads())
            .field("compute_threads", &self.compute_threads())
            .finish_non_exhaustive()
    }
}

/// Spawns on the IO lane of the runtime of this thread.
#[track_caller]
pub(crate) fn spawn_current<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let spawned_at = Location::caller();
    // A task spawning a task is the common case, and needs no handle.
    let spawned = Caller::with(|caller| match caller.worker() {
        Some(worker) if worker.kind() == Kind::Io && !context::is_entered() => {
            Ok(spawn_at(caller, worker.lane(), future, spawned_at))
        }
        _ => Err(future),
    });
    match spawned {
        Ok(handle) => handle,
        Err(future) => Handle::current().spawn(future),
    }
}

/// Spawns a future on the compute lane.
#[track_caller]
pub(crate) fn spawn_on_compute<F>(shared: &Shared, future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let handle = spawn_on(&shared.compute, future);
    shared.want_compute();
    handle
}

/// Spawns a closure on the compute lane.
#[track_caller]
pub(crate) fn spawn_closure<F, R>(shared: &Shared, f: F) -> JoinHandle<R>
where
    F: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    if F::IS_LARGE {
        return spawn_on_compute(shared, Once(Some(Box::new(f))));
    }
    spawn_on_compute(shared, Once(Some(f)))
}

#[track_caller]
fn spawn_on<F>(lane: &Arc<Lane>, future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let spawned_at = Location::caller();
    Caller::with(|caller| spawn_at(caller, lane, future, spawned_at))
}

fn spawn_at<F>(
    caller: &Caller<'_>,
    lane: &Arc<Lane>,
    future: F,
    spawned_at: &'static Location<'static>,
) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let (task, handle) = tasks::new(future, LaneRef(lane.clone()), Id::next(), spawned_at);
    lane.schedule(caller, task);
    JoinHandle::new(handle)
}

/// A closure as a future that completes in its first poll.
struct Once<F>(Option<F>);

impl<F> Unpin for Once<F> {}

impl<F: FnOnce() -> R, R> Future for Once<F> {
    type Output = R;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<R> {
        let f = self
            .0
            .take()
            .expect("a closure completes in its first poll");
        // It may drive futures itself, and cannot yield.
        Poll::Ready(budget::with_leave_to_block(f))
    }
}

/// The scheduler of a blocking closure: it is in the pool's queue, or running, or done.
struct PoolRef;

impl Schedule for PoolRef {
    type Caller<'a> = ();

    fn with_caller<R>(f: impl FnOnce(&()) -> R) -> R {
        f(&())
    }

    fn schedule(&self, (): &(), _: Task) {
        unreachable!("a closure is never idle, so nothing can wake it")
    }

    fn may_wake(&self, (): &()) -> bool {
        true
    }

    fn defer(&self, (): &(), _: tasks::DeferredWake) {
        unreachable!("not refused")
    }

    fn may_settle(&self, (): &()) -> bool {
        true
    }

    fn hand_back(&self, (): &(), task: Task) -> Result<(), Task> {
        Err(task)
    }

    fn register(&self, (): &(), _: tasks::Registered) -> Option<tasks::Shard> {
        unreachable!("a closure is never pending")
    }

    unsafe fn unregister(&self, _: &tasks::Completed) -> Option<tasks::Registered> {
        None
    }
}
