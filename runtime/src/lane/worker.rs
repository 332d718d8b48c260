//! What a worker does: find a task, poll it, and sleep when there is none.

use super::elsewhere;
use super::patience::Patience;
use super::seat::{Seat, Tenant};
use super::{Kind, Lane};
use crate::task::coop::Urge;
use crate::task::{Place, Task};
use crate::time::clock;
use crate::time::shard::wake;
use crossbeam_deque::{Steal, Worker as Deque};
use std::cell::Cell;
use std::hint;
use std::marker::PhantomData;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

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

/// For so long a worker that found nothing looks on before it sleeps, if that has been of use: about what
/// sleeping and being woken would cost, so that it never costs much more than twice of what is best.
const LOOK_ON_NS: u64 = 20_000;

/// Pauses of the CPU between two such looks, so that a hyperthread beside this one is not slowed down.
const LOOK_ON_PAUSE: u32 = 16;

/// How often somebody who dozes looks whether the others get on.
const DOZE: Duration = Duration::from_millis(1);

thread_local! {
    static CURRENT: Cell<*const Local> = const { Cell::new(ptr::null()) };
    static PROMPT: Cell<bool> = const { Cell::new(false) };
}

/// The calling thread is a *prompt* one: an IO worker in its seat, or the driver thread. These never pause for long, and may
/// take the locks that IO workers take, and mark what they then have to finish. For as long as this lives, nobody takes the
/// seat from the thread.
pub(crate) struct Hold {
    /// The seat is to be let go of.
    let_go: bool,
    not_send: PhantomData<*const ()>,
}

impl Hold {
    /// For what needs no promptness.
    pub(super) fn nothing() -> Hold {
        Hold {
            let_go: false,
            not_send: PhantomData,
        }
    }
}

impl Drop for Hold {
    #[inline]
    fn drop(&mut self) {
        if self.let_go {
            Local::of_thread(|local| local.into_iter().for_each(Local::let_go));
        }
    }
}

/// Some if the thread is a prompt one, which it then stays until the result is dropped.
#[inline]
pub(crate) fn hold() -> Option<Hold> {
    if !is_marked_prompt() {
        return None;
    }
    Local::of_thread(|local| local.map_or(Some(Hold::nothing()), Local::hold))
}

fn is_marked_prompt() -> bool {
    PROMPT.try_with(Cell::get).unwrap_or(false)
}

/// Some if the thread is a worker of the lane, which it then stays until the result is dropped.
#[inline]
pub(super) fn hold_in(lane: &Lane) -> Option<Hold> {
    Local::of_thread(|local| local.filter(|local| local.is_in(lane))?.hold())
}

/// Has another thread take the place of the calling one, if that is an IO worker in a poll. False if the thread is still one
/// whose tasks will have to wait if it blocks.
pub(crate) fn leave_seat() -> bool {
    Local::of_thread(|local| {
        let Some(local) = local else {
            // The driver thread has none, and is no less needed.
            return !is_marked_prompt();
        };
        let tenure = &local.tenant.tenure;
        // Held: this is not the code of a task, but a waker that the worker calls.
        !tenure.is_held()
            && match local.hold() {
                None => true,
                // Its lane is for work that keeps its thread.
                Some(_hold) if local.lane.kind == Kind::Compute => true,
                Some(_hold) => local.lane.host.replace(local),
            }
    })
}

/// Where the poll that the thread is in should have been, if it was taken over.
#[inline]
pub(super) fn verdict() -> Option<Place> {
    Local::of_thread(|local| {
        let lost = local.filter(|local| local.tenant.tenure.is_lost())?;
        lost.tenant.verdict()
    })
}

