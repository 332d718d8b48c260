//! Where the threads of a runtime may run.

use evenkeel_topology::{CpuSet, Plan, current_thread_id, thread_cpus};
use std::sync::atomic::{AtomicU32, Ordering};

/// The plan of who is pinned where, and what has become of it: the CPUs of a process may be changed
/// while it runs (`taskset`, a cpuset).
pub(crate) struct Cpus {
    plan: Plan,
    /// The supervisor, which is pinned nowhere, so that it may run where the process may. Zero
    /// until it has started.
    supervisor: AtomicU32,
}

impl Cpus {
    pub(super) fn new(plan: Plan) -> Self {
        Cpus {
            plan,
            supervisor: AtomicU32::new(0),
        }
    }

    /// To be called by the supervisor first.
    pub(super) fn set_supervisor(&self) {
        self.supervisor
            .store(current_thread_id(), Ordering::Relaxed);
    }

    /// Workers are pinned, where they may be.
    pub(super) fn are_pinned(&self) -> bool {
        self.plan.is_pinned()
    }

    /// The CPU of an IO worker, and of the compute worker beside it. `None` if they are not pinned,
    /// or the process may not use that CPU now.
    pub(super) fn of_worker(&self, worker: usize) -> Option<usize> {
        self.of_worker_within(worker, self.allowed().as_ref())
    }

    /// The same, where it is known already what the process may use.
    pub(super) fn of_worker_within(
        &self,
        worker: usize,
        allowed: Option<&CpuSet>,
    ) -> Option<usize> {
        let cpu = self.plan.cpu(worker % self.plan.workers())?;
        allowed
            .is_none_or(|allowed| allowed.contains(cpu))
            .then_some(cpu)
    }

    /// What the process may use now. `None` if nobody is pinned, or it cannot be told.
    pub(super) fn allowed(&self) -> Option<CpuSet> {
        if !self.are_pinned() {
            return None;
        }
        match self.supervisor.load(Ordering::Relaxed) {
            0 => None,
            supervisor => thread_cpus(supervisor),
        }
    }
}
