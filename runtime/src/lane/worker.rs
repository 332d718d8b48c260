//! What a worker does: find a task, poll it, and [`rest`](super::rest) when there is none.

use super::hold::{set_prompt, unset_prompt};
use super::long::Waiting;
use super::measure::Measure;
use super::rest::Rest;
use super::seat::{Ends, Seat, Tenant};
use super::{Kind, Lane};
use crate::panics::wake;
use crate::tasks::budget::Urge;
use crate::tasks::{Place, Task};
use crate::timers::clock;
use crossbeam_deque::{Steal, Worker as Deque};
use std::cell::Cell;
use std::iter;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A busy worker looks for IO events once in so many tasks. (tokio's number; prime, so that it does not
/// beat with a program's own patterns.)
const LOOK_INTERVAL: u32 = 61;

/// With long polls that would be too seldom: then it looks once in so many nanoseconds.
const LOOK_INTERVAL_NS: u64 = 250_000;

/// And once in so many whether another worker is stuck.
const NEIGHBOUR_INTERVAL_NS: u64 = 1_000_000;

/// So many tasks in a row may come from the next-slot; then its task goes to the back of the queue. A
/// pair of tasks that keep waking each other would otherwise have the worker for themselves
/// (tokio#5686). It may, as long as nobody else is queued.
const NEXT_STREAK_MAX: u32 = 3;

/// More tasks than this are not put behind others when a worker sits down: that would take too long.
const PASS_MAX: usize = 1000;

/// Nor are they once in so many times, so that they do not wait for ever.
const NO_PASS_INTERVAL: u32 = 8;

thread_local! {
    static CURRENT: Cell<*const Local> = const { Cell::new(ptr::null()) };
}

/// How the work in a seat ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// The lane was shut down.
    ShutDown,
    /// The seat was taken, or given away, during a poll, which is over now.
    Lost,
    /// And the thread's priority was lowered.
    LostAndLowered,
}

/// A worker, on the thread that has its seat.
pub(crate) struct Local {
    lane: Arc<Lane>,
    index: usize,
    tenant: Arc<Tenant>,
    next_streak: Cell<u32>,
    tick: Cell<u32>,
    pub(super) searching: Cell<bool>,
    /// Wakes come from the driver or the timers: they queue up in order, and are told of once.
    gathering: Cell<bool>,
    gathered: Cell<usize>,
    /// Where the next search starts among equals.
    turn: Cell<usize>,
    pub(super) rest: Rest,
    pub(super) measure: Measure,
    /// Polls are long enough for the clock to be looked at before each.
    is_measuring: Cell<bool>,
    /// When it last looked for events, or slept.
    pub(super) looked_ns: Cell<u64>,
    /// The poll that the next worker was in at the last look at it, and when that was.
    neighbour: Cell<Option<u64>>,
    neighbour_ns: Cell<u64>,
}

impl Local {
    /// Sits down in the worker's seat, which nobody else has: its first thread, or who was sent by the taker.
    pub(crate) fn new(lane: Arc<Lane>, index: usize) -> Self {
        let tenant = Arc::new(Tenant::new());
        let seat = &lane.seats[index];
        seat.thread.store(tenant.thread(), Ordering::Relaxed);
        if lane.kind == Kind::Io {
            *seat.tenant.lock() = Some(tenant.clone());
        }
        let now_ns = clock::now_ns();
        let polls = seat.status.polls();
        Local {
            lane,
            index,
            tenant,
            gathering: Cell::new(false),
            gathered: Cell::new(0),
            next_streak: Cell::new(0),
            tick: Cell::new(0),
            searching: Cell::new(false),
            turn: Cell::new(index),
            rest: Rest::new(now_ns, polls),
            measure: Measure::default(),
            is_measuring: Cell::new(false),
            looked_ns: Cell::new(now_ns),
            neighbour: Cell::new(None),
            neighbour_ns: Cell::new(now_ns),
        }
    }

    /// The worker whose thread this is or was, if any.
    #[inline]
    pub(super) fn of_thread<R>(f: impl FnOnce(Option<&Local>) -> R) -> R {
        let local = CURRENT.try_with(Cell::get).unwrap_or(ptr::null());
        // SAFETY: null, or set by `run` on this thread to a worker that outlives the setting; and only
        // shared references to it are ever made.
        f(unsafe { local.as_ref() })
    }

