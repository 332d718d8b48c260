//! The work-stealing engine. A runtime has two lanes of it: IO and compute.
//!
//! Each worker has a deque of its own, from which the others steal, and on the IO lane a next-slot for
//! the task that its current task woke last. Everybody else submits through the lane's inbox. How
//! workers fall asleep and are woken is in [`sleep`]; what a worker does all day is in [`worker`], and when it
//! has nothing to do, in [`rest`].
//!
//! Rule: nothing here makes an IO worker wait for a compute thread, which may be preempted at any
//! instruction for as long as its core is busy. What crosses from compute to IO is an inbox push (one
//! compare-exchange) and an unpark without a claim (one system call).

mod bits;
pub(crate) mod elsewhere;
pub(crate) mod exclusive;
pub(crate) mod hold;
pub(crate) mod long;
pub(crate) mod measure;
mod pace;
pub(crate) mod park_state;
pub(crate) mod parker;
mod patience;
mod progress;
mod rest;
mod seat;
pub(crate) mod sleep;
pub(crate) mod takeover;
mod tenure;
pub(crate) mod turn;
pub(crate) mod watch;
pub(crate) mod worker;

use crate::panics::{drop_quietly, wake};
use crate::stack::Stack;
use crate::tasks::{
    Completed, Id, Inbox, Length, Place, Registered, Schedule, Shard as TaskShard, Task, TaskClass,
    id_of,
};
use crate::timers::TimerShard;
use crossbeam_deque::Steal;
use crossbeam_utils::CachePadded;
use hold::{Hold, hold, hold_in};
use long::Long;
use measure::Prior;
use pace::Pace;
use progress::Progress;
use seat::Seat;
pub(crate) use seat::Tenant;
use sleep::Sleep;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::Waker;
use std::time::Duration;
use turn::Turn;
use watch::Watching;
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
    /// How often a worker that dozed has found events that nobody had looked for.
    rescues: AtomicU64,
    /// So many tasks of the IO lane wait in this one.
    guests: AtomicUsize,
    /// Whether the driver thread has to be told of a short task, because all workers are in long polls.
    all_stuck: Watching,
    host: Box<dyn Host>,
    /// On the IO lane, tasks whose next poll is expected to be long.
    long: CachePadded<Long<Task>>,
    prior: Prior,
    limits: Limits,
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

/// What a lane needs of its runtime.
pub(crate) trait Host: Send + Sync {
    /// A worker wakes up, and somebody has to watch over it.
    fn worker_awake(&self);

    /// A worker has seen that another one does not get on.
    fn worker_stuck(&self);

    /// Has the driver thread look after the workers.
    fn wake_driver(&self);

    /// A task would not have to wait at `place` for what may be waiting for it.
    fn has_room(&self, place: Place) -> bool;

    /// Has a task of the IO lane polled at `place`.
    fn send(&self, task: Task, place: Place);

    /// The calling IO worker is to give its seat away for the rest of the poll that it is in; true if it has.
    fn replace(&self, worker: &Local) -> bool;

