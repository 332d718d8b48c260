//! A lane: the record that its workers, and whoever has a task for them, share.

use super::current_thread::Arrivals;
use super::driver_lock::DriverLock;
use super::governor::{Begins, Governor, Used};
use super::hooks::LaneHooks;
use super::idle::Idle;
use super::kick::Kick;
use super::kind::Kind;
use super::long_queue::LongQueue;
use super::measure::Prior;
use super::period::LOOK_INTERVAL_NS;
use super::poll_time::PollTime;
use super::progress::Progress;
use super::seat::{FreeSeat, Poll, Seat, WorkerThread};
use super::tuning::{Intervals, Tuning};
use super::wake_ups::{WakeToRun, WakeUps};
use super::watch::Watching;
use crate::latency_critical::LatencyCritical;
use crate::tasks::{DeferredWake, Inbox, Shard as TaskShard, Task};
use crate::timers::{Clock, TimerShard, clock};
use crossbeam_utils::CachePadded;
use evenkeel_sync::Stack;
use evenkeel_sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use evenkeel_topology::{process_cpu_time, thread_cpu_time};
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// A lane has at most so many workers: a task's cell has that much room for whose it is.
pub(crate) const WORKERS_MAX: usize = TaskShard::COUNT_MAX - 1;

pub(crate) struct Lane {
    pub(crate) kind: Kind,
    pub(super) inbox: CachePadded<Inbox>,
    /// Wake-ups that threads which may be preempted leave to the workers: the task is marked as
    /// queued, and then queued, and nobody else can wake it in between.
    pub(super) deferred: CachePadded<Stack<DeferredWake>>,
    pub(super) idle: Arc<Idle>,
    pub(super) poll_time: CachePadded<PollTime>,
    pub(super) seats: Box<[Arc<Seat>]>,
    pub(super) is_shut_down: AtomicBool,
    pub(super) is_finished: AtomicBool,
    /// Who sleeps in the other lane, whose workers share this one's cores.
    pub(super) partner: Arc<Idle>,
    /// For the IO lane the IO driver, which its idle workers poll.
    pub(super) driver: Option<Arc<DriverLock>>,
    /// How often a worker on standby has found events that nobody had looked for.
    pub(super) rescues: AtomicU64,
    /// Whether the CPUs of IO workers that are woken beside compute are kicked.
    pub(crate) kick: Kick,
    /// For each worker of the IO lane, how soon it ran when it was woken. Those of the compute lane
    /// wait for their CPU by design.
    pub(super) wake_ups: Box<[CachePadded<WakeUps>]>,
    /// How many tasks of the IO lane wait in this one, the compute lane.
    pub(super) offloaded: AtomicUsize,
    /// Whether the supervisor has to be told of a short task, because all workers are in long
    /// polls.
    pub(super) all_stuck: Watching,
    pub(super) hooks: Box<dyn LaneHooks>,
    /// On the compute lane, how much of a CPU quota it may use.
    pub(crate) governor: Governor,
    /// On the IO lane, tasks whose next poll is expected to be long.
    pub(super) long: CachePadded<LongQueue<Task>>,
    pub(super) prior: Prior,
    pub(super) limits: Limits,
    pub(super) tuning: Tuning,
    pub(super) intervals: Intervals,
    /// What its timers go by.
    pub(super) clock: Arc<Clock>,
    /// Some if its one worker is whoever is in `block_on`.
    pub(super) arrivals: Option<Arrivals>,
}

/// What a lane goes by, of the runtime's [`TakeoverPolicy`](crate::runtime::TakeoverPolicy).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// A poll is long from here on.
    pub(crate) after: Duration,
    /// Short tasks go before long ones.
    pub(crate) sorts: bool,
    /// Tasks that hog or block are polled elsewhere.
    pub(crate) moves: bool,
}

/// What a dump shows of a worker.
#[derive(Clone, Debug)]
pub(crate) struct SeatReport {
    pub(crate) started: bool,
    pub(crate) asleep: bool,
    pub(crate) polls: u64,
    pub(crate) task: Option<(u64, &'static Location<'static>)>,
    pub(crate) queued: usize,
    pub(crate) waiting: usize,
    pub(crate) timers: usize,
}

/// What a lane is made of.
pub(crate) struct LaneParts {
    pub(crate) kind: Kind,
    /// For each worker the others, nearest first, in tiers of equal distance.
    pub(crate) victims: Vec<Vec<Vec<usize>>>,
    /// Who of its workers sleeps,
    pub(crate) idle: Arc<Idle>,
    /// and of the other lane's.
    pub(crate) partner: Arc<Idle>,
    pub(crate) driver: Option<Arc<DriverLock>>,
    pub(crate) hooks: Box<dyn LaneHooks>,
    pub(crate) limits: Limits,
    pub(crate) tuning: Tuning,
    pub(crate) intervals: Intervals,
    pub(crate) clock: Arc<Clock>,
    /// Its one worker is whoever is in `block_on`.
    pub(crate) is_current_thread: bool,
}

