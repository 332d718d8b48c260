//! What a poll on the IO lane says of its task, and of others like it.

use super::kind::Kind;
use super::lane::Lane;
use super::offload;
use super::worker::WorkerState;
use crate::tasks::budget::take_put_off;
use crate::tasks::{Id, Length, Place, Polled, TaskClass};
use std::time::Duration;

/// A task has a large share of a core if it has one part in this many of it.
const LARGE_SHARE_PART: u32 = 8;

/// A poll counts towards being a hog when the CPU time of all long polls passes a multiple of this:
/// every poll of 10 ms does, and every tenth of 1 ms.
const COUNTED: Duration = Duration::from_millis(10);

impl WorkerState {
    /// The poll is over; the task was of this class before. Others learn from those of which
    /// nothing is settled.
    #[inline]
    pub(super) fn learn(&self, class: TaskClass) {
        let Some(length) = self.measured_length() else {
            return;
        };
        if class.expected().is_none() {
            self.lane.prior.record(length);
        }
        if length == Length::Long {
            self.lane.long.record(self.measure.used());
        }
    }

    /// The length of the poll that is over, if that is known.
    #[inline]
    fn measured_length(&self) -> Option<Length> {
        let (thread, after) = (self.thread().id(), self.lane.limits.after);
        let measured = || self.measure.length(thread, after);
        if !self.thread().has_lost_seat() {
            return measured();
        }
        match self.thread().verdict() {
            Some(Place::Compute) => measured().or(Some(Length::Long)),
            // It gave its place up for what it does, or slept: that says nothing of the next one.
            _ => None,
        }
    }

    /// What a task is like after a poll that this thread has made in a seat of the IO lane.
    #[inline]
    fn judge(&self, class: TaskClass) -> TaskClass {
        match self.measured_length() {
            None if class.is_calm() && !self.thread().has_lost_seat() => class,
            length => self.judge_measured(class, length),
        }
    }

    /// The poll counts as one of a hog, if its task goes on: it has used a large share of what long
    /// polls have used since it came, so that other programs do not matter. Not known of one that
    /// did not wait among them.
    fn hogs(&self) -> bool {
        let long = &self.lane.long;
        let (before, used) = (long.used(), self.measure.used());
        let after = before + used;
        let Some(since) = self.measure.waited_since.get() else {
            return false;
        };
        let of_a_core = after.saturating_sub(since) / self.lane.workers() as u32;
        let counts =
            before.as_millis() / COUNTED.as_millis() != after.as_millis() / COUNTED.as_millis();
        counts && used * LARGE_SHARE_PART >= of_a_core
    }

    #[cold]
    fn judge_measured(&self, class: TaskClass, length: Option<Length>) -> TaskClass {
        let thread = self.thread();
        let moves = self.lane.limits.moves;
        let blocked = thread.has_lost_seat() && thread.verdict() == Some(Place::Blocking);
        let length = length.unwrap_or(Length::Between);
        let busy = length == Length::Long && !take_put_off() && self.measure.woken.get();
        let polled = Polled {
            length,
            blocked: blocked && moves,
            busy,
            hogs: busy && moves && self.hogs(),
            counts: offload::counts(TaskClass::counted_in()),
        };
        offload::tell(class, class.polled(polled), &*self.lane.hooks)
    }
}

/// The calling thread, in a poll or not, has woken the task, or has left that to others.
#[inline]
pub(super) fn woken_in_poll(task: Id) {
    WorkerState::of_thread(
        |state| match state.filter(|state| state.kind() == Kind::Io) {
            Some(state) => state.measure.woken_in_poll(task),
            None => offload::woken_in_poll(task),
        },
    );
}

/// What a task of the IO lane is like, which the calling thread has just polled, wherever that was.
#[inline]
pub(super) fn judge(lane: &Lane, class: TaskClass) -> TaskClass {
    WorkerState::of_thread(|state| match state.filter(|state| state.is_of(lane)) {
        Some(state) => state.judge(class),
        None => offload::judge(class, &*lane.hooks),
    })
}
