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
//! wait. So the budget of a poll is cut while short tasks wait: once it has computed for a quarter
//! of the policy's `after` (a quarter of a millisecond by default, see
//! [`TakeoverPolicy`](crate::runtime::TakeoverPolicy)), or after 50 ms in any case. One unit is
//! left then, and some more for writing, unless the poll has not taken any yet. So a task that
//! takes part can answer the request that it is working on, and then its poll ends by itself.
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

use crate::tokio_context;
use pin_project_lite::pin_project;
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

/// What is left for the operations of a poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Budget {
    Unlimited,
    /// The number of units, at least one.
    Left(u8),
    /// One unit, or this many for output.
    Urged(u8),
    /// No more units. The number of operations that have been put off since.
    Empty(u16),
}

impl Budget {
    /// The budget of a poll: tokio's number, enough to make a turn worth its cost, and a fraction
    /// of a millisecond for most operations.
    const FULL: Budget = Budget::Left(Budget::FULL_UNITS);
    const FULL_UNITS: u8 = 128;

    /// If a poll has still not returned after this many operations were put off, then most likely
    /// because some code in it polls again and again. It gets a new budget.
    const PUT_OFF_MAX: u16 = 1000;

    /// The present budget of this thread.
    #[inline]
    fn get() -> Budget {
        LEFT.try_with(Cell::get).unwrap_or(Budget::Unlimited)
    }

    /// In a poll that was asked to end, at most this many output operations go through: it has to
    /// answer the request that it is working on.
    const OUTPUTS: u8 = 16;

    /// The present budget, which is cut first if the poll was asked to end. Not before it has taken
    /// a unit: a task that computes before its first operation, in poll after poll, would never get
    /// to that.
    #[inline]
    fn get_or_shorten() -> Budget {
        match Budget::get() {
            Budget::Left(left) if left != Budget::FULL_UNITS && Urge::take() => {
                let budget = Budget::Urged(left.min(Budget::OUTPUTS));
                budget.set();
                budget
            }
            budget => budget,
        }
    }

    /// Restores the budget, unless operations have been put off meanwhile: then the poll is to end.
    #[inline]
    fn give_back(before: Budget) {
        if !matches!(Budget::get(), Budget::Empty(1..)) {
            before.set();
        }
    }

    /// Counts one more operation as put off.
    #[cold]
    fn put_off(count: u16) {
        let _ = PUT_OFF.try_with(|put_off| put_off.set(true));
        let next = if count < Budget::PUT_OFF_MAX {
            Budget::Empty(count + 1)
        } else {
            Budget::FULL
        };
        next.set();
    }

    #[inline]
    fn set(self) {
        let _ = LEFT.try_with(|left| left.set(self));
    }

    /// Runs `f` with this budget, and restores the present one afterwards, even if `f` panics.
    #[inline]
    fn scope<R>(self, f: impl FnOnce() -> R) -> R {
        let _before = SetOnDrop(Budget::get());
        self.set();
        f()
    }
}

thread_local! {
    static LEFT: Cell<Budget> = const { Cell::new(Budget::Unlimited) };
    static PUT_OFF: Cell<bool> = const { Cell::new(false) };
    static URGE: RefCell<Option<Arc<Urge>>> = const { RefCell::new(None) };
}

/// A request from another thread that the present poll should end soon.
#[derive(Default)]
pub(crate) struct Urge(AtomicBool);

impl Urge {
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Withdraws the request: another poll begins, which it does not concern.
    #[inline]
    pub(crate) fn clear(&self) {
        if self.0.load(Ordering::Relaxed) {
            self.0.store(false, Ordering::Relaxed);
        }
    }

    /// Sets where the polls of the calling thread look for requests.
    pub(crate) fn listen(urge: Option<Arc<Urge>>) {
        // The old one may be dropped here, which runs no code of others.
        let _ = URGE.try_with(|current| *current.borrow_mut() = urge);
    }

    /// Takes the request, so that it is carried out once: a poll inside this one has a budget of
    /// its own.
    #[inline]
    fn take() -> bool {
        let take = |urge: &RefCell<Option<Arc<Urge>>>| match &*urge.borrow() {
            Some(urge) if urge.0.load(Ordering::Relaxed) => {
                urge.clear();
                true
            }
            _ => false,
        };
        URGE.try_with(take).unwrap_or(false)
    }
}

/// True if operations were put off on this thread since the last call: then the task goes on later,
/// whatever it is like.
pub(crate) fn take_put_off() -> bool {
    PUT_OFF.replace(false) || tokio_context::is_used_up()
}

struct SetOnDrop(Budget);

