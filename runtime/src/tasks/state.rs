//! The state word of a task: its bits, and the transitions between them.
//!
//! # Who may touch what
//!
//! - The *stage* belongs to the holder of [`RUNNING`]: it is the future, and becomes the output
//!   before [`COMPLETE`] is set. From then on it belongs to the holder of [`JOIN_INTEREST`], or to
//!   the completing thread if there is none. It is nothing once its owner has dropped it, or has
//!   taken it and set [`CONSUMED`].
//! - The *join waker* belongs to the join handle while [`JOIN_WAKER`] is clear; while it is set,
//!   the handle and the completing thread may both read it and neither may write it.
//! - Every [`Task`](super::Task) (a place in a queue), join handle, abort handle, waker and
//!   registry entry owns one reference.
//!
//! # Completion of a handle
//!
//! ```text
//! the thread that runs the task             the join handle
//! 1. write the output                       1. write the waker
//! 2. RUNNING -> COMPLETE (release)          2. set JOIN_WAKER, unless COMPLETE (acq-rel)
//! 3. JOIN_WAKER seen in 2: wake it          3. COMPLETE seen: take the waker back, read the output
//! 4. clear JOIN_WAKER; if the handle went   drop: clear JOIN_INTEREST, and JOIN_WAKER unless
//!    away meanwhile, drop the waker         COMPLETE; COMPLETE seen: drop the output
//! ```
//!
//! Both sides change the same word by read-modify-write, so one of them sees the other: either the
//! handle finds COMPLETE, or the runner finds JOIN_WAKER. Loom model: `models::cells`.
//!
//! # A poll on a thread that may not enter the registry
//!
//! ```text
//! the thread that polled                    a worker, or whoever drops the `Task`
//! 1. set HANDED; the task is RUNNING, or    1. take the `Task` out of the queue
//!    COMPLETE and in a registry             2. HANDED seen, and cleared: what comes after the poll
//! 2. a reference, for the scheduler            is ours. RUNNING: into the registry, then idle,
//! 3. queue the `Task`; closed: drop it,        queued or cancelled (dropped: cancelled at once);
//!    which is step 2 of the other side         COMPLETE: out of the registry
//! 4. give the reference back
//! ```
//!
//! A wake in between sees RUNNING and sets NOTIFIED, so there is one `Task`. Only a shutdown makes
//! a second one while the first is still queued. The one that is taken out first does what was
//! handed over; the other is stale. Loom models: `models::displaced`.

use evenkeel_sync::atomic::{AtomicUsize, Ordering};
use std::fmt;

/// Set while one thread has the stage for itself: polling, cancelling, or storing the output.
pub(super) const RUNNING: usize = 1;
/// Set once, when the output (or the failure) is stored; the future is gone by then.
pub(super) const COMPLETE: usize = 1 << 1;
/// Set while a `Task` is in a queue. With RUNNING: the runner has to queue the task again.
pub(super) const NOTIFIED: usize = 1 << 2;
/// Set while the join handle exists.
pub(super) const JOIN_INTEREST: usize = 1 << 3;
/// Set while the join waker is there for the completing thread to wake.
pub(super) const JOIN_WAKER: usize = 1 << 4;
/// Set by an abort or a shutdown. The next holder of RUNNING drops the future instead of polling
/// it.
pub(super) const CANCELLED: usize = 1 << 5;

/// Set by the join handle when it has taken the output.
pub(super) const CONSUMED: usize = 1 << 6;

/// Set while what comes after a poll is left to a worker: RUNNING goes with the `Task`, or the task
/// is complete and still in a registry.
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
    /// RUNNING is ours, and the task was cancelled: drop the future.
    Cancel,
    /// A shutdown got there first: only our reference is left to give back.
    Stale,
    /// The task has been polled, and what comes after that is ours to do. So is RUNNING, unless the
    /// task is complete.
    Handed,
}

/// What the runner finds after a poll that returned `Pending`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ToIdle {
    /// Nobody woke the task.
    Idle,
    /// The task was woken during the poll: the runner keeps its reference and must queue the task
    /// again.
    Notified,
    /// The task was cancelled during the poll: RUNNING is still ours.
    Cancel,
}

/// What is left to do for the thread that wakes a task.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Notified {
    /// To queue the task, with the reference that was made for that.
    Queue,
    /// Nothing: the runner queues the task after the poll.
    Running,
    /// Nothing: the task is queued, or complete.
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

    /// Applies `step` to the word until the exchange succeeds. `step` returns its answer and the
    /// new word, or `None` to leave the word as it is.
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

    /// Gives up RUNNING after `Pending`, and the runner's reference with it, unless that is needed
    /// to queue the task again. It is never the last reference: the registry has one.
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

    /// Hands what comes after the poll over to the next holder of the `Task`.
    pub(super) fn hand_over(&self) {
        self.0.fetch_or(HANDED, Ordering::AcqRel);
    }

    /// True if what comes after a poll was handed over with the caller's `Task`; the caller then
    /// has to do it.
    pub(super) fn clear_handed(&self) -> bool {
        Snapshot(self.0.fetch_and(!HANDED, Ordering::AcqRel)).has(HANDED)
    }

    /// Publishes the output. Returns the word as it was before.
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
                // Written all the same, so that the next poll sees what the caller did before.
                (Notified::Already, Some(s.0))
            } else if s.has(RUNNING) {
                (Notified::Running, Some(s.0 | NOTIFIED))
            } else {
                (Notified::Queue, Some((s.0 | NOTIFIED) + REF_ONE))
            }
        })
    }

    /// Asks for cancellation. The task has to be woken afterwards, so that somebody carries it out.
    pub(super) fn cancel(&self) {
        self.0.fetch_or(CANCELLED, Ordering::AcqRel);
    }

    /// Cancels at once, even if the task is queued. True if RUNNING is ours. False if the task is
    /// running, and its runner will see CANCELLED, or if it is complete.
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

    /// The handle has written its waker. False if the task completed first: the waker stays the
    /// handle's.
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

    /// The completing thread has woken the handle. True if the handle is gone and the waker is
    /// ours.
    pub(super) fn join_woken(&self) -> bool {
        let before = Snapshot(self.0.fetch_and(!JOIN_WAKER, Ordering::AcqRel));
        !before.has(JOIN_INTEREST)
    }

    /// The handle takes the output, which belongs to it. False if it has done so before.
    pub(super) fn consume(&self) -> bool {
        let before = Snapshot(self.0.fetch_or(CONSUMED, Ordering::Relaxed));
        debug_assert!(before.has(COMPLETE) && before.has(JOIN_INTEREST));
        !before.has(CONSUMED)
    }

    /// The handle is dropped. Returns whether the output is the handle's to drop, and whether the
    /// waker is.
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

    /// Gives back `n` references. True if they were the last.
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
