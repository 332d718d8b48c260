//! Nothing starves: a worker that is stuck in a poll loses its seat to a spare thread.
//!
//! The driver thread looks at the IO workers ([`monitor`]). One that has been in the same poll for too long, while somebody wants its
//! place ([`stuck`]), has its seat taken ([`lane::takeover`](crate::lane::takeover)) and given to
//! a *spare* ([`spares`]), a thread that was made for this beforehand. The thread that lost its seat is now a *stray*. If it
//! computes, it goes on at normal priority, on the core where the fewest do; once it has computed for very long it is
//! lowered to the priority of the compute lane, from outside. When its poll is over it becomes a spare, if it was never lowered: a
//! lowered thread cannot climb back without privileges, so it ends, though not at once ([`spares`]).
//!
//! [`block_in_place`](in_place::block_in_place) is the same, by the worker itself and at once.

pub(crate) mod in_place;
pub(super) mod monitor;
mod policy;
#[cfg(all(test, not(evenkeel_loom)))]
mod simulation;
mod spares;
mod stuck;

pub use policy::TakeoverPolicy;

use super::threads::Crew;
use super::{ComputePriority, Handle, Shared, context};
use crate::lane::Tenant;
use crate::lane::measure::cpu_used;
use crate::lane::takeover::Poll;
use crate::lane::worker::{Left, Local};
use crate::stack::Stack;
use crate::tasks::Place;
use evenkeel_topology::{CpuSet, lower_thread, set_thread_affinity, thread_is_asleep};
use parking_lot::{Mutex, MutexGuard};
use spares::{Spare, Spares};
use std::io;
use std::panic::Location;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use stuck::LOWER_AFTER;

/// What the takeovers of a runtime have in common.
pub(super) struct Takeover {
    pub(super) policy: TakeoverPolicy,
    /// What a stray that computes is lowered to.
    priority: ComputePriority,
    /// What a stray may run on, if workers are pinned.
    cpus: Option<CpuSet>,
    /// A spare that sits down joins it.
    crew: Weak<Crew>,
    spares: Spares,
    /// Strays that the driver thread has not seen yet,
    new_strays: Stack<Stray>,
    /// and those that it has. It only tries to lock this, since a dump may be made by a thread of low priority.
    strays: Mutex<Vec<Stray>>,
    /// Somebody wants the driver thread to look closely;
    alarm: AtomicBool,
    /// it does already.
    alert: AtomicBool,
    /// The compute lane does not get on.
    compute_stalled: AtomicBool,
    pub(super) counts: Counts,
}

/// What has happened so far.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) takeovers: AtomicU64,
    /// Seats that should have been taken and could not be.
    pub(super) refused: AtomicU64,
    pub(super) strays: AtomicUsize,
    pub(super) moved_to_compute: AtomicU64,
    pub(super) moved_to_blocking: AtomicU64,
    pub(super) moved_back: AtomicU64,
}

/// A thread without a seat that is still in a poll.
struct Stray {
    tenant: Arc<Tenant>,
    worker: usize,
    poll: Poll,
    /// The poll had begun by then,
    since: Instant,
    /// and this is what it has used of the CPU.
    cpu: CpuUse,
    /// It has computed for long, and gives way now, if threads may be lowered.
    gives_way: bool,
}

/// What a poll has used of the CPU.
#[derive(Clone, Copy)]
struct CpuUse {
    /// The CPU time of its thread when it began.
    before: Option<Duration>,
    /// By the last look, if that is known.
    used: Option<Duration>,
}

impl CpuUse {
    fn since(before: Option<Duration>) -> CpuUse {
        CpuUse { before, used: None }
    }

    /// True if it has used some since the last look.
    fn look(&mut self, thread: u32) -> bool {
        let used = cpu_used(thread, self.before);
        std::mem::replace(&mut self.used, used) != used
    }
}

