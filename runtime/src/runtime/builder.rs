#[cfg(feature = "test-util")]
use super::auto_advance::RuntimeKeeper;
use super::compute_start::ComputeStart;
use super::cpus::Cpus;
use super::current_thread::Turn;
use super::first_use::FirstUse;
use super::hooks::{RuntimeHooks, upgrade};
use super::shared::Shared;
use super::supervisor::takeover::Takeover;
use super::supervisor::watch::Watch;
use super::takeover_policy::TakeoverPolicy;
use super::threads::{Hooks, Names, Threads};
use super::unpinned::{Program, unpinned};
use super::workers_alive::WorkersAlive;
use super::{Runtime, context, hooks};
use crate::scheduler::driver_lock::DriverLock;
use crate::scheduler::hooks::LaneHooks;
use crate::scheduler::idle::Idle;
use crate::scheduler::kind::Kind;
use crate::scheduler::lane::{Lane, LaneParts, WORKERS_MAX};
use crate::scheduler::tuning::{Intervals, Tuning};
use crate::timers::{Clock, TimerShard};
use crate::tokio_context::TokioContext;
use evenkeel_io_driver::Driver;
use evenkeel_sync::panics::Foreign;
use evenkeel_topology::{
    ComputePriority, Pinning, Placement, Plan, Topology, parallelism, parallelism_rounded_up,
    prepare_fences,
};
use parking_lot::Mutex;
use std::fmt;
use std::io;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Sets a [`Runtime`] up.
///
/// # Examples
///
/// ```
/// use evenkeel::runtime::{Builder, Pinning};
///
/// let runtime = Builder::new()
///     .worker_threads(2)
///     .pinning(Pinning::None)
///     .thread_name("my-service")
///     .build()?;
/// assert_eq!(runtime.block_on(async { 6 * 7 }), 42);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Builder {
    is_current_thread: bool,
    #[cfg(feature = "test-util")]
    start_paused: bool,
    worker_threads: Option<usize>,
    compute_threads: Option<usize>,
    max_blocking_threads: usize,
    thread_keep_alive: Duration,
    thread_name: String,
    thread_stack_size: Option<usize>,
    pinning: Pinning,
    compute_priority: ComputePriority,
    takeover: TakeoverPolicy,
    tuning: Tuning,
    pub(super) hooks: Hooks,
    pub(super) names: Option<Names>,
    pub(super) name: Option<String>,
    pub(super) intervals: Intervals,
    pub(super) events_per_look: usize,
}

impl Builder {
    /// A builder with the defaults that each method names.
    pub fn new() -> Self {
        Builder {
            is_current_thread: false,
            #[cfg(feature = "test-util")]
            start_paused: false,
            worker_threads: None,
            compute_threads: None,
            max_blocking_threads: 512,
            thread_keep_alive: Duration::from_secs(10),
            thread_name: "evenkeel".to_owned(),
            thread_stack_size: None,
            pinning: Pinning::default(),
            compute_priority: ComputePriority::default(),
            takeover: TakeoverPolicy::default(),
            tuning: Tuning::default(),
            hooks: Hooks::default(),
            names: None,
            name: None,
            intervals: Intervals::default(),
            events_per_look: 1024,
        }
    }

