//! The budget of a poll: what users see of it is in [`task::coop`](crate::task::coop).

use crate::timers::{NEVER, clock};
use crate::tokio_context;
use evenkeel_sync::const_thread_local;
use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

/// What is left for the operations of a poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Budget {
    Unlimited,
    /// The number of units, at least one.
    Left(u8),
    /// One unit, or this many for output.
    Preempted(u8),
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

    /// The present budget, which is cut first if the poll is to end. Not before it has taken a
    /// unit: a task that computes before its first operation, in poll after poll, would never get
    /// to that.
    #[inline]
    fn get_or_shorten() -> Budget {
        match Budget::get() {
            Budget::Left(left) if left != Budget::FULL_UNITS && is_to_end() => {
                let budget = Budget::Preempted(left.min(Budget::OUTPUTS));
                budget.set();
                budget
            }
            budget => budget,
        }
    }

    /// Restores the budget, unless operations have been put off meanwhile: then the poll is to end.
    #[inline]
    pub(crate) fn give_back(before: Budget) {
        if !matches!(Budget::get(), Budget::Empty(1..)) {
            before.set();
        }
    }

    /// Counts one more operation as put off.
    #[cold]
    fn put_off(count: u16) {
        let _ = PUT_OFF.try_with(|put_off| put_off.set(true));
        if count < Budget::PUT_OFF_MAX {
            Budget::Empty(count + 1).set();
        } else {
            tokio_context::renew();
            Budget::FULL.set();
        }
    }

    /// To be called when an operation has completed before which the budget was this: with the last
    /// unit tokio's budget is used up as well, so that its channels and its `select!` end the poll.
    #[inline]
    pub(crate) fn spent(before: Budget) {
        if matches!(before, Budget::Left(1) | Budget::Preempted(_)) {
            Budget::use_up_tokios_if_empty();
        }
    }

    #[cold]
    fn use_up_tokios_if_empty() {
        if matches!(Budget::get(), Budget::Empty(_)) {
            tokio_context::use_up();
        }
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

const_thread_local! {
    static LEFT: Cell<Budget> = Cell::new(Budget::Unlimited);
    static PUT_OFF: Cell<bool> = Cell::new(false);
    /// When the turn of the present poll is over, by the clock of the timers. `NEVER` if its time
    /// is not measured.
    static TURN_ENDS_NS: Cell<u64> = Cell::new(NEVER);
    static REQUEST: RefCell<Option<Arc<PreemptRequest>>> = RefCell::new(None);
}

/// A request from another thread that the present poll should end soon.
#[derive(Default)]
pub(crate) struct PreemptRequest(AtomicBool);

impl PreemptRequest {
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

    /// Sets where the polls of the calling thread look for requests. Returns where they did before.
    pub(crate) fn listen(request: Option<Arc<PreemptRequest>>) -> Option<Arc<PreemptRequest>> {
        let before = REQUEST.try_with(|current| current.replace(request));
        before.ok().flatten()
    }

    /// Takes the request, so that it is carried out once: a poll inside this one has a budget of
    /// its own.
    #[inline]
    fn take() -> bool {
        let take = |request: &RefCell<Option<Arc<PreemptRequest>>>| match &*request.borrow() {
            Some(request) if request.0.load(Ordering::Relaxed) => {
                request.clear();
                true
            }
            _ => false,
        };
        REQUEST.try_with(take).unwrap_or(false)
    }
}

/// The poll that begins is to end with its next operation once the clock shows this: others wait,
/// and a task whose operations never have to wait would do the work of many turns in one. (hyper
/// answers up to 16 requests in a poll, if the client is quick.)
#[inline]
pub(crate) fn begin_turn(ends_ns: u64) {
    let _ = TURN_ENDS_NS.try_with(|turn| turn.set(ends_ns));
}

/// The poll is over for which [`begin_turn`] was called.
#[inline]
pub(crate) fn end_turn() {
    begin_turn(NEVER);
}

/// The poll was asked to end, or its turn is over. True once for each, as in
/// [`PreemptRequest::take`].
#[inline]
fn is_to_end() -> bool {
    PreemptRequest::take() || take_turn_is_over()
}

#[inline]
fn take_turn_is_over() -> bool {
    let ends_ns = TURN_ENDS_NS.try_with(Cell::get).unwrap_or(NEVER);
    let is_over = ends_ns != NEVER && clock::now_ns() >= ends_ns;
    if is_over {
        end_turn();
    }
    is_over
}

/// True if operations were put off on this thread since the last call: then the task goes on later,
/// whatever it is like.
pub(crate) fn take_put_off() -> bool {
    PUT_OFF.with(|put_off| put_off.replace(false)) || tokio_context::is_used_up()
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
pub(crate) fn poll_either<R>(
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
    } else {
        Budget::spent(before);
    }
    polled
}

/// Takes a unit. Ready with the budget that was there before.
#[inline]
pub(crate) fn poll_take(cx: &mut Context<'_>, is_output: bool) -> Poll<Budget> {
    let before = Budget::get_or_shorten();
    match before {
        Budget::Unlimited => {}
        Budget::Left(1) => Budget::Empty(0).set(),
        Budget::Left(left) => Budget::Left(left - 1).set(),
        Budget::Preempted(outputs @ 2..) if is_output => Budget::Preempted(outputs - 1).set(),
        Budget::Preempted(_) => Budget::Empty(0).set(),
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

/// True if an operation could go on.
#[inline]
pub(crate) fn has_remaining() -> bool {
    !matches!(Budget::get_or_shorten(), Budget::Empty(_)) && !tokio_context::is_used_up()
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
    fn preempted(poll: impl FnOnce(&PreemptRequest)) {
        let request = Arc::new(PreemptRequest::default());
        PreemptRequest::listen(Some(request.clone()));
        with_budget(|| poll(&request));
        PreemptRequest::listen(None);
    }

    #[test]
    fn a_preempted_poll_may_answer_and_ends_at_its_second_input() {
        preempted(|request| {
            assert!(operate(false).is_ready());
            request.set();
            (0..3).for_each(|_| assert!(operate(true).is_ready()));
            assert!(operate(false).is_ready());
            assert!(operate(false).is_pending());
            assert!(operate(true).is_pending());
        });
    }

    #[test]
    fn a_poll_whose_turn_is_over_ends_once() {
        begin_turn(clock::now_ns());
        with_budget(|| {
            assert!(operate(false).is_ready());
            assert!(operate(false).is_ready());
            let put_off = (0..).take_while(|_| operate(false).is_pending()).count();
            assert_eq!(put_off, usize::from(Budget::PUT_OFF_MAX) + 1);
            // Code that polls again and again has gone on, with a new budget.
            let more = (0..).take_while(|_| operate(false).is_ready()).count();
            assert_eq!(more, usize::from(Budget::FULL_UNITS) - 1);
        });
    }

    #[test]
    fn a_preempted_poll_that_only_writes_ends_as_well() {
        preempted(|request| {
            assert!(operate(true).is_ready());
            request.set();
            let written = (0..).take_while(|_| operate(true).is_ready()).count();
            assert_eq!(written, usize::from(Budget::OUTPUTS));
        });
    }

    #[test]
    fn an_input_that_has_to_wait_leaves_a_preempted_poll_what_it_had() {
        preempted(|request| {
            assert!(operate(false).is_ready());
            request.set();
            let mut cx = Context::from_waker(Waker::noop());
            assert!(poll_operation(&mut cx, |_| Poll::<()>::Pending).is_pending());
            assert!(operate(true).is_ready());
            assert!(operate(false).is_ready());
            assert!(operate(false).is_pending());
        });
    }
}