    pub(crate) fn index(&self) -> usize {
        self.index
    }

    pub(crate) fn lane(&self) -> &Arc<Lane> {
        &self.lane
    }

    pub(crate) fn kind(&self) -> Kind {
        self.lane.kind
    }

    pub(super) fn is_in(&self, lane: &Lane) -> bool {
        ptr::eq(Arc::as_ptr(&self.lane), lane)
    }

    /// The worker of the other lane on the same core has something to do.
    pub(crate) fn partner_is_awake(&self) -> bool {
        self.lane.partner_is_awake(self.index)
    }

    pub(super) fn seat(&self) -> &Seat {
        &self.lane.seats[self.index]
    }

    fn queue(&self) -> &Deque<Task> {
        &self.ends().deque
    }

    /// Only while the seat is held.
    fn ends(&self) -> &Ends {
        debug_assert!(self.tenant.tenure.is_held());
        // SAFETY: every method of this type is called while the seat is held, but those about the holding itself.
        unsafe { self.seat().queue.get() }
    }

    pub(crate) fn tenant(&self) -> &Arc<Tenant> {
        &self.tenant
    }

    /// Runs tasks until the lane is shut down, and cancels what is left in the worker's own places; or until the seat is
    /// gone. Calls `settle` before the first of them.
    pub(crate) fn run(self, settle: impl FnOnce()) -> Left {
        if self.lane.kind == Kind::Io {
            set_prompt();
        }
        let _current = SetCurrent::new(&self);
        self.let_new_ones_pass();
        let mut settle = Some(settle);
        while let Some(task) = self.next_task() {
            if let Some(settle) = settle.take() {
                settle();
            }
            if !self.poll(task) {
                // It may be of low priority by now.
                unset_prompt();
                self.tenant.leave();
                return if self.tenant.is_lowered() {
                    Left::LostAndLowered
                } else {
                    Left::Lost
                };
            }
        }
        if self.searching.take() {
            self.lane.sleep.stop_searching();
        }
        self.lane.finish_shutdown();
        // A future's drop may wake or spawn others, which come here as well.
        while let Some(task) = self.seat().next.take().or_else(|| self.queue().pop()) {
            drop(task);
        }
        self.tenant.leave();
        Left::ShutDown
    }

    /// Waits for a task. `None` once the lane is shut down.
    fn next_task(&self) -> Option<Task> {
        while !self.lane.is_shut_down() {
            let task = self.find();
            if task.is_some() {
                return task;
            }
            self.sleep();
        }
        None
    }

    /// Queues a task that was woken or spawned by the one in the poll.
    pub(super) fn push(&self, task: Task) {
        if self.gathering.get() {
            self.gathered.set(self.gathered.get() + 1);
            return self
                .sort(task)
                .into_iter()
                .for_each(|task| self.queue().push(task));
        }
        if self.lane.is_finished() {
            // The poll may be waiting for it.
            return task.abandon();
        }
        let Some(task) = self.sort(task) else {
            return self.lane.notify_long();
        };
        match self.lane.kind {
            Kind::Io => self
                .ends()
                .next
                .put(task)
                .into_iter()
                .for_each(|task| self.push_back(task)),
            // A compute task may run for long, and nobody could steal what is in the slot.
            Kind::Compute => self.push_back(task),
        }
    }

    /// Gives the task back if it is to go with the short ones; else it waits among the long ones now.
    #[inline]
    fn sort(&self, task: Task) -> Option<Task> {
        if !self.lane.is_long(&task) {
            return Some(task);
        }
        self.lane.long.push(task).err()
    }

    /// Runs `wakes`, whose tasks go to the back of the queue, and tells the others of them once.
    fn gather(&self, wakes: impl FnOnce()) {
        self.gathered.set(0);
        self.gather_quietly(wakes);
        // Counted, because what was pushed may have been stolen since. A searcher wakes the next one in
        // `poll`, when it stops searching.
        if self.gathered.get() > 0 && !self.searching.get() {
            self.notify();
        }
    }

    pub(super) fn gather_quietly<R>(&self, wakes: impl FnOnce() -> R) -> R {
        self.gathering.set(true);
        let result = wakes();
        self.gathering.set(false);
        result
    }

    fn notify(&self) {
        let is_prompt = self.lane.kind == Kind::Io;
        let tasks = self.queue().len() + 1;
        self.lane.notify_near(self.index, tasks, is_prompt);
    }

