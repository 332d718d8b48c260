//! How long a poll on the IO lane takes, and what that says of the task and of others like it.
//!
//! Polls are measured while they are not short on average ([`poll_time`](super::poll_time)), and
//! those of tasks of which more is known than that theirs are: a look at the clock costs as much as
//! a short poll. What counts is CPU time, since a thread may be kept from its CPU in the midst of
//! any poll. To ask for that is a system call, so at the end of a poll it is left out if the poll
//! was short by the clock on the wall.

use crate::tasks::budget::{begin_turn, end_turn, take_put_off};
use crate::tasks::{Id, Length, Task, TaskClass};
use crate::timers::clock;
use evenkeel_topology::thread_cpu_time;
use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// A poll is short below this part of `after`, and long from `after` on.
const SHORT_PART: u32 = 2;

/// The poll that a worker is in, or was in last.
#[derive(Default)]
pub(super) struct Measure {
    /// How long a turn is: a poll that has taken so much ends at its next operation.
    turn_ns: u64,
    /// When it began; 0 if it is not measured.
    begun_ns: Cell<u64>,
    /// Of a task that had waited among the long ones, how much CPU they had used in all when it
    /// came; of this poll,
    pub(super) waited_since: Cell<Option<Duration>>,
    /// and of the next.
    next_waited_since: Cell<Option<Duration>>,
    /// What it used of the CPU, if it was not short.
    used: Cell<Duration>,
    /// The thread's CPU time then.
    cpu_before: Cell<Option<Duration>>,
    /// Known once it is over.
    length: Cell<Option<Length>>,
    /// Whose poll it is,
    task: Cell<u64>,
    /// and whether it has woken itself in it: it has more to do.
    pub(super) woken: Cell<bool>,
}

impl Measure {
    pub(super) fn new(turn_ns: u64) -> Self {
        Measure {
            turn_ns,
            ..Measure::default()
        }
    }

    #[inline]
    pub(super) fn begin(&self, thread: u32, task: &Task, class: TaskClass, is_measured: bool) {
        self.task.set(task.id().as_u64());
        self.woken.set(false);
        self.begun_ns.set(0);
        if is_measured || !class.is_calm() {
            self.begin_measured(thread);
        }
    }

    /// The poll that was begun on this thread is over.
    #[inline]
    pub(super) fn end(&self) {
        if self.begun_ns.get() != 0 {
            end_turn();
        }
    }

    fn begin_measured(&self, thread: u32) {
        self.length.set(None);
        self.used.set(Duration::ZERO);
        self.waited_since.set(self.next_waited_since.take());
        take_put_off();
        self.cpu_before.set(thread_cpu_time(thread));
        let now_ns = clock::now_ns();
        self.begun_ns.set(now_ns);
        begin_turn(now_ns.saturating_add(self.turn_ns));
    }

    /// What the poll has used of the CPU, if it was measured and not short.
    pub(super) fn used(&self) -> Duration {
        if self.begun_ns.get() == 0 {
            return Duration::ZERO;
        }
        self.used.get()
    }

    /// The task that is polled next has waited among the long ones, which had used so much CPU when
    /// it came.
    pub(super) fn waited_since(&self, since: Duration) {
        self.next_waited_since.set(Some(since));
    }

    /// The calling thread, which is in the poll, has woken the task, or has left that to others.
    pub(super) fn woken_in_poll(&self, task: Id) {
        if task.as_u64() == self.task.get() {
            self.woken.set(true);
        }
    }

    /// `None` if the poll was not measured. To be asked when it is over.
    #[inline]
    pub(super) fn length(&self, thread: u32, after: Duration) -> Option<Length> {
        if self.begun_ns.get() == 0 {
            return None;
        }
        if self.length.get().is_none() {
            self.length.set(Some(self.find_out(thread, after)));
        }
        self.length.get()
    }

    fn find_out(&self, thread: u32, after: Duration) -> Length {
        let took = Duration::from_nanos(clock::now_ns().saturating_sub(self.begun_ns.get()));
        if took < after / SHORT_PART {
            return Length::Short;
        }
        // Where the system does not tell, all of the time counts.
        let used = cpu_used(thread, self.cpu_before.get()).unwrap_or(took);
        self.used.set(used);
        match used {
            used if used >= after => Length::Long,
            used if used < after / SHORT_PART => Length::Short,
            _ => Length::Between,
        }
    }
}

/// What the thread has used of the CPU since its clock showed `before`.
pub(crate) fn cpu_used(thread: u32, before: Option<Duration>) -> Option<Duration> {
    Some(thread_cpu_time(thread)?.saturating_sub(before?))
}

/// What tasks of which nothing is settled have been like of late: new ones are most likely like
/// them.
pub(super) struct Prior(AtomicU32);

impl Prior {
    const ONE: u32 = 1 << 16;

    /// One part in this many of what is known is forgotten with each poll.
    const FORGET: u32 = 32;

    /// From one part in this many on, it is better to take short polls for long than the other way
    /// round. At worst they wait in the order in which they came, as they would
    /// without a second queue.
    const LONG_PART: u32 = 3;

    pub(super) fn new() -> Self {
        Prior(AtomicU32::new(0))
    }

    /// Their next poll is to be taken for a long one.
    #[inline]
    pub(super) fn is_long(&self) -> bool {
        self.0.load(Ordering::Relaxed) > Prior::ONE / Prior::LONG_PART
    }

    /// One worker that overwrites what another has written does little harm.
    pub(super) fn record(&self, length: Length) {
        let before = self.0.load(Ordering::Relaxed);
        let now = match length {
            Length::Short => before - before / Prior::FORGET,
            Length::Between => before,
            Length::Long => before + (Prior::ONE - before) / Prior::FORGET,
        };
        if now != before {
            self.0.store(now, Ordering::Relaxed);
        }
    }
}
