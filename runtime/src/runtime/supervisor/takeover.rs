//! What the takeovers of a runtime have in common: a record.

use super::spares::Spares;
use crate::runtime::takeover_policy::TakeoverPolicy;
use crate::runtime::workers_alive::WorkersAlive;
use crate::scheduler::measure::cpu_used;
use crate::scheduler::seat::{Poll, WorkerThread};
use crate::tasks::Place;
use evenkeel_sync::Stack;
use evenkeel_topology::{ComputePriority, thread_is_asleep};
use parking_lot::{Mutex, MutexGuard};
use std::mem;
use std::panic::Location;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// What the takeovers of a runtime have in common.
pub(crate) struct Takeover {
    pub(crate) policy: TakeoverPolicy,
    /// What a displaced thread that computes is lowered to.
    pub(super) priority: ComputePriority,
    /// A spare that sits down joins it.
    pub(super) alive: Weak<WorkersAlive>,
    pub(super) spares: Spares,
    /// Displaced threads that the supervisor has not seen yet.
    pub(super) new_displaced: Stack<Displaced>,
    /// Those that it has seen. It only tries to lock this, since a dump may be made by a thread of
    /// low priority.
    displaced: Mutex<Vec<Displaced>>,
    /// Somebody wants the supervisor to look closely.
    pub(super) alarm: AtomicBool,
    /// The supervisor looks closely already.
    pub(super) alert: AtomicBool,
    /// The compute lane does not get on.
    pub(crate) compute_stalled: AtomicBool,
    pub(crate) counts: Counts,
}

/// What has happened so far.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) takeovers: AtomicU64,
    /// Seats that should have been taken and could not be.
    pub(crate) refused: AtomicU64,
    pub(crate) displaced: AtomicUsize,
    pub(crate) moved_to_compute: AtomicU64,
    pub(crate) moved_to_blocking: AtomicU64,
    pub(crate) moved_back: AtomicU64,
}

/// A thread without a seat that is still in a poll.
pub(super) struct Displaced {
    pub(super) thread: Arc<WorkerThread>,
    /// Whose seat it had.
    pub(super) worker: usize,
    pub(super) poll: Poll,
    /// The poll had begun by then.
    pub(super) since: Instant,
    /// What the poll has used of the CPU.
    pub(super) cpu: CpuUse,
    /// It has computed for long, and gives way now, if threads may be lowered.
    pub(super) gives_way: bool,
}

/// What a poll has used of the CPU.
#[derive(Clone, Copy)]
pub(super) struct CpuUse {
    /// The CPU time of its thread when it began.
    pub(super) before: Option<Duration>,
    /// What it had used by the last look, if that is known.
    pub(super) used: Option<Duration>,
}

impl CpuUse {
    pub(super) fn since(before: Option<Duration>) -> CpuUse {
        CpuUse { before, used: None }
    }

    /// True if it has used some since the last look.
    pub(super) fn look(&mut self, thread: u32) -> bool {
        let used = cpu_used(thread, self.before);
        mem::replace(&mut self.used, used) != used
    }
}

/// What a dump shows of a displaced thread.
#[derive(Debug)]
pub(crate) struct DisplacedReport {
    pub(crate) worker: usize,
    pub(crate) task: u64,
    pub(crate) spawned_at: &'static Location<'static>,
    pub(crate) age: Duration,
    pub(crate) asleep: Option<bool>,
}

impl Takeover {
    pub(crate) fn new(
        policy: TakeoverPolicy,
        priority: ComputePriority,
        keep_alive: Duration,
        alive: &Arc<WorkersAlive>,
    ) -> Self {
        Takeover {
            policy,
            priority,
            alive: Arc::downgrade(alive),
            spares: Spares::new(keep_alive),
            new_displaced: Stack::new(),
            displaced: Mutex::new(Vec::new()),
            alarm: AtomicBool::new(false),
            alert: AtomicBool::new(false),
            compute_stalled: AtomicBool::new(false),
            counts: Counts::default(),
        }
    }

    /// Takes no more seats, and lets the spares go.
    pub(crate) fn close(&self) {
        self.spares.close();
    }

    /// True if the supervisor is to be told to look closely.
    pub(crate) fn raise_alarm(&self) -> bool {
        self.policy.is_enabled()
            && !self.alert.load(Ordering::Relaxed)
            && !self.alarm.swap(true, Ordering::AcqRel)
    }

    pub(crate) fn count_move(&self, to: Place) {
        let count = match to {
            Place::Io => &self.counts.moved_back,
            Place::Compute => &self.counts.moved_to_compute,
            Place::Blocking => &self.counts.moved_to_blocking,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// The displaced threads that there are; `None` while somebody else has the list.
    pub(crate) fn report(&self) -> Option<Vec<DisplacedReport>> {
        let displaced = self.displaced.try_lock()?;
        let here = displaced
            .iter()
            .filter(|displaced| displaced.thread.is_here());
        let report = here.map(|displaced| DisplacedReport {
            worker: displaced.worker,
            task: displaced.poll.task,
            spawned_at: displaced.poll.spawned_at,
            age: displaced.since.elapsed(),
            asleep: thread_is_asleep(displaced.thread.id()),
        });
        Some(report.collect())
    }

    /// The displaced threads that are left; `None` while somebody else has them. For the
    /// supervisor.
    pub(super) fn sweep(&self) -> Option<MutexGuard<'_, Vec<Displaced>>> {
        let mut displaced = self.displaced.try_lock()?;
        displaced.extend(self.new_displaced.take_all());
        displaced.retain(|displaced| displaced.thread.is_here());
        Some(displaced)
    }
}
