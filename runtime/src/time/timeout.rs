use super::error::Elapsed;
use super::{Duration, Instant, Sleep};
use crate::task::coop;
use crate::tasks::budget;
use pin_project_lite::pin_project;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{Context, Poll};

/// Awaits `future`, but no longer than `duration`.
///
/// The future is polled first each time, so a future that is ready completes even if the time is
/// over. A future that computes inside a poll is not interrupted.
///
/// # Errors
///
/// [`Elapsed`] if the time was over first; the future is dropped along with the `Timeout`.
///
/// # Panics
///
/// Outside a runtime.
///
/// # Cancel safety
///
/// As cancel safe as `future`.
///
/// # Examples
///
/// ```
/// use evenkeel::time::{Duration, timeout};
/// # evenkeel::runtime::Runtime::new().unwrap().block_on(async {
/// let never = std::future::pending::<()>();
/// assert!(timeout(Duration::from_millis(1), never).await.is_err());
/// # });
/// ```
#[track_caller]
pub fn timeout<F: IntoFuture>(duration: Duration, future: F) -> Timeout<F::IntoFuture> {
    timeout_at(Instant::after(duration), future)
}

/// Awaits `future`, but not beyond `deadline`. See [`timeout`].
///
/// # Errors
///
/// [`Elapsed`] if the deadline came first.
///
/// # Panics
///
/// Outside a runtime.
///
/// # Cancel safety
///
/// As cancel safe as `future`.
#[track_caller]
pub fn timeout_at<F: IntoFuture>(deadline: Instant, future: F) -> Timeout<F::IntoFuture> {
    Timeout {
        future: future.into_future(),
        sleep: super::sleep_until(deadline),
    }
}

pin_project! {
    /// The future of [`timeout`] and [`timeout_at`].
    #[must_use = "futures do nothing unless they are awaited or polled"]
    #[derive(Debug)]
    pub struct Timeout<F> {
        #[pin]
        future: F,
        sleep: Sleep,
    }
}

impl<F> Timeout<F> {
    /// The future.
    pub fn get_ref(&self) -> &F {
        &self.future
    }

    /// The future.
    pub fn get_mut(&mut self) -> &mut F {
        &mut self.future
    }

    /// The future, without its timeout.
    pub fn into_inner(self) -> F {
        self.future
    }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let had_budget = coop::has_budget_remaining();
        if let Poll::Ready(output) = this.future.poll(cx) {
            return Poll::Ready(Ok(output));
        }
        let elapsed = if had_budget && !coop::has_budget_remaining() {
            // Otherwise a future that uses up the budget in every poll would put off its own
            // timeout for ever.
            budget::with_unconstrained(|| Pin::new(this.sleep).poll(cx))
        } else {
            Pin::new(this.sleep).poll(cx)
        };
        elapsed.map(|()| Err(Elapsed(())))
    }
}