impl Drop for SetOnDrop {
    #[inline]
    fn drop(&mut self) {
        self.0.set();
    }
}

/// Runs one poll of a task.
#[inline]
pub(crate) fn with_budget<R>(poll: impl FnOnce() -> R) -> R {
    tokio_context::renew();
    Budget::FULL.scope(poll)
}

/// Runs code whose operations must not be put off.
#[inline]
pub(crate) fn with_unconstrained<R>(f: impl FnOnce() -> R) -> R {
    Budget::Unlimited.scope(f)
}

/// Runs code of a task that is not a poll, and may block.
#[inline]
pub(crate) fn with_leave_to_block<R>(f: impl FnOnce() -> R) -> R {
    Budget::Unlimited.scope(|| tokio_context::outside(f))
}

/// Polls an operation, which takes a unit if it completes.
#[inline]
pub(crate) fn poll_operation<R>(
    cx: &mut Context<'_>,
    poll: impl FnOnce(&mut Context<'_>) -> Poll<R>,
) -> Poll<R> {
    poll_either(cx, false, poll)
}

/// As [`poll_operation`], for output: with it the task answers, and others can go on.
#[inline]
pub(crate) fn poll_output<R>(
    cx: &mut Context<'_>,
    poll: impl FnOnce(&mut Context<'_>) -> Poll<R>,
) -> Poll<R> {
    poll_either(cx, true, poll)
}

#[inline]
fn poll_either<R>(
    cx: &mut Context<'_>,
    is_output: bool,
    poll: impl FnOnce(&mut Context<'_>) -> Poll<R>,
) -> Poll<R> {
    let before = ready!(poll_take(cx, is_output));
    let polled = poll(cx);
    if polled.is_pending() {
        // Not by a drop guard: after a panic the poll is over anyway, and every read would contain
        // code to unwind.
        Budget::give_back(before);
    }
    polled
}

/// Takes a unit. Ready with the budget that was there before.
#[inline]
fn poll_take(cx: &mut Context<'_>, is_output: bool) -> Poll<Budget> {
    let before = Budget::get_or_shorten();
    match before {
        Budget::Unlimited => {}
        Budget::Left(1) => Budget::Empty(0).set(),
        Budget::Left(left) => Budget::Left(left - 1).set(),
        Budget::Urged(outputs @ 2..) if is_output => Budget::Urged(outputs - 1).set(),
        Budget::Urged(_) => Budget::Empty(0).set(),
        Budget::Empty(count) => {
            Budget::put_off(count);
            // A task that is woken in its own poll goes to the back of the queue, as in
            // `yield_now`.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
    }
    Poll::Ready(before)
}

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
    !matches!(Budget::get_or_shorten(), Budget::Empty(_)) && !tokio_context::is_used_up()
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
        self.before.set(Budget::Unlimited);
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

#[cfg(all(test, not(evenkeel_loom)))]
mod tests {
    use super::*;
    use std::task::Waker;

    fn operate(is_output: bool) -> Poll<()> {
        poll_either(&mut Context::from_waker(Waker::noop()), is_output, |_| {
            Poll::Ready(())
        })
    }

    /// Polls where another thread may ask the poll to end.
    fn urged(poll: impl FnOnce(&Urge)) {
        let urge = Arc::new(Urge::default());
        Urge::listen(Some(urge.clone()));
        with_budget(|| poll(&urge));
        Urge::listen(None);
    }

    #[test]
    fn an_urged_poll_may_answer_and_ends_at_its_second_input() {
        urged(|urge| {
            assert!(operate(false).is_ready());
            urge.set();
            (0..3).for_each(|_| assert!(operate(true).is_ready()));
            assert!(operate(false).is_ready());
            assert!(operate(false).is_pending());
            assert!(operate(true).is_pending());
        });
    }

    #[test]
    fn an_urged_poll_that_only_writes_ends_as_well() {
        urged(|urge| {
            assert!(operate(true).is_ready());
            urge.set();
            let written = (0..).take_while(|_| operate(true).is_ready()).count();
            assert_eq!(written, usize::from(Budget::OUTPUTS));
        });
    }

    #[test]
    fn an_input_that_has_to_wait_leaves_an_urged_poll_what_it_had() {
        urged(|urge| {
            assert!(operate(false).is_ready());
            urge.set();
            let mut cx = Context::from_waker(Waker::noop());
            assert!(poll_operation(&mut cx, |_| Poll::<()>::Pending).is_pending());
            assert!(operate(true).is_ready());
            assert!(operate(false).is_ready());
            assert!(operate(false).is_pending());
        });
    }
}
