use super::{Duration, Instant};
use crate::runtime::context::{self, ThreadShared};
use crate::runtime::shared::Shared;
use crate::tasks::budget;
use crate::timers::{Key, RemoteId, ThreadTimers, TimerShard, clock};
use evenkeel_sync::panics::drop_quietly;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// Waits for `duration`.
///
/// It waits at least that long. If the clock cannot express the duration, it waits for decades.
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
/// If polled before its deadline on a thread outside any runtime, after its own runtime was shut
/// down: nothing would wake it.
#[must_use = "futures do nothing unless they are awaited or polled"]
pub struct Sleep {
    deadline: Instant,
    runtime: ThreadShared,
    entry: Option<Entry>,
}

/// A timer that was set. The waker is kept with the timer, and nowhere else.
enum Entry {
    /// With the thread that set it, which is an IO worker or in `block_on`.
    Own(Arc<TimerShard>, Key),
    /// With the driver thread of this runtime.
    Driver(ThreadShared, RemoteId),
}

impl Sleep {
    #[track_caller]
    fn new(deadline: Instant) -> Sleep {
        Sleep {
            deadline,
            runtime: context::current_shared(),
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
        context::with_timers(|thread| self.set_deadline(thread, deadline));
    }

    fn set_deadline(&mut self, thread: ThreadTimers<'_>, deadline: Instant) {
        self.deadline = deadline;
        // A task that waits for the old deadline has to wait for the new one. If the timer has
        // fired, the task is woken, and will poll.
        match self.entry.take() {
            None => {}
            Some(Entry::Own(shard, key)) => self.reset_own(thread, shard, key),
            Some(Entry::Driver(runtime, id)) => {
                let timers = &runtime.driver_timers;
                wake_supervisor(&runtime, timers.reset_remote(id, self.deadline_ns()));
                self.entry = Some(Entry::Driver(runtime, id));
            }
        }
    }

    fn reset_own(&mut self, thread: ThreadTimers<'_>, shard: Arc<TimerShard>, key: Key) {
        let deadline_ns = self.deadline_ns();
        if let Some(own) = thread.own(&shard) {
            own.reset(key, deadline_ns);
            self.entry = Some(Entry::Own(shard, key));
            return;
        }
        // The thread that keeps it may sleep for longer than the new deadline allows, so it is
        // taken from there.
        if let Ok(waker) = thread.remove(&shard, key) {
            if let Some(waker) = waker {
                self.arm(thread, waker);
            }
            return;
        }
        let runtime = self.timekeeper();
        let timers = &runtime.driver_timers;
        let id = timers.adopt_remote(deadline_ns, shard, key);
        wake_supervisor(&runtime, true);
        self.entry = Some(Entry::Driver(runtime, id));
    }

    fn deadline_ns(&self) -> u64 {
        clock::to_ns(self.deadline.into_std())
    }

    /// Removes the timer.
    fn cancel(&mut self, thread: ThreadTimers<'_>) {
        match self.entry.take() {
            None => {}
            Some(Entry::Own(shard, key)) => match thread.remove(&shard, key) {
                Ok(waker) => waker.into_iter().for_each(drop_quietly),
                Err(_) => wake_supervisor(&self.runtime, shard.remove_remote(key)),
            },
            Some(Entry::Driver(runtime, id)) => {
                wake_supervisor(&runtime, runtime.driver_timers.forget_remote(id));
            }
        }
    }

    /// The runtime whose driver thread keeps the timer, on a thread that keeps none itself: the
    /// thread's own runtime where there is one, which may not be the one of the `Sleep`.
    fn timekeeper(&self) -> ThreadShared {
        context::try_current_shared().unwrap_or_else(|| self.runtime.clone())
    }

    fn arm(&mut self, thread: ThreadTimers<'_>, waker: Waker) {
        let deadline_ns = self.deadline_ns();
        let entry = match thread.own {
            Some(own) => {
                let key = own.insert(deadline_ns, waker);
                Entry::Own(own.shard().clone(), key)
            }
            None => {
                let runtime = self.timekeeper();
                let (id, wake) = runtime.driver_timers.insert_remote(deadline_ns, waker);
                wake_supervisor(&runtime, wake);
                Entry::Driver(runtime, id)
            }
        };
        self.entry = Some(entry);
    }

    fn poll_elapsed(&mut self, thread: ThreadTimers<'_>, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_elapsed() {
            self.cancel(thread);
            return Poll::Ready(());
        }
        // A timer that this thread keeps stays there; only its waker may have to change. One that
        // another thread keeps is moved here: that thread may not fire it any more (its `block_on`
        // has ended, or the thread is blocked).
        if let Some(Entry::Own(shard, key)) = &self.entry
            && let Some(own) = thread.own(shard)
            && own.update(*key, cx.waker())
        {
            return Poll::Pending;
        }
        self.cancel(thread);
        self.arm(thread, cx.waker().clone());
        // After the timer was set, so that a shutdown either wakes it or is seen here. A worker of
        // a runtime that shuts down is about to cancel the task.
        assert!(
            context::role() != context::Role::Outside || !self.timekeeper().is_shut_down(),
            "a Sleep was polled after its runtime had been shut down, so nobody would wake it: keep the \
             Runtime alive for as long as its timers are awaited"
        );
        Poll::Pending
    }
}

fn wake_supervisor(runtime: &Shared, wanted: bool) {
    if wanted {
        runtime.wake_supervisor();
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        budget::poll_operation(cx, |cx| {
            context::with_timers(|thread| self.poll_elapsed(thread, cx))
        })
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if self.entry.is_some() {
            context::with_timers(|thread| self.cancel(thread));
        }
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep")
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}
