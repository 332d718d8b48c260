//! What all threads of a runtime and all handles to it share: a record.

use super::compute_start::ComputeStart;
use super::cpus::Cpus;
use super::current_thread::Turn;
use super::first_use::FirstUse;
use super::supervisor::takeover::Takeover;
use super::supervisor::watch::Watch;
use super::threads::Threads;
use super::unpinned::Program;
use super::workers_alive::WorkersAlive;
use crate::scheduler::driver_lock::DriverLock;
use crate::scheduler::lane::Lane;
use crate::scheduler::tuning::Tuning;
use crate::tasks::Place;
use crate::timers::{Clock, TimerShard};
use crate::tokio_context::TokioContext;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub(crate) struct Shared {
    pub(crate) io: Arc<Lane>,
    pub(crate) compute: Arc<Lane>,
    pub(super) blocking: evenkeel_blocking_pool::Pool,
    pub(super) look_ups: evenkeel_blocking_pool::Pool,
    pub(crate) io_driver: evenkeel_io_driver::Handle,
    /// Who polls the IO driver.
    pub(super) driver_lock: Arc<DriverLock>,
    /// The timers of threads that have none of their own.
    pub(crate) driver_timers: Arc<TimerShard>,
    /// What timers go by.
    pub(crate) clock: Arc<Clock>,
    pub(super) watch: Arc<Watch>,
    /// The blocking pool asks the supervisor for threads.
    pub(super) threads_wanted: Arc<AtomicBool>,
    pub(super) cpus: Cpus,
    pub(super) program: Program,
    pub(super) compute_start: ComputeStart,
    pub(super) takeover: Takeover,
    pub(super) tokio: Arc<TokioContext>,
    pub(super) tokio_use: FirstUse,
    pub(super) max_blocking_threads: usize,
    /// The runtime's, if it has one.
    pub(super) name: Option<String>,
    pub(super) threads: Threads,
    pub(super) tuning: Tuning,
    /// Some in a runtime of the current-thread flavour.
    pub(super) current_thread: Option<Turn>,
    pub(super) shut_down: AtomicBool,
    /// The process whose threads these are.
    pub(super) process: u32,
}

/// No code of others runs while anything in here is half done.
impl UnwindSafe for Shared {}
impl RefUnwindSafe for Shared {}

impl Shared {
    /// True in a child made by `fork`.
    pub(super) fn is_of_parent(&self) -> bool {
        self.process != process::id()
    }

    pub(crate) fn is_shut_down(&self) -> bool {
        self.shut_down.load(Ordering::Acquire)
    }

    /// Has the supervisor see to what there is for it.
    pub(crate) fn wake_supervisor(&self) {
        self.watch.unpark();
    }

    pub(super) fn workers_alive(&self) -> Arc<WorkersAlive> {
        WorkersAlive::new(self.watch.clone(), self.tokio.clone())
    }

    /// True if a task of the IO lane would not have to wait there for what may be waiting for it.
    pub(super) fn has_room(&self, place: Place) -> bool {
        match place {
            Place::Io => true,
            Place::Compute => !self.takeover.compute_stalled.load(Ordering::Relaxed),
            Place::Blocking => {
                let pool = &self.blocking;
                let busy = pool.threads().saturating_sub(pool.idle_threads());
                busy + pool.queued() < self.max_blocking_threads
            }
        }
    }

    /// To be called after a task was queued in the compute lane, or by whoever wants its workers to
    /// be there.
    pub(super) fn want_compute(&self) {
        if self.compute_start.first_use.want() {
            self.watch.unpark();
        }
    }

    /// To be called by whoever is about to run code that may use tokio's context.
    pub(super) fn want_tokio(&self) {
        if self.tokio_use.want() {
            self.watch.unpark();
        }
    }
}