impl Lane {
    /// A lane whose workers have no threads yet.
    pub(crate) fn new(parts: LaneParts) -> Arc<Lane> {
        let victims = parts.victims.into_iter().enumerate();
        let seats: Box<[_]> = victims
            .map(|(index, victims)| Arc::new(Seat::new(index, victims)))
            .collect();
        let wake_ups = seats
            .iter()
            .filter(|_| parts.kind == Kind::Io)
            .map(|_| CachePadded::new(WakeUps::new()));
        let sorts = parts.limits.sorts && parts.kind == Kind::Io && parts.tuning.long_queue;
        Arc::new(Lane {
            kind: parts.kind,
            inbox: CachePadded::new(Inbox::new()),
            deferred: CachePadded::new(Stack::new()),
            idle: parts.idle,
            poll_time: CachePadded::new(PollTime::new()),
            is_shut_down: AtomicBool::new(false),
            is_finished: AtomicBool::new(false),
            partner: parts.partner,
            driver: parts.driver,
            rescues: AtomicU64::new(0),
            kick: Kick::default(),
            wake_ups: wake_ups.collect(),
            offloaded: AtomicUsize::new(0),
            all_stuck: Watching::new(),
            hooks: parts.hooks,
            governor: Governor::default(),
            long: CachePadded::new(LongQueue::new(seats.len())),
            seats,
            prior: Prior::new(),
            limits: Limits {
                sorts,
                ..parts.limits
            },
            tuning: parts.tuning,
            intervals: parts.intervals,
            clock: parts.clock,
            arrivals: parts.is_current_thread.then(Arrivals::new),
        })
    }

    /// The worker's seat, for its first thread. `None` for any other.
    pub(crate) fn first_seat(&self, worker: usize) -> Option<FreeSeat> {
        self.seats[worker].first()
    }

    /// The seat of the one worker of a lane that is driven by whoever is in `block_on`.
    pub(crate) fn be_driven(&self) -> Option<FreeSeat> {
        self.set_started(1);
        self.idle.fall_asleep(0, false);
        self.first_seat(0)
    }

    pub(super) fn seat(&self, worker: usize) -> &Seat {
        &self.seats[worker]
    }

    pub(super) fn seats(&self) -> impl Iterator<Item = &Seat> {
        self.seats.iter().map(|seat| &**seat)
    }

    pub(crate) fn workers(&self) -> usize {
        self.seats.len()
    }

    /// The number of workers that do not sleep.
    pub(crate) fn awake_count(&self) -> usize {
        self.idle.awake_count()
    }

    /// How many workers, from the first, have a thread.
    pub(crate) fn started(&self) -> usize {
        self.idle.started()
    }

    /// To be called before a thread is made for the last of them. By one thread at a time.
    pub(crate) fn set_started(&self, workers: usize) {
        self.idle.set_started(workers);
    }

    pub(crate) fn is_asleep(&self, worker: usize) -> bool {
        self.idle.is_asleep(worker)
    }

    /// The id of the worker's thread, if it has started.
    pub(crate) fn thread_id(&self, worker: usize) -> Option<u32> {
        self.seat(worker).thread_id()
    }

    /// The thread in the seat.
    pub(crate) fn thread(
        &self,
        worker: usize,
        _proof: LatencyCritical<'_>,
    ) -> Option<Arc<WorkerThread>> {
        self.seat(worker).thread()
    }

    /// Calls `f` with the id of the worker's thread, if that may be moved now.
    pub(crate) fn if_placeable(&self, worker: usize, f: impl FnOnce(u32)) {
        if let Some(thread) = self.seat(worker).try_thread() {
            thread.if_placeable(f);
        }
    }

    pub(crate) fn timers(&self, worker: usize) -> &Arc<TimerShard> {
        &self.seat(worker).timers
    }

    pub(crate) fn set_reserve(&self, worker: usize, reserve: bool) {
        self.seat(worker).reserve.store(reserve, Ordering::Relaxed);
    }

    /// The poll that the worker is in.
    pub(crate) fn current_poll(&self, worker: usize) -> Option<Poll> {
        self.seat(worker).status.current()
    }

    /// How many polls the worker has begun.
    pub(crate) fn polls(&self, worker: usize) -> u64 {
        self.seat(worker).status.polls()
    }

    /// How much the process has used of the CPU, and this lane of that. `None` where the system
    /// does not tell.
    fn used(&self) -> Option<Used> {
        let threads = self.seats().filter_map(Seat::thread_id);
        let begin_ns = clock::now_ns();
        // These first: to read a thread's clock brings what the process's shows of it up to date.
        let by_compute = threads.filter_map(thread_cpu_time).sum();
        let by_all = process_cpu_time()?;
        let at_ns = clock::now_ns();
        // What compute used while this thread was off its CPU would be taken for what others used.
        let is_of_one_moment = at_ns.saturating_sub(begin_ns) < LOOK_INTERVAL_NS;
        is_of_one_moment.then_some(Used {
            at_ns,
            by_all,
            by_compute,
        })
    }