/// What a dump shows of a stray.
#[derive(Debug)]
pub(super) struct StrayReport {
    pub(super) worker: usize,
    pub(super) task: u64,
    pub(super) spawned_at: &'static Location<'static>,
    pub(super) age: Duration,
    pub(super) asleep: Option<bool>,
}

impl Takeover {
    pub(super) fn new(
        policy: TakeoverPolicy,
        priority: ComputePriority,
        cpus: Option<CpuSet>,
        keep_alive: Duration,
        crew: &Arc<Crew>,
    ) -> Self {
        Takeover {
            policy,
            priority,
            cpus,
            crew: Arc::downgrade(crew),
            spares: Spares::new(keep_alive),
            new_strays: Stack::new(),
            strays: Mutex::new(Vec::new()),
            alarm: AtomicBool::new(false),
            alert: AtomicBool::new(false),
            compute_stalled: AtomicBool::new(false),
            counts: Counts::default(),
        }
    }

    /// Takes no more seats, and lets the spares go.
    pub(super) fn close(&self) {
        self.spares.close();
    }

    /// True if the driver thread is to be told to look closely.
    pub(super) fn raise_alarm(&self) -> bool {
        self.policy.is_enabled()
            && !self.alert.load(Ordering::Relaxed)
            && !self.alarm.swap(true, Ordering::AcqRel)
    }

    pub(super) fn count_move(&self, to: Place) {
        let count = match to {
            Place::Io => &self.counts.moved_back,
            Place::Compute => &self.counts.moved_to_compute,
            Place::Blocking => &self.counts.moved_to_blocking,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// The strays there are; `None` while somebody else has the list.
    pub(super) fn report(&self) -> Option<Vec<StrayReport>> {
        let strays = self.strays.try_lock()?;
        let here = strays.iter().filter(|stray| stray.tenant.is_here());
        let report = here.map(|stray| StrayReport {
            worker: stray.worker,
            task: stray.poll.task,
            spawned_at: stray.poll.spawned_at,
            age: stray.since.elapsed(),
            asleep: thread_is_asleep(stray.tenant.thread()),
        });
        Some(report.collect())
    }

    /// The strays that are left; `None` while somebody else has them. For the driver thread.
    fn sweep(&self) -> Option<MutexGuard<'_, Vec<Stray>>> {
        let mut strays = self.strays.try_lock()?;
        strays.extend(self.new_strays.take_all());
        strays.retain(|stray| stray.tenant.is_here());
        Some(strays)
    }
}

impl Stray {
    fn new(
        tenant: Arc<Tenant>,
        worker: usize,
        poll: Poll,
        since: Instant,
        cpu_time: Option<Duration>,
    ) -> Self {
        Stray {
            tenant,
            worker,
            poll,
            since,
            cpu: CpuUse::since(cpu_time),
            gives_way: false,
        }
    }

    /// To be called now and then: lowers it once it has computed for long, and lets others have its core while it sleeps.
    fn look(&mut self, shared: &Shared) {
        let thread = self.tenant.thread();
        let got_on = self.cpu.look(thread);
        if !self.gives_way && self.cpu.used >= Some(LOWER_AFTER) {
            self.lower(shared);
        } else if !got_on && self.tenant.is_counted() && thread_is_asleep(thread) == Some(true) {
            self.unpin(&shared.takeover);
            shared.io.end_long(&self.tenant);
        }
    }

    /// It gives way to everybody from now on, and no other long poll waits for it.
    fn lower(&mut self, shared: &Shared) {
        self.gives_way = true;
        let (tenant, priority) = (&self.tenant, shared.takeover.priority);
        tenant.if_here(|thread| {
            if priority != ComputePriority::Normal {
                tenant.set_lowered();
                lower_thread(thread, priority);
            }
        });
        self.unpin(&shared.takeover);
        shared.io.end_long(tenant);
    }

    /// Any core will do. Refused, it stays where it is.
    fn unpin(&self, takeover: &Takeover) {
        if let Some(cpus) = &takeover.cpus {
            self.tenant
                .if_here(|thread| set_thread_affinity(thread, cpus));
        }
    }

