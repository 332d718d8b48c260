//! The state word of a task: nothing but its bits and the moves between them.
//!
//! # Who may touch what
//!
//! - The *stage* belongs to whoever holds [`RUNNING`]: it is the future, and becomes the output before
//!   [`COMPLETE`] is set. From then on it belongs to the [`JOIN_INTEREST`] holder, or to the completing thread
//!   if there is none, and is nothing once that one has dropped it, or taken it and set [`CONSUMED`].
//! - The *join waker* belongs to the join handle while [`JOIN_WAKER`] is clear; while it is set, the
//!   handle and the completing thread may both read it and neither may write it.
//! - Every [`Task`](super::Task) (a place in some queue), join handle, abort handle, waker and registry
//!   entry owns one reference.
//!
//! # Completion of a handle
//!
//! ```text
//! the thread that runs the task             the join handle
//! 1. write the output                       1. write the waker
//! 2. RUNNING -> COMPLETE (release)          2. set JOIN_WAKER, unless COMPLETE (acq-rel)
//! 3. JOIN_WAKER seen in 2: wake it          3. COMPLETE seen: take the waker back, read the output
//! 4. clear JOIN_WAKER; if the handle went   drop: clear JOIN_INTEREST, and JOIN_WAKER unless COMPLETE;
//!    away meanwhile, drop the waker         COMPLETE seen: drop the output
//! ```
//!
//! Both sides move the same word by read-modify-write, so one of them sees the other: either the
//! handle finds COMPLETE, or the runner finds JOIN_WAKER. Loom model: `models::cells`.
//!
//! # A poll on a thread that may not settle
//!
//! ```text
//! the thread that polled                    a worker, or whoever drops the `Task`
//! 1. a reference, for the scheduler         1. take the `Task` out of the queue
//! 2. set HANDED; the task is RUNNING, or    2. HANDED seen, and cleared: what comes after the poll is ours.
//!    COMPLETE and in a registry                RUNNING: into the registry, then idle, queued or
//! 3. queue the `Task`; closed: drop it,        cancelled (dropped: cancelled at once);
//!    which is step 2 of the other side         COMPLETE: out of the registry
//! 4. give the reference back
//! ```
//!
//! A wake in between sees RUNNING and sets NOTIFIED, so there is one `Task`. Only a shutdown makes another where one is queued
//! still; whichever is taken out first does what was handed over, and the other is stale. Loom models: `models::strays`.

use crate::sync::atomic::{AtomicUsize, Ordering};
use std::fmt;

/// Set while one thread has the stage for itself: polling, cancelling, or storing the output.
pub(super) const RUNNING: usize = 1;
/// Set once, when the output (or the failure) is stored; the future is gone by then.
pub(super) const COMPLETE: usize = 1 << 1;
/// Set while a `Task` for it is in some queue; or, with RUNNING, when the runner has to queue it again.
pub(super) const NOTIFIED: usize = 1 << 2;
/// Set while the join handle exists.
pub(super) const JOIN_INTEREST: usize = 1 << 3;
/// Set while the join waker is there for the completing thread to wake.
pub(super) const JOIN_WAKER: usize = 1 << 4;
/// Set by an abort or a shutdown. Whoever next has RUNNING drops the future instead of polling it.
pub(super) const CANCELLED: usize = 1 << 5;

/// Set by the join handle when it has taken the output.
pub(super) const CONSUMED: usize = 1 << 6;

/// Set while the thread that polled the task has left what comes after a poll to a worker: either RUNNING goes with the
/// `Task`, or the task is complete and still in a registry.
pub(super) const HANDED: usize = 1 << 7;

const REF_ONE: usize = 1 << 8;
const FLAGS: usize = REF_ONE - 1;

/// A new task is in the hands of its spawner as a `Task` and a join handle.
const INITIAL: usize = NOTIFIED | JOIN_INTEREST | (2 * REF_ONE);

/// One reading of the state word.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Snapshot(usize);

impl Snapshot {
    pub(super) fn has(self, bits: usize) -> bool {
        self.0 & bits == bits
    }

