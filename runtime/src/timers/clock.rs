//! The clock of the timers: monotonic, in nanoseconds since its first use in the process.

use super::wheel::NEVER;
#[cfg(target_os = "linux")]
use evenkeel_sync::panics::log;
use std::num::NonZeroU64;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

fn start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}

#[cfg(not(evenkeel_loom))]
pub(crate) fn now_ns() -> u64 {
    // 64 bits of nanoseconds last 584 years.
    start().elapsed().as_nanos() as u64
}

/// In a model no time passes.
#[cfg(evenkeel_loom)]
pub(crate) fn now_ns() -> u64 {
    0
}

/// Zero for instants before the start. Those more than 584 years ahead never come.
pub(crate) fn to_ns(instant: Instant) -> u64 {
    let since = instant.saturating_duration_since(start());
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX - 1)
}

/// A span of time. What is too long is as long as can be.
pub(crate) fn saturating_ns(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(NEVER)
}

/// The reverse of [`to_ns`].
#[cfg(all(feature = "test-util", not(evenkeel_loom)))]
pub(crate) fn to_instant(ns: u64) -> Instant {
    start() + Duration::from_nanos(ns)
}

/// The time from now to `deadline_ns`; zero if that has passed.
pub(crate) fn until(deadline_ns: u64) -> Duration {
    Duration::from_nanos(deadline_ns.saturating_sub(now_ns()))
}

/// How long a thread may sleep whose earliest timer is due at `deadline_ns`; `None` if that is
/// [`NEVER`].
pub(crate) fn timeout(deadline_ns: u64) -> Option<Duration> {
    (deadline_ns != NEVER).then(|| until(deadline_ns))
}

/// Turns off the timer slack of this thread, by which Linux may let it sleep up to 50 us longer, to
/// wake it along with others. Threads and processes that it makes inherit this.
pub(crate) fn wake_on_time() {
    // Zero would mean the default.
    set_timer_slack(NonZeroU64::MIN);
}

/// The timer slack of this thread, in nanoseconds. `None` where there is no such thing.
pub(crate) fn timer_slack() -> Option<NonZeroU64> {
    #[cfg(target_os = "linux")]
    let slack = rustix::thread::current_timer_slack().ok();
    #[cfg(not(target_os = "linux"))]
    let slack = None;
    slack.and_then(NonZeroU64::new)
}

pub(crate) fn set_timer_slack(nanoseconds: NonZeroU64) {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::thread::set_current_timer_slack(Some(nanoseconds)) {
        log(|| tracing::debug!(%error, "the slack of timers could not be set"));
    }
    #[cfg(not(target_os = "linux"))]
    let _ = nanoseconds;
}

#[cfg(all(test, not(evenkeel_loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_clock_takes_every_instant() {
        let now = Instant::now();
        assert!(to_ns(now) <= now_ns());
        let year = Duration::from_secs(365 * 86_400);
        assert!(to_ns(now + 500 * year) > to_ns(now + 499 * year));
        if let Some(before) = now.checked_sub(year) {
            assert_eq!(
                to_ns(before),
                0,
                "what lies before the start is due at once"
            );
        }
        assert_eq!(until(0), Duration::ZERO);
    }
}
