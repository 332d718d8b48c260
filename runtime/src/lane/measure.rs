//! How long a poll on the IO lane takes, and what that says of the task and of others like it.
//!
//! Polls are measured while they are not short on average ([`pace`](super::pace)), and those of tasks of which something is
//! known: a look at the clock costs as much as a short poll. What counts is CPU time, since a thread may be kept from its CPU in
//! the midst of any poll; but to ask for that is a system call, so it is left out for polls that were short by the clock on
//! the wall.

use super::Lane;
use super::elsewhere;
use super::worker::Local;
use crate::task::{Length, Place, Polled, Task, TaskClass, id_of};
use crate::time::clock;
use evenkeel_topology::{current_thread_id, thread_cpu_time};
use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Waker;
use std::time::Duration;

/// A poll of less than `after` over so many is short; of `after` and more it is long.
const SHORT_PART: u32 = 2;

/// The poll that a worker is in, or was in last.
#[derive(Default)]
pub(super) struct Measure {
    /// When it began; 0 if it is not measured.
    begun_ns: Cell<u64>,
    /// The thread's CPU time at some moment before the poll; at its very beginning, if the task's last poll was long.
    cpu_before: Cell<Duration>,
    /// Known once it is over.
    length: Cell<Option<Length>>,
    /// Whose poll it is,
    task: Cell<u64>,
    /// and whether it was woken in it by a thread that had lost its seat, which leaves the marking to others.
    woken: Cell<bool>,
}

impl Measure {
    #[inline]
    pub(super) fn begin(&self, task: &Task, class: TaskClass, is_measured: bool) {
        self.length.set(None);
        self.task.set(task.id().as_u64());
        self.woken.set(false);
        if !is_measured && class.is_default() {
            return self.begun_ns.set(0);
        }
        self.begun_ns.set(clock::now_ns());
        if class.was_long() {
            self.cpu_before.set(cpu_time());
        }
    }

    /// The calling thread, which is in the poll, has left a waker to others.
    pub(super) fn deferred(&self, waker: &Waker) {
        if id_of(waker).is_some_and(|id| id.as_u64() == self.task.get()) {
            self.woken.set(true);
        }
    }

    /// `None` if the poll was not measured. To be asked when it is over.
    #[inline]
    fn length(&self, after: Duration) -> Option<Length> {
        if self.begun_ns.get() == 0 {
            return None;
        }
        if self.length.get().is_none() {
            self.length.set(Some(self.find_out(after)));
        }
        self.length.get()
    }

    fn find_out(&self, after: Duration) -> Length {
        let took = Duration::from_nanos(clock::now_ns().saturating_sub(self.begun_ns.get()));
        if took < after / SHORT_PART {
            return Length::Short;
        }
        let cpu = cpu_time();
        let used = cpu.saturating_sub(self.cpu_before.replace(cpu));
        match used.min(took) {
            used if used >= after => Length::Long,
            used if used < after / SHORT_PART => Length::Short,
            _ => Length::Between,
        }
    }
}

fn cpu_time() -> Duration {
    // Where the system does not tell, all of the time counts.
    thread_cpu_time(current_thread_id()).unwrap_or(Duration::MAX)
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
        if let Some(length) = self.measured_length()
            && class.expected().is_none()
        {
            self.lane().prior.record(length);
        }
    }

    /// The length of the poll that is over, if that is known.
    #[inline]
    fn measured_length(&self) -> Option<Length> {
        let measured = || self.measure.length(self.lane().limits.after);
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
    fn judge(&self, class: TaskClass, again: impl FnOnce() -> bool) -> TaskClass {
        match self.measured_length() {
            None if class.is_default() && !self.tenant().tenure.is_lost() => class,
            length => self.judge_measured(class, length, again),
        }
    }

    #[cold]
    fn judge_measured(
        &self,
        class: TaskClass,
        length: Option<Length>,
        again: impl FnOnce() -> bool,
    ) -> TaskClass {
        let tenant = self.tenant();
        let moves = self.lane().limits.moves;
        let blocked = tenant.tenure.is_lost() && tenant.verdict() == Some(Place::Blocking);
        let length = length.unwrap_or(Length::Between);
        let again = || self.measure.woken.get() || again();
        let hogged = length == Length::Long && self.lane().long.few_wait() && again();
        let polled = Polled {
            length,
            blocked: blocked && moves,
            hogged: hogged && moves,
            counts: elsewhere::counts(TaskClass::counted_in()),
        };
        elsewhere::tell(class, class.polled(polled), &*self.lane().host)
    }
}

/// What a task of the IO lane is like, which the calling thread has just polled, wherever that was.
#[inline]
pub(super) fn judge(lane: &Lane, class: TaskClass, again: impl FnOnce() -> bool) -> TaskClass {
    Local::of_thread(|local| match local.filter(|local| local.is_in(lane)) {
        Some(local) => local.judge(class, again),
        None => elsewhere::judge(class, again, &*lane.host),
    })
}
