use std::future::poll_fn;
use std::task::Poll;

/// Lets the other tasks of this worker run before this task goes on.
///
/// The task goes to the back of its worker's queue, on the lane it runs on. On another executor it
/// wakes itself once, which has the same effect there.
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
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}