    /// A task is polled somewhere else from now on.
    fn task_moved(&self, to: Place);
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
        host: Box<dyn Host>,
        limits: Limits,
    ) -> Arc<Lane> {
        let seats: Box<[_]> = victims
            .into_iter()
            .map(|victims| CachePadded::new(Seat::new(victims)))
            .collect();
        let workers = seats.len();
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
            rescues: AtomicU64::new(0),
            guests: AtomicUsize::new(0),
            all_stuck: Watching::new(),
            host,
            long: CachePadded::new(Long::new(workers)),
            prior: Prior::new(),
            limits: Limits {
                sorts: limits.sorts && kind == Kind::Io,
                ..limits
            },
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
        self.polls_in_all().wrapping_sub(self.polls(worker))
    }

    fn progress(&self) -> Progress {
        let workers = self.seats.iter();
        let workers = workers.map(|seat| (seat.status.polls(), seat.queued()));
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
    pub(crate) fn submit(&self, task: Task) {
        if let Err(task) = self.try_submit(task) {
            task.abandon();
        }
    }

    fn try_submit(&self, task: Task) -> Result<(), Task> {
        // Others leave the sorting to whoever takes it out: to queue a long task takes a lock.
        if let Some(_hold) = hold().filter(|_| self.is_long(&task)) {
            self.long.push(task)?;
            self.notify_long();
        } else {
            self.inbox.push(task)?;
            // Whoever takes it out tells of the others there.
            self.notify(1);
        }
        Ok(())
    }

    /// The task's next poll is expected to be long, so that it waits for its turn among others of the kind.
    #[inline]
    fn is_long(&self, task: &Task) -> bool {
        if !self.limits.sorts {
            return false;
        }
        let class = task.class();
        if class.is_calm() && !self.prior.is_long() {
            return false;
        }
        self.is_expected_long(task, class)
    }

    #[cold]
    fn is_expected_long(&self, task: &Task, class: TaskClass) -> bool {
        let expected_long = match class.expected() {
            Some(length) => length == Length::Long,
            None => self.prior.is_long() && !self.pace.polls_are_short(),
        };
        // What is left to do of those others is short.
        expected_long && !task.is_handed() && !task.is_cancelled()
    }

    /// The thread's poll does not count as a long one any more.
    #[inline]
    pub(crate) fn end_long(&self, tenant: &Tenant) {
        if self.long.leave(&tenant.counted) {
            self.notify_long();
        }
    }

    /// Wakes a worker for the first of the long tasks, if any wait: the caller cannot begin it.
    #[inline]
    fn tell_of_long(&self) {
        if self.long.is_waiting() {
            self.notify_long();
        }
    }

    /// To be called after a long task was queued, or a core has become free of them.
    fn notify_long(&self) {
        let hold = hold();
        let first = Local::with(|local| local.map_or(0, Local::index));
        let free = |word| self.long.free_from(word * bits::PER_WORD);
        if let Some(worker) = self.sleep.notify_among(first, free, hold.is_some()) {
            self.unpark(worker);
        }
    }

    /// Sorts what has come in from outside. For the driver thread, when no worker gets to it.
    pub(crate) fn sort_arrivals(&self) {
        if !self.limits.sorts {
            return;
        }
        self.deferred.take_all().into_iter().for_each(wake);
        for task in self.inbox.take_all() {
            self.submit(task);
        }
    }

    /// To be called after work was put where any worker of the lane can find it: so many tasks, about.
    fn notify(&self, tasks: usize) {
        // Until the worker is unparked.
        let hold = hold();
        let first = Local::with(|local| local.map_or(0, Local::index));
        self.notify_near(first, tasks, hold.is_some());
    }

    /// As [`notify`](Lane::notify), for a caller that knows who it is: its worker, and whether it is prompt.
    fn notify_near(&self, first: usize, tasks: usize, is_prompt: bool) {
        // A compute worker gets nowhere beside a busy IO worker.
        let also = (self.kind == Kind::Compute).then_some(&*self.partner);
        let little = self.kind == Kind::Io && self.pace.is_little(tasks);
        // The worker on the caller's core finds what the caller has just written in its cache.
        let worker = if is_prompt {
            self.sleep.notify(first, also, little)
        } else {
            self.sleep.notify_without_claim(first, also, little)
        };
        match worker {
            Some(worker) => self.unpark(worker),
            None if self.all_stuck.tell() => self.host.wake_driver(),
            None => {}
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
    fn has_work(&self, worker: usize) -> bool {
        self.has_injected()
            || self.long.may_begin(worker)
            || self.seats.iter().any(|seat| !seat.stealer.is_empty())
    }

    fn is_finished(&self) -> bool {
        self.finished.load(Ordering::Relaxed)
    }

    fn is_shut_down(&self) -> bool {
        self.shutdown.load(Ordering::SeqCst)
    }

    /// Tells every worker to leave after its current poll.
    pub(crate) fn begin_shutdown(&self) {
        self.shutdown.store(true, Ordering::SeqCst);
        (0..self.seats.len()).for_each(|worker| self.unpark(worker));
    }

    /// Cancels all that is left. Called by every worker that leaves, not only by the last, and again and again by who waits
    /// for them: one that is stuck in a poll may be waiting for one of these tasks to go away.
    pub(crate) fn finish_shutdown(&self) {
        self.finished.store(true, Ordering::SeqCst);
        drop(self.inbox.close());
        drop(self.long.close());
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

    /// How many tasks wait for a place among the long polls, and how many places are taken.
    pub(crate) fn long_polls(&self) -> (usize, usize) {
        (self.long.waiting(), self.long.running())
    }

    /// Long polls are in progress.
    pub(crate) fn is_in_long_polls(&self) -> bool {
        self.long.running() > 0
    }

    /// True if tasks wait in the inbox.
    pub(crate) fn has_injected(&self) -> bool {
        !self.inbox.is_empty() || !self.deferred.is_empty()
    }
}

/// The scheduler of a lane's tasks.
pub(crate) struct LaneRef(pub(crate) Arc<Lane>);

impl Schedule for LaneRef {
    type Hold = Hold;

    fn schedule(&self, task: Task) {
        self.0.schedule(task);
    }

    #[inline]
    fn may_wake(&self) -> Option<Hold> {
        match self.0.kind {
            Kind::Io => hold(),
            Kind::Compute => Some(Hold::nothing()),
        }
    }

    fn defer(&self, waker: Waker) {
        id_of(&waker).into_iter().for_each(measure::woken_in_poll);
        self.0.deferred.push(waker);
        // Mirrors `finish_shutdown`: one of the two sees it. The wakers hold this lane.
        if self.0.finished.load(Ordering::SeqCst) {
            self.0.drop_deferred();
        } else {
            self.0.notify(1);
        }
    }

    fn may_settle(&self) -> Option<Hold> {
        hold_in(&self.0)
    }

    fn hand_back(&self, task: Task) -> Result<(), Task> {
        self.0.try_submit(task)
    }

    #[inline]
    fn woken_in_poll(&self, task: Id) {
        if self.0.kind == Kind::Io {
            measure::woken_in_poll(task);
        }
    }

    #[inline]
    fn judge(&self, class: TaskClass) -> TaskClass {
        match self.0.kind {
            Kind::Io => measure::judge(&self.0, class),
            Kind::Compute => class,
        }
    }

    fn register(&self, task: Registered) -> Option<TaskShard> {
        // Only a worker of the lane settles its tasks.
        let worker = Local::with(|local| local.map(Local::index))?;
        self.0.seats[worker].registry.insert(task).ok()?;
        Some(TaskShard(worker))
    }

    unsafe fn unregister(&self, task: &Completed) -> Option<Registered> {
        let seat = &self.0.seats[task.shard().0];
        // SAFETY: by the caller's word `register` has inserted it, in the seat that the shard names.
        unsafe { seat.registry.remove(task) }
    }
}
