use crate::scheduler::current_thread::wake_after_others;
use std::future::poll_fn;
use std::task::Poll;

/// Lets the other tasks of this worker run before this task goes on.
///
/// The task goes to the back of its worker's queue, on the lane it runs on; in a runtime of the
/// current-thread flavour, behind all that there is to do, and a look for events. On another
/// executor it wakes itself once, which has the same effect there. (An executor that blocks inside
/// of a task of a current-thread runtime, which is then nobody's to run, waits for ever, as with
/// tokio.)
///
/// # Cancel safety
///
/// Cancel safe: it holds nothing.
///
/// # Examples
///
/// ```
/// # evenkeel::runtime::Runtime::new().unwrap().block_on(async {
/// evenkeel::task::yield_now().await;
/// # });
/// ```
pub async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        wake_after_others(cx.waker());
        Poll::Pending
    })
    .await
}
