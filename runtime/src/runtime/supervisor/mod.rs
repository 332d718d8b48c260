//! The supervisor, a thread: it polls for IO when no worker does, fires timers, and makes threads.
//!
//! Idle workers poll the driver themselves. But one that leaves the poll with an event may get
//! stuck in a task, with nobody behind it: so while any IO worker is awake, the supervisor looks
//! after them. It replaces those that are stuck ([`sysmon`]); and if nobody has polled for a while
//! it does so itself ([`poll_watch`]), and fires the timers of workers that do not get to it, which
//! happens where stuck workers cannot be replaced. When all have slept for a while it stops
//! looking, so that an idle process has no periodic wake-ups; a worker that wakes up makes it look
//! again ([`watch`](crate::scheduler::watch)).
//!
//! It stops looking only while somebody is in the poll: a worker that has to sleep elsewhere,
//! because another thread is polling, cannot know that this thread is about to leave. If that was
//! the supervisor, it has a worker take the turn; if it was a worker, that one is awake, and is
//! watched over.

mod affinity_watch;
mod compute_watch;
pub(crate) mod displace;
mod kick_watch;
mod look;
mod poll_watch;
mod quiet;
mod quota_watch;
mod shared_cores;
#[cfg(all(test, not(evenkeel_loom)))]
mod simulation;
mod spares;
mod stuck;
mod sysmon;
pub(crate) mod takeover;
mod thread_factory;
mod timers;
pub(crate) mod watch;

use super::context;
use super::shared::Shared;
use crate::scheduler::worker::{Caller, become_supervisor};
use crate::timers::Sleeper;
use affinity_watch::AffinityWatch;
use kick_watch::KickWatch;
use look::{Look, PATIENCE, shortest};
use poll_watch::PollWatch;
use quiet::Quiet;
use quota_watch::QuotaWatch;
use shared_cores::SharedCores;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use sysmon::Sysmon;
use thread_factory::ThreadFactory;

/// The body of the supervisor.
pub(super) fn run(shared: &Arc<Shared>) {
    become_supervisor();
    shared.cpus.set_supervisor();
    // A waker that drops the runtime here must not wait for this thread to end.
    context::become_worker();
    let body = match shared.current_thread {
        Some(_) => serve,
        None => supervise,
    };
    Caller::with(|caller| body(shared, caller));
    shared.finish_tokio();
}

/// The duties in a runtime of the current-thread flavour: to make threads, and to keep the timers
/// of those that keep none. The thread that runs the tasks is looked after by nobody, and nobody
/// polls the driver in its place.
fn serve(shared: &Arc<Shared>, caller: &Caller<'_>) {
    let watch = &*shared.watch;
    let mut factory = ThreadFactory::default();
    let mut quota = QuotaWatch::new();
    let sleeper = Sleeper::new(&shared.clock, &shared.watch, &shared.driver_timers);
    while !watch.stop.load(Ordering::Acquire) {
        let look = Look::now(shared, caller);
        // Not again later: nothing else wakes this thread up now and then.
        quota.look_before_compute(look);
        let threads_due = factory.look(look);
        let timers_due = timers::look_at_own(look);
        let timeout = shortest([threads_due, timers_due]);
        sleeper.sleep(|| watch.parker.park(timeout));
    }
    ThreadFactory::finish(shared);
}

/// While the clock is paused, this thread is its keeper, and polls for all; nobody is watched over.
fn keep_clock(shared: &Shared, timeout: Option<Duration>) {
    let watch = &*shared.watch;
    let Some(mut driver) = watch.driver.try_lock() else {
        // A worker that has not seen yet that the clock is paused; or it looks for events in
        // between, and will tell when it sleeps.
        watch.parker.park(timeout);
        return;
    };
    let look = || {
        driver.look();
    };
    if !shared.clock.advance_if_quiet(look) {
        watch.parker.park_in_driver(|| driver.poll(timeout));
    }
}

/// Looks at each duty in turn, and sleeps until the first of them is due or somebody unparks it.
fn supervise(shared: &Arc<Shared>, caller: &Caller<'_>) {
    let watch = &*shared.watch;
    let mut factory = ThreadFactory::default();
    let mut quiet = Quiet::default();
    let mut cores = SharedCores::new(shared);
    let mut quota = QuotaWatch::new();
    let mut affinity = AffinityWatch::new();
    let mut kick = KickWatch::new();
    let mut sysmon = Sysmon::new(shared);
    let mut polls = PollWatch::new(watch.driver.polls());
    while !watch.stop.load(Ordering::Acquire) {
        let look = Look::now(shared, caller);
        quota.look_before_compute(look);
        let threads_due = factory.look(look);
        let timers_due = timers::look(look);
        if shared.clock.is_paused() {
            keep_clock(shared, shortest([threads_due, timers_due]));
            continue;
        }
        let is_looking = quiet.keep_looking(shared);
        let workers_due = is_looking.then(|| {
            // Making threads and calling wakers may have taken long.
            let look = Look::now(shared, caller);
            cores.look(look);
            quota.look(look);
            affinity.look(look);
            kick.look(look);
            sysmon.look(look).unwrap_or(PATIENCE)
        });
        // Somebody has to be in the poll before this thread goes to sleep for long.
        let poll_due = polls.until_due(watch.driver.polls());
        let has_to_poll = !is_looking || poll_due.is_none() || sysmon.all_stuck();
        let poll_due = poll_due.filter(|_| is_looking);
        let timeout = shortest([threads_due, timers_due, workers_due, poll_due]);
        if has_to_poll && let Some(mut driver) = watch.driver.try_lock() {
            watch.parker.park_in_driver(|| driver.poll(timeout));
            drop(driver);
            polls.polled(watch.driver.polls());
        } else {
            watch.parker.park(timeout);
        }
    }
    ThreadFactory::finish(shared);
}
