//! The runtime, its builder, and handles to it.

pub(crate) mod block_on;
mod builder;
pub(crate) mod context;
mod cores;
mod driver;
mod dump;
pub(crate) mod handle;
mod threads;

pub use builder::Builder;
pub use context::EnterGuard;
pub use dump::Dump;
pub use evenkeel_topology::{ComputePriority, Pinning};
pub use handle::{Handle, TryCurrentError};

use crate::lane::Lane;
use crate::lane::turn::Turn;
use crate::lane::worker::Local;
use crate::task::{JoinHandle, Task};
use crate::time::shard::{Shard, wake};
use crossbeam_deque::Worker as Deque;
use evenkeel_topology::{Plan, lower_current_thread, pin_current_thread};
use std::fmt;
use std::future::Future;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use threads::Threads;

/// A running runtime. Dropping it shuts it down.
///
/// # Shutdown
///
/// Futures are dropped at their next await point, queued closures are dropped unrun, and every
/// [`JoinHandle`] that is left gives a [`JoinError`](crate::task::JoinError) with
/// [`is_cancelled`](crate::task::JoinError::is_cancelled). Code that runs cannot be stopped: dropping
/// the runtime waits for polls and closures that have begun, *for ever* if they never end. Where that
/// can happen (a read from a terminal, say), use [`shutdown_timeout`](Runtime::shutdown_timeout) or
/// [`shutdown_background`](Runtime::shutdown_background).
///
/// Dropped on a worker of a runtime, or inside [`block_on`](Runtime::block_on), it shuts down in the
/// background, because waiting there could never end.
///
/// # Fork
///
/// As with every multithreaded program, a child made by `fork` has only the calling thread, so a
/// runtime is of no use there until the child calls `exec`.
pub struct Runtime {
    handle: Handle,
    threads: Threads,
    shut_down: bool,
}

/// What all threads of a runtime and all handles to it share.
pub(crate) struct Shared {
    io: Arc<Lane>,
    compute: Arc<Lane>,
    blocking: evenkeel_blocking_pool::Pool,
    io_driver: evenkeel_io_driver::Handle,
    /// Who polls the IO driver.
    turn: Arc<Turn>,
    /// The timers of threads that have none of their own.
    driver_timers: Arc<Shard>,
    watch: Arc<driver::Watch>,
    /// The blocking pool asks the driver thread for threads.
    threads_wanted: Arc<AtomicBool>,
    plan: Plan,
    compute_priority: OnceLock<ComputePriority>,
    shut_down: AtomicBool,
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

    fn new_starting(shared: Arc<Shared>, threads: Threads) -> Runtime {
        Runtime {
            handle: Handle::new(shared),
            threads,
            shut_down: false,
        }
    }

    fn start_driver(&self) -> io::Result<()> {
        let shared = self.handle.shared.clone();
        self.threads.start("driver", move || driver::run(&shared))
    }

    fn start_io(&self, deques: Vec<Deque<Task>>) -> io::Result<()> {
        for (index, deque) in deques.into_iter().enumerate() {
            let cpu = self.handle.shared.plan.cpu(index);
            let lane = self.handle.shared.io.clone();
            self.start_worker(format!("io-{index}"), move |worker| {
                pin(cpu);
                worker.run(Local::new(lane, index, deque));
            })?;
        }
        Ok(())
    }

    fn start_compute(
        &self,
        deques: Vec<Deque<Task>>,
        plan: &Plan,
        wanted: ComputePriority,
    ) -> io::Result<()> {
        for (index, deque) in deques.into_iter().enumerate() {
            let cpu = plan.cpu(index);
            let lane = self.handle.shared.compute.clone();
            let shared = self.handle.shared.clone();
            self.start_worker(format!("cpu-{index}"), move |worker| {
                pin(cpu);
                let in_force = lower_current_thread(wanted);
                if shared.compute_priority.set(in_force).is_ok() {
                    log_priority(wanted, in_force);
                }
                worker.run(Local::new(lane, index, deque));
            })?;
        }
        Ok(())
    }

