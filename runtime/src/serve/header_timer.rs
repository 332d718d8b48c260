//! The timer with which hyper limits the time for the header of an HTTP/1 request.
//!
//! hyper makes a sleep for each request, polls it once and drops it when the request comes. Set and
//! cancelled each time, it was a tenth of the time of a request that does little. So a connection
//! has one sleep, and dropping what hyper got of it does not cancel it: the next one goes on with
//! it. It may be due too early then, is found to be, and set again, once in as long as a header may
//! take.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hyper::rt;
use parking_lot::Mutex;

use crate::time::{Duration, Instant, Sleep, sleep_until};

/// Makes the sleeps of one connection.
#[derive(Default)]
pub(super) struct HeaderTimer {
    unused: Unused,
}

/// What was set and is waited for by nobody.
type Unused = Arc<Mutex<Option<Pin<Box<Sleep>>>>>;

/// Completes at `deadline`.
struct HeaderSleep {
    deadline: Instant,
    /// Set to that, or earlier.
    sleep: Option<Pin<Box<Sleep>>>,
    unused: Unused,
}

impl rt::Timer for HeaderTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn rt::Sleep>> {
        self.sleep_until(Instant::after(duration).into_std())
    }

    fn sleep_until(&self, deadline: std::time::Instant) -> Pin<Box<dyn rt::Sleep>> {
        let deadline = Instant::from_std(deadline);
        let mut sleep = self.unused.lock().take();
        if let Some(sleep) = sleep.as_mut().filter(|sleep| sleep.deadline() > deadline) {
            sleep.as_mut().reset(deadline);
        }
        Box::pin(HeaderSleep {
            deadline,
            sleep,
            unused: self.unused.clone(),
        })
    }

    fn now(&self) -> std::time::Instant {
        Instant::now().into_std()
    }
}

impl rt::Sleep for HeaderSleep {}

impl Future for HeaderSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let deadline = self.deadline;
        let new = || Box::pin(sleep_until(deadline));
        let sleep = self.sleep.get_or_insert_with(new);
        loop {
            ready!(sleep.as_mut().poll(cx));
            if sleep.deadline() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
    }
}

impl Drop for HeaderSleep {
    fn drop(&mut self) {
        // If there is one already, hyper has had two at a time, and this one is cancelled.
        let sleep = self.sleep.take();
        let before = sleep.and_then(|sleep| self.unused.lock().replace(sleep));
        drop(before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::Builder;
    use hyper::rt::Timer;
    use std::future::poll_fn;

    /// Of a sleep that was polled, is not done and is dropped, and then of another one, from now.
    fn second_after(first: Duration, second: Duration) -> Duration {
        let runtime = Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (timer, start) = (HeaderTimer::default(), Instant::now());
            let mut sleep = timer.sleep(first);
            poll_fn(|cx| {
                assert!(sleep.as_mut().poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
            drop(sleep);
            assert!(timer.unused.lock().is_some(), "it was not kept");
            timer.sleep(second).await;
            start.elapsed()
        })
    }

    #[test]
    fn a_later_header_has_all_its_time() {
        let time = Duration::from_millis(120);
        assert!(second_after(Duration::from_millis(40), time) >= time);
    }

    #[test]
    fn an_earlier_deadline_is_kept() {
        let hour = Duration::from_secs(3_600);
        assert!(second_after(hour, Duration::from_millis(20)) < hour);
    }

    #[test]
    fn two_at_a_time_are_two() {
        let runtime = Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (timer, start) = (HeaderTimer::default(), Instant::now());
            let times = [10, 30].map(Duration::from_millis);
            let [first, second] = times.map(|time| timer.sleep(time));
            second.await;
            assert!(start.elapsed() >= times[1]);
            first.await;
        });
    }
}
