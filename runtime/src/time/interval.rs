use super::{Duration, Instant, Sleep, sleep_until};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// Ticks every `period`, the first time at once.
///
/// # Panics
///
/// If `period` is zero, or outside a runtime.
///
/// # Examples
///
/// ```
/// use evenkeel::time::{Duration, interval};
/// # evenkeel::runtime::Runtime::new().unwrap().block_on(async {
/// let mut interval = interval(Duration::from_millis(1));
/// interval.tick().await; // at once
/// interval.tick().await; // a millisecond later
/// # });
/// ```
#[track_caller]
pub fn interval(period: Duration) -> Interval {
    interval_at(Instant::now(), period)
}

/// Ticks every `period`, the first time at `start`.
///
/// # Panics
///
/// If `period` is zero, or outside a runtime.
#[track_caller]
pub fn interval_at(start: Instant, period: Duration) -> Interval {
    assert!(
        !period.is_zero(),
        "the period of an interval must not be zero"
    );
    Interval {
        sleep: sleep_until(start),
        period,
        missed: MissedTickBehavior::default(),
    }
}

/// What an [`Interval`] does about ticks that were not taken in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissedTickBehavior {
    /// The missed ticks come at once, one after another, until the interval has caught up with its
    /// schedule.
    #[default]
    Burst,
    /// The next tick comes a period after the late one, and the schedule moves.
    Delay,
    /// The missed ticks are left out, and the next one is at a multiple of the period from the
    /// start.
    Skip,
}

impl MissedTickBehavior {
    /// The tick after the one that was due at `due` and taken at `now`.
    fn next(self, due: Instant, now: Instant, period: Duration) -> Instant {
        let far = || Instant::after(Duration::MAX);
        let step = match self {
            MissedTickBehavior::Burst => return due.checked_add(period).unwrap_or_else(far),
            MissedTickBehavior::Delay => return now.checked_add(period).unwrap_or_else(far),
            MissedTickBehavior::Skip => {
                let phase = (now - due).as_nanos() % period.as_nanos();
                // Below the period, which fits.
                period - Duration::from_nanos(u64::try_from(phase).unwrap_or(u64::MAX))
            }
        };
        now.checked_add(step).unwrap_or_else(far)
    }
}

/// Late by more than this counts as missed: a timer is always a little late.
const TOLERANCE: Duration = Duration::from_millis(5);

/// A stream of ticks, made by [`interval`] and [`interval_at`].
#[derive(Debug)]
pub struct Interval {
    sleep: Sleep,
    period: Duration,
    missed: MissedTickBehavior,
}

impl Interval {
    /// Waits for the next tick, and returns the moment at which it was due.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: no tick is lost.
    pub async fn tick(&mut self) -> Instant {
        poll_fn(|cx| self.poll_tick(cx)).await
    }

    /// Polls for the next tick.
    pub fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<Instant> {
        ready!(Pin::new(&mut self.sleep).poll(cx));
        let due = self.sleep.deadline();
        let now = Instant::now();
        let next = if now > due + TOLERANCE {
            self.missed.next(due, now, self.period)
        } else {
            MissedTickBehavior::Burst.next(due, now, self.period)
        };
        Pin::new(&mut self.sleep).reset(next);
        Poll::Ready(due)
    }

    /// Makes the next tick come a period from now.
    pub fn reset(&mut self) {
        self.reset_after(self.period);
    }

    /// Makes the next tick come at once.
    pub fn reset_immediately(&mut self) {
        self.reset_at(Instant::now());
    }

    /// Makes the next tick come `after` from now; the others follow it by the period.
    pub fn reset_after(&mut self, after: Duration) {
        self.reset_at(Instant::after(after));
    }

    /// Makes the next tick come at `deadline`; the others follow it by the period.
    pub fn reset_at(&mut self, deadline: Instant) {
        Pin::new(&mut self.sleep).reset(deadline);
    }

    /// What happens to missed ticks.
    pub fn missed_tick_behavior(&self) -> MissedTickBehavior {
        self.missed
    }

    /// Sets what happens to missed ticks.
    pub fn set_missed_tick_behavior(&mut self, behavior: MissedTickBehavior) {
        self.missed = behavior;
    }

    /// The time between two ticks.
    pub fn period(&self) -> Duration {
        self.period
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missed_ticks() {
        let ms = Duration::from_millis;
        let due = Instant::now();
        let now = due + ms(250);
        assert_eq!(
            MissedTickBehavior::Burst.next(due, now, ms(100)),
            due + ms(100)
        );
        assert_eq!(
            MissedTickBehavior::Delay.next(due, now, ms(100)),
            due + ms(350)
        );
        assert_eq!(
            MissedTickBehavior::Skip.next(due, now, ms(100)),
            due + ms(300)
        );
    }

    #[test]
    fn a_period_beyond_the_clock_does_not_overflow() {
        let now = Instant::now();
        for behavior in [
            MissedTickBehavior::Burst,
            MissedTickBehavior::Delay,
            MissedTickBehavior::Skip,
        ] {
            assert!(behavior.next(now, now + Duration::from_secs(1), Duration::MAX) > now);
        }
    }
}
