//! The runtime, its builder, and handles to it.

pub(crate) mod block_on;
mod builder;
mod compute_start;
pub(crate) mod context;
mod cores;
mod driver;
mod dump;
mod first_use;
pub(crate) mod handle;
mod hosts;
pub(crate) mod look_ups;
mod metrics;
pub(crate) mod takeover;
mod threads;

pub use builder::Builder;
pub use context::EnterGuard;
pub use dump::Dump;
pub use evenkeel_topology::{ComputePriority, Pinning};
pub use handle::{Handle, TryCurrentError};
pub use metrics::RuntimeMetrics;
pub use takeover::TakeoverPolicy;

use crate::join::JoinHandle;
use crate::lane::Lane;
use crate::lane::turn::Turn;
use crate::panics::wake;
use crate::timers::TimerShard;
use crate::tokio_context::TokioContext;
use compute_start::ComputeStart;
use evenkeel_topology::Plan;
use first_use::FirstUse;
use handle::Size;
use std::fmt;
use std::future::Future;
use std::io;
use std::mem;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use takeover::Takeover;
use threads::{Crew, Threads};

/// A worker that has not left so long after a shutdown has begun is stuck.
const STUCK_AFTER: Duration = Duration::from_millis(50);

/// A running runtime. Dropping it shuts it down.
///
/// # Shutdown
///
/// Futures are dropped at their next await point, and closures of [`spawn_compute`](Runtime::spawn_compute) that have not
/// begun are dropped unrun. So is whatever is spawned from then on. Each of their [`JoinHandle`]s gives a
/// [`JoinError`](crate::task::JoinError) with [`is_cancelled`](crate::task::JoinError::is_cancelled).
///
/// Closures of [`spawn_blocking`](Runtime::spawn_blocking) that were there before *run*, also those that wait in the queue: the
/// last line of a log is written. They are cancelled only if the pool has no thread and the system refuses one.
///
/// Code that runs cannot be stopped: dropping the runtime waits for all blocking closures, and for polls and other closures
/// that have begun, *for ever* if they never end. Where that can happen (a read from a terminal, say), use
/// [`shutdown_timeout`](Runtime::shutdown_timeout) or [`shutdown_background`](Runtime::shutdown_background). It also waits
/// until all threads have ended, the destructors of their thread-locals included.
///
/// Dropped on a worker of a runtime, or inside [`block_on`](Runtime::block_on), it shuts down in the
/// background, because waiting there could never end. Dropped by one of its own blocking closures it waits for everything
/// but the blocking pool.
///
/// # Fork
///
/// As with every multithreaded program, a child made by `fork` has only the calling thread, so a
/// runtime is of no use there. [`block_on`](Runtime::block_on) panics, tasks are never polled, and sockets cannot be
/// made. Dropping the runtime, its handles and its sockets does nothing to the parent: a runtime is not shut down, and what it has is
/// left to the end of the process.
pub struct Runtime {
    handle: Handle,
    /// Gone once it is shut down.
    crew: Option<Arc<Crew>>,
}

/// What all threads of a runtime and all handles to it share.
pub(crate) struct Shared {
    io: Arc<Lane>,
    compute: Arc<Lane>,
    blocking: evenkeel_blocking_pool::Pool,
    look_ups: evenkeel_blocking_pool::Pool,
    io_driver: evenkeel_io_driver::Handle,
    /// Who polls the IO driver.
    turn: Arc<Turn>,
    /// The timers of threads that have none of their own.
    driver_timers: Arc<TimerShard>,
    watch: Arc<driver::Watch>,
    /// The blocking pool asks the driver thread for threads.
    threads_wanted: Arc<AtomicBool>,
    plan: Plan,
    compute_start: ComputeStart,
    takeover: Takeover,
    tokio: Arc<TokioContext>,
    tokio_use: FirstUse,
    max_blocking_threads: usize,
    threads: Threads,
    shut_down: AtomicBool,
    /// The process whose threads these are.
    process: u32,
}

/// No code of others runs while anything in here is half done.
impl UnwindSafe for Shared {}
impl RefUnwindSafe for Shared {}

impl Runtime {
    /// A runtime with the defaults of [`Builder`].
    ///
    /// # Errors
    ///
    /// As [`Builder::build`].
    pub fn new() -> io::Result<Runtime> {
        Builder::new().build()
    }

    /// Starts the driver thread and the IO workers.
    fn start(shared: Arc<Shared>, crew: Arc<Crew>) -> io::Result<Runtime> {
        // From here on, dropping the runtime stops the threads that did start.
        let runtime = Runtime {
            handle: Handle::new(shared.clone()),
            crew: Some(crew.clone()),
        };
        let of_driver = shared.clone();
        let started = shared
            .threads
            .start("driver", move || driver::run(&of_driver))
            .and_then(|()| shared.start_io(&crew));
        // Before the runtime, whose drop waits for the driver thread, which ends with the crew.
        drop(crew);
        started.map(|()| runtime)
    }