    /// It stays on its core, or moves to that of another worker.
    fn pin(&self, shared: &Shared, worker: usize) {
        if worker != self.worker
            && let Some(cpu) = shared.plan.cpu(worker)
        {
            let cpus = std::iter::once(cpu).collect();
            self.tenant
                .if_here(|thread| set_thread_affinity(thread, &cpus));
        }
    }
}

/// A seat that waits for somebody to sit down.
struct FreeSeat {
    worker: usize,
    crew: Arc<Crew>,
}

impl Shared {
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

    /// A spare for a seat that is about to become free: one that waits, or a new one; and one stray more is counted. `None`
    /// where there is none to be had, or as many seats have been taken as may be.
    fn spare(self: &Arc<Self>) -> Option<Arc<Spare>> {
        let Takeover {
            policy,
            spares,
            counts,
            ..
        } = &self.takeover;
        let strays = counts.strays.fetch_add(1, Ordering::Relaxed);
        let spare = (strays < policy.max_threads)
            .then(|| spares.take().or_else(|| self.make_spare().ok()))
            .flatten();
        if spare.is_none() {
            counts.strays.fetch_sub(1, Ordering::Relaxed);
            counts.refused.fetch_add(1, Ordering::Relaxed);
        }
        spare
    }

    /// It was not needed.
    fn put_back(&self, spare: Arc<Spare>) {
        self.takeover.counts.strays.fetch_sub(1, Ordering::Relaxed);
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
    fn prepare_spare(self: &Arc<Self>) {
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
            context::enter_for_good(Handle::new(shared.clone()));
            context::become_worker();
            hooks.call_start();
            serve(&shared);
            hooks.call_stop();
        })
    }

    /// Has the spare sit down in a seat that was just taken, or given up.
    fn fill(&self, worker: usize, spare: &Spare) {
        // Gone only if the runtime is shut down and the poll has just ended.
        let crew = self.takeover.crew.upgrade();
        let crew = crew.unwrap_or_else(|| Crew::new(self.watch.clone(), self.tokio.clone()));
        // While it sleeps, so that it wakes up where it belongs.
        if let (Some(cpu), Some(thread)) = (self.plan.cpu(worker), spare.thread()) {
            let _ = set_thread_affinity(thread, &std::iter::once(cpu).collect());
        }
        spare.call(FreeSeat { worker, crew });
    }

    /// The life of a spare.
    fn serve(&self, spare: &Arc<Spare>) {
        spare.arrive();
        while let Some(FreeSeat { worker, crew }) = self.takeover.spares.wait(spare) {
            let local = Local::new(self.io.clone(), worker);
            let left = self.work(local, self.plan.cpu(worker));
            drop(crew);
            if !self.goes_on(left, spare) {
                return;
            }
        }
    }

    /// What an IO worker's first thread does: it works in the seat until the end, or until the seat is gone. Then it may be a
    /// spare.
    pub(super) fn work_then_serve(&self, local: Local, cpu: Option<usize>, crew: Arc<Crew>) {
        let left = self.work(local, cpu);
        drop(crew);
        let spare = Arc::new(Spare::default());
        if self.goes_on(left, &spare) {
            self.serve(&spare);
        }
    }

    fn work(&self, local: Local, cpu: Option<usize>) -> Left {
        let left = self.tokio.inside(|| local.run(|| self.settle(cpu)));
        if left != Left::ShutDown {
            self.takeover.counts.strays.fetch_sub(1, Ordering::Relaxed);
        }
        left
    }

    /// True if the thread has become a spare.
    fn goes_on(&self, left: Left, spare: &Arc<Spare>) -> bool {
        let spares = &self.takeover.spares;
        match left {
            Left::ShutDown => false,
            Left::Lost => spares.list(spare.clone()),
            Left::LostAndLowered => {
                spares.retire();
                false
            }
        }
    }
}