    /// How long its workers have to pause before they begin anything more, for the sake of a CPU
    /// quota.
    pub(super) fn pause(&self) -> Option<Duration> {
        if !self.governor.is_on() {
            return None;
        }
        self.governor.pause(None, || self.used())
    }

    /// The same before a worker begins a task; the `last` one used so much.
    pub(super) fn pause_before(&self, last: Option<Duration>) -> Option<Duration> {
        let busy = |seat: &&Seat| seat.status.current().is_some();
        let begins = Begins {
            before: last,
            others: self.seats().filter(busy).count(),
        };
        self.governor.pause(Some(begins), || self.used())
    }

    /// How far the workers have come.
    pub(crate) fn progress(&self) -> Progress {
        let workers = self.seats();
        let workers = workers.map(|seat| (seat.status.polls(), seat.queued()));
        Progress {
            workers: workers.collect(),
            injected: self.has_injected(),
            driver_polls: self.driver.as_ref().map_or(0, |driver| driver.polls()),
        }
    }

    /// How many polls all workers have begun.
    pub(crate) fn polls_in_all(&self) -> u64 {
        let polls = self.seats().map(|seat| seat.status.polls());
        polls.fold(0, u64::wrapping_add)
    }

    /// How many polls the other workers than this one have begun.
    pub(super) fn polls_beside(&self, worker: usize) -> u64 {
        self.polls_in_all().wrapping_sub(self.polls(worker))
    }

    /// True if tasks wait in the inbox.
    pub(crate) fn has_injected(&self) -> bool {
        !self.inbox.is_empty() || !self.deferred.is_empty()
    }

    /// How often the worker has begun or ended to sleep: odd while it sleeps.
    pub(crate) fn parks(&self, worker: usize) -> u64 {
        self.seat(worker).status.parks()
    }

    /// How long the worker was awake, up to when it last slept.
    pub(crate) fn busy(&self, worker: usize) -> Duration {
        Duration::from_nanos(self.seat(worker).status.busy_ns())
    }

    /// How many tasks are alive, about: those that wait, and those that are queued or polled. A
    /// task that has waited before counts twice while it is queued. In this order, so that one on
    /// its way is missed at neither place.
    pub(crate) fn alive(&self) -> usize {
        let queued = self.waiting() + self.long.waiting();
        let polled = self.seats().filter(|seat| seat.status.current().is_some());
        queued + polled.count() + self.seats().map(Seat::waiting).sum::<usize>()
    }

    /// How many tasks wait for some worker, about; those in the inbox count as one, and long ones
    /// are left aside.
    pub(crate) fn waiting(&self) -> usize {
        let queued: usize = self.seats().map(Seat::queued).sum();
        queued + usize::from(self.has_injected())
    }

    /// The last look before sleep: every place where a task may be found.
    pub(super) fn has_work(&self, worker: usize) -> bool {
        self.has_injected()
            || self.long.may_begin(worker)
            || self.seats().any(|seat| !seat.stealer.is_empty())
    }

    /// The worker of the other lane on the same core has something to do. (More workers than in the
    /// other lane go round its cores once more.)
    pub(super) fn partner_is_awake(&self, worker: usize) -> bool {
        !self.partner.is_resting(worker % self.partner.workers())
    }

    /// How soon workers ran when they were woken; all of them together.
    pub(crate) fn wake_to_run(&self) -> WakeToRun {
        let mut sum = WakeToRun::new();
        self.wake_ups.iter().for_each(|of| of.add_to(&mut sum));
        sum
    }

    /// Polls are so short on average that a worker at one will soon be at the driver again.
    pub(crate) fn polls_are_short(&self) -> bool {
        self.tuning.poll_time && self.poll_time.is_short()
    }

    pub(super) fn is_finished(&self) -> bool {
        self.is_finished.load(Ordering::Relaxed)
    }

    pub(super) fn is_shut_down(&self) -> bool {
        self.is_shut_down.load(Ordering::SeqCst)
    }

    /// What every worker is doing.
    pub(crate) fn report(&self) -> Vec<SeatReport> {
        self.seats()
            .map(|seat| SeatReport {
                started: seat.index < self.started(),
                asleep: self.idle.is_asleep(seat.index),
                polls: seat.status.polls(),
                task: seat
                    .status
                    .current()
                    .map(|poll| (poll.task, poll.spawned_at)),
                queued: seat.queued(),
                waiting: seat.waiting(),
                timers: seat.timers.len(),
            })
            .collect()
    }

    /// How many tasks wait for a place among the long polls, and how many places are taken.
    pub(crate) fn long_polls(&self) -> (usize, usize) {
        (self.long.waiting(), self.long.running())
    }

    /// Long polls are in progress.
    pub(crate) fn is_in_long_polls(&self) -> bool {
        self.long.running() > 0
    }
}
