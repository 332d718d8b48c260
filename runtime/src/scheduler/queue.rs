//! Where tasks are put, and where they are found; and so what tasks ask of their lane.
//!
//! A worker looks where it is cheapest first: its LIFO slot, its deque, the inbox, and then the
//! deques of the others, from near to far. Everybody else submits through the inbox.

use super::classify;
use super::deque::Steal;
use super::kind::Kind;
use super::lane::Lane;
use super::steal_policy::victims;
use super::tuning::LOOK_AFTER;
use super::worker::{Caller, Worker};
use crate::panics::wake;
use crate::tasks::{
    Completed, DeferredWake, Id, Length, Registered, Schedule, Shard as TaskShard, Task, TaskClass,
};
use crate::timers::clock;
use std::iter;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// At most this many tasks in a row come from the LIFO slot; then its task goes to the back of the
/// queue. A pair of tasks that keep waking each other would otherwise have the worker for
/// themselves (tokio#5686). It may, as long as nobody else is queued.
const LIFO_STREAK_MAX: u32 = 3;

/// After a takeover, a queue with more tasks than this is left as it is: to put them behind others
/// would take too long.
const PASS_MAX: usize = 1000;

/// Every this many takeovers of a seat its queue is left as it is, so that nothing waits for ever.
const NO_PASS_INTERVAL: u32 = 8;

/// The scheduler of a lane's tasks.
pub(crate) struct LaneRef(pub(crate) Arc<Lane>);

impl Schedule for LaneRef {
    type Caller<'a> = Caller<'a>;

    #[inline]
    fn with_caller<R>(f: impl FnOnce(&Caller<'_>) -> R) -> R {
        Caller::with(f)
    }

    fn schedule(&self, caller: &Caller<'_>, task: Task) {
        self.0.schedule(caller, task);
    }

    #[inline]
    fn may_wake(&self, caller: &Caller<'_>) -> bool {
        self.0.kind == Kind::Compute
            || caller.latency_critical().is_some()
            // In `block_on` of a current-thread runtime, of whose tasks nobody else would get on.
            || caller.worker_of(&self.0).is_some()
    }

    fn defer(&self, caller: &Caller<'_>, wake: DeferredWake) {
        classify::woken_in_poll(wake.id());
        self.0.deferred.push(wake);
        // Mirrors `finish_shutdown`: one of the two sees it. The tasks hold this lane.
        if self.0.is_finished.load(Ordering::SeqCst) {
            self.0.drop_deferred();
        } else {
            self.0.notify(caller.origin(), 1);
        }
    }

    fn may_settle(&self, caller: &Caller<'_>) -> bool {
        caller.worker_of(&self.0).is_some()
    }

    fn hand_back(&self, caller: &Caller<'_>, task: Task) -> Result<(), Task> {
        self.0.try_submit(caller, task)
    }

    #[inline]
    fn woken_in_poll(&self, task: Id) {
        if self.0.kind == Kind::Io {
            classify::woken_in_poll(task);
        }
    }

    #[inline]
    fn judge(&self, class: TaskClass) -> TaskClass {
        match self.0.kind {
            Kind::Io => classify::judge(&self.0, class),
            Kind::Compute => class,
        }
    }

    fn register(&self, caller: &Caller<'_>, task: Registered) -> Option<TaskShard> {
        // Only a worker of the lane settles its tasks.
        let worker = caller.worker_of(&self.0)?;
        worker.held().registry().insert(task).ok()?;
        Some(TaskShard(worker.index()))
    }

    unsafe fn unregister(&self, task: &Completed) -> Option<Registered> {
        let seat = self.0.seat(task.shard().0);
        // SAFETY: by the caller's word `register` has inserted it, in the seat that the shard
        // names.
        unsafe { seat.unregister(task) }
    }
}

impl Lane {
    /// Queues a task: with the worker whose thread this is, or else in the inbox.
    pub(crate) fn schedule(&self, caller: &Caller<'_>, task: Task) {
        match caller.worker_of(self) {
            Some(worker) => worker.push(task),
            None => self.submit(caller, task),
        }
    }

    /// Queues a task from outside the lane and wakes a worker for it, if one is needed.
    pub(crate) fn submit(&self, caller: &Caller<'_>, task: Task) {
        if let Err(task) = self.try_submit(caller, task) {
            task.abandon();
        }
    }

    pub(super) fn try_submit(&self, caller: &Caller<'_>, task: Task) -> Result<(), Task> {
        // Others leave the sorting to whoever takes it out: to queue a long task takes a lock.
        match caller.latency_critical().filter(|_| self.is_long(&task)) {
            Some(proof) => {
                self.long.push(task, proof)?;
                self.notify_long(caller.origin());
            }
            None => {
                self.inbox.push(task)?;
                // Whoever takes it out tells of the others there.
                self.notify(caller.origin(), 1);
            }
        }
        Ok(())
    }

