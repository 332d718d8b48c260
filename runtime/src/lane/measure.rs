//! How long a poll on the IO lane takes, and what that says of the task and of others like it.
//!
//! Polls are measured while they are not short on average ([`pace`](super::pace)), and those of tasks of which more is known
//! than that theirs are: a look at the clock costs as much as a short poll. What counts is CPU time, since a thread may be
//! kept from its CPU in the midst of any poll. To ask for that is a system call, so at the end of a poll it is left out if the
//! poll was short by the clock on the wall.

use super::elsewhere;
use super::worker::Local;
use super::{Kind, Lane};
use crate::tasks::budget::take_put_off;
use crate::tasks::{Id, Length, Place, Polled, Task, TaskClass};
use crate::timers::clock;
use evenkeel_topology::thread_cpu_time;
use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// A poll of less than `after` over so many is short; of `after` and more it is long.
const SHORT_PART: u32 = 2;

/// A task that has one part of so many of a core has a large share of it.
const LARGE_SHARE_PART: u32 = 8;

/// Of the polls that may be those of hogs, the one counts by which long polls complete so much CPU time: any of 10 ms, and one of ten
/// of 1 ms.
const COUNTED: Duration = Duration::from_millis(10);

/// The poll that a worker is in, or was in last.
#[derive(Default)]
pub(super) struct Measure {
    /// When it began; 0 if it is not measured.
    begun_ns: Cell<u64>,
    /// Of a task that had waited among the long ones, how much CPU they had used in all when it came; of this poll,
    waited_since: Cell<Option<Duration>>,
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
    woken: Cell<bool>,
}

impl Measure {
    #[inline]
    pub(super) fn begin(&self, thread: u32, task: &Task, class: TaskClass, is_measured: bool) {
        self.task.set(task.id().as_u64());
        self.woken.set(false);
        self.begun_ns.set(0);
        if is_measured || !class.is_calm() {
            self.begin_measured(thread);
        }
    }

    fn begin_measured(&self, thread: u32) {
        self.length.set(None);
        self.used.set(Duration::ZERO);
        self.waited_since.set(self.next_waited_since.take());
        take_put_off();
        self.cpu_before.set(thread_cpu_time(thread));
        self.begun_ns.set(clock::now_ns());
    }

    /// What the poll has used of the CPU, if it was measured and not short.
    fn used(&self) -> Duration {
        if self.begun_ns.get() == 0 {
            return Duration::ZERO;
        }
        self.used.get()
    }

    /// The task that is polled next has waited among the long ones, which had used so much CPU when it came.
    pub(super) fn waited_since(&self, since: Duration) {
        self.next_waited_since.set(Some(since));
    }

    /// The calling thread, which is in the poll, has woken the task, or has left that to others.
    fn woken_in_poll(&self, task: Id) {
        if task.as_u64() == self.task.get() {
            self.woken.set(true);
        }
    }

    /// `None` if the poll was not measured. To be asked when it is over.
    #[inline]
    fn length(&self, thread: u32, after: Duration) -> Option<Length> {
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

/// What tasks of which nothing is settled have been like of late: new ones are most likely like them.
pub(super) struct Prior(AtomicU32);

impl Prior {
    const ONE: u32 = 1 << 16;

    /// So much of what is known is forgotten with each poll: one part in so many.
    const FORGET: u32 = 32;

    /// More than one part in so many are long: then it is better to take short ones for long than the other way round. At worst
    /// they wait in the order in which they came, as they would without a second queue.
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
    fn record(&self, length: Length) {
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

impl Local {
    /// The poll is over; the task was of this class before. Others learn from those of which nothing is settled.
    #[inline]
    pub(super) fn learn(&self, class: TaskClass) {
        let Some(length) = self.measured_length() else {
            return;
        };
        if class.expected().is_none() {
            self.lane().prior.record(length);
        }
        if length == Length::Long {
            self.lane().long.record(self.measure.used());
        }
    }

    /// The length of the poll that is over, if that is known.
    #[inline]
    fn measured_length(&self) -> Option<Length> {
        let (thread, after) = (self.tenant().thread(), self.lane().limits.after);
        let measured = || self.measure.length(thread, after);
        if !self.tenant().tenure.is_lost() {
            return measured();
        }
        match self.tenant().verdict() {
            Some(Place::Compute) => measured().or(Some(Length::Long)),
            // It gave its place up for what it does, or slept: that says nothing of the next one.
            _ => None,
        }
    }

    /// What a task is like after a poll that this thread has made in a seat of the IO lane.
    #[inline]
    fn judge(&self, class: TaskClass) -> TaskClass {
        match self.measured_length() {
            None if class.is_calm() && !self.tenant().tenure.is_lost() => class,
            length => self.judge_measured(class, length),
        }
    }

    /// The poll counts as one of a hog, if its task goes on: it has used a large share of what long polls have used since it
    /// came, so that other programs do not matter. Not known of one that did not wait among them.
    fn hogs(&self) -> bool {
        let long = &self.lane().long;
        let (before, used) = (long.used(), self.measure.used());
        let after = before + used;
        let Some(since) = self.measure.waited_since.get() else {
            return false;
        };
        let of_a_core = after.saturating_sub(since) / self.lane().workers() as u32;
        let counts =
            before.as_millis() / COUNTED.as_millis() != after.as_millis() / COUNTED.as_millis();
        counts && used * LARGE_SHARE_PART >= of_a_core
    }

    #[cold]
    fn judge_measured(&self, class: TaskClass, length: Option<Length>) -> TaskClass {
        let tenant = self.tenant();
        let moves = self.lane().limits.moves;
        let blocked = tenant.tenure.is_lost() && tenant.verdict() == Some(Place::Blocking);
        let length = length.unwrap_or(Length::Between);
        let busy = length == Length::Long && !take_put_off() && self.measure.woken.get();
        let polled = Polled {
            length,
            blocked: blocked && moves,
            busy,
            hogs: busy && moves && self.hogs(),
            counts: elsewhere::counts(TaskClass::counted_in()),
        };
        elsewhere::tell(class, class.polled(polled), &*self.lane().host)
    }
}

/// The calling thread, in a poll or not, has woken the task, or has left that to others.
#[inline]
pub(super) fn woken_in_poll(task: Id) {
    Local::of_thread(
        |local| match local.filter(|local| local.kind() == Kind::Io) {
            Some(local) => local.measure.woken_in_poll(task),
            None => elsewhere::woken_in_poll(task),
        },
    );
}

/// What a task of the IO lane is like, which the calling thread has just polled, wherever that was.
#[inline]
pub(super) fn judge(lane: &Lane, class: TaskClass) -> TaskClass {
    Local::of_thread(|local| match local.filter(|local| local.is_in(lane)) {
        Some(local) => local.judge(class),
        None => elsewhere::judge(class, &*lane.host),
    })
}
