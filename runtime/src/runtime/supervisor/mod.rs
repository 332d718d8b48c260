//! The supervisor, a thread: it polls for IO when no worker does, fires timers, and makes threads.
//!
//! Idle workers poll the driver themselves. But one that leaves the poll with an event may get
//! stuck in a task, with nobody behind it: so while any IO worker is awake, the supervisor looks
//! after them. It replaces those that are stuck ([`sysmon`]); and if nobody has polled for
//! [`POLL_AFTER`], it does so itself, and fires the timers of workers that do not get to it, which
//! happens where stuck workers cannot be replaced. When all have slept for a while it stops
//! looking, so that an idle process has no periodic wake-ups; a worker that wakes up makes it look
//! again ([`watch`](crate::scheduler::watch)).
//!
//! It stops looking only while somebody is in the poll: a worker that has to sleep elsewhere,
//! because another thread is polling, cannot know that this thread is about to leave. If that was
//! the supervisor, it has a worker take the turn; if it was a worker, that one is awake, and is
//! watched over.

mod compute_watch;
pub(crate) mod displace;
mod shared_cores;
#[cfg(all(test, not(evenkeel_loom)))]
mod simulation;
mod spares;
mod stuck;
mod sysmon;
pub(crate) mod takeover;
pub(crate) mod watch;

use super::context;
use super::first_use::FirstUse;
use super::shared::Shared;
use crate::panics::{log, wake};
use crate::scheduler::worker::{Caller, become_supervisor};
use crate::timers::NEVER;
use crate::timers::clock;
use evenkeel_topology::shorten_slice;
use shared_cores::SharedCores;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use sysmon::Sysmon;

/// If no worker has polled for so long, the supervisor does.
const POLL_AFTER: Duration = Duration::from_millis(20);

/// And once it had to, after so long, because they may be stuck.
const POLL_AGAIN_AFTER: Duration = Duration::from_millis(2);

/// How often it looks after the workers, where takeovers do not ask for more. Each look preempts
/// somebody: with one every 2 ms, the compute lane did 7% less work beside busy IO.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// For how long it goes on looking at sleeping workers.
const QUIET: Duration = Duration::from_millis(40);

/// The least time slice that Linux has.
const SLICE: Duration = Duration::from_micros(100);

/// A worker's timer is overdue by more than this when the worker must be stuck: 2 ms.
const OVERDUE_NS: u64 = 2_000_000;

/// How long to wait before asking for a thread again that the operating system refused.
const THREAD_RETRY: Duration = Duration::from_millis(100);

/// The body of the supervisor.
pub(super) fn run(shared: &Arc<Shared>) {
    become_supervisor();
    // It runs briefly, and others wait for it: those whose worker computes at the same priority.
    if shared.tuning.short_slice {
        let _ = shorten_slice(SLICE);
    }
    // A waker that drops the runtime here must not wait for this thread to end.
    context::become_worker();
    Caller::with(|caller| supervise(shared, caller));
    shared.finish_tokio();
}

fn supervise(shared: &Arc<Shared>, caller: &Caller<'_>) {
    let watch = &*shared.watch;
    let mut maker = Maker::default();
    let mut compute = Starter::default();
    let mut tokio = Starter::default();
    let mut cores = SharedCores::new(shared);
    let mut sysmon = Sysmon::new(shared);
    let mut quiet = Quiet::default();
    let mut polls = Polls::new(watch.driver.polls());
    while !watch.stop.load(Ordering::Acquire) {
        let retry = shortest([
            maker.make_threads(shared),
            compute.start_compute(shared),
            tokio.start_tokio(shared),
        ]);
        let deadline_ns = shared.driver_timers.prepare_sleep(clock::now_ns(), wake);
        let due = clock::timeout(deadline_ns);
        fire_overdue(shared);

        let looking = quiet.keep_looking(shared);
        let mut next_look = None;
        if looking {
            cores.look(shared);
            let stood_in = sysmon.all_stuck();
            next_look = Some(sysmon.look(shared, caller).unwrap_or(LOOK_INTERVAL));
            if stood_in && !sysmon.all_stuck() {
                // It may have found the turn taken, by this thread.
                shared.io.wake_somebody(caller);
            }
            have_driver_polled(shared, caller);
        }
        // Somebody has to be in the poll before this thread goes to sleep for long.
        let due_poll = polls.until_due(watch.driver.polls());
        let next_poll = due_poll.filter(|_| looking);
        let timeout = shortest([retry, due, next_look, next_poll]);
        let wanted = !looking || due_poll.is_none() || sysmon.all_stuck();
        if wanted && let Some(mut driver) = watch.driver.try_lock() {
            driver.wait(&watch.parker, timeout);
            drop(driver);
            polls.polled(watch.driver.polls());
        } else {
            watch.parker.park(timeout);
        }
    }
    maker.finish(shared);
}

/// Whether the workers poll the driver as they should.
struct Polls {
    count: u64,
    since: Instant,
    patience: Duration,
}

impl Polls {
    fn new(count: u64) -> Self {
        Polls {
            count,
            since: Instant::now(),
            patience: POLL_AFTER,
        }
    }

    /// The time until this thread has to poll if nobody else does; `None` if that is now.
    fn until_due(&mut self, count: u64) -> Option<Duration> {
        if count != self.count {
            *self = Polls::new(count);
        }
        let left = self.patience.saturating_sub(self.since.elapsed());
        (!left.is_zero()).then_some(left)
    }