    fn push_back(&self, task: Task) {
        self.queue().push(task);
        self.notify();
    }

    /// False if the seat is gone.
    fn poll(&self, task: Task) -> bool {
        let has_seat = self.poll_here_or_elsewhere(task);
        self.lane.end_long(&self.tenant);
        has_seat
    }

    fn poll_here_or_elsewhere(&self, task: Task) -> bool {
        let left_doze = self.rest.take_left_doze();
        if self.searching.take() && self.lane.sleep.stop_searching() {
            if left_doze {
                // Whoever is woken finds nothing, most likely, and dozes.
                self.lane.notify(usize::MAX);
            } else if self.lane.has_work(self.index) {
                self.notify();
            }
        }
        let class = task.class();
        let place = class.place();
        if place != Place::Io && self.is_for_elsewhere(&task, place) {
            return self.poll_elsewhere(task, place);
        }
        let is_measuring = self.is_measuring.get();
        self.measure
            .begin(self.tenant.thread(), &task, class, is_measuring);
        let polled = self.let_run(task, Task::run);
        self.learn(class);
        // It yielded, or was woken during its poll.
        match polled {
            Ok(again) => again.into_iter().for_each(|task| self.queue_again(task)),
            Err(again) => {
                again.into_iter().for_each(|task| self.lane.submit(task));
                return false;
            }
        }
        true
    }

    /// Has `run` poll the task, without hold of the seat meanwhile. An error if the seat is gone.
    #[inline]
    pub(super) fn let_run(
        &self,
        task: Task,
        run: impl FnOnce(Task) -> Option<Task>,
    ) -> Result<Option<Task>, Option<Task>> {
        let status = &self.seat().status;
        status.begin(&task);
        self.tenant.urge.clear();
        self.let_go();
        let again = run(task);
        if !self.tenant.tenure.take_hold() {
            return Err(again);
        }
        status.end();
        Ok(again)
    }

    #[inline]
    fn queue_again(&self, task: Task) {
        let alone = self.queue().is_empty() && self.seat().next.is_empty();
        self.sort(task)
            .into_iter()
            .for_each(|task| self.queue().push(task));
        if !alone || self.lane.kind == Kind::Compute {
            self.notify();
        }
    }

    /// Work is looked for where it is cheapest to get first: this worker's own places, then the
    /// inbox, then the other workers from near to far.
    fn find(&self) -> Option<Task> {
        let tick = self.tick.get().wrapping_add(1);
        self.tick.set(tick);
        self.fire_timers();
        let is_measuring = self.lane.kind == Kind::Io && !self.lane.pace.polls_are_short();
        self.is_measuring.set(is_measuring);
        if tick.is_multiple_of(LOOK_INTERVAL) {
            self.look_around(clock::now_ns());
            // In between, so that long ones get on as well.
            if let Some(task) = self.begin_long() {
                return Some(task);
            }
        } else if is_measuring {
            let now_ns = clock::now_ns();
            if now_ns.saturating_sub(self.looked_ns.get()) >= LOOK_INTERVAL_NS {
                self.look_around(now_ns);
            }
        }
        self.take_inbox();
        let short = self
            .take_next()
            .or_else(|| self.queue().pop())
            .or_else(|| self.steal());
        if short.is_some() {
            self.lane.tell_of_long();
        }
        short.or_else(|| self.begin_long())
    }

    #[inline]
    fn begin_long(&self) -> Option<Task> {
        let long = &self.lane.long;
        let Waiting { task, since } = long.begin(self.index, &self.tenant.counted)?;
        self.measure.waited_since(since);
        // It may have sorted more than one.
        self.lane.tell_of_long();
        Some(task)
    }

    fn look_around(&self, now_ns: u64) {
        self.end_stretch(now_ns);
        self.looked_ns.set(now_ns);
        let is_time = now_ns.saturating_sub(self.neighbour_ns.get()) >= NEIGHBOUR_INTERVAL_NS;
        if self.lane.kind == Kind::Io && is_time {
            self.neighbour_ns.set(now_ns);
            self.look_at_neighbour();
        }
        self.look_for_events();
    }

