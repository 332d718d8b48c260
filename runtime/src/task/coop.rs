//! The budget of a poll, which makes tasks that always have something to do give others a turn.
//!
//! A worker runs a task until its poll returns. A task whose sources are always ready (a socket
//! that is filled faster than it is read, say) would never return, and nothing else would run on
//! that worker. So each poll of a task has a budget of 128 units, as in tokio, and so has each poll
//! of the future in [`block_on`](crate::runtime::Runtime::block_on). An operation that completes
//! takes a unit; one that has to wait takes none. Once there are none left, the next operation
//! wakes its own task and returns `Pending` although it could go on: the task goes to the back of
//! its queue, and comes back with a new budget.
//!
//! 128 units may take long if each comes with some work, as on a connection on which many requests
//! wait. So the budget of a poll is cut once it has taken the policy's `after` (a millisecond by
//! default, see [`TakeoverPolicy`](crate::runtime::TakeoverPolicy)), where polls are not short on
//! average; while short tasks wait, once it has computed for a quarter of that; and after 50 ms in
//! any case. One unit is left then, and some more for writing, unless the poll has not taken any
//! yet. So a task that takes part can answer the request that it is working on, and then its poll
//! ends by itself.
//!
//! The asynchronous operations of [`net`](crate::net), [`io`](crate::io), [`time`](crate::time),
//! [`JoinHandle`](crate::task::JoinHandle) and [`JoinSet`](crate::task::JoinSet) take part.
//! Operations that never wait, like `try_read`, do not. Code outside of tasks has no limit: plain
//! threads, other executors on them, and the closures of [`spawn_blocking`](crate::spawn_blocking)
//! and [`spawn_compute`](crate::spawn_compute).
//!
//! # tokio's channels
//!
//! The channels and locks of `tokio::sync`, and the helpers of `tokio::io`, take from tokio's own
//! budget, which is about as large and exists only inside a tokio runtime. With the feature
//! `tokio-rt` (default) each Evenkeel runtime has a tokio runtime of one thread beside it, and all
//! polls of tasks and of the future in `block_on` are made inside that one. So
//!
//! - a loop over a channel that always has a message ends its poll, a timeout around it fires, and
//!   the other branches of its `select!` make progress;
//! - `blocking_recv`, `blocking_lock` and their like panic in a task, where they would block a
//!   worker. They work in [`spawn_blocking`](crate::spawn_blocking), in the closure of
//!   [`spawn_compute`](crate::spawn_compute), and in
//!   [`block_in_place`](crate::task::block_in_place);
//! - code that needs a tokio runtime finds this one: `send_timeout`, `tokio::time`, `tokio::spawn`,
//!   `tokio::io::stdout`, and libraries that use them. What they spawn runs on tokio's one thread
//!   (`-tokio`), at normal priority, beside everything else that is spawned there; their blocking
//!   calls run on tokio's blocking threads. tokio's timers have a precision of a millisecond, and
//!   take locks, which the compute lane should not share; [`time`](crate::time) has neither limit.
//!   There, too, [`Handle::current`](crate::runtime::Handle::current) is the Evenkeel runtime.
//!
//! Limits:
//!
//! - A thread that is in the context of another tokio runtime when it calls our `block_on` stays in
//!   that context. It has no tokio budget in the call, and `tokio::task::yield_now` never returns
//!   there, since the call blocks that very runtime.
//! - The guard of [`enter`](crate::runtime::Handle::enter) concerns the Evenkeel runtime only.
//! - In a `tokio::task::LocalSet`, [`block_in_place`](crate::task::block_in_place) panics, as
//!   tokio's does; while a guard of another tokio runtime is held, blocking calls panic in it.
//!
//! Without the feature, `tokio::sync` has no limit, and a loop takes part by calling
//! [`consume_budget`] or [`cooperative`]. The same is true for channels of other libraries:
//!
//! ```
//! use evenkeel::task::coop::cooperative;
//! use tokio::sync::mpsc::Receiver;
//!
//! async fn sum(mut numbers: Receiver<u64>) -> u64 {
//!     let mut sum = 0;
//!     while let Some(number) = cooperative(numbers.recv()).await {
//!         sum += number;
//!     }
//!     sum
//! }
//! # evenkeel::runtime::Runtime::new().unwrap().block_on(async {
//! # let (out, numbers) = tokio::sync::mpsc::channel(1000);
//! # for number in 0..1000 { out.send(number).await.unwrap(); }
//! # drop(out);
//! # assert_eq!(evenkeel::spawn(sum(numbers)).await.unwrap(), 499_500);
//! # });
//! ```
//!
//! # Executors inside a task
//!
//! Code that polls futures inside the poll of a task should return `Pending` to the task when they
//! do: only the next poll has a new budget. A `block_on` of another library cannot do that: it
//! blocks the worker, and polls again and again. After 1,000 operations were put off in one poll,
//! that poll gets a new budget, so that such a call makes progress, slowly. tokio's budget does no
//! such thing: once it is used up in such a call, an operation of `tokio::sync` never completes in
//! it, as in tokio's own tasks. Make such calls in [`spawn_blocking`](crate::spawn_blocking), or
//! give them an [`unconstrained`] future.

