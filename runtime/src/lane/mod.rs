//! The work-stealing engine. A runtime has two lanes of it: IO and compute.
//!
//! Each worker has a deque of its own, from which the others steal, and on the IO lane a next-slot for
//! the task that its current task woke last. Everybody else submits through the lane's inbox. How
//! workers fall asleep and are woken is in [`sleep`]; what a worker does all day is in [`worker`].
//!
//! Rule: nothing here makes an IO worker wait for a compute thread, which may be preempted at any
//! instruction for as long as its core is busy. What crosses from compute to IO is an inbox push (one
//! compare-exchange) and an unpark without a claim (one system call).

mod bits;
pub(crate) mod exclusive;
mod pace;
pub(crate) mod park_state;
pub(crate) mod parker;
mod patience;
mod progress;
pub(crate) mod sleep;
pub(crate) mod turn;
pub(crate) mod watch;
pub(crate) mod worker;

use crate::panics::drop_quietly;
use crate::stack::Stack;
use crate::task::{Inbox, Registry, Schedule, Shard as TaskShard, Slot, Task, TaskRef};
use crate::time::shard::{Shard as TimerShard, wake};
use crossbeam_deque::{Steal, Stealer, Worker as Deque};
use crossbeam_utils::CachePadded;
use pace::Pace;
use parker::Parker;
use parking_lot::Mutex;
use progress::Progress;
use sleep::Sleep;
use std::panic::Location;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering};
use std::task::Waker;
use turn::Turn;
use worker::Local;

/// A lane has no more workers than this: a task's cell has that much room for whose it is.
pub(crate) const WORKERS_MAX: usize = TaskShard::COUNT_MAX - 1;

/// Which of the two lanes of a runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Futures that wait for IO and time; next-slot, timers, normal priority.
    Io,
    /// Closures and futures that compute; SCHED_IDLE.
    Compute,
}

pub(crate) struct Lane {
    kind: Kind,
    inbox: CachePadded<Inbox>,
    /// Wakers that threads which may be preempted leave to the workers: to call one is to mark its task
    /// as queued, and then to queue it, and nobody else can wake the task in between.
    deferred: CachePadded<Stack<Waker>>,
    sleep: Arc<Sleep>,
    pace: CachePadded<Pace>,
    seats: Box<[CachePadded<Seat>]>,
    shutdown: AtomicBool,
    finished: AtomicBool,
    /// Who sleeps in the other lane, whose workers share this one's cores.
    partner: Arc<Sleep>,
    /// For the IO lane the IO driver, which its idle workers poll.
    turn: Option<Arc<Turn>>,
    /// Called by a worker that wakes up, so that somebody watches over it.
    on_wake: Box<dyn Fn() + Send + Sync>,
}

/// What other threads see of a worker.
struct Seat {
    stealer: Stealer<Task>,
    /// Here until the worker has a thread, which takes it.
    deque: Mutex<Option<Deque<Task>>>,
    /// The task that the worker's current one woke or spawned last. Runs next, while its data is in
    /// cache. Only a shutdown takes it from the worker.
    next: Slot,
    parker: Parker,
    registry: Registry,
    timers: Arc<TimerShard>,
    /// Others use the worker's core, so it is not to be woken for what another worker can do.
    reserve: AtomicBool,
    /// The worker's thread, for its CPU clock; 0 until it has started.
    thread: AtomicU32,
    status: Status,
    /// The other workers, nearest first, in tiers of equal distance.
    victims: Vec<Vec<usize>>,
}

/// What a worker is doing, for dumps. Written by the worker alone.
struct Status {
    polls: AtomicU64,
    /// The id of the task in the poll, or zero.
    task: AtomicU64,
    spawned_at: AtomicPtr<Location<'static>>,
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

impl Lane {
    /// A lane of as many workers as `victims` has entries, of whom `sleep` keeps track. They have no threads
    /// yet.
    pub(crate) fn new(
        kind: Kind,
        victims: Vec<Vec<Vec<usize>>>,
        sleep: Arc<Sleep>,
        partner: Arc<Sleep>,
        turn: Option<Arc<Turn>>,
        on_wake: Box<dyn Fn() + Send + Sync>,
    ) -> Arc<Lane> {
        let seats: Box<[_]> = victims
            .into_iter()
            .map(|victims| CachePadded::new(Seat::new(victims)))
            .collect();
        Arc::new(Lane {
            kind,
            inbox: CachePadded::new(Inbox::new()),
            deferred: CachePadded::new(Stack::new()),
            sleep,
            pace: CachePadded::new(Pace::new()),
            seats,
            shutdown: AtomicBool::new(false),
            finished: AtomicBool::new(false),
            partner,
            turn,
            on_wake,
        })
    }