/// Declares this thread one of the runtime's own of normal priority.
pub(crate) fn set_prompt() {
    PROMPT.with(|prompt| prompt.set(true));
    clock::wake_on_time();
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
    searching: Cell<bool>,
    /// Wakes come from the driver or the timers: they queue up in order, and are told of once.
    gathering: Cell<bool>,
    gathered: Cell<usize>,
    /// Where the next search starts among equals.
    turn: Cell<usize>,
    patience: Patience,
    /// It dozed when work called it away, and somebody else should doze in its place.
    left_doze: Cell<bool>,
    /// The polls of the others when a doze ended because nobody had polled the driver: until one of them
    /// begins another poll, it is stuck, and does not get on.
    stuck_at: Cell<Option<u64>>,
    /// When the stretch of work began that is measured, and how many polls there had been.
    stretch: Cell<(u64, u64)>,
    /// When it last looked for events, or slept.
    looked_ns: Cell<u64>,
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
            patience: Patience::default(),
            left_doze: Cell::new(false),
            stuck_at: Cell::new(None),
            stretch: Cell::new((now_ns, polls)),
            looked_ns: Cell::new(now_ns),
            neighbour: Cell::new(None),
            neighbour_ns: Cell::new(now_ns),
        }
    }

    /// The worker whose seat this thread has, if any; it keeps it for as long as `f` runs.
    #[inline]
    pub(crate) fn with<R>(f: impl FnOnce(Option<&Local>) -> R) -> R {
        Local::of_thread(|local| match local.map(|local| (local, local.hold())) {
            Some((local, Some(_hold))) => f(Some(local)),
            _ => f(None),
        })
    }

    /// The worker whose thread this is or was, if any.
    #[inline]
    fn of_thread<R>(f: impl FnOnce(Option<&Local>) -> R) -> R {
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

    fn seat(&self) -> &Seat {
        &self.lane.seats[self.index]
    }

    /// Only while the seat is held.
    fn queue(&self) -> &Deque<Task> {
        debug_assert!(self.tenant.tenure.is_held());
        // SAFETY: every method of this type is called while the seat is held, but those about the holding itself.
        unsafe { self.seat().queue.get() }
    }

    /// Takes hold of the seat. `None` if it is gone.
    #[inline]
    fn hold(&self) -> Option<Hold> {
        let tenure = &self.tenant.tenure;
        let let_go = !tenure.is_held();
        (!let_go || tenure.take_hold()).then_some(Hold {
            let_go,
            not_send: PhantomData,
        })
    }

    #[inline]
    fn let_go(&self) {
        self.tenant.tenure.let_go();
    }

    /// Gives the seat away for the rest of the poll that this thread is in.
    pub(crate) fn give_up(&self) {
        self.seat().status.end();
        self.tenant.set_verdict(None);
        self.tenant.tenure.give_up();
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
        let mut settle = Some(settle);
        while let Some(task) = self.next_task() {
            if let Some(settle) = settle.take() {
                settle();
            }
            if !self.poll(task) {
                // It may be of low priority by now.
                PROMPT.set(false);
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
            self.queue().push(task);
            return;
        }
        if self.lane.is_finished() {
            // The poll may be waiting for it.
            return task.abandon();
        }
        match self.lane.kind {
            Kind::Io => self
                .seat()
                .next
                .put(task)
                .into_iter()
                .for_each(|task| self.push_back(task)),
            // A compute task may run for long, and nobody could steal what is in the slot.
            Kind::Compute => self.push_back(task),
        }
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

    fn gather_quietly<R>(&self, wakes: impl FnOnce() -> R) -> R {
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
        let left_doze = self.left_doze.take();
        if self.searching.take() && self.lane.sleep.stop_searching() {
            if left_doze {
                // Whoever is woken finds nothing, most likely, and dozes.
                self.lane.notify(usize::MAX);
            } else if self.lane.has_work() {
                self.notify();
            }
        }
        let place = task.habit().place();
        if place != Place::Io && self.is_for_elsewhere(&task, place) {
            return self.poll_elsewhere(task, place);
        }
        // It yielded, or was woken during its poll.
        match self.let_run(task, Task::run) {
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
    fn let_run(
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
        self.queue().push(task);
        if !alone || self.lane.kind == Kind::Compute {
            self.notify();
        }
    }

    /// Not if there is nothing left to poll.
    #[cold]
    fn is_for_elsewhere(&self, task: &Task, place: Place) -> bool {
        let is_there = self.lane.kind == Kind::Compute;
        if is_there {
            self.lane.guest_leaves();
        }
        !task.is_handed() && !task.is_cancelled() && (is_there || self.lane.host.has_room(place))
    }

    /// Has an IO task polled where it does not get stuck; or polls it, if that is here.
    #[cold]
    fn poll_elsewhere(&self, task: Task, place: Place) -> bool {
        if self.lane.kind == Kind::Io {
            self.lane.host.send(task, place);
            return true;
        }
        let run = |task| elsewhere::run(task, place, self.lane.long_poll);
        // Nobody takes a seat of the compute lane.
        let (Ok(again) | Err(again)) = self.let_run(task, run);
        if let Some(task) = again {
            let place = task.habit().place();
            self.lane.host.send(task, place);
        }
        true
    }

    /// Work is looked for where it is cheapest to get first: this worker's own places, then the
    /// inbox, then the other workers from near to far.
    fn find(&self) -> Option<Task> {
        let tick = self.tick.get().wrapping_add(1);
        self.tick.set(tick);
        self.fire_timers();
        if tick.is_multiple_of(LOOK_INTERVAL) {
            self.look_around(clock::now_ns());
        } else if self.lane.kind == Kind::Io && !self.lane.pace.polls_are_short() {
            let now_ns = clock::now_ns();
            if now_ns.saturating_sub(self.looked_ns.get()) >= LOOK_INTERVAL_NS {
                self.look_around(now_ns);
            }
        }
        self.take_inbox();
        self.take_next()
            .or_else(|| self.queue().pop())
            .or_else(|| self.steal())
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

    /// Polls the driver without waiting, if nobody else does.
    fn look_for_events(&self) -> usize {
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

    /// Steps 1 to 5 of the worker that found nothing (see [`sleep`](super::sleep)).
    fn sleep(&self) {
        let timers = &self.seat().timers;
        let now_ns = clock::now_ns();
        self.end_stretch(now_ns);
        let deadline_ns = self.gather_quietly(|| timers.prepare_sleep(now_ns, wake));
        if !self.queue().is_empty() {
            // Timers have fired. To be announced like what a searcher has found.
            if !self.searching.get() {
                self.notify();
            }
            return;
        }
        if self.look_on(now_ns, deadline_ns) {
            self.begin_stretch(clock::now_ns());
            return;
        }
        let sleep = &self.lane.sleep;
        sleep.fall_asleep(self.index, self.searching.take());
        let mut unpolled = false;
        if !self.lane.has_work() && !self.lane.is_shut_down() {
            if self.others_get_on() {
                unpolled = self.rest(deadline_ns);
                self.stuck_at
                    .set(unpolled.then(|| self.lane.polls_beside(self.index)));
            } else {
                self.left_doze.set(false);
                self.park(clock::timeout(deadline_ns));
            }
        }
        sleep.wake_up(self.index);
        self.searching.set(true);
        if self.lane.kind == Kind::Io {
            self.lane.host.worker_awake();
        }
        let now_ns = clock::now_ns();
        self.begin_stretch(now_ns);
        self.looked_ns.set(now_ns);
        if unpolled && self.look_for_events() > 0 {
            self.lane.rescues.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn begin_stretch(&self, now_ns: u64) {
        self.stretch.set((now_ns, self.polls()));
    }

    fn end_stretch(&self, now_ns: u64) {
        let (start_ns, polls_before) = self.stretch.get();
        let polls = self.polls() - polls_before;
        self.lane
            .pace
            .record(polls, now_ns.saturating_sub(start_ns));
        self.begin_stretch(now_ns);
    }

    fn polls(&self) -> u64 {
        self.seat().status.polls()
    }

    /// True if this worker, whose bit is set, need not be ready at once: another one is awake, and will soon be
    /// at the driver again.
    fn others_get_on(&self) -> bool {
        let lane = &self.lane;
        let stuck = self.stuck_at.get();
        lane.kind == Kind::Io
            && lane.pace.polls_are_short()
            && lane.sleep.anybody_awake()
            && stuck.is_none_or(|polls| polls != lane.polls_beside(self.index))
    }

    /// Sleeps beside others who are awake; dozing, if it is to come last or nobody else does. True if
    /// nobody has polled the driver meanwhile.
    fn rest(&self, deadline_ns: u64) -> bool {
        let sleep = &self.lane.sleep;
        if !self.is_in_reserve() && sleep.anybody_dozes() {
            self.seat().parker.park(clock::timeout(deadline_ns));
            return false;
        }
        sleep.doze(self.index, self.is_in_reserve());
        let unpolled = self.doze(deadline_ns);
        self.left_doze.set(true);
        sleep.end_doze(self.index);
        unpolled
    }

    /// Others use this worker's core, and the tasks are short, so that another worker gets through them. Long
    /// ones are worth a core that is shared.
    fn is_in_reserve(&self) -> bool {
        self.seat().reserve.load(Ordering::Relaxed) && self.lane.pace.polls_are_short()
    }

    /// Sleeps, and looks every [`DOZE`] whether the others get on: until they do not, or there is something for
    /// this worker to do. True if nobody has polled the driver.
    fn doze(&self, deadline_ns: u64) -> bool {
        let lane = &self.lane;
        let mut before = lane.progress();
        while self.others_get_on() {
            // Those who doze share the looks.
            let doze = DOZE * lane.sleep.dozing_count();
            let timeout = doze.min(clock::until(deadline_ns));
            if self.seat().parker.park(Some(timeout)) || clock::now_ns() >= deadline_ns {
                return false;
            }
            let now = lane.progress();
            let unpolled = before.driver_polls == now.driver_polls;
            if unpolled || before.is_stuck(&now) {
                lane.host.worker_stuck();
                return unpolled;
            }
            before = now;
        }
        false
    }

    /// Looks for work a little longer, if that has been of use lately. True if there is some. A compute worker
    /// does not: it may be preempted meanwhile, and others would rely on it as a searcher. Nor does a worker
    /// that has had no task yet: its runtime is just being started, and may need the core for that.
    fn look_on(&self, now_ns: u64, deadline_ns: u64) -> bool {
        let end_ns = now_ns.saturating_add(LOOK_ON_NS).min(deadline_ns);
        self.lane.kind == Kind::Io
            && self.searching.get()
            && !self.is_in_reserve()
            && now_ns < end_ns
            && self.polls() > 0
            && self.patience.try_with(|| self.look_until(end_ns))
    }

    fn look_until(&self, end_ns: u64) -> bool {
        loop {
            if self.lane.has_work() || self.lane.is_shut_down() {
                return true;
            }
            // The compute worker of this core has something to do.
            if self.partner_is_awake() || clock::now_ns() >= end_ns {
                return false;
            }
            for _ in 0..LOOK_ON_PAUSE {
                hint::spin_loop();
            }
        }
    }

    /// Sleeps: in the IO driver if nobody else is there, which makes this the worker that handles the
    /// next event.
    fn park(&self, timeout: Option<Duration>) {
        let parker = &self.seat().parker;
        match self.lane.turn.as_ref().and_then(|turn| turn.try_take()) {
            Some(mut my_turn) => {
                // Quietly, because this worker still counts as asleep. It becomes a searcher next, and
                // wakes another one if more than one task has come.
                self.gather_quietly(|| my_turn.wait(parker, timeout));
            }
            None => {
                parker.park(timeout);
            }
        }
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
