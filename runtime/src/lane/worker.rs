//! What a worker does: find a task, poll it, and sleep when there is none.

use super::{Kind, Lane, Seat};
use crate::task::Task;
use crate::time::clock;
use crate::time::shard::{NEVER, wake};
use crossbeam_deque::{Steal, Worker as Deque};
use std::cell::Cell;
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

/// The inbox comes first once in so many tasks, so that a busy worker does not starve it. (tokio's
/// number; prime, so that it does not beat with a program's own patterns.)
const INBOX_INTERVAL: u32 = 61;

/// So many tasks in a row may come from the next-slot; then its task goes to the back of the queue. A
/// pair of tasks that keep waking each other would otherwise have the worker for themselves
/// (tokio#5686).
const NEXT_STREAK_MAX: u32 = 3;

thread_local! {
    static CURRENT: Cell<*const Local> = const { Cell::new(ptr::null()) };
    static PROMPT: Cell<bool> = const { Cell::new(false) };
}

/// Who calls into a lane.
pub(super) struct Caller {
    /// The index of its own worker, or zero.
    pub(super) index: usize,
    /// Its priority is normal and it never pauses between a claim and the unpark.
    pub(super) is_prompt: bool,
}

pub(super) fn caller() -> Caller {
    Caller {
        index: Local::with(|local| local.map_or(0, Local::index)),
        is_prompt: is_prompt(),
    }
}

/// True on IO workers and the driver thread: the threads that may take locks which IO workers take.
pub(crate) fn is_prompt() -> bool {
    PROMPT.try_with(Cell::get).unwrap_or(false)
}

/// Declares this thread one of the runtime's own of normal priority.
pub(crate) fn set_prompt() {
    PROMPT.with(|prompt| prompt.set(true));
}

/// A worker, on its own thread.
pub(crate) struct Local {
    lane: Arc<Lane>,
    index: usize,
    queue: Deque<Task>,
    /// The task that the current one woke or spawned last. Runs next, while its data is in cache.
    next: Cell<Option<Task>>,
    next_streak: Cell<u32>,
    tick: Cell<u32>,
    searching: Cell<bool>,
    /// Where the next search starts among equals.
    turn: Cell<usize>,
}

impl Local {
    pub(crate) fn new(lane: Arc<Lane>, index: usize, queue: Deque<Task>) -> Self {
        Local {
            lane,
            index,
            queue,
            next: Cell::new(None),
            next_streak: Cell::new(0),
            tick: Cell::new(0),
            searching: Cell::new(false),
            turn: Cell::new(index),
        }
    }