    /// This thread has polled, and may have to again soon: that it had to means that they may be
    /// stuck.
    fn polled(&mut self, count: u64) {
        *self = Polls {
            patience: POLL_AGAIN_AFTER,
            ..Polls::new(count)
        };
    }
}

/// Sees to it that a worker polls, where all of them sleep and none does: the last that fell asleep
/// found the turn taken, and whoever had it has left since, this thread most likely.
fn have_driver_polled(shared: &Shared, caller: &Caller<'_>) {
    if shared.io.awake_count() == 0 && shared.driver_lock.try_lock().is_some() {
        shared.io.wake_somebody(caller);
    }
}

fn shortest<const N: usize>(timeouts: [Option<Duration>; N]) -> Option<Duration> {
    timeouts.into_iter().flatten().min()
}

/// The making of threads for the blocking pool and for look-ups; the pools pace it.
#[derive(Default)]
struct Maker {
    /// Not before this.
    again_at: Option<Instant>,
}

impl Maker {
    /// Makes threads if a pool wants some. Some time if it has to be tried again.
    fn make_threads(&mut self, shared: &Shared) -> Option<Duration> {
        let wanted = shared.threads_wanted.load(Ordering::Acquire);
        if !wanted && self.again_at.is_none() {
            return None;
        }
        let now = Instant::now();
        if let Some(at) = self.again_at.filter(|at| *at > now) {
            return Some(at - now);
        }
        shared.threads_wanted.swap(false, Ordering::AcqRel);
        let pause = shared.make_threads(THREAD_RETRY);
        self.again_at = pause.map(|pause| now + pause);
        pause
    }

    /// The last act, once the pools have been shut down: what waits there still runs, and nobody
    /// else makes threads for it. With the system refusing them, those that there are will do; if
    /// there are none, a pool cancels what waits.
    fn finish(&self, shared: &Shared) {
        while let Some(pause) = shared.make_threads(THREAD_RETRY) {
            shared.watch.parker.park(Some(pause));
        }
    }
}

/// The starting of threads that are wanted once somebody uses them.
#[derive(Default)]
struct Starter {
    /// Not before this: the system has refused a thread.
    again_at: Option<Instant>,
}

impl Starter {
    fn start_compute(&mut self, shared: &Arc<Shared>) -> Option<Duration> {
        let log_refused = |error: &io::Error| {
            let (started, wanted) = (shared.compute.started(), shared.compute.workers());
            tracing::error!(%error, started, wanted, "a thread of the compute lane could not be made; \
                tried again until it can");
        };
        let first_use = shared.compute_start.first_use();
        self.start(first_use, || shared.start_compute(), log_refused)
    }

    fn start_tokio(&mut self, shared: &Arc<Shared>) -> Option<Duration> {
        let log_refused = |error: &io::Error| {
            tracing::error!(%error, "the thread of tokio's runtime could not be made; \
                tried again until it can");
        };
        self.start(&shared.tokio_use, || shared.start_tokio(), log_refused)
    }

    /// Lets `start` do it if somebody wants it. Some time if it has to be tried again.
    fn start(
        &mut self,
        first_use: &FirstUse,
        start: impl FnOnce() -> io::Result<()>,
        log_refused: impl FnOnce(&io::Error),
    ) -> Option<Duration> {
        if !first_use.is_wanted() {
            return None;
        }
        let now = Instant::now();
        if let Some(at) = self.again_at.filter(|at| *at > now) {
            return Some(at - now);
        }
        let Err(error) = start() else {
            return None;
        };
        if self.again_at.is_none() {
            log(|| log_refused(&error));
        }
        self.again_at = Some(now + THREAD_RETRY);
        Some(THREAD_RETRY)
    }
}

/// Fires the timers of workers that do not get to it, and clears up for those that sleep.
fn fire_overdue(shared: &Shared) {
    for worker in 0..shared.io.workers() {
        let timers = shared.io.timers(worker);
        if timers.is_crowded() {
            timers.fire(clock::now_ns()).into_iter().for_each(wake);
        }
        let next = timers.next_ns();
        if next != NEVER && !shared.io.is_asleep(worker) {
            let now = clock::now_ns();
            if next.saturating_add(OVERDUE_NS) <= now {
                timers.fire(now).into_iter().for_each(wake);
            }
        }
    }
}

/// An IO worker is awake, or a thread whose seat was taken computes and may have to be lowered, or
/// a task of the IO lane waits in the compute lane.
fn is_anybody_watched(shared: &Shared) -> bool {
    let io = &shared.io;
    io.awake_count() > 0 || io.is_in_long_polls() || shared.compute.has_offloaded()
}

/// For how long no worker has been awake.
#[derive(Default)]
struct Quiet {
    since: Option<Instant>,
}

impl Quiet {
    /// True if there is an IO worker to look after, or has been lately; false if the supervisor may
    /// sleep until somebody unparks it.
    fn keep_looking(&mut self, shared: &Shared) -> bool {
        let watching = &shared.watch.watching;
        if is_anybody_watched(shared) {
            watching.resume();
            self.since = None;
            return true;
        }
        if self.since.get_or_insert_with(Instant::now).elapsed() < QUIET {
            return true;
        }
        let rest = watching.try_rest(|| is_anybody_watched(shared));
        if !rest {
            self.since = None;
        }
        !rest
    }
}
