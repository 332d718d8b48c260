//! Starting the compute workers, when the lane is first used ([`FirstUse`]).
//!
//! A runtime that never computes then has no threads for it, and starts and ends in half the time. A worker looks for work
//! before it sleeps (see `lane::sleep`), and so finds what was queued before there was a worker.

use super::first_use::FirstUse;
use super::threads::{Crew, Worker};
use super::{ComputePriority, Shared};
use crate::panics::log;
use evenkeel_topology::{Plan, lower_current_thread};
use parking_lot::{Condvar, Mutex};
use std::io;
use std::sync::{Arc, OnceLock};

pub(super) struct ComputeStart {
    first_use: FirstUse,
    /// What is left to start. Taken by driver threads and by a shutdown.
    left: Mutex<Option<Left>>,
    in_force: OnceLock<ComputePriority>,
    /// The system has refused the first thread.
    refused: Mutex<bool>,
    /// One of the two above has.
    changed: Condvar,
}

struct Left {
    plan: Plan,
    wanted: ComputePriority,
    crew: Arc<Crew>,
}

impl ComputeStart {
    pub(super) fn new(plan: Plan, wanted: ComputePriority, crew: Arc<Crew>) -> Self {
        ComputeStart {
            first_use: FirstUse::new(),
            left: Mutex::new(Some(Left { plan, wanted, crew })),
            in_force: OnceLock::new(),
            refused: Mutex::new(false),
            changed: Condvar::new(),
        }
    }

    pub(super) fn first_use(&self) -> &FirstUse {
        &self.first_use
    }

    /// Starts no more threads. Those that were started see the shutdown.
    pub(super) fn close(&self) {
        drop(self.left.lock().take());
        self.first_use.set_over();
        // For whoever waits to know it.
        self.set_priority(ComputePriority::Normal);
    }

    pub(super) fn known_priority(&self) -> Option<ComputePriority> {
        self.in_force.get().copied()
    }

    /// Waits for the first thread, or for the system to refuse it: then there is none of a lower priority.
    pub(super) fn wait_for_priority(&self) -> ComputePriority {
        let mut refused = self.refused.lock();
        loop {
            match self.known_priority() {
                Some(priority) => return priority,
                None if *refused => return ComputePriority::Normal,
                None => self.changed.wait(&mut refused),
            }
        }
    }

    /// False if it is known already.
    fn set_priority(&self, in_force: ComputePriority) -> bool {
        let first = self.in_force.set(in_force).is_ok();
        if first {
            // Who is about to wait has the lock, and so hears of it.
            drop(self.refused.lock());
            self.changed.notify_all();
        }
        first
    }

    fn set_refused(&self) {
        *self.refused.lock() = true;
        self.changed.notify_all();
    }
}

impl Shared {
    /// To be called after a task was queued in the compute lane, or by whoever wants its workers to be there.
    pub(super) fn want_compute(&self) {
        if self.compute_start.first_use.want() {
            self.watch.unpark();
        }
    }

    /// Starts the compute workers that have no thread yet. To be called by driver threads only.
    ///
    /// # Errors
    ///
    /// Those of the operating system, when it refuses a thread. To be called again after a pause.
    pub(super) fn start_compute(self: &Arc<Self>) -> io::Result<()> {
        let start = &self.compute_start;
        let mut left = start.left.lock();
        let Some(Left { plan, wanted, crew }) = &*left else {
            return Ok(());
        };
        for index in self.compute.started()..self.compute.workers() {
            let (cpu, wanted, shared) = (plan.cpu(index), *wanted, self.clone());
            let worker = Worker::new(self, &self.compute, index, crew);
            let body = move |worker: Worker| {
                // First, for tokio takes a lock in it.
                shared.tokio.inside(|| {
                    let in_force = lower_current_thread(wanted);
                    if shared.compute_start.set_priority(in_force) {
                        log_priority(wanted, in_force);
                    }
                    worker.run(cpu);
                });
            };
            if let Err(error) = worker.start(&format!("cpu-{index}"), body) {
                if index == 0 {
                    start.set_refused();
                }
                return Err(error);
            }
        }
        *left = None;
        start.first_use.set_over();
        Ok(())
    }
}

fn log_priority(wanted: ComputePriority, in_force: ComputePriority) {
    log(|| {
        if in_force == wanted {
            tracing::debug!(%in_force, "priority of the compute lane");
        } else {
            tracing::warn!(%wanted, %in_force, "the system refused the priority of the compute lane");
        }
    });
}