    /// The task's next poll is expected to be long, so that it waits for its turn among others of
    /// the kind.
    #[inline]
    fn is_long(&self, task: &Task) -> bool {
        if !self.limits.sorts {
            return false;
        }
        let class = task.class();
        if class.is_calm() && !self.expects_long() {
            return false;
        }
        self.is_expected_long(task, class)
    }

    /// Of a task of which nothing is known.
    #[inline]
    fn expects_long(&self) -> bool {
        self.tuning.prior && self.prior.is_long()
    }

    #[cold]
    fn is_expected_long(&self, task: &Task, class: TaskClass) -> bool {
        let expected_long = match class.expected() {
            Some(length) => length == Length::Long,
            None => self.expects_long() && !self.polls_are_short(),
        };
        // What is left to do of those others is short.
        expected_long && !task.is_handed() && !task.is_cancelled()
    }

    /// Sorts what has come in from outside. For the supervisor, when no worker gets to it.
    pub(crate) fn sort_arrivals(&self, caller: &Caller<'_>) {
        if !self.limits.sorts {
            return;
        }
        let deferred = self.deferred.take_all().filter_map(DeferredWake::notify);
        for task in deferred.chain(self.inbox.take_all()) {
            self.submit(caller, task);
        }
    }
}

impl Worker<'_> {
    /// Queues a task that was woken or spawned by the one in the poll.
    pub(super) fn push(&self, task: Task) {
        if self.is_batching.get() {
            self.batched.set(self.batched.get() + 1);
            return self.push_quietly(task);
        }
        let lane = self.lane();
        if lane.is_finished() {
            // The poll may be waiting for it.
            return task.abandon();
        }
        let Some(task) = self.sort(task) else {
            return lane.notify_long(self.origin());
        };
        // A compute task may run for long, and nobody could steal what is in the slot.
        if lane.kind == Kind::Compute || !lane.tuning.lifo_slot {
            return self.push_back(task);
        }
        if let Some(before) = self.held().put_lifo(task) {
            self.push_back(before);
        }
    }

    /// Gives the task back if it is to go with the short ones; else it waits among the long ones
    /// now.
    #[inline]
    fn sort(&self, task: Task) -> Option<Task> {
        if !self.lane().is_long(&task) {
            return Some(task);
        }
        match self.latency_critical() {
            Some(proof) => self.lane().long.push(task, proof).err(),
            None => Some(task),
        }
    }

    /// To the back of the queue, without telling anybody.
    pub(super) fn push_quietly(&self, task: Task) {
        if let Some(task) = self.sort(task) {
            self.held().queue().push(task);
        }
    }

    fn push_back(&self, task: Task) {
        self.held().queue().push(task);
        self.notify();
    }

    /// Tells the others of what is in this worker's queue.
    pub(super) fn notify(&self) {
        let tasks = self.held().queue().len() + 1;
        self.lane().notify(self.origin(), tasks);
    }

    /// Queues a task again that yielded, or was woken during its poll.
    #[inline]
    pub(super) fn push_again(&self, task: Task) {
        let alone = self.held().queue().is_empty() && self.held().is_lifo_empty();
        self.push_quietly(task);
        if !alone || self.kind() == Kind::Compute {
            self.notify();
        }
    }

    /// Runs `wakes`, whose tasks go to the back of the queue, and tells the others of them once.
    pub(super) fn batch(&self, wakes: impl FnOnce()) {
        self.batched.set(0);
        self.batch_quietly(wakes);
        // Counted, because what was pushed may have been stolen since. A searcher wakes the next
        // one when it stops searching.
        if self.batched.get() > 0 && !self.is_searching.get() {
            self.notify();
        }
    }

    pub(super) fn batch_quietly<R>(&self, wakes: impl FnOnce() -> R) -> R {
        self.is_batching.set(true);
        let result = wakes();
        self.is_batching.set(false);
        result
    }

    /// A task that is not expected to be long.
    pub(super) fn pop(&self) -> Option<Task> {
        self.take_lifo().or_else(|| self.held().queue().pop())
    }

    fn take_lifo(&self) -> Option<Task> {
        let task = self.held().take_lifo();
        let streak = self.lifo_streak.get();
        match task {
            Some(task) if streak < LIFO_STREAK_MAX || self.held().queue().is_empty() => {
                self.lifo_streak.set(streak + 1);
                Some(task)
            }
            task => {
                self.lifo_streak.set(0);
                task.into_iter().for_each(|task| self.push_back(task));
                None
            }
        }
    }