    /// A builder of a runtime whose tasks run on the thread that calls
    /// [`Runtime::block_on`], for as long as it does, and nowhere else: tokio's current-thread
    /// flavour.
    ///
    /// They run one after another, in the order in which they were spawned and woken; what comes
    /// from other threads comes after what this one has queued, or before every 31st task. So a
    /// task that computes or blocks holds up all others: nobody takes its place, and
    /// [`block_in_place`](crate::task::block_in_place) just calls its closure. While no thread is
    /// in `block_on`, tasks, timers and events stand still. Dropping the runtime drops the tasks.
    ///
    /// [`spawn_blocking`](crate::spawn_blocking) and [`spawn_compute`](crate::spawn_compute) work
    /// as in any runtime, on threads of their own: the compute lane has as many as there are CPUs.
    /// A thread named `-driver`, which sleeps otherwise, makes them. What says how IO workers are
    /// has no effect: [`worker_threads`](Builder::worker_threads), [`pinning`](Builder::pinning)
    /// (of compute workers neither), [`takeover`](Builder::takeover).
    ///
    /// # Examples
    ///
    /// ```
    /// use evenkeel::runtime::Builder;
    ///
    /// let runtime = Builder::new_current_thread().build()?;
    /// let here = std::thread::current().id();
    /// let task = runtime.spawn(async { std::thread::current().id() });
    /// assert_eq!(runtime.block_on(task).unwrap(), here);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn new_current_thread() -> Self {
        Builder {
            is_current_thread: true,
            ..Builder::new()
        }
    }

    pub(super) fn is_current_thread(&self) -> bool {
        self.is_current_thread
    }

    /// The number of IO workers. By default one for each CPU that the process may use, with its CPU
    /// quota (cgroup) taken into account.
    ///
    /// Zero, and more than 4,094, are errors of [`build`](Builder::build).
    pub fn worker_threads(&mut self, threads: usize) -> &mut Self {
        self.worker_threads = Some(threads);
        self
    }

    /// The number of compute workers. By default as many as there are IO workers; or, unless
    /// [`worker_threads`](Builder::worker_threads) was called, one more if the CPU quota is not one
    /// of whole CPUs: they pause before it is used up.
    ///
    /// Their threads are made when the compute lane is first used. If the system then refuses one,
    /// that is logged and tried again every 100 ms; meanwhile tasks are run by those that there
    /// are, or wait.
    ///
    /// Zero is an error of [`build`](Builder::build).
    pub fn compute_threads(&mut self, threads: usize) -> &mut Self {
        self.compute_threads = Some(threads);
        self
    }

    /// The most threads that the blocking pool may have, and as many again each for the look-up of
    /// names and for blocking calls of tokio's; 512 by default. Calls beyond that wait in a queue.
    ///
    /// Zero is an error of [`build`](Builder::build).
    pub fn max_blocking_threads(&mut self, threads: usize) -> &mut Self {
        self.max_blocking_threads = threads;
        self
    }

    /// How long a thread of the blocking pool waits for another call before it ends; 10 s by
    /// default. So do spares, which replace IO workers, beyond the one that is always ready. With
    /// [`Duration::MAX`] they wait for ever.
    pub fn thread_keep_alive(&mut self, keep_alive: Duration) -> &mut Self {
        self.thread_keep_alive = keep_alive;
        self
    }

    /// The first part of the threads' names; `evenkeel` by default. The rest says what the thread
    /// is: `-io-0`, `-cpu-0`, `-blk-0`, `-dns-0` (which looks names up), `-driver`, `-spr-0` (a
    /// spare, which may replace an IO worker), `-tokio` and `-tokio-blk` (see
    /// [`coop`](crate::task::coop#tokios-channels)). Linux shows the first 15 bytes.
    pub fn thread_name(&mut self, name: impl Into<String>) -> &mut Self {
        self.thread_name = name.into();
        self.names = None;
        self
    }

    /// The stack size of every thread, in bytes. By default `std`'s, which is 2 MiB.
    pub fn thread_stack_size(&mut self, bytes: usize) -> &mut Self {
        self.thread_stack_size = Some(bytes);
        self
    }

    /// Which CPUs each IO worker, and the compute worker beside it, may run on;
    /// [`Pinning::Auto`] by default. Blocking threads and the supervisor are never pinned. What
    /// that does to what tasks start is in [`pinning`](super::pinning).
    ///
    /// A CPU that the process may not use is an error of [`build`](Builder::build).
    pub fn pinning(&mut self, pinning: Pinning) -> &mut Self {
        self.pinning = pinning;
        self
    }

    /// The priority of the compute workers; [`ComputePriority::Idle`] by default. Where the system
    /// refuses it, the next weaker one is used;
    /// [`Handle::compute_priority`](super::Handle::compute_priority) tells which.
    pub fn compute_priority(&mut self, priority: ComputePriority) -> &mut Self {
        self.compute_priority = priority;
        self
    }

    /// Which heuristics of the scheduler are on. For measuring what each is worth; not part of the
    /// API.
    #[doc(hidden)]
    pub fn tuning(&mut self, tuning: Tuning) -> &mut Self {
        self.tuning = tuning;
        self
    }

    /// When a worker that is stuck in a poll is replaced by another thread; see [`TakeoverPolicy`]
    /// for the default.
    pub fn takeover(&mut self, policy: TakeoverPolicy) -> &mut Self {
        self.takeover = policy;
        self
    }

    /// Whether the clock of the runtime is paused from the start, as by
    /// [`time::pause`](crate::time::pause). By default it is not. Needs the feature `test-util`.
    #[cfg(feature = "test-util")]
    pub fn start_paused(&mut self, start_paused: bool) -> &mut Self {
        self.start_paused = start_paused;
        self
    }

    /// Calls `f` on every worker and every blocking thread as it starts, pinned and with its
    /// priority: on IO workers when the runtime is built, on the others when they are first needed.
    /// A spare thread, which may replace an IO worker, is not pinned yet. A panic in it is logged,
    /// and the thread goes on.
    pub fn on_thread_start(&mut self, f: impl Fn() + Send + Sync + 'static) -> &mut Self {
        self.hooks.start = Some(Foreign::new(Arc::new(f)));
        self
    }

    /// Calls `f` on every worker and every blocking thread before it ends. A panic in it is logged,
    /// and the thread ends as it would have.
    pub fn on_thread_stop(&mut self, f: impl Fn() + Send + Sync + 'static) -> &mut Self {
        self.hooks.stop = Some(Foreign::new(Arc::new(f)));
        self
    }

    /// Starts the runtime: its IO workers, and its supervisor, which makes all others when they are
    /// needed. Threads inherit the affinity and the priority of the caller where nothing else is
    /// set, so build it from an ordinary thread. (One of another runtime counts as such:
    /// [`unpinned`](super::unpinned).)
    ///
    /// With the feature `rayon` this builds rayon's global pool as well, unless there is one: with
    /// a thread for each CPU of the program's (or as `RAYON_NUM_THREADS` has it), on all of them,
    /// at the program's priority. A task that uses rayon first would build it on its worker's CPU,
    /// with one thread for good.
    ///
    /// # Errors
    ///
    /// - [`InvalidInput`](io::ErrorKind::InvalidInput): a number of threads is zero or too large,
    ///   polls are to be taken over after no time, the name has a NUL byte, or the pinning names a
    ///   CPU that the process may not use; the message says which it may use.
    /// - What the system says when it refuses one of these threads, or a descriptor.
    pub fn build(&mut self) -> io::Result<Runtime> {
        unpinned(|| self.build_here())
    }

    fn build_here(&mut self) -> io::Result<Runtime> {
        let parallelism = parallelism();
        let workers = at_least_one(self.worker_threads.unwrap_or(parallelism), "worker_threads")?;
        let beside_io = self.worker_threads.unwrap_or_else(parallelism_rounded_up);
        let (io_workers, beside, pinning, takeover) = if self.is_current_thread {
            let takeover = TakeoverPolicy::disabled();
            (1, parallelism_rounded_up(), &Pinning::None, takeover)
        } else {
            (workers, beside_io, &self.pinning, self.takeover.clone())
        };
        let compute_workers =
            at_least_one(self.compute_threads.unwrap_or(beside), "compute_threads")?;
        let workers_max = io_workers.max(compute_workers);
        if workers_max > WORKERS_MAX {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "{workers_max} workers are more than the {WORKERS_MAX} that a lane may have"
                ),
            ));
        }
        at_least_one(self.max_blocking_threads, "max_blocking_threads")?;
        takeover.check()?;
        if self.thread_name.contains('\0') {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "`thread_name` contains a NUL byte, which the system does not allow",
            ));
        }

        let topology = Topology::detect();
        let workers = [io_workers, compute_workers];
        let placement = Placement::new(&topology, parallelism, workers, pinning)?;

        self.check_intervals()?;
        let clock = self.clock();
        let driver = Driver::with_capacity(self.events_per_look)?;
        let io_driver = driver.handle();
        let driver_lock = Arc::new(DriverLock::new(driver));
        let watch = Arc::new(Watch::new(driver_lock.clone()));
        prepare_fences();
        let runtime = hooks::Runtime::default();
        let hooks = || -> Box<dyn LaneHooks> {
            Box::new(RuntimeHooks {
                watch: watch.clone(),
                runtime: runtime.clone(),
                of_threads: self.hooks.clone(),
            })
        };
        let victims = |plan: &Plan, workers| {
            (0..workers)
                .map(|worker| plan.steal_order(&topology, worker))
                .collect()
        };
        let limits = takeover.limits();
        let tuning = self.tuning_in_force();
        let io_idle = Arc::new(Idle::new(io_workers));
        let compute_idle = Arc::new(Idle::new(compute_workers));
        let io = Lane::new(LaneParts {
            kind: Kind::Io,
            victims: victims(&placement.io, io_workers),
            idle: io_idle.clone(),
            partner: compute_idle.clone(),
            driver: Some(driver_lock.clone()),
            hooks: hooks(),
            limits,
            tuning,
            intervals: self.intervals,
            clock: clock.clone(),
            is_current_thread: self.is_current_thread,
        });
        let compute = Lane::new(LaneParts {
            kind: Kind::Compute,
            victims: victims(&placement.compute, compute_workers),
            idle: compute_idle,
            partner: io_idle,
            driver: None,
            hooks: hooks(),
            limits,
            tuning,
            intervals: self.intervals,
            clock: clock.clone(),
            is_current_thread: false,
        });
        let current_thread = if self.is_current_thread {
            io.be_driven().map(Turn::new)
        } else {
            None
        };
        let threads_wanted = Arc::new(AtomicBool::new(false));
        let tokio = Arc::new(self.tokio_context(&runtime)?);
        let alive = WorkersAlive::new(watch.clone(), tokio.clone());
        let shared = Arc::new(Shared {
            io,
            compute,
            blocking: self.pool("blk", &threads_wanted, &watch, &runtime)?,
            look_ups: self.pool("dns", &threads_wanted, &watch, &runtime)?,
            io_driver,
            driver_lock,
            driver_timers: Arc::new(TimerShard::new()),
            clock,
            watch,
            threads_wanted,
            takeover: Takeover::new(
                takeover,
                self.compute_priority,
                self.thread_keep_alive,
                &alive,
            ),
            tokio,
            tokio_use: FirstUse::new(),
            max_blocking_threads: self.max_blocking_threads,
            tuning,
            cpus: Cpus::new(placement, pinning),
            program: Program::of_caller(),
            compute_start: ComputeStart::new(self.compute_priority, alive.clone()),
            name: self.name.clone(),
            threads: Threads::new(self.names(), self.thread_stack_size, self.hooks.clone()),
            current_thread,
            shut_down: AtomicBool::new(false),
            process: process::id(),
        });
        #[cfg(feature = "rayon")]
        super::rayon_pool::build();
        shared.cpus.log();
        let _ = runtime.set(Arc::downgrade(&shared));
        #[cfg(feature = "test-util")]
        shared.clock.set_keeper(Box::new(RuntimeKeeper(runtime)));
        Runtime::start(shared, alive)
    }

    fn names(&self) -> Names {
        let prefix = || Names::Prefix(self.thread_name.clone());
        self.names.clone().unwrap_or_else(prefix)
    }

    fn clock(&self) -> Arc<Clock> {
        let clock = Arc::<Clock>::default();
        #[cfg(feature = "test-util")]
        if self.start_paused {
            clock.pause().expect("it is new");
        }
        clock
    }

    /// Whoever drives a runtime of the current-thread flavour has nobody beside it, and tasks in an
    /// order that was promised.
    fn tuning_in_force(&self) -> Tuning {
        let has_workers = !self.is_current_thread;
        Tuning {
            spin: self.tuning.spin && has_workers,
            standby: self.tuning.standby && has_workers,
            hold_back: self.tuning.hold_back && has_workers,
            lifo_slot: self.tuning.lifo_slot && has_workers,
            ..self.tuning
        }
    }

    fn tokio_context(&self, runtime: &hooks::Runtime) -> io::Result<TokioContext> {
        let (runtime, names) = (runtime.clone(), self.names());
        let on_thread_start = move || {
            if let Some(shared) = upgrade(&runtime) {
                // Whoever makes a blocking call of tokio's makes this thread.
                shared.unpin();
                shared.program.restore_slack();
                // The drop of the runtime on this thread must not wait for it.
                shared.threads.adopt_current();
                context::enter_for_good(shared);
            }
        };
        TokioContext::new(
            move || names.name("tokio-blk"),
            self.max_blocking_threads,
            self.thread_keep_alive,
            self.thread_stack_size,
            on_thread_start,
        )
    }

    /// The blocking pool, or that of look-ups, whose threads are made by the supervisor: it is of
    /// normal priority and not pinned, and a thread inherits both from its maker.
    fn pool(
        &self,
        kind: &str,
        wanted: &Arc<AtomicBool>,
        watch: &Arc<Watch>,
        runtime: &hooks::Runtime,
    ) -> io::Result<evenkeel_blocking_pool::Pool> {
        let mut pool = evenkeel_blocking_pool::Builder::new();
        let (wanted, watch) = (wanted.clone(), watch.clone());
        let numbers = Mutex::new(0_usize);
        let (names, kind) = (self.names(), kind.to_owned());
        let (start, stop) = (self.hooks.clone(), self.hooks.clone());
        let runtime = runtime.clone();
        // The supervisor, which makes the threads, keeps the runtime; when one has started, perhaps
        // nobody does.
        let enter = move || {
            let shared = upgrade(&runtime);
            move || {
                if let Some(shared) = shared {
                    shared.program.restore_slack();
                    shared.want_tokio();
                    shared.tokio.enter_for_good();
                    context::enter_for_good(shared);
                }
            }
        };
        pool.max_threads(self.max_blocking_threads)
            .keep_alive(self.thread_keep_alive)
            .thread_name_fn(move || {
                let mut number = numbers.lock();
                *number += 1;
                names.name(&format!("{kind}-{}", *number - 1))
            })
            .thread_maker(move || {
                wanted.store(true, Ordering::Release);
                watch.unpark();
            })
            .thread_setup(enter)
            .on_thread_start(move || start.call_start())
            .on_thread_stop(move || stop.call_stop());
        if let Some(bytes) = self.thread_stack_size {
            pool.stack_size(bytes);
        }
        pool.build()
    }
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("is_current_thread", &self.is_current_thread)
            .field("worker_threads", &self.worker_threads)
            .field("compute_threads", &self.compute_threads)
            .field("max_blocking_threads", &self.max_blocking_threads)
            .field("thread_keep_alive", &self.thread_keep_alive)
            .field("thread_name", &self.thread_name)
            .field("thread_stack_size", &self.thread_stack_size)
            .field("pinning", &self.pinning)
            .field("compute_priority", &self.compute_priority)
            .field("takeover", &self.takeover)
            .finish_non_exhaustive()
    }
}

fn at_least_one(threads: usize, what: &str) -> io::Result<usize> {
    if threads == 0 {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!(
                "`{what}` is 0, but a runtime needs at least one: leave it out for the default"
            ),
        ));
    }
    Ok(threads)
}
