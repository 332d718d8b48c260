//! Where the threads of a runtime may run.

use crate::scheduler::kind::Kind;
use evenkeel_topology::{CpuSet, Pinning, Plan, current_thread_id, thread_cpus};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// The plan of who is pinned where, and what has become of it: the CPUs of a process may be changed
/// while it runs (`taskset`, a cpuset), and others may use them.
pub(crate) struct Cpus {
    plan: Plan,
    /// The pins are the runtime's own choice, so it may let go of them.
    is_auto: bool,
    /// The IO workers are not pinned for now, because others use their CPUs.
    lets_io_go: AtomicBool,
    /// The supervisor, which is pinned nowhere, so that it may run where the process may. Zero
    /// until it has started.
    supervisor: AtomicU32,
}

impl Cpus {
    pub(super) fn new(plan: Plan, pinning: &Pinning) -> Self {
        Cpus {
            plan,
            is_auto: *pinning == Pinning::Auto,
            lets_io_go: AtomicBool::new(false),
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

    /// Who is pinned where is the runtime's own choice.
    pub(super) fn are_auto(&self) -> bool {
        self.is_auto
    }

    /// IO workers are not pinned for now.
    pub(super) fn let_io_go(&self) -> bool {
        self.lets_io_go.load(Ordering::Relaxed)
    }

    /// For the supervisor, which then moves the threads.
    pub(super) fn set_let_io_go(&self, lets_io_go: bool) {
        self.lets_io_go.store(lets_io_go, Ordering::Relaxed);
    }

    /// The CPU of a worker. `None` if the workers of its lane are not pinned now, or the process
    /// may not use that CPU.
    pub(super) fn of_worker(&self, lane: Kind, worker: usize) -> Option<usize> {
        self.of_worker_within(lane, worker, self.allowed().as_ref())
    }

    /// The same, where it is known already what the process may use.
    pub(super) fn of_worker_within(
        &self,
        lane: Kind,
        worker: usize,
        allowed: Option<&CpuSet>,
    ) -> Option<usize> {
        if lane == Kind::Io && self.let_io_go() {
            return None;
        }
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