    /// The worker whose thread this is, if any.
    pub(crate) fn with<R>(f: impl FnOnce(Option<&Local>) -> R) -> R {
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

    /// On the compute lane: the IO worker of the same core has work.
    pub(crate) fn partner_is_busy(&self) -> bool {
        let io = self.lane.partner.as_ref();
        io.is_some_and(|io| self.index < io.workers() && !io.is_asleep(self.index))
    }

    fn seat(&self) -> &Seat {
        &self.lane.seats[self.index]
    }

    /// Runs tasks until the lane is shut down, and cancels what is left in the worker's own places.
    pub(crate) fn run(self) {
        if self.lane.kind == Kind::Io {
            set_prompt();
        }
        let _current = SetCurrent::new(&self);
        while !self.lane.is_shut_down() {
            match self.find() {
                Some(task) => self.poll(task),
                None => self.sleep(),
            }
        }
        if self.searching.take() {
            self.lane.sleep.stop_searching();
        }
        // All of them, not only its own: a worker that is stuck may be waiting for one of these tasks.
        self.lane
            .seats
            .iter()
            .for_each(|seat| seat.registry.close());
        // A future's drop may wake or spawn others, which come here as well.
        while let Some(task) = self.next.take().or_else(|| self.queue.pop()) {
            drop(task);
        }
    }

    /// Queues a task that was woken or spawned by the one in the poll.
    pub(super) fn push(&self, task: Task) {
        match self.lane.kind {
            Kind::Io => {
                if let Some(older) = self.next.replace(Some(task)) {
                    self.push_back(older);
                }
            }
            // A compute task may run for long, and nobody could steal what is in the slot.
            Kind::Compute => self.push_back(task),
        }
    }

    fn push_back(&self, task: Task) {
        self.queue.push(task);
        self.lane.notify();
    }

    fn poll(&self, task: Task) {
        if self.searching.take() && self.lane.sleep.stop_searching() && self.lane.has_work() {
            self.lane.notify();
        }
        let status = &self.seat().status;
        status.begin(&task);
        let again = task.run();
        status.end();
        let Some(task) = again else { return };
        // It yielded, or was woken during its poll.
        let alone = self.queue.is_empty() && !self.has_next();
        self.queue.push(task);
        if !alone || self.lane.kind == Kind::Compute {
            self.lane.notify();
        }
    }

    fn has_next(&self) -> bool {
        let next = self.next.take();
        let some = next.is_some();
        self.next.set(next);
        some
    }

    /// Work is looked for where it is cheapest to get first: this worker's own places, then the
    /// inbox, then the other workers from near to far.
    fn find(&self) -> Option<Task> {
        let tick = self.tick.get().wrapping_add(1);
        self.tick.set(tick);
        self.fire_timers();
        if tick.is_multiple_of(INBOX_INTERVAL)
            && let Some(task) = self.take_inbox()
        {
            return Some(task);
        }
        self.take_next()
            .or_else(|| self.queue.pop())
            .or_else(|| self.take_inbox())
            .or_else(|| self.steal())
    }

    fn take_next(&self) -> Option<Task> {
        let task = self.next.take();
        let streak = self.next_streak.get();
        match task {
            Some(task) if streak < NEXT_STREAK_MAX => {
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

    /// Takes all of the inbox: the first task to run now, the others where everybody can steal them.
    fn take_inbox(&self) -> Option<Task> {
        if self.lane.inbox.is_empty() {
            return None;
        }
        let mut batch = self.lane.inbox.take_all();
        let first = batch.next()?;
        let before = self.queue.len();
        batch.for_each(|task| self.queue.push(task));
        // A searcher wakes the next one in `poll`, when it stops searching.
        if self.queue.len() > before && !self.searching.get() {
            self.lane.notify();
        }
        Some(first)
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
        // It may have filled up meanwhile.
        self.take_inbox()
    }

    fn steal_from(&self, victim: usize) -> Option<Task> {
        loop {
            match self.lane.seats[victim]
                .stealer
                .steal_batch_and_pop(&self.queue)
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
            timers.fire(clock::now_ns()).into_iter().for_each(wake);
        }
    }

    /// Steps 1 to 5 of the worker that found nothing (see [`sleep`](super::sleep)).
    fn sleep(&self) {
        let now_ns = clock::now_ns();
        let deadline_ns = self.seat().timers.prepare_sleep(now_ns, wake);
        if self.has_next() || !self.queue.is_empty() {
            // Timers have fired.
            return;
        }
        let sleep = &self.lane.sleep;
        sleep.fall_asleep(self.index, self.searching.take());
        if !self.lane.has_work() && !self.lane.is_shut_down() {
            let timeout = match deadline_ns {
                NEVER => None,
                deadline_ns => Some(Duration::from_nanos(deadline_ns.saturating_sub(now_ns))),
            };
            self.seat().parker.park(timeout);
        }
        sleep.wake_up(self.index);
        self.searching.set(true);
        (self.lane.on_wake)();
    }
}

/// Makes a worker the current one of its thread.
struct SetCurrent;

impl SetCurrent {
    fn new(local: &Local) -> Self {
        CURRENT.with(|current| current.set(local));
        SetCurrent
    }
}

impl Drop for SetCurrent {
    fn drop(&mut self) {
        CURRENT.with(|current| current.set(ptr::null()));
    }
}
