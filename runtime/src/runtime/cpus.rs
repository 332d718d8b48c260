//! Where the threads of a runtime may run.

use crate::scheduler::kind::Kind;
use evenkeel_sync::panics::log;
use evenkeel_topology::{CpuSet, Pinning, Placement, Plan, current_thread_id, thread_cpus};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// The plan of who is kept to which CPUs, and what has become of it: the CPUs of a process may be
/// changed while it runs (`taskset`, a cpuset), and others may use them.
pub(crate) struct Cpus {
    pinning: Pinning,
    placement: Placement,
    /// The IO workers are not pinned for now, because others use their CPUs.
    lets_io_go: AtomicBool,
    /// The supervisor, which is pinned nowhere, so that it may run where the process may. Zero
    /// until it has started.
    supervisor: AtomicU32,
}

impl Cpus {
    pub(super) fn new(placement: Placement, pinning: &Pinning) -> Self {
        Cpus {
            pinning: pinning.clone(),
            placement,
            lets_io_go: AtomicBool::new(false),
            supervisor: AtomicU32::new(0),
        }
    }

    /// To be called by the supervisor first.
    pub(super) fn set_supervisor(&self) {
        self.supervisor
            .store(current_thread_id(), Ordering::Relaxed);
    }

    /// The thread that runs where, and as, the program does. `None` until it has started.
    pub(super) fn supervisor(&self) -> Option<u32> {
        let supervisor = self.supervisor.load(Ordering::Relaxed);
        (supervisor != 0).then_some(supervisor)
    }

    /// Workers of either lane are kept to some of the CPUs, where they may be.
    pub(super) fn are_pinned(&self) -> bool {
        [Kind::Io, Kind::Compute].map(|lane| self.is_pinned(lane)) != [false; 2]
    }

    /// The workers of a lane are.
    pub(super) fn is_pinned(&self, lane: Kind) -> bool {
        self.plan(lane).is_pinned()
    }

    /// Who is pinned where is the runtime's own choice.
    pub(super) fn are_auto(&self) -> bool {
        self.pinning == Pinning::Auto
    }

    /// IO workers are not pinned for now.
    pub(super) fn let_io_go(&self) -> bool {
        self.lets_io_go.load(Ordering::Relaxed)
    }

    /// For the supervisor, which then moves the threads.
    pub(super) fn set_let_io_go(&self, lets_io_go: bool) {
        self.lets_io_go.store(lets_io_go, Ordering::Relaxed);
    }

    pub(super) fn plan(&self, lane: Kind) -> &Plan {
        match lane {
            Kind::Io => &self.placement.io,
            Kind::Compute => &self.placement.compute,
        }
    }

    /// The CPUs of a worker. `None` if the workers of its lane are not pinned now, or the process
    /// may use none of them.
    pub(super) fn of_worker(&self, lane: Kind, worker: usize) -> Option<CpuSet> {
        self.of_worker_within(lane, worker, self.allowed().as_ref())
    }

    /// The same, where it is known already what the process may use.
    pub(super) fn of_worker_within(
        &self,
        lane: Kind,
        worker: usize,
        allowed: Option<&CpuSet>,
    ) -> Option<CpuSet> {
        let is_let_go = lane == Kind::Io && self.let_io_go();
        (!is_let_go)
            .then(|| self.planned_within(lane, worker, allowed))
            .flatten()
    }

    /// The same, also while IO workers are let go of.
    pub(super) fn planned_within(
        &self,
        lane: Kind,
        worker: usize,
        allowed: Option<&CpuSet>,
    ) -> Option<CpuSet> {
        let mask = self.plan(lane).mask(worker)?;
        let cpus = allowed.map_or_else(|| mask.clone(), |allowed| mask.intersection(allowed));
        (!cpus.is_empty()).then_some(cpus)
    }

    /// What the process may use now. `None` if nobody is pinned, or it cannot be told.
    pub(super) fn allowed(&self) -> Option<CpuSet> {
        if !self.are_pinned() {
            return None;
        }
        self.supervisor().and_then(thread_cpus)
    }

    /// Says what was chosen, once the runtime is built.
    pub(super) fn log(&self) {
        log(|| tracing::debug!("{self}"));
    }
}

/// What was chosen and why, in a sentence.
impl fmt::Display for Cpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pinning: {}", self.pinning)?;
        if let Some(reason) = self.placement.reason {
            let is_pinned = self.is_pinned(Kind::Io);
            let choice = if is_pinned { "per_core" } else { "none" };
            write!(f, ", which is {choice} here: {}", reason.as_str())?;
        }
        if self.let_io_go() {
            f.write_str("; IO workers are not pinned for now, since others use the CPUs")?;
        }
        Ok(())
    }
}