    fn refs(self) -> usize {
        self.0 / REF_ONE
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [(usize, &str); 8] = [
            (RUNNING, "RUNNING"),
            (COMPLETE, "COMPLETE"),
            (NOTIFIED, "NOTIFIED"),
            (JOIN_INTEREST, "JOIN_INTEREST"),
            (JOIN_WAKER, "JOIN_WAKER"),
            (CANCELLED, "CANCELLED"),
            (CONSUMED, "CONSUMED"),
            (HANDED, "HANDED"),
        ];
        for (bit, name) in NAMES {
            if self.has(bit) {
                write!(f, "{name} ")?;
            }
        }
        write!(f, "refs={}", self.refs())
    }
}

/// What a thread that holds a `Task` finds when it wants to run it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ToRunning {
    /// RUNNING is ours: poll.
    Poll,
    /// RUNNING is ours, and the task was cancelled meanwhile: drop the future.
    Cancel,
    /// A shutdown got there first; only our reference is left to give back.
    Stale,
    /// It has been polled, and what comes after that is ours to do; RUNNING too, unless it is complete.
    Handed,
}

/// What the runner finds after a poll that returned `Pending`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ToIdle {
    /// Nobody woke the task.
    Idle,
    /// It was woken during the poll: the runner still holds a reference and must queue it again.
    Notified,
    /// It was cancelled during the poll; RUNNING is still ours.
    Cancel,
}

/// What is left to do for who wakes a task.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Notified {
    /// To queue it, with the reference that was made for that.
    Queue,
    /// Nothing: whoever runs it queues it after the poll.
    Running,
    /// Nothing: it is queued, or complete.
    Already,
}

/// The state word.
pub(super) struct State(AtomicUsize);

impl State {
    pub(super) fn new() -> Self {
        Self(AtomicUsize::new(INITIAL))
    }

    pub(super) fn load(&self) -> Snapshot {
        Snapshot(self.0.load(Ordering::Acquire))
    }

    /// Moves the word by `step` until it sticks; `step` returns its answer and the new word, or `None`
    /// in place of the word to leave it as it is.
    fn update<R>(&self, mut step: impl FnMut(Snapshot) -> (R, Option<usize>)) -> R {
        let mut current = self.0.load(Ordering::Acquire);
        loop {
            let (answer, next) = step(Snapshot(current));
            let Some(next) = next else { return answer };
            match self
                .0
                .compare_exchange(current, next, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => return answer,
                Err(seen) => current = seen,
            }
        }
    }

    /// Turns the notification in hand into the right to run.
    pub(super) fn to_running(&self) -> ToRunning {
        self.update(|s| {
            if s.has(HANDED) {
                return (ToRunning::Handed, Some(s.0 & !HANDED));
            }
            debug_assert!(s.has(NOTIFIED), "ran a task that was not queued: {s:?}");
            if s.has(RUNNING) || s.has(COMPLETE) {
                // A shutdown cancels queued tasks where they stand.
                (ToRunning::Stale, None)
            } else {
                let next = (s.0 & !NOTIFIED) | RUNNING;
                let answer = if s.has(CANCELLED) {
                    ToRunning::Cancel
                } else {
                    ToRunning::Poll
                };
                (answer, Some(next))
            }
        })
    }

    /// Gives RUNNING up after `Pending`, and the runner's reference with it, unless that is needed to
    /// queue the task again. Never the last reference: the registry has one.
    pub(super) fn to_idle(&self) -> ToIdle {
        self.update(|s| {
            debug_assert!(s.has(RUNNING), "left a poll that was not running: {s:?}");
            if s.has(CANCELLED) {
                (ToIdle::Cancel, None)
            } else if s.has(NOTIFIED) {
                (ToIdle::Notified, Some(s.0 & !RUNNING))
            } else {
                (ToIdle::Idle, Some((s.0 & !RUNNING) - REF_ONE))
            }
        })
    }

    /// What comes after the poll goes to whoever runs the caller's `Task` next.
    pub(super) fn hand(&self) {
        self.0.fetch_or(HANDED, Ordering::AcqRel);
    }

    /// The holder of a `Task` asks whether it was handed what comes after a poll; from then on it has to do that.
    pub(super) fn unhand(&self) -> bool {
        Snapshot(self.0.fetch_and(!HANDED, Ordering::AcqRel)).has(HANDED)
    }

    /// Publishes the output. The snapshot is the word as it was at that moment.
    pub(super) fn to_complete(&self) -> Snapshot {
        let before = Snapshot(self.0.fetch_xor(RUNNING | COMPLETE, Ordering::AcqRel));
        debug_assert!(
            before.has(RUNNING) && !before.has(COMPLETE),
            "completed twice: {before:?}"
        );
        before
    }

