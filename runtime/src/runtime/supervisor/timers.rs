//! The timers that the supervisor fires: those of threads that keep none themselves, and those that
//! a worker does not get to.

use super::look::{COARSE, Look};
use crate::panics::wake;
use crate::timers::{NEVER, OwnTimers, clock};
use std::time::Duration;

/// Fires what is due. The time until the next of the supervisor's own is, after which somebody who
/// sets an earlier one unparks it.
pub(super) fn look(look: Look<'_>) -> Option<Duration> {
    let deadline_ns = fire_own(look);
    for worker in 0..look.shared.io.workers() {
        fire_overdue(look, worker);
    }
    clock::timeout(deadline_ns)
}

/// The same, of the supervisor's own alone.
pub(super) fn look_at_own(look: Look<'_>) -> Option<Duration> {
    clock::timeout(fire_own(look))
}

/// Returns when the next one is due, in the system's time.
fn fire_own(look: Look<'_>) -> u64 {
    let clock = &look.shared.clock;
    let own = OwnTimers::assume(&look.shared.driver_timers);
    clock.to_system(own.prepare_sleep(clock.now_ns(), wake))
}

/// Fires the timers of a worker that does not get to it, and clears up for one that sleeps.
fn fire_overdue(look: Look<'_>, worker: usize) {
    let io = &look.shared.io;
    let (timers, clock) = (io.timers(worker), &look.shared.clock);
    let is_overdue = || {
        let next = timers.next_ns();
        next != NEVER
            && !io.is_asleep(worker)
            && next.saturating_add(COARSE.as_nanos() as u64) <= clock.now_ns()
    };
    if (timers.is_crowded() || is_overdue())
        && let Some(proof) = look.caller.latency_critical()
    {
        let due = timers.fire(clock.now_ns(), proof);
        due.into_iter().for_each(wake);
    }
}
