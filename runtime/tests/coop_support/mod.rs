//! Counting the units that operations take.

#![allow(dead_code, reason = "each test binary uses its own part")]

use crate::support::{builder, count_polls, on_built};
use evenkeel::runtime::{Runtime, TakeoverPolicy};
use evenkeel::task::coop::poll_proceed;
use evenkeel::task::{consume_budget, yield_now};
use evenkeel::time::Duration;
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll};

/// What tokio gives.
pub(crate) const BUDGET: usize = 128;

/// Takes several polls.
pub(crate) const TIMES: usize = 3 * BUDGET + 1;

pub(crate) const HOUR: Duration = Duration::from_secs(3600);

/// On a runtime that does not end the budget of a poll because it takes long, as it may on a busy
/// machine.
#[track_caller]
pub(crate) fn on_runtime<R: Send + 'static>(
    workers: usize,
    body: impl FnOnce(&Runtime) -> R + Send + 'static,
) -> R {
    let mut builder = builder(workers);
    builder.takeover(TakeoverPolicy::disabled());
    on_built(builder, body)
}

/// Takes all units that this poll has left, and says how many there were. It stops at ten budgets.
pub(crate) fn take_all(cx: &mut Context<'_>) -> usize {
    (0..10 * BUDGET)
        .take_while(|_| match poll_proceed(cx) {
            Poll::Ready(unit) => {
                unit.made_progress();
                true
            }
            Poll::Pending => false,
        })
        .count()
}

/// As [`take_all`], in the task that awaits this.
pub(crate) async fn take_rest() -> usize {
    poll_fn(|cx| Poll::Ready(take_all(cx))).await
}

/// Takes all units but one.
pub(crate) async fn leave_one() {
    for _ in 0..BUDGET - 1 {
        consume_budget().await;
    }
}

/// Does `operation`, which is ready, in a poll of its own, and says how many units it took.
pub(crate) async fn units_of<T>(operation: impl Future<Output = T>) -> usize {
    yield_now().await;
    let (_, polls) = count_polls(operation).await;
    assert_eq!(polls, 1, "it was not ready");
    BUDGET - take_rest().await
}

/// Does the ready operation `once` many times; no poll may do more of them than its budget has
/// units.
pub(crate) async fn assert_yields(mut once: impl AsyncFnMut()) {
    let done = Cell::new(0);
    let mut many = pin!(async {
        for _ in 0..TIMES {
            once().await;
            done.set(done.get() + 1);
        }
    });
    poll_fn(|cx| {
        let before = done.get();
        let polled = many.as_mut().poll(cx);
        assert!(
            done.get() - before <= BUDGET,
            "more than the budget in a poll"
        );
        polled
    })
    .await;
    assert_eq!(done.get(), TIMES);
}