use crate::tasks::budget::{
    Budget, has_remaining, poll_either, poll_operation, poll_take, with_unconstrained,
};
use crate::tokio_context;
use pin_project_lite::pin_project;
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

/// True if an operation could go on; false once the budget of this poll is used up.
///
/// True where there is no limit. A future that polls several others, of which the first may use up
/// all of the budget every time, can call this to make sure that the others make progress as well.
///
/// # Examples
///
/// A future that prefers `first`, and still polls `second` when `first` has used up the budget:
///
/// ```
/// use evenkeel::task::coop::{has_budget_remaining, unconstrained};
/// use std::future::Future;
/// use std::pin::Pin;
/// use std::task::{Context, Poll};
///
/// fn poll_either<T>(
///     first: Pin<&mut impl Future<Output = T>>,
///     mut second: Pin<&mut impl Future<Output = T>>,
///     cx: &mut Context<'_>,
/// ) -> Poll<T> {
///     let had_budget = has_budget_remaining();
///     if let Poll::Ready(value) = first.poll(cx) {
///         return Poll::Ready(value);
///     }
///     if had_budget && !has_budget_remaining() {
///         return Pin::new(&mut unconstrained(second.as_mut())).poll(cx);
///     }
///     second.poll(cx)
/// }
/// # use std::{future::{pending, poll_fn}, pin::pin};
/// # use evenkeel::{task::consume_budget, time::{Duration, sleep}};
/// # evenkeel::runtime::Runtime::new().unwrap().block_on(async {
/// # let mut busy = pin!(async { loop { consume_budget().await } });
/// # let mut timer = pin!(sleep(Duration::from_millis(1)));
/// # poll_fn(|cx| poll_either(busy.as_mut(), timer.as_mut(), cx)).await;
/// # });
/// ```
#[inline]
#[must_use = "it tells, and takes nothing"]
pub fn has_budget_remaining() -> bool {
    has_remaining()
}

/// Takes a unit of the budget. If none is left, it wakes the task and returns `Pending`, which the
/// caller must return as well.
///
/// The unit is given back when the [`RestoreOnPending`] is dropped, unless
/// [`made_progress`](RestoreOnPending::made_progress) was called on it.
///
/// # Examples
///
/// ```
/// use evenkeel::task::coop;
/// use std::collections::VecDeque;
/// use std::task::{Context, Poll, Waker, ready};
///
/// struct Source {
///     items: VecDeque<u32>,
///     waiting: Option<Waker>,
/// }
///
/// impl Source {
///     fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<u32> {
///         let unit = ready!(coop::poll_proceed(cx));
///         match self.items.pop_front() {
///             Some(item) => {
///                 unit.made_progress();
///                 Poll::Ready(item)
///             }
///             None => {
///                 self.waiting = Some(cx.waker().clone());
///                 Poll::Pending
///             }
///         }
///     }
/// }
/// # let mut source = Source { items: (0..1000).collect(), waiting: None };
/// # evenkeel::runtime::Runtime::new().unwrap().block_on(async {
/// #     for item in 0..1000 {
/// #         assert_eq!(std::future::poll_fn(|cx| source.poll_next(cx)).await, item);
/// #     }
/// # });
/// ```
#[inline]
pub fn poll_proceed(cx: &mut Context<'_>) -> Poll<RestoreOnPending> {
    poll_take(cx, false).map(|before| RestoreOnPending {
        before: Cell::new(before),
        not_send: PhantomData,
    })
}

