//! The runtime, its builder, and handles to it.

#[cfg(feature = "test-util")]
mod auto_advance;
pub(crate) mod block_in_place;
pub(crate) mod block_on;
mod builder;
mod compute_start;
pub(crate) mod context;
mod cpus;
mod current_thread;
mod dump;
mod first_use;
pub(crate) mod handle;
mod hooks;
mod local_runtime;
pub(crate) mod look_ups;
mod metrics;
pub mod pinning;
#[cfg(any(feature = "fs", feature = "io-std"))]
pub(crate) mod pool_shut_down;
#[cfg(feature = "rayon")]
mod rayon_pool;
pub(crate) mod shared;
mod shutdown;
mod supervisor;
mod takeover_policy;
mod threads;
mod tokio_names;
mod tokio_start;
mod unpinned;
mod workers;
mod workers_alive;

pub use crate::scheduler::latency::LatencyHistogram;
#[doc(hidden)]
pub use crate::scheduler::tuning::Tuning;
pub use builder::Builder;
pub use context::{EnterGuard, TryCurrentError};
pub use dump::Dump;
pub use evenkeel_topology::{ComputePriority, Fence, Pinning};
pub use handle::Handle;
pub use local_runtime::{LocalOptions, LocalRuntime};
pub use metrics::RuntimeMetrics;
pub use takeover_policy::TakeoverPolicy;
pub use tokio_names::{Id, RuntimeFlavor, is_rt_shutdown_err, worker_index};
pub use unpinned::unpinned;

use crate::join::JoinHandle;
use handle::Size;
use shared::Shared;
use std::fmt;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use workers_alive::WorkersAlive;

/// A running runtime. Dropping it shuts it down.
///
/// # Shutdown
///
/// Futures are dropped at their next await point, and closures of
/// [`spawn_compute`](Runtime::spawn_compute) that have not begun are dropped unrun. So is whatever
/// is spawned from then on. Each of their [`JoinHandle`]s gives a
/// [`JoinError`](crate::task::JoinError) with
/// [`is_cancelled`](crate::task::JoinError::is_cancelled).
///
/// Closures of [`spawn_blocking`](Runtime::spawn_blocking) that were there before *run*, also those
/// that wait in the queue: the last line of a log is written. They are cancelled only if the pool
/// has no thread and the system refuses one.
///
/// Code that runs cannot be stopped: dropping the runtime waits for all blocking closures, and for
/// polls and other closures that have begun, *for ever* if they never end. Where that can happen (a
/// read from a terminal, say), use [`shutdown_timeout`](Runtime::shutdown_timeout) or
/// [`shutdown_background`](Runtime::shutdown_background). It also waits until all threads have
/// ended, the destructors of their thread-locals included.
///
/// Dropped on a worker of a runtime, or inside [`block_on`](Runtime::block_on), it shuts down in
/// the background, because waiting there could never end. Dropped by one of its own blocking
/// closures it waits for everything but the blocking pool.
///
/// # Fork
///
/// As with every multithreaded program, a child made by `fork` has only the calling thread, so a
/// runtime is of no use there. [`block_on`](Runtime::block_on) panics, tasks are never polled, and
/// sockets cannot be made. Dropping the runtime, its handles and its sockets does nothing to the
/// parent: a runtime is not shut down, and what it has is left to the end of the process.
pub struct Runtime {
    handle: Handle,
    /// Gone once it is shut down.
    alive: Option<Arc<WorkersAlive>>,
}

impl Runtime {
    /// A runtime with the defaults of [`Builder`].
    ///
    /// # Errors
    ///
    /// As [`Builder::build`].
    pub fn new() -> io::Result<Runtime> {
        Builder::new().build()
    }

    /// Starts the supervisor, and the IO workers if they are threads of their own.
    fn start(shared: Arc<Shared>, alive: Arc<WorkersAlive>) -> io::Result<Runtime> {
        // From here on, dropping the runtime stops the threads that did start.
        let runtime = Runtime {
            handle: Handle::new(shared.clone()),
            alive: Some(alive.clone()),
        };
        let of_supervisor = shared.clone();
        let started = shared
            .threads
            .start("driver", move || supervisor::run(&of_supervisor))
            .and_then(|()| match shared.current_thread {
                Some(_) => Ok(()),
                None => shared.start_io(&alive),
            });
        // Before the runtime, whose drop waits for the supervisor, which ends with the last of
        // them.
        drop(alive);
        started.map(|()| runtime)
    }

    /// Drives `future` on the calling thread until it completes, inside this runtime.
    ///
    /// The future itself does not move to a worker; what it spawns does. Several threads may do
    /// this at the same time.
    ///
    /// In a runtime of the current-thread flavour
    /// ([`Builder::new_current_thread`](Builder::new_current_thread)) this is what runs the tasks:
    /// between the polls of the future, on the calling thread, in the order in which they were
    /// spawned and woken. Of several threads one does so, and the next when its future is complete.
    /// Once this returns, tasks stand still where they are until it is called again.
    ///
    /// # Panics
    ///
    /// On a worker of a runtime, or inside another `block_on`: that thread must not block. In a
    /// child made by `fork`. If the future panics.
    #[track_caller]
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        if F::IS_LARGE {
            return self.block_on_here(Box::pin(future));
        }
        self.block_on_here(future)
    }

    #[track_caller]
    fn block_on_here<F: Future>(&self, future: F) -> F::Output {
        let shared = &self.handle.shared;
        match &shared.current_thread {
            Some(turn) => current_thread::block_on(shared, turn, future),
            None => self.handle.block_on(future),
        }
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
    /// [`spawn`](crate::spawn()) and the types of [`net`](crate::net) and [`time`](crate::time)
    /// work there.
    pub fn enter(&self) -> EnterGuard<'_> {
        self.handle.enter()
    }

    /// Shuts down, and waits no longer than `timeout` for code that is running and for blocking
    /// closures in the queue. Threads that are still busy then are left to themselves, and end when
    /// that code does, those of the blocking pool when the queue is empty.
    ///
    /// A last part of the waiting takes a thread, for at most as long; where the system refuses
    /// that, the destructors of thread-locals may still run afterwards.
    pub fn shutdown_timeout(mut self, timeout: Duration) {
        shutdown::shut_down(&self.handle, self.alive.take(), Some(timeout));
    }

    /// Shuts down without waiting for code that is running. Blocking closures that wait in the
    /// queue still run, on the threads that there are, or on a new one if there are none; nobody
    /// waits for them.
    pub fn shutdown_background(self) {
        self.shutdown_timeout(Duration::ZERO);
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        shutdown::shut_down(&self.handle, self.alive.take(), None);
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime")
            .field("handle", &self.handle)
            .finish_non_exhaustive()
    }
}