    /// Each looks at one other, so that all are looked at while they work, however many there are.
    fn look_at_neighbour(&self) {
        let lane = &self.lane;
        let neighbour = (self.index + 1) % lane.workers();
        let poll = lane.current_poll(neighbour).map(|poll| poll.number());
        if poll.is_some() && poll == self.neighbour.replace(poll) && neighbour != self.index {
            lane.host.worker_stuck();
        }
    }

    fn take_next(&self) -> Option<Task> {
        let task = self.seat().next.take();
        let streak = self.next_streak.get();
        match task {
            Some(task) if streak < NEXT_STREAK_MAX || self.queue().is_empty() => {
                self.next_streak.set(streak + 1);
                Some(task)
            }
            task => {
                self.next_streak.set(0);
                task.into_iter().for_each(|task| self.push_back(task));
                None
            }
        }
    }

    /// Moves all of the inbox to the back of the queue, where everybody can steal it. Before every poll:
    /// it costs a load when there is nothing, and polls may be long.
    fn take_inbox(&self) {
        if !self.lane.deferred.is_empty() {
            self.gather(|| self.lane.deferred.take_all().into_iter().for_each(wake));
        }
        if !self.lane.inbox.is_empty() {
            self.gather(|| self.lane.inbox.take_all().for_each(|task| self.push(task)));
        }
    }

    /// In a seat that was taken from somebody, what waits in the queue may be like what kept him. So timers, events, and what
    /// others have sent go before it; most times, for they may be as bad.
    fn let_new_ones_pass(&self) {
        let tasks = self.queue().len();
        if self.lane.kind != Kind::Io || tasks == 0 || tasks > PASS_MAX {
            return;
        }
        let sittings = self.seat().sittings.fetch_add(1, Ordering::Relaxed) + 1;
        if sittings.is_multiple_of(NO_PASS_INTERVAL) {
            return;
        }
        let waiting: Vec<Task> = iter::from_fn(|| self.queue().pop()).collect();
        self.fire_timers();
        self.look_for_events();
        self.take_inbox();
        waiting.into_iter().for_each(|task| self.queue().push(task));
        self.notify();
    }

    /// Polls the driver without waiting, if nobody else does.
    pub(super) fn look_for_events(&self) -> usize {
        let mut events = 0;
        if let Some(mut my_turn) = self.lane.turn.as_ref().and_then(|turn| turn.try_take()) {
            self.gather(|| events = my_turn.look());
        }
        events
    }

    fn steal(&self) -> Option<Task> {
        if !self.searching.get() {
            if !self.lane.sleep.try_search() {
                return None;
            }
            self.searching.set(true);
        }
        let turn = self.turn.get().wrapping_add(1);
        self.turn.set(turn);
        for tier in &self.seat().victims {
            for offset in 0..tier.len() {
                let victim = tier[(turn + offset) % tier.len()];
                if let Some(task) = self.steal_from(victim) {
                    return Some(task);
                }
            }
        }
        None
    }

    fn steal_from(&self, victim: usize) -> Option<Task> {
        loop {
            match self.lane.seats[victim]
                .stealer
                .steal_batch_and_pop(self.queue())
            {
                Steal::Success(task) => return Some(task),
                Steal::Empty => return None,
                // Somebody else got one: the deque as a whole makes progress.
                Steal::Retry => {}
            }
        }
    }

    fn fire_timers(&self) {
        let timers = &self.seat().timers;
        if timers.is_due(clock::now_ns) {
            self.gather(|| timers.fire(clock::now_ns()).into_iter().for_each(wake));
        }
    }

    /// Fires the timers that are due, and publishes when the next one will be, which is the result. `None` if that has given
    /// this worker something to do.
    pub(super) fn prepare_sleep(&self, now_ns: u64) -> Option<u64> {
        let timers = &self.seat().timers;
        let deadline_ns = self.gather_quietly(|| timers.prepare_sleep(now_ns, wake));
        if self.queue().is_empty() {
            return Some(deadline_ns);
        }
        // To be announced like what a searcher has found.
        if !self.searching.get() {
            self.notify();
        }
        None
    }
}

/// Makes a worker the current one of its thread.
struct SetCurrent;

impl SetCurrent {
    fn new(local: &Local) -> Self {
        CURRENT.with(|current| current.set(local));
        Urge::listen(Some(local.tenant.urge.clone()));
        SetCurrent
    }
}

impl Drop for SetCurrent {
    fn drop(&mut self) {
        CURRENT.with(|current| current.set(ptr::null()));
        Urge::listen(None);
    }
}
