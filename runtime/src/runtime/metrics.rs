use super::shared::Shared;
use crate::scheduler::latency::LatencyHistogram;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Numbers about a runtime, from [`Handle::metrics`](super::Handle::metrics). Counts are since it
/// was built.
///
/// Each number is read when it is asked for. None of them takes a lock.
#[derive(Clone)]
pub struct RuntimeMetrics {
    shared: Arc<Shared>,
}

impl RuntimeMetrics {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        RuntimeMetrics { shared }
    }

    fn count(&self, count: &AtomicU64) -> u64 {
        count.load(Ordering::Relaxed)
    }

    /// The number of IO workers.
    pub fn num_workers(&self) -> usize {
        self.shared.io.workers()
    }

    /// How many tasks are alive, about, in both lanes; those of the blocking pool do not count.
    ///
    /// Zero if there are none. A task that has waited before counts twice while it is queued or
    /// polled, and those that have just come from other threads count as one.
    pub fn num_alive_tasks(&self) -> usize {
        self.shared.io.alive() + self.shared.compute.alive()
    }

    /// How many tasks wait for an IO worker. Any worker may take a task from any queue, so all
    /// count; those that have just come from other threads count as one.
    pub fn global_queue_depth(&self) -> usize {
        self.shared.io.waiting() + self.shared.io.long_polls().0
    }

    /// How often an IO worker has slept.
    ///
    /// # Panics
    ///
    /// If there is no such worker. They count from 0 to [`num_workers`](Self::num_workers).
    pub fn worker_park_count(&self, worker: usize) -> u64 {
        self.shared.io.parks(worker).div_ceil(2)
    }

    /// How often an IO worker has begun or ended to sleep: odd while it sleeps.
    ///
    /// # Panics
    ///
    /// If there is no such worker.
    pub fn worker_park_unpark_count(&self, worker: usize) -> u64 {
        self.shared.io.parks(worker)
    }

    /// How long an IO worker was awake, up to when it last slept.
    ///
    /// # Panics
    ///
    /// If there is no such worker.
    pub fn worker_total_busy_duration(&self, worker: usize) -> Duration {
        self.shared.io.busy(worker)
    }

    /// The number of threads of the blocking pool.
    pub fn num_blocking_threads(&self) -> usize {
        self.shared.blocking.threads()
    }

    /// How many of them wait for a call.
    pub fn num_idle_blocking_threads(&self) -> usize {
        self.shared.blocking.idle_threads()
    }

    /// How many calls wait for a thread of the blocking pool.
    pub fn blocking_queue_depth(&self) -> usize {
        self.shared.blocking.queued()
    }

    /// How long after they were woken IO workers ran, by whatever thread of the process they were
    /// woken: what a wake-up on another thread costs here, where the compute worker of the IO
    /// worker's core slept. Events that the system itself wakes a worker for are not among them.
    ///
    /// This includes waiting for a CPU that other programs use, or the host of a virtual machine.
    pub fn wake_to_run(&self) -> LatencyHistogram {
        self.shared.io.wake_to_run().alone
    }

    /// The same where the compute worker of that core was awake, so that it had to give way. That
    /// CPU-bound work leaves the latency of IO as it was is seen here: the two should be alike.
    ///
    /// If this one is about as long as a tick of the system's timer (1 to 10 ms), the system does
    /// not let a thread that wakes up take the CPU at once.
    pub fn wake_to_run_beside_compute(&self) -> LatencyHistogram {
        self.shared.io.wake_to_run().beside_compute
    }

    /// How often a CPU was interrupted so that an IO worker that was woken there ran at once. Only
    /// on kernels that leave it waiting beside compute (lazy preemption, the default of Linux from
    /// 7.0 on), and only once that was seen to help.
    pub fn wake_up_kicks(&self) -> u64 {
        self.shared.io.kick.count()
    }

    /// How many polls have lost their worker: they took long, and another thread took its place,
    /// for the sake of others. No sign that something is wrong, where long and short polls are
    /// mixed. See [`TakeoverPolicy`](super::TakeoverPolicy).
    pub fn takeovers(&self) -> u64 {
        self.count(&self.shared.takeover.counts.takeovers)
    }

    /// How often a worker should have been replaced, and could not be: the policy's `max_threads`
    /// was reached, or the system refused a thread. Tried again, and counted again, for as long as
    /// the worker is stuck.
    pub fn takeovers_refused(&self) -> u64 {
        self.count(&self.shared.takeover.counts.refused)
    }

    /// How many threads are in polls that were taken over, or in
    /// [`block_in_place`](crate::task::block_in_place), at the moment.
    pub fn num_displaced_threads(&self) -> usize {
        self.shared
            .takeover
            .counts
            .displaced
            .load(Ordering::Relaxed)
    }

    /// How many times a task was sent to the compute lane because its polls kept computing for
    /// long.
    pub fn tasks_moved_to_compute(&self) -> u64 {
        self.count(&self.shared.takeover.counts.moved_to_compute)
    }

    /// How many times a task was sent to the blocking pool because its polls kept blocking.
    pub fn tasks_moved_to_blocking(&self) -> u64 {
        self.count(&self.shared.takeover.counts.moved_to_blocking)
    }

    /// How many times such a task came back.
    pub fn tasks_moved_back(&self) -> u64 {
        self.count(&self.shared.takeover.counts.moved_back)
    }
}

impl fmt::Debug for RuntimeMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RuntimeMetrics")
            .field("num_workers", &self.num_workers())
            .field("num_blocking_threads", &self.num_blocking_threads())
            .field(
                "num_idle_blocking_threads",
                &self.num_idle_blocking_threads(),
            )
            .field("blocking_queue_depth", &self.blocking_queue_depth())
            .field("wake_to_run", &self.wake_to_run())
            .field(
                "wake_to_run_beside_compute",
                &self.wake_to_run_beside_compute(),
            )
            .field("wake_up_kicks", &self.wake_up_kicks())
            .field("takeovers", &self.takeovers())
            .field("takeovers_refused", &self.takeovers_refused())
            .field("num_displaced_threads", &self.num_displaced_threads())
            .field("tasks_moved_to_compute", &self.tasks_moved_to_compute())
            .field("tasks_moved_to_blocking", &self.tasks_moved_to_blocking())
            .field("tasks_moved_back", &self.tasks_moved_back())
            .finish()
    }
}