/// A unit of the budget, taken by [`poll_proceed`], that is not spent yet.
///
/// Dropping it makes the budget what it was before `poll_proceed`, whatever was spent since, unless
/// [`made_progress`](RestoreOnPending::made_progress) was called, or an operation had to be put
/// off.
#[derive(Debug)]
#[must_use = "dropping it gives the unit back: call `made_progress` when the operation has completed"]
pub struct RestoreOnPending {
    /// [`Budget::Unlimited`] also stands for nothing to give back.
    before: Cell<Budget>,
    /// The budget belongs to this thread.
    not_send: PhantomData<*mut ()>,
}

impl RestoreOnPending {
    /// The operation has completed: the unit stays spent.
    #[inline]
    pub fn made_progress(&self) {
        Budget::spent(self.before.replace(Budget::Unlimited));
    }
}

impl Drop for RestoreOnPending {
    #[inline]
    fn drop(&mut self) {
        let before = self.before.get();
        if before != Budget::Unlimited {
            Budget::give_back(before);
        }
    }
}

/// Takes a unit of the budget, and gives others a turn if none is left.
///
/// For loops that contain no operation that takes part. It costs a nanosecond or two while there
/// are units, whereas [`yield_now`](crate::task::yield_now) gives up the worker each time. A task
/// that runs for long between two calls still keeps others waiting: on the IO lane, 128 rounds of
/// such a loop should take at most some tens of microseconds.
///
/// # Cancel safety
///
/// Cancel safe: it holds nothing.
///
/// # Examples
///
/// ```
/// # evenkeel::runtime::Runtime::new().unwrap().block_on(async {
/// let mut sum = 0_u64;
/// for number in 0..10_000 {
///     sum += number;
///     evenkeel::task::consume_budget().await;
/// }
/// assert_eq!(sum, 49_995_000);
/// # });
/// ```
pub async fn consume_budget() {
    poll_fn(|cx| poll_operation(cx, |_| Poll::Ready(()))).await;
}

/// Polls `future` without a limit: it never waits where it could go on.
///
/// If its sources are always ready, nothing else runs on its worker until it completes. The budget
/// of the task around it is not changed.
///
/// # Cancel safety
///
/// As cancel safe as `future`.
///
/// # Examples
///
/// ```
/// use evenkeel::task::{consume_budget, unconstrained};
///
/// # evenkeel::runtime::Runtime::new().unwrap().block_on(async {
/// unconstrained(async {
///     for _ in 0..1000 {
///         // All in one poll.
///         consume_budget().await;
///     }
/// })
/// .await;
/// # });
/// ```
pub fn unconstrained<F>(future: F) -> Unconstrained<F> {
    Unconstrained { future }
}

pin_project! {
    /// The future of [`unconstrained`].
    #[must_use = "futures do nothing unless they are awaited or polled"]
    #[derive(Debug)]
    pub struct Unconstrained<F> {
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for Unconstrained<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        with_unconstrained(|| tokio_context::poll_without_budget(self.project().future, cx))
    }
}

/// Makes `future` take part: it takes a unit when it completes, and is not polled while none is
/// left.
///
/// For a future that is the next item of something and may be ready each time, from a library that
/// knows nothing of budgets. A future that takes part already would pay twice.
///
/// # Cancel safety
///
/// As cancel safe as `future`.
///
/// # Examples
///
/// See [tokio's channels](self#tokios-channels).
pub fn cooperative<F: Future>(future: F) -> Coop<F> {
    Coop {
        future,
        is_output: false,
    }
}

/// As [`cooperative`], for output.
pub(crate) fn cooperative_output<F: Future>(future: F) -> Coop<F> {
    Coop {
        future,
        is_output: true,
    }
}

pin_project! {
    /// The future of [`cooperative`].
    #[must_use = "futures do nothing unless they are awaited or polled"]
    #[derive(Debug)]
    pub struct Coop<F: Future> {
        #[pin]
        future: F,
        is_output: bool,
    }
}

impl<F: Future> Future for Coop<F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        poll_either(cx, self.is_output, |cx| self.project().future.poll(cx))
    }
}