    pub(crate) fn workers(&self) -> usize {
        self.seats.len()
    }

    /// The number of workers that do not sleep.
    pub(crate) fn awake_count(&self) -> usize {
        self.sleep.awake_count()
    }

    /// How many workers, from the first, have a thread.
    pub(crate) fn started(&self) -> usize {
        self.sleep.started()
    }

    /// To be called before a thread is made for the last of them. By one thread at a time.
    pub(crate) fn set_started(&self, workers: usize) {
        self.sleep.set_started(workers);
    }

    pub(crate) fn is_asleep(&self, worker: usize) -> bool {
        self.sleep.is_asleep(worker)
    }

    /// How many polls the other workers than this one have begun.
    fn polls_beside(&self, worker: usize) -> u64 {
        let others = self.seats.iter().enumerate();
        let others = others.filter(|(index, _)| *index != worker);
        others.fold(0, |sum, (_, seat)| sum.wrapping_add(seat.status.polls()))
    }

    fn progress(&self) -> Progress {
        let polls = |seat: &Seat| seat.status.polls.load(Ordering::Relaxed);
        let workers = self.seats.iter().map(|seat| (polls(seat), seat.queued()));
        Progress {
            workers: workers.collect(),
            injected: self.has_injected(),
            driver_polls: self.turn.as_ref().map_or(0, |turn| turn.polls()),
        }
    }

    pub(crate) fn set_reserve(&self, worker: usize, reserve: bool) {
        self.seats[worker].reserve.store(reserve, Ordering::Relaxed);
    }

    /// The id of the worker's thread, if it has started.
    pub(crate) fn thread(&self, worker: usize) -> Option<u32> {
        let id = self.seats[worker].thread.load(Ordering::Relaxed);
        (id != 0).then_some(id)
    }

    pub(crate) fn timers(&self, worker: usize) -> &Arc<TimerShard> {
        &self.seats[worker].timers
    }

    /// Queues a task: with the worker whose thread this is, or else in the inbox.
    pub(crate) fn schedule(&self, task: Task) {
        Local::with(|local| match local {
            Some(local) if local.is_in(self) => local.push(task),
            _ => self.submit(task),
        });
    }

    /// Queues a task from outside the lane and wakes a worker for it, if one is needed.
    fn submit(&self, task: Task) {
        match self.inbox.push(task) {
            // Whoever takes it out tells of the others there.
            Ok(()) => self.notify(1),
            Err(task) => task.abandon(),
        }
    }

    /// To be called after work was put where any worker of the lane can find it: so many tasks, about.
    fn notify(&self, tasks: usize) {
        let caller = worker::caller();
        // A compute worker gets nowhere beside a busy IO worker.
        let also = (self.kind == Kind::Compute).then_some(&*self.partner);
        let little = self.kind == Kind::Io && self.pace.is_little(tasks);
        // The worker on the caller's core finds what the caller has just written in its cache.
        let worker = if caller.is_prompt {
            self.sleep.notify(caller.index, also, little)
        } else {
            self.sleep.notify_without_claim(caller.index, also, little)
        };
        if let Some(worker) = worker {
            self.unpark(worker);
        }
    }

    /// The one place where a worker is woken.
    fn unpark(&self, worker: usize) {
        let driver = self.turn.as_ref().map(|turn| turn.handle());
        self.seats[worker].parker.unpark(driver);
    }

    /// The worker of the other lane on the same core has something to do. (More workers than in the other lane go
    /// round its cores once more.)
    fn partner_is_awake(&self, worker: usize) -> bool {
        !self.partner.is_resting(worker % self.partner.workers())
    }

    /// The last look before sleep: every place where a task may be found.
    fn has_work(&self) -> bool {
        !self.inbox.is_empty()
            || !self.deferred.is_empty()
            || self.seats.iter().any(|seat| !seat.stealer.is_empty())
    }

    fn is_shut_down(&self) -> bool {
        self.shutdown.load(Ordering::SeqCst)
    }