    /// Drives `future` on the calling thread until it completes, inside this runtime.
    ///
    /// The future itself does not move to a worker; what it spawns does. Several threads may do this
    /// at the same time.
    ///
    /// # Panics
    ///
    /// On a worker of a runtime, or inside another `block_on`: that thread must not block. In a child made by
    /// `fork`. If the future panics.
    #[track_caller]
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        if F::IS_LARGE {
            return self.handle.block_on(Box::pin(future));
        }
        self.handle.block_on(future)
    }

    /// Spawns a future on the IO lane. See [`spawn`](crate::spawn()).
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        if F::IS_LARGE {
            return self.handle.spawn(Box::pin(future));
        }
        self.handle.spawn(future)
    }

    /// Runs a closure on the blocking pool. See [`spawn_blocking`](crate::spawn_blocking).
    #[track_caller]
    pub fn spawn_blocking<F, R>(&self, f: F) -> JoinHandle<R>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        if F::IS_LARGE {
            return self.handle.spawn_blocking(Box::new(f));
        }
        self.handle.spawn_blocking(f)
    }

    /// Runs a closure on the compute lane. See [`spawn_compute`](crate::spawn_compute).
    #[track_caller]
    pub fn spawn_compute<F, R>(&self, f: F) -> JoinHandle<R>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        if F::IS_LARGE {
            return self.handle.spawn_compute(Box::new(f));
        }
        self.handle.spawn_compute(f)
    }

    /// Numbers about this runtime, for monitoring. See [`Handle::metrics`].
    pub fn metrics(&self) -> RuntimeMetrics {
        self.handle.metrics()
    }

    /// A handle, with which other threads can spawn onto this runtime.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Makes this the current runtime of the calling thread until the guard is dropped, so that
    /// [`spawn`](crate::spawn()) and the types of [`net`](crate::net) and [`time`](crate::time) work there.
    pub fn enter(&self) -> EnterGuard {
        self.handle.enter()
    }

    /// Shuts down, and waits no longer than `timeout` for code that is running and for blocking closures in the queue.
    /// Threads that are still busy then are left to themselves, and end when that code does, those of the blocking pool
    /// when the queue is empty.
    ///
    /// A last part of the waiting takes a thread, for at most as long; where the system refuses that, the destructors of
    /// thread-locals may still run afterwards.
    pub fn shutdown_timeout(mut self, timeout: Duration) {
        self.shut_down(Some(timeout));
    }

    /// Shuts down without waiting for code that is running. Blocking closures that wait in the queue still run, on the
    /// threads that there are, or on a new one if there are none; nobody waits for them.
    pub fn shutdown_background(self) {
        self.shutdown_timeout(Duration::ZERO);
    }

    /// In this order: nothing new starts; everything that waits is cancelled, but for blocking closures; the workers leave, and
    /// the driver thread, once those closures need no more threads; the driver goes, so that blocking closures which await
    /// IO get an error; then those are waited for.
    fn shut_down(&mut self, timeout: Option<Duration>) {
        let Some(crew) = self.crew.take() else {
            return;
        };
        if self.handle.shared.is_of_parent() {
            // What is in there may be half done, by threads that are not here.
            mem::forget((crew, self.handle.clone()));
            return;
        }
        let timeout = match context::role() {
            // Nor is it outside where its context has gone already, at the end of a thread.
            context::Role::Outside if !self.handle.shared.threads.is_current() => timeout,
            // Waiting here could never end.
            _ => Some(Duration::ZERO),
        };
        // A timeout that the clock cannot express is none.
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let _entered = self.handle.enter();
        let shared = &self.handle.shared;
        shared.shut_down.store(true, Ordering::SeqCst);
        shared.compute_start.close();
        shared.takeover.close();
        shared.io.begin_shutdown();
        shared.compute.begin_shutdown();
        // Before the driver thread goes, which makes their threads.
        shared.look_ups.shutdown_background();
        shared.blocking.shutdown_background();
        if shared.compute.started() == 0 {
            // No worker that leaves will do it.
            shared.compute.finish_shutdown();
        }
        // The last worker that leaves stops the other threads, so that this one need not wake up for it.
        drop(crew);
        shared.wait_for_threads(deadline);
        shared.watch.stop();
        shared.tokio.abandon();
        shared.turn.close();
        shared.driver_timers.drain().into_iter().for_each(wake);
        for pool in [&shared.blocking, &shared.look_ups] {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            pool.shutdown(left);
        }
        shared.threads.join(deadline);
    }
}

impl Shared {
    /// True in a child made by `fork`.
    fn is_of_parent(&self) -> bool {
        self.process != process::id()
    }

    /// Waits for all threads, but not after `deadline`, and cancels meanwhile what is left: a worker may be stuck in a poll
    /// that waits for one of these tasks to go away, or for one that it has spawned since.
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
            self.turn.close();
        }
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.shut_down(None);
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime")
            .field("handle", &self.handle)
            .finish_non_exhaustive()
    }
}