    fn start_worker(
        &self,
        name: String,
        body: impl FnOnce(WorkerThread) + Send + 'static,
    ) -> io::Result<()> {
        let worker = WorkerThread {
            handle: self.handle.clone(),
            hooks: self.threads.hooks(),
        };
        self.threads.start(&name, move || body(worker))
    }

    /// Drives `future` on the calling thread until it completes, inside this runtime.
    ///
    /// The future itself does not move to a worker; what it spawns does. Several threads may do this
    /// at the same time.
    ///
    /// # Panics
    ///
    /// On a worker of a runtime, or inside another `block_on`: that thread must not block. If the future
    /// panics.
    #[track_caller]
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.handle.block_on(future)
    }

    /// Spawns a future on the IO lane. See [`spawn`](crate::spawn()).
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.handle.spawn(future)
    }

    /// Runs a closure on the blocking pool. See [`spawn_blocking`](crate::spawn_blocking).
    #[track_caller]
    pub fn spawn_blocking<F, R>(&self, f: F) -> JoinHandle<R>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        self.handle.spawn_blocking(f)
    }

    /// Runs a closure on the compute lane. See [`spawn_compute`](crate::spawn_compute).
    #[track_caller]
    pub fn spawn_compute<F, R>(&self, f: F) -> JoinHandle<R>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        self.handle.spawn_compute(f)
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

    /// Shuts down, and waits no longer than `timeout` for code that is running. Threads that are still
    /// busy then are left to themselves, and end when that code does.
    pub fn shutdown_timeout(mut self, timeout: Duration) {
        self.shut_down(Some(timeout));
    }

    /// Shuts down without waiting for code that is running.
    pub fn shutdown_background(self) {
        self.shutdown_timeout(Duration::ZERO);
    }

    /// In this order: nothing new starts; everything that waits is cancelled; the workers leave; the
    /// driver goes, so that blocking closures which await IO get an error; then those are waited for.
    fn shut_down(&mut self, timeout: Option<Duration>) {
        if std::mem::replace(&mut self.shut_down, true) {
            return;
        }
        let timeout = match context::role() {
            context::Role::Outside => timeout,
            // Waiting here could never end.
            context::Role::Worker | context::Role::BlockOn => Some(Duration::ZERO),
        };
        // A timeout that the clock cannot express is none.
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let _entered = self.handle.enter();
        let shared = &self.handle.shared;
        shared.shut_down.store(true, Ordering::SeqCst);
        // For whoever waits to know it, if the threads that tell never started.
        let _ = shared.compute_priority.set(ComputePriority::Normal);
        shared.io.begin_shutdown();
        shared.compute.begin_shutdown();
        // Queued closures go first: a running one, or a poll, may be waiting for what they own.
        shared.blocking.shutdown_background();
        let driver_thread = 1;
        self.threads.wait(driver_thread, deadline);
        shared.io.finish_shutdown();
        shared.compute.finish_shutdown();
        shared.watch.stop();
        self.threads.wait(0, deadline);
        shared.turn.close();
        shared.driver_timers.drain().into_iter().for_each(wake);
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        shared.blocking.shutdown(left);
        self.threads.join_finished();
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

/// What a worker's thread needs to know besides its lane.
struct WorkerThread {
    handle: Handle,
    hooks: threads::Hooks,
}

impl WorkerThread {
    fn run(self, local: Local) {
        context::enter_for_good(self.handle);
        context::become_worker();
        self.hooks.call_start();
        local.run();
        self.hooks.call_stop();
    }
}

fn pin(cpu: Option<usize>) {
    if let Some(cpu) = cpu
        && !pin_current_thread(cpu)
    {
        tracing::warn!(cpu, "a worker could not be pinned and goes on without");
    }
}

fn log_priority(wanted: ComputePriority, in_force: ComputePriority) {
    if in_force == wanted {
        tracing::debug!(%in_force, "priority of the compute lane");
    } else {
        tracing::warn!(%wanted, %in_force, "the system refused the priority of the compute lane");
    }
}