    /// The next of the tasks that are not expected to be long, of this worker's own and of those
    /// that have come in.
    pub(super) fn next_short(&self) -> Option<Task> {
        let ahead = self.ahead.get();
        if ahead == 0 || self.is_measuring.get() {
            self.take_inbox();
            return self.pop();
        }
        self.ahead.set(ahead - 1);
        self.pop().or_else(|| {
            self.take_inbox();
            self.pop()
        })
    }

    /// Moves all of the inbox to the back of the queue, where everybody can steal it. What comes
    /// after that waits behind it in any case, so the worker looks again when it is through with
    /// as many tasks, or has none left: if it looked before every poll, it and whoever sends tasks
    /// would take the inbox's cache line from each other all the time. Where polls are long it
    /// does, since others may be able to begin what it finds.
    pub(super) fn take_inbox(&self) {
        let lane = self.lane();
        let mut taken = 0;
        if !lane.deferred.is_empty() {
            let tasks = lane.deferred.take_all().filter_map(DeferredWake::notify);
            self.batch(|| tasks.for_each(|task| self.push(task)));
            taken += self.batched.get();
        }
        if !lane.inbox.is_empty() {
            self.batch(|| lane.inbox.take_all().for_each(|task| self.push(task)));
            taken += self.batched.get();
        }
        self.ahead
            .set(taken.min(lane.intervals.inbox.unwrap_or(LOOK_AFTER) as usize) as u32);
    }

    pub(super) fn steal(&self) -> Option<Task> {
        if !self.is_searching.get() {
            if !self.lane().idle.try_search() {
                return None;
            }
            self.is_searching.set(true);
        }
        let first = self.first_victim.get().wrapping_add(1);
        self.first_victim.set(first);
        victims(&self.seat().victims, first).find_map(|victim| self.steal_from(victim))
    }

    fn steal_from(&self, victim: usize) -> Option<Task> {
        let stealer = &self.lane().seat(victim).stealer;
        loop {
            match stealer.steal_batch_and_pop(self.held().queue()) {
                Steal::Success(task) => return Some(task),
                Steal::Empty => return None,
                // Somebody else got one: the deque as a whole makes progress.
                Steal::Retry => {}
            }
        }
    }

    /// The first of the long tasks, if it is their turn although short ones may be waiting.
    #[inline]
    pub(super) fn begin_long_in_turn(&self) -> Option<Task> {
        self.turns.next(clock::now_ns);
        if !self.lane().long.is_waiting() {
            self.turns.nobody_waits();
            return None;
        }
        let is_turn = self.turns.is_of_long(clock::now_ns());
        is_turn.then(|| self.begin_long()).flatten()
    }

    /// The first of the long tasks, if this worker may begin one.
    #[inline]
    pub(super) fn begin_long(&self) -> Option<Task> {
        let proof = self.latency_critical()?;
        let waiting = self
            .lane()
            .long
            .begin(self.index(), &self.thread().counted, proof)?;
        self.measure.waited_since(waiting.since);
        self.turns.begin_long(clock::now_ns());
        // It may have sorted more than one.
        self.tell_of_long();
        Some(waiting.task)
    }

    /// Wakes a worker for the first of the long tasks, if any wait: this one cannot begin it.
    #[inline]
    pub(super) fn tell_of_long(&self) {
        if self.lane().long.is_waiting() {
            self.lane().notify_long(self.origin());
        }
    }

    pub(super) fn fire_timers(&self) {
        let timers = self.held().timers();
        let clock = &self.lane().clock;
        if timers.is_due(|| clock.now_ns()) {
            self.batch(|| timers.fire(clock.now_ns()).into_iter().for_each(wake));
        }
    }

    /// Polls the driver without waiting, if nobody else does.
    pub(super) fn look_for_events(&self) -> usize {
        let mut events = 0;
        if let Some(mut driver) = self.lane().driver.as_ref().and_then(|lock| lock.try_lock()) {
            self.batch(|| events = driver.look());
        }
        events
    }

    /// In a seat that was taken from another thread, what waits in the queue may be like what kept
    /// that one. So timers, events, and what others have sent go before it; most times, for they
    /// may be as bad.
    pub(super) fn let_new_ones_pass(&self) {
        let tasks = self.held().queue().len();
        let lane = self.lane();
        if lane.kind != Kind::Io || !lane.tuning.pass_over || tasks == 0 || tasks > PASS_MAX {
            return;
        }
        let sittings = self.seat().sittings.fetch_add(1, Ordering::Relaxed) + 1;
        if sittings.is_multiple_of(NO_PASS_INTERVAL) {
            return;
        }
        let waiting: Vec<Task> = iter::from_fn(|| self.held().queue().pop()).collect();
        self.fire_timers();
        self.look_for_events();
        self.take_inbox();
        let queue = self.held().queue();
        waiting.into_iter().for_each(|task| queue.push(task));
        self.notify();
    }
}
