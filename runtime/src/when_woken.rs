//! A future that is polled only when it was woken, beside one whose task is woken often.
//!
//! ```text
//! the task                                  who wakes the future
//! 1. has_rung: swap(false, Acquire)         1. makes the future ready
//! 2. polls the future                       2. has_rung = true (Release)
//!                                           3. wakes the task
//! ```
//!
//! A wake-up after the swap has the task poll once more; one before it is seen by its poll. Loom
//! model: `models::when_woken`.

use evenkeel_sync::atomic::{AtomicBool, Ordering};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

/// Polls its future when that was woken itself, and not for whatever else its task is polled.
pub(crate) struct WhenWoken<F> {
    future: F,
    alarm: Option<Arc<Alarm>>,
}

/// Wakes a task, which can tell from it why.
struct Alarm {
    has_rung: AtomicBool,
    task: Waker,
}

impl<F: Future + Unpin> WhenWoken<F> {
    pub(crate) fn new(future: F) -> Self {
        WhenWoken {
            future,
            alarm: None,
        }
    }

    /// That of the task of `cx`. A new one has rung.
    fn alarm(&mut self, cx: &Context<'_>) -> &Arc<Alarm> {
        let is_known = |alarm: &Arc<Alarm>| alarm.task.will_wake(cx.waker());
        if !self.alarm.as_ref().is_some_and(is_known) {
            self.alarm = None;
        }
        self.alarm.get_or_insert_with(|| {
            Arc::new(Alarm {
                has_rung: AtomicBool::new(true),
                task: cx.waker().clone(),
            })
        })
    }
}

impl<F: Future + Unpin> Future for WhenWoken<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let alarm = self.alarm(cx);
        if !alarm.has_rung.load(Ordering::Relaxed) || !alarm.has_rung.swap(false, Ordering::Acquire)
        {
            return Poll::Pending;
        }
        let waker = Waker::from(alarm.clone());
        Pin::new(&mut self.future).poll(&mut Context::from_waker(&waker))
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Before the task is woken, so that its next poll sees it.
        self.has_rung.store(true, Ordering::Release);
        self.task.wake_by_ref();
    }
}

#[cfg(all(test, not(evenkeel_loom)))]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::sync::Mutex;

    /// Counts its polls, and keeps the waker of the last one.
    fn counted(polls: &Mutex<Vec<Waker>>) -> impl Future<Output = ()> + Unpin {
        poll_fn(|cx| {
            polls.lock().unwrap().push(cx.waker().clone());
            Poll::<()>::Pending
        })
    }

    fn poll(future: &mut (impl Future<Output = ()> + Unpin), waker: &Waker) {
        let mut cx = Context::from_waker(waker);
        assert!(Pin::new(future).poll(&mut cx).is_pending());
    }

    /// A waker of its own, and how often it was used.
    fn task() -> (Waker, Arc<Woken>) {
        let woken = Arc::new(Woken(Mutex::new(0)));
        (Waker::from(woken.clone()), woken)
    }

    struct Woken(Mutex<u32>);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            *self.0.lock().unwrap() += 1;
        }
    }

    #[test]
    fn a_poll_of_the_task_is_one_of_the_future_only_when_that_was_woken() {
        let polls = Mutex::new(Vec::new());
        let mut future = WhenWoken::new(counted(&polls));
        let (waker, woken) = task();
        let count = || polls.lock().unwrap().len();
        poll(&mut future, &waker);
        poll(&mut future, &waker);
        assert_eq!(count(), 1, "it was not woken");
        let of_future = polls.lock().unwrap()[0].clone();
        of_future.wake_by_ref();
        assert_eq!(*woken.0.lock().unwrap(), 1, "its task is woken");
        poll(&mut future, &waker);
        assert_eq!(count(), 2);
        poll(&mut future, &waker);
        assert_eq!(count(), 2);
    }

    #[test]
    fn another_task_is_made_known_to_the_future() {
        let polls = Mutex::new(Vec::new());
        let mut future = WhenWoken::new(counted(&polls));
        let ((first, _), (second, woken)) = (task(), task());
        poll(&mut future, &first);
        poll(&mut future, &second);
        polls.lock().unwrap().pop().unwrap().wake();
        assert_eq!(*woken.0.lock().unwrap(), 1);
    }
}