    /// Tells every worker to leave after its current poll.
    pub(crate) fn begin_shutdown(&self) {
        self.shutdown.store(true, Ordering::SeqCst);
        (0..self.seats.len()).for_each(|worker| self.unpark(worker));
    }

    /// Cancels all that is left. Called by every worker that leaves, not only by the last: one that is
    /// stuck in a poll may be waiting for one of these tasks to go away.
    pub(crate) fn finish_shutdown(&self) {
        self.finished.store(true, Ordering::SeqCst);
        drop(self.inbox.close());
        self.drop_deferred();
        for seat in &self.seats {
            drop(seat.next.take());
            loop {
                match seat.stealer.steal() {
                    Steal::Success(task) => drop(task),
                    Steal::Retry => {}
                    Steal::Empty => break,
                }
            }
            seat.registry.close();
            seat.timers.drain().into_iter().for_each(wake);
        }
    }

    fn drop_deferred(&self) {
        self.deferred.take_all().into_iter().for_each(drop_quietly);
    }

    /// What every worker is doing.
    pub(crate) fn report(&self) -> Vec<SeatReport> {
        self.seats
            .iter()
            .enumerate()
            .map(|(worker, seat)| SeatReport {
                started: worker < self.started(),
                asleep: self.sleep.is_asleep(worker),
                polls: seat.status.polls(),
                task: seat.status.current(),
                queued: seat.queued(),
                waiting: seat.registry.len(),
                timers: seat.timers.len(),
            })
            .collect()
    }

    /// True if tasks wait in the inbox.
    pub(crate) fn has_injected(&self) -> bool {
        !self.inbox.is_empty() || !self.deferred.is_empty()
    }
}

impl Seat {
    fn new(victims: Vec<Vec<usize>>) -> Self {
        let deque = Deque::new_fifo();
        Seat {
            stealer: deque.stealer(),
            deque: Mutex::new(Some(deque)),
            next: Slot::new(),
            parker: Parker::new(),
            registry: Registry::new(),
            timers: Arc::new(TimerShard::new()),
            reserve: AtomicBool::new(false),
            thread: AtomicU32::new(0),
            status: Status {
                polls: AtomicU64::new(0),
                task: AtomicU64::new(0),
                spawned_at: AtomicPtr::new(ptr::null_mut()),
            },
            victims,
        }
    }

    fn queued(&self) -> usize {
        self.stealer.len() + usize::from(!self.next.is_empty())
    }
}

impl Status {
    fn polls(&self) -> u64 {
        self.polls.load(Ordering::Relaxed)
    }

    fn begin(&self, task: &Task) {
        // Only this worker writes, so no read-modify-write is needed.
        self.polls.store(self.polls() + 1, Ordering::Relaxed);
        let location = ptr::from_ref(task.spawned_at()).cast_mut();
        self.spawned_at.store(location, Ordering::Relaxed);
        self.task.store(task.id().as_u64(), Ordering::Relaxed);
    }

    fn end(&self) {
        self.task.store(0, Ordering::Relaxed);
    }

    fn current(&self) -> Option<(u64, &'static Location<'static>)> {
        let task = self.task.load(Ordering::Relaxed);
        let location = self.spawned_at.load(Ordering::Relaxed);
        if task == 0 {
            return None;
        }
        // SAFETY: null, or from a `&'static Location`.
        Some((task, unsafe { location.as_ref() }?))
    }
}

/// The scheduler of a lane's tasks.
pub(crate) struct LaneRef(pub(crate) Arc<Lane>);

impl Schedule for LaneRef {
    fn schedule(&self, task: Task) {
        self.0.schedule(task);
    }

    fn must_defer(&self) -> bool {
        self.0.kind == Kind::Io && !worker::is_prompt()
    }

    fn defer(&self, waker: Waker) {
        self.0.deferred.push(waker);
        // Mirrors `finish_shutdown`: one of the two sees it. The wakers hold this lane.
        if self.0.finished.load(Ordering::SeqCst) {
            self.0.drop_deferred();
        } else {
            self.0.notify(1);
        }
    }

    fn register(&self, task: TaskRef) -> Option<TaskShard> {
        // Only a worker of the lane polls its tasks.
        let worker = Local::with(|local| local.map(Local::index))?;
        self.0.seats[worker]
            .registry
            .insert(task)
            .then_some(TaskShard(worker))
    }

    fn unregister(&self, task: TaskRef, shard: TaskShard) -> bool {
        self.0.seats[shard.0].registry.remove(task)
    }
}
