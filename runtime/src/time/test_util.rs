//! Pausing the clock.

use super::Duration;
use crate::runtime::context;
use crate::task::yield_now;
use crate::timers::{Refused, clock, was_ever_paused};

/// Pauses the clock of the current runtime: [`Instant::now`](super::Instant::now) stands still, and
/// timers with it.
///
/// It moves on by [`advance`]; and by itself, to the next timer, as soon as nothing is left to do:
/// all tasks of the runtime wait, so does every future in `block_on`, no closure of
/// [`spawn_blocking`](crate::spawn_blocking) or [`spawn_compute`](crate::spawn_compute) runs or is
/// queued, and no event is there. So a test that sleeps for an hour takes no time, and a timer is
/// never late. A future that waits for IO does not keep the clock from moving on; nor does one that
/// waits for another thread of the program, another runtime, or something of tokio's own.
///
/// Only [`Instant::now`](super::Instant::now) follows, on threads that are in the runtime. While
/// the clock is paused, no worker is replaced that computes or blocks
/// ([`TakeoverPolicy`](crate::runtime::TakeoverPolicy)). Unlike in tokio, any flavour of runtime
/// can be paused.
///
/// For tests. Needs the feature `test-util`.
///
/// # Panics
///
/// Outside a runtime, or if the clock is paused already.
///
/// # Examples
///
/// ```
/// use evenkeel::time::{Duration, Instant, pause, sleep};
/// # evenkeel::runtime::Runtime::new().unwrap().block_on(async {
/// pause();
/// let start = Instant::now();
/// sleep(Duration::from_secs(3600)).await;
/// assert_eq!(start.elapsed(), Duration::from_secs(3600));
/// # });
/// ```
#[track_caller]
pub fn pause() {
    refuse(context::current_shared().clock.pause());
}

/// Lets the clock of the current runtime go on from where it is, as fast as the system's.
///
/// # Panics
///
/// Outside a runtime, or if the clock is not paused.
#[track_caller]
pub fn resume() {
    refuse(context::current_shared().clock.resume());
}

/// Moves the paused clock of the current runtime on, and yields once.
///
/// Timers that are due by then fire all at once, in the order of their deadlines on each thread.
/// What they wake has not necessarily run when this returns.
///
/// # Panics
///
/// Outside a runtime, or if the clock is not paused.
///
/// # Cancel safety
///
/// The clock is moved on in the first poll.
///
/// # Examples
///
/// ```
/// use evenkeel::time::{self, Duration};
/// # evenkeel::runtime::Runtime::new().unwrap().block_on(async {
/// time::pause();
/// let sleep = time::sleep(Duration::from_secs(5));
/// time::advance(Duration::from_secs(6)).await;
/// assert!(sleep.is_elapsed());
/// # });
/// ```
pub async fn advance(duration: Duration) {
    refuse(context::current_shared().clock.advance(duration));
    yield_now().await;
}

#[track_caller]
fn refuse(changed: Result<(), Refused>) {
    if let Err(refused) = changed {
        panic!("{refused}");
    }
}

/// What the clock of this thread's runtime shows.
pub(super) fn now() -> std::time::Instant {
    if !was_ever_paused() {
        return std::time::Instant::now();
    }
    let own_ns = context::try_current_shared().and_then(|runtime| runtime.clock.own_now_ns());
    own_ns.map_or_else(std::time::Instant::now, clock::to_instant)
}