    pub(super) fn notify(&self) -> Notified {
        self.update(|s| {
            if s.has(COMPLETE) {
                (Notified::Already, None)
            } else if s.has(NOTIFIED) {
                // Written even so: what the caller did before is to be seen by the poll that comes.
                (Notified::Already, Some(s.0))
            } else if s.has(RUNNING) {
                (Notified::Running, Some(s.0 | NOTIFIED))
            } else {
                (Notified::Queue, Some((s.0 | NOTIFIED) + REF_ONE))
            }
        })
    }

    /// Asks for cancellation. The task has to be woken after that, so that somebody carries it out.
    pub(super) fn cancel(&self) {
        self.0.fetch_or(CANCELLED, Ordering::AcqRel);
    }

    /// Cancels here and now, wherever the task is queued. True if RUNNING is ours; false if somebody
    /// else is at it and will see CANCELLED, or it is done.
    pub(super) fn shutdown(&self) -> bool {
        self.update(|s| {
            if s.has(COMPLETE) {
                (false, None)
            } else if s.has(RUNNING) {
                (false, Some(s.0 | CANCELLED))
            } else {
                (true, Some(s.0 | CANCELLED | RUNNING))
            }
        })
    }

    /// The handle has written the waker. False if the task completed first: the waker is the handle's.
    pub(super) fn set_join_waker(&self) -> bool {
        self.update(|s| {
            debug_assert!(s.has(JOIN_INTEREST) && !s.has(JOIN_WAKER));
            if s.has(COMPLETE) {
                (false, None)
            } else {
                (true, Some(s.0 | JOIN_WAKER))
            }
        })
    }

    /// The handle wants to write another waker. False if the task completed first.
    pub(super) fn unset_join_waker(&self) -> bool {
        self.update(|s| {
            if s.has(COMPLETE) {
                // The completing thread may have cleared JOIN_WAKER already.
                return (false, None);
            }
            debug_assert!(s.has(JOIN_INTEREST) && s.has(JOIN_WAKER), "{s:?}");
            (true, Some(s.0 & !JOIN_WAKER))
        })
    }

    /// The completing thread has woken the handle. True if the handle is gone and the waker is ours.
    pub(super) fn join_woken(&self) -> bool {
        let before = Snapshot(self.0.fetch_and(!JOIN_WAKER, Ordering::AcqRel));
        !before.has(JOIN_INTEREST)
    }

    /// The handle, to which the output belongs, takes it; false if it has done so before.
    pub(super) fn consume(&self) -> bool {
        let before = Snapshot(self.0.fetch_or(CONSUMED, Ordering::Relaxed));
        debug_assert!(before.has(COMPLETE) && before.has(JOIN_INTEREST));
        !before.has(CONSUMED)
    }

    /// The handle goes away. Returns (the output is the handle's to drop, the waker is the handle's).
    pub(super) fn drop_join_handle(&self) -> (bool, bool) {
        self.update(|s| {
            debug_assert!(s.has(JOIN_INTEREST));
            if s.has(COMPLETE) {
                let output_left = !s.has(CONSUMED);
                let waker_left = !s.has(JOIN_WAKER);
                ((output_left, waker_left), Some(s.0 & !JOIN_INTEREST))
            } else {
                ((false, true), Some(s.0 & !(JOIN_INTEREST | JOIN_WAKER)))
            }
        })
    }

    pub(super) fn ref_inc(&self) {
        // Relaxed: a new reference is made from one that the caller already has.
        let before = self.0.fetch_add(REF_ONE, Ordering::Relaxed);
        // A leak of wakers that overflows the count must not become a use after free.
        if before > isize::MAX as usize {
            std::process::abort();
        }
    }

    /// Gives `n` references back. True if they were the last.
    pub(super) fn ref_dec(&self, n: usize) -> bool {
        let before = Snapshot(self.0.fetch_sub(n * REF_ONE, Ordering::AcqRel));
        debug_assert!(before.refs() >= n, "reference count underflow: {before:?}");
        before.refs() == n
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.load().fmt(f)
    }
}

const _: () = assert!(
    FLAGS
        == RUNNING
            | COMPLETE
            | NOTIFIED
            | JOIN_INTEREST
            | JOIN_WAKER
            | CANCELLED
            | CONSUMED
            | HANDED
);
