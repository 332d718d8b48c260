//! Polls of IO tasks that are not made by IO workers.
//!
//! A task that keeps getting stuck is polled on the compute lane, or on a thread of the blocking pool
//! ([`Habit`]). It stays a task of the IO lane: it is woken there, and the worker that takes it out of the queue
//! sends it on. There each poll is measured, so that it can come back.

use super::hold::verdict;
use super::worker::Local;
use super::{Host, Kind};
use crate::task::{Habit, Place, Task};
use crate::time::clock;
use evenkeel_topology::{current_thread_id, thread_cpu_time};
use std::cell::Cell;
use std::time::Duration;

/// A poll that is being measured.
#[derive(Clone, Copy)]
struct Measured {
    place: Place,
    start: Duration,
    /// Anything less is a short poll.
    long: Duration,
}

thread_local! {
    static MEASURED: Cell<Option<Measured>> = const { Cell::new(None) };
}

/// Polls a task that is not to be polled on the IO lane, as [`Task::run`] does. A poll is short if it takes less than
/// `long`.
pub(crate) fn run(task: Task, place: Place, long: Duration) -> Option<Task> {
    let start = time_of(place);
    let measured = Measured { place, start, long };
    // Not left in place by a panic: there is none that a task's run lets out.
    let before = MEASURED.replace(Some(measured));
    let again = task.run();
    MEASURED.set(before);
    again
}

/// What counts on the compute lane is the CPU time, because its threads are preempted; on a blocking thread any.
fn time_of(place: Place) -> Duration {
    let cpu_time = || thread_cpu_time(current_thread_id());
    let cpu_time = (place == Place::Compute).then(cpu_time).flatten();
    cpu_time.unwrap_or_else(|| Duration::from_nanos(clock::now_ns()))
}

impl Local {
    /// Not if there is nothing left to poll.
    #[cold]
    pub(super) fn is_for_elsewhere(&self, task: &Task, place: Place) -> bool {
        let is_there = self.lane().kind == Kind::Compute;
        if is_there {
            self.lane().guest_leaves();
        }
        !task.is_handed() && !task.is_cancelled() && (is_there || self.lane().host.has_room(place))
    }

    /// Has an IO task polled where it does not get stuck; or polls it, if that is here.
    #[cold]
    pub(super) fn poll_elsewhere(&self, task: Task, place: Place) -> bool {
        if self.lane().kind == Kind::Io {
            self.lane().host.send(task, place);
            return true;
        }
        let run = |task| run(task, place, self.lane().long_poll);
        // Nobody takes a seat of the compute lane.
        let (Ok(again) | Err(again)) = self.let_run(task, run);
        if let Some(task) = again {
            let place = task.habit().place();
            self.lane().host.send(task, place);
        }
        true
    }
}

/// The habit of a task of the IO lane, which the calling thread has just polled.
#[inline]
pub(super) fn judge(habit: Habit, host: &dyn Host) -> Habit {
    match verdict() {
        None if habit.is_default() => habit,
        None if habit.place() == Place::Io => habit.polled_well(counts(habit.counted_in())),
        None => judge_measured(habit, host),
        Some(place) => tell(habit, habit.struck(place), host),
    }
}

#[cold]
fn judge_measured(habit: Habit, host: &dyn Host) -> Habit {
    match MEASURED.get() {
        Some(measured) if measured.place == habit.place() => {
            let took = time_of(measured.place).saturating_sub(measured.start);
            let short = took < measured.long;
            let counts = short && counts(habit.counted_in());
            tell(habit, habit.polled_elsewhere(short, counts), host)
        }
        _ => habit,
    }
}

/// True for one in so many polls of this thread that ask.
fn counts(one_in: u32) -> bool {
    thread_local!(static POLLS: Cell<u32> = const { Cell::new(0) });
    let polls = POLLS.get().wrapping_add(1);
    POLLS.set(polls);
    polls.is_multiple_of(one_in)
}

#[cold]
fn tell(before: Habit, now: Habit, host: &dyn Host) -> Habit {
    if now.place() != before.place() {
        host.task_moved(now.place());
    }
    now
}
