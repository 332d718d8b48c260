//! Replacing a worker that is stuck in a poll, and what becomes of the displaced thread.
//!
//! The seat goes to a *spare* ([`spares`](super::spares)), a thread that was made for this
//! beforehand. If the displaced thread computes, it goes on at normal priority, on the core where
//! the fewest do; once it has computed for very long it is lowered to the priority of the compute
//! lane, from outside. When its poll is over it becomes a spare, if it was never lowered: a lowered
//! thread cannot climb back without privileges, so it ends, though not at once.
//!
//! `block_in_place` is the same, by the worker itself and at once.

use super::spares::{Call, Spare};
use super::stuck::LOWER_AFTER;
use super::takeover::{CpuUse, Displaced, Takeover};
use crate::runtime::context;
use crate::runtime::shared::Shared;
use crate::runtime::workers_alive::WorkersAlive;
use crate::scheduler::kind::Kind;
use crate::scheduler::run::{Exit, run};
use crate::scheduler::seat::{FreeSeat, Poll, WorkerThread};
use crate::scheduler::worker::Caller;
use evenkeel_topology::{
    ComputePriority, CpuSet, lower_thread, set_thread_affinity, thread_cpu_time, thread_is_asleep,
};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

impl Displaced {
    pub(super) fn new(
        thread: Arc<WorkerThread>,
        worker: usize,
        poll: Poll,
        since: Instant,
        cpu: CpuUse,
    ) -> Self {
        Displaced {
            thread,
            worker,
            poll,
            since,
            cpu: CpuUse::since(cpu.before),
            gives_way: false,
        }
    }

    /// To be called now and then: lowers it once it has computed for long, and lets others have its
    /// core while it sleeps.
    pub(super) fn look(&mut self, caller: &Caller<'_>, shared: &Shared) {
        let id = self.thread.id();
        let got_on = self.cpu.look(id);
        if !self.gives_way && self.cpu.used >= Some(LOWER_AFTER) {
            self.lower(caller, shared);
        } else if !got_on && self.thread.is_counted() && thread_is_asleep(id) == Some(true) {
            self.unpin(shared);
            shared.io.end_long(caller, &self.thread);
        }
    }

    /// It gives way to everybody from now on, and no other long poll waits for it.
    pub(super) fn lower(&mut self, caller: &Caller<'_>, shared: &Shared) {
        self.gives_way = true;
        let priority = shared.takeover.priority;
        self.thread.if_here(|id| {
            if priority != ComputePriority::Normal {
                self.thread.set_lowered();
                lower_thread(id, priority);
            }
        });
        self.unpin(shared);
        shared.io.end_long(caller, &self.thread);
    }

    /// Any core will do. Refused, it stays where it is.
    pub(super) fn unpin(&self, shared: &Shared) {
        if let Some(cpus) = shared.cpus.allowed() {
            self.set_affinity(&cpus);
        }
    }

    /// It stays on its core, or moves to that of another worker.
    pub(super) fn pin(&self, shared: &Shared, worker: usize) {
        if worker != self.worker
            && let Some(cpus) = shared.cpus.of_worker(Kind::Io, worker)
        {
            self.set_affinity(&cpus);
        }
    }

    fn set_affinity(&self, cpus: &CpuSet) {
        self.thread.if_placeable(|id| set_thread_affinity(id, cpus));
    }
}

impl Shared {
    /// A spare for a seat that is about to become free: one that waits, or a new one; and one
    /// displaced thread more is counted. `None` where there is none to be had, or as many seats
    /// have been taken as may be.
    pub(super) fn spare(self: &Arc<Self>) -> Option<Arc<Spare>> {
        let Takeover {
            policy,
            spares,
            counts,
            ..
        } = &self.takeover;
        let displaced = counts.displaced.fetch_add(1, Ordering::Relaxed);
        let spare = (displaced < policy.max_threads)
            .then(|| spares.take().or_else(|| self.make_spare().ok()))
            .flatten();
        if spare.is_none() {
            counts.displaced.fetch_sub(1, Ordering::Relaxed);
            counts.refused.fetch_add(1, Ordering::Relaxed);
        }
        spare
    }

    /// It was not needed.
    pub(super) fn put_back(&self, spare: Arc<Spare>) {
        let displaced = &self.takeover.counts.displaced;
        displaced.fetch_sub(1, Ordering::Relaxed);
        self.takeover.spares.list(spare);
    }

