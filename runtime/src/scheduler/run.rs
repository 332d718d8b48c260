//! The worker's loop: find a task, poll it, and [`wait`](super::wait) when there is none.

use super::kind::Kind;
use super::lane::Lane;
use super::seat::FreeSeat;
use super::worker::{Caller, Current, Worker, WorkerState};
use crate::tasks::{Place, Task};
use crate::timers::clock;
use evenkeel_topology::thread_cpu_time;
use std::sync::Arc;
use std::time::Duration;

/// With long polls, every so many tasks a look for events would be too seldom: then a worker looks
/// four times a millisecond.
const LOOK_INTERVAL_NS: u64 = 250_000;

/// How the work in a seat ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// The lane was shut down.
    ShutDown,
    /// The seat was taken, or surrendered, during a poll, which is over now.
    Displaced,
    /// And the thread's priority was lowered.
    DisplacedAndLowered,
}

/// Runs tasks in a seat until the lane is shut down, and cancels what is left in the worker's own
/// places; or until the seat is lost. Calls `settle` before the first task.
pub(crate) fn run(lane: Arc<Lane>, seat: FreeSeat, settle: impl FnOnce()) -> Exit {
    let state = WorkerState::new(lane, seat);
    let _current = Current::set(&state);
    let mut worker = state.hold();
    if let Some(worker) = &worker {
        worker.let_new_ones_pass();
    }
    let mut settle = Some(settle);
    while let Some(held) = worker {
        let Some(task) = held.next_task() else {
            held.finish();
            state.thread().leave();
            return Exit::ShutDown;
        };
        if let Some(settle) = settle.take() {
            settle();
        }
        worker = held.poll(task);
    }
    state.thread().leave();
    if state.thread().is_lowered() {
        Exit::DisplacedAndLowered
    } else {
        Exit::Displaced
    }
}

impl<'a> Worker<'a> {
    /// Waits for a task. `None` once the lane is shut down.
    fn next_task(&self) -> Option<Task> {
        while !self.lane().is_shut_down() {
            if self.pause() {
                continue;
            }
            let task = self.find();
            if task.is_some() {
                return task;
            }
            self.wait();
        }
        None
    }

    /// Pauses for the sake of a CPU quota, if there is work that has to wait for that.
    fn pause(&self) -> bool {
        let lane = self.lane();
        if !lane.governor.is_on() || !lane.has_work(self.index()) {
            return false;
        }
        let pause = lane.pause_before(self.used_by_last());
        if pause.is_some() {
            // A shutdown wakes it.
            lane.governor.pausing(|| self.seat().parker.park(pause));
        }
        pause.is_some()
    }

    /// What the last task used of the CPU, if that was not asked for before.
    fn used_by_last(&self) -> Option<Duration> {
        let now = (self.polls(), thread_cpu_time(self.thread().id())?);
        let (polls, before) = self.used_before.replace(now);
        (polls != now.0).then(|| now.1.saturating_sub(before))
    }

    /// Work is looked for where it is cheapest to get first: this worker's own places, then the
    /// inbox, then the other workers from near to far.
    fn find(&self) -> Option<Task> {
        let until_look = self.until_look.get() - 1;
        self.until_look.set(until_look);
        self.fire_timers();
        let is_measuring = self.kind() == Kind::Io && !self.lane().polls_are_short();
        self.is_measuring.set(is_measuring);
        if until_look == 0 {
            self.until_look.set(self.lane().intervals.events);
            self.look_around(clock::now_ns());
        } else if is_measuring {
            let now_ns = clock::now_ns();
            if now_ns.saturating_sub(self.looked_ns.get()) >= LOOK_INTERVAL_NS {
                self.look_around(now_ns);
            }
        }
        if let Some(task) = self.begin_long_in_turn() {
            return Some(task);
        }
        let short = self.next_short().or_else(|| self.steal());
        if short.is_some() {
            self.tell_of_long();
        }
        short.or_else(|| self.begin_long())
    }

    fn look_around(&self, now_ns: u64) {
        self.end_stretch(now_ns);
        self.looked_ns.set(now_ns);
        self.look_for_events();
    }

    /// `None` if the seat is lost.
    fn poll(self, task: Task) -> Option<Worker<'a>> {
        self.stop_searching();
        let state = self.state();
        let place = task.class().place();
        let worker = if place != Place::Io && self.is_to_offload(&task, place) {
            self.offload(task, place)
        } else {
            self.poll_here(task)
        };
        state.end_long();
        worker
    }

    fn poll_here(self, task: Task) -> Option<Worker<'a>> {
        let (state, class) = (self.state(), task.class());
        self.measure
            .begin(self.thread().id(), &task, class, self.is_measuring.get());
        let (worker, again) = self.run_task(task, Task::run);
        state.measure.end();
        state.learn(class);
        match (&worker, again) {
            (_, None) => {}
            (Some(worker), Some(task)) => worker.push_again(task),
            (None, Some(task)) => Caller::with(|caller| state.lane.submit(caller, task)),
        }
        worker
    }

    /// Has `run` poll the task, the user's code, without the seat held.
    #[inline]
    pub(super) fn run_task(
        self,
        task: Task,
        run: impl FnOnce(Task) -> Option<Task>,
    ) -> (Option<Worker<'a>>, Option<Task>) {
        self.seat().status.begin(&task);
        self.thread().preempt.clear();
        let (worker, again) = self.release_while(|| run(task));
        if let Some(worker) = &worker {
            worker.seat().status.end();
        }
        (worker, again)
    }

    /// Searchers are few: when the last of them has found something, it sees to what is left.
    pub(super) fn stop_searching(&self) {
        if self.is_searching.take()
            && self.lane().idle.stop_searching()
            && self.lane().has_work(self.index())
        {
            self.notify();
        }
    }

    /// The lane is shut down: cancels what is left.
    fn finish(&self) {
        if self.is_searching.take() {
            self.lane().idle.stop_searching();
        }
        self.lane().finish_shutdown();
        // A future's drop may wake or spawn others, which come here as well.
        while let Some(task) = self
            .held()
            .take_lifo()
            .or_else(|| self.held().queue().pop())
        {
            drop(task);
        }
    }
}

impl WorkerState {
    /// The poll that is over does not count as a long one any more.
    #[inline]
    fn end_long(&self) {
        if self.lane.long.leave(&self.thread().counted) {
            Caller::with(|caller| self.lane.notify_long(caller.origin()));
        }
    }
}
