use super::clock;
use super::shard::{Key, Shard};
use super::{Duration, Instant};
use crate::runtime::Handle;
use crate::runtime::context;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// Waits for `duration`.
///
/// It waits at least that long. A duration that the clock cannot express waits for decades.
///
/// # Panics
///
/// Outside a runtime.
///
/// # Examples
///
/// ```
/// use evenkeel::time::{Duration, sleep};
/// # evenkeel::runtime::Runtime::new().unwrap().block_on(async {
/// sleep(Duration::from_millis(1)).await;
/// # });
/// ```
#[track_caller]
pub fn sleep(duration: Duration) -> Sleep {
    Sleep::new(Instant::after(duration))
}

/// Waits until `deadline`.
///
/// # Panics
///
/// Outside a runtime.
#[track_caller]
pub fn sleep_until(deadline: Instant) -> Sleep {
    Sleep::new(deadline)
}

/// The future of [`sleep`] and [`sleep_until`].
///
/// It may be polled anywhere, under another executor too.
///
/// # Cancel safety
///
/// Dropping it cancels the timer. Awaiting `&mut sleep` again goes on with the same deadline.
///
/// # Panics
///
/// When polled before its deadline on a thread of no runtime, after its own runtime was shut down: nobody
/// would wake it.
#[must_use = "futures do nothing unless they are awaited or polled"]
pub struct Sleep {
    deadline: Instant,
    runtime: Handle,
    entry: Option<Entry>,
}

/// A timer that was set: where, and the waker it will wake.
struct Entry {
    shard: Arc<Shard>,
    key: Key,
    waker: Waker,
}

impl Sleep {
    #[track_caller]
    fn new(deadline: Instant) -> Sleep {
        Sleep {
            deadline,
            runtime: Handle::current(),
            entry: None,
        }
    }

    /// The moment at which it completes.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// True once the deadline has passed.
    pub fn is_elapsed(&self) -> bool {
        Instant::now() >= self.deadline
    }

    /// Sets another deadline, earlier or later, whether or not the old one has passed.
    pub fn reset(mut self: Pin<&mut Self>, deadline: Instant) {
        self.deadline = deadline;
        let waker = self.cancel();
        // Whoever waits for the old deadline is to wait for the new one.
        if let Some(waker) = waker {
            self.arm(waker);
        }
    }

    /// Takes the timer back, and returns the waker that it would have woken.
    fn cancel(&mut self) -> Option<Waker> {
        let Entry { shard, key, waker } = self.entry.take()?;
        if context::may_lock(&shard) {
            shard.remove(key);
        } else if shard.remove_remote(key) {
            self.runtime.wake_driver();
        }
        Some(waker)
    }

    /// The runtime whose driver thread keeps the timer, on a thread that keeps none itself: the
    /// thread's own runtime where there is one, which may not be the one of the `Sleep`.
    fn timekeeper(&self) -> Handle {
        context::try_current().unwrap_or_else(|| self.runtime.clone())
    }

    fn arm(&mut self, waker: Waker) {
        let deadline_ns = clock::to_ns(self.deadline.into_std());
        let (shard, key) = match context::own_timers() {
            Some(own) => {
                let key = own.insert(deadline_ns, waker.clone());
                (own, key)
            }
            None => {
                let runtime = self.timekeeper();
                let shard = runtime.driver_timers();
                let (key, wake) = shard.insert_remote(deadline_ns, waker.clone());
                if wake {
                    runtime.wake_driver();
                }
                (shard, key)
            }
        };
        self.entry = Some(Entry { shard, key, waker });
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_elapsed() {
            self.cancel();
            return Poll::Ready(());
        }
        // A timer that this thread keeps stays; only its waker may have to change. One that another thread
        // keeps is taken along: that thread may not be there for it any more (a `block_on` that has
        // ended, or that blocks its thread meanwhile).
        if let Some(entry) = &mut self.entry
            && context::own_timers().is_some_and(|own| Arc::ptr_eq(&own, &entry.shard))
            && entry.shard.update(entry.key, cx.waker().clone())
        {
            entry.waker.clone_from(cx.waker());
            return Poll::Pending;
        }
        self.cancel();
        self.arm(cx.waker().clone());
        // After the timer is set: a shutdown that has not woken it by now is seen here. A worker of a
        // runtime that shuts down is about to cancel the task.
        assert!(
            context::role() != context::Role::Outside || !self.timekeeper().is_shut_down(),
            "a Sleep was polled after its runtime had been shut down, so nobody would wake it: keep the \
             Runtime alive for as long as its timers are awaited"
        );
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.cancel();
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep")
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}