    /// A new thread, which is to be called.
    fn make_spare(self: &Arc<Self>) -> io::Result<Arc<Spare>> {
        let spare = Arc::new(Spare::default());
        let of_thread = spare.clone();
        self.start_spare(move |shared| shared.serve(&of_thread))?;
        Ok(spare)
    }

    /// Has a spare ready, for the next takeover, if there is none.
    pub(super) fn prepare_spare(self: &Arc<Self>) {
        let spares = &self.takeover.spares;
        if !spares.is_one_wanted() {
            return;
        }
        let started = self.start_spare(|shared| {
            let spare = Arc::new(Spare::default());
            if shared.takeover.spares.list(spare.clone()) {
                shared.serve(&spare);
            }
        });
        if started.is_err() {
            // Tried again when it is needed.
            spares.none_comes();
        }
    }

    fn start_spare(
        self: &Arc<Self>,
        serve: impl FnOnce(&Shared) + Send + 'static,
    ) -> io::Result<()> {
        let shared = self.clone();
        let name = format!("spr-{}", self.takeover.spares.next_number());
        self.threads.start(&name, move || {
            let hooks = shared.threads.hooks().clone();
            context::enter_for_good(shared.clone());
            context::become_worker();
            hooks.call_start();
            serve(&shared);
            hooks.call_stop();
        })
    }

    /// Has the spare sit down in a seat that was just taken or surrendered.
    pub(super) fn fill(&self, seat: FreeSeat, spare: &Spare) {
        // Gone only if the runtime is shut down and the poll has just ended.
        let alive = self.takeover.alive.upgrade();
        let alive = alive.unwrap_or_else(|| self.workers_alive());
        // While it sleeps, so that it wakes up where it belongs.
        if let (Some(cpus), Some(thread)) =
            (self.cpus.of_worker(Kind::Io, seat.index()), spare.thread())
        {
            let _ = set_thread_affinity(thread, &cpus);
        }
        spare.call(Call { seat, alive });
    }

    /// The life of a spare.
    fn serve(&self, spare: &Arc<Spare>) {
        spare.arrive();
        while let Some(Call { seat, alive }) = self.takeover.spares.wait(spare) {
            let exit = self.work(seat);
            drop(alive);
            if !self.goes_on(exit, spare) {
                return;
            }
        }
    }

    /// What an IO worker's first thread does: it works in the seat until the end, or until the seat
    /// is lost. Then it may be a spare.
    pub(crate) fn work_then_serve(&self, seat: FreeSeat, alive: Arc<WorkersAlive>) {
        let exit = self.work(seat);
        drop(alive);
        let spare = Arc::new(Spare::default());
        if self.goes_on(exit, &spare) {
            self.serve(&spare);
        }
    }

    fn work(&self, seat: FreeSeat) -> Exit {
        let (io, worker) = (self.io.clone(), seat.index());
        let exit = self
            .tokio
            .inside(|| run(io, seat, || self.settle(Kind::Io, worker)));
        if exit != Exit::ShutDown {
            let displaced = &self.takeover.counts.displaced;
            displaced.fetch_sub(1, Ordering::Relaxed);
            self.clock.tell_quiet();
        }
        exit
    }

    /// True if the thread has become a spare.
    fn goes_on(&self, exit: Exit, spare: &Arc<Spare>) -> bool {
        let spares = &self.takeover.spares;
        match exit {
            Exit::ShutDown => false,
            Exit::Displaced => spares.list(spare.clone()),
            Exit::DisplacedAndLowered => {
                if self.tuning.retire {
                    spares.retire();
                }
                false
            }
        }
    }

    /// The calling worker, in a poll, gives its seat to a spare. False if there is none.
    pub(crate) fn replace(
        self: &Arc<Self>,
        worker: usize,
        thread: &Arc<WorkerThread>,
        surrender: &mut dyn FnMut() -> FreeSeat,
    ) -> bool {
        let Some(poll) = self.io.current_poll(worker) else {
            return false;
        };
        let Some(spare) = self.spare() else {
            return false;
        };
        // Its core is free for others.
        Caller::with(|caller| self.io.end_long(caller, thread));
        // First of all: once displaced this thread may be lowered, and then stop anywhere.
        self.fill(surrender(), &spare);
        let cpu = CpuUse::since(thread_cpu_time(thread.id()));
        let displaced = Displaced::new(thread.clone(), worker, poll, Instant::now(), cpu);
        displaced.unpin(self);
        self.takeover.new_displaced.push(displaced);
        true
    }
}
