//! Two futures, of which the first to be ready counts.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

pub(super) enum First<L, R> {
    Left(L),
    Right(R),
}

/// Polls both, in this order, until one of them is ready. The other one can be polled again.
pub(super) async fn first<L, R>(
    mut left: Pin<&mut L>,
    mut right: Pin<&mut R>,
) -> First<L::Output, R::Output>
where
    L: Future + ?Sized,
    R: Future + ?Sized,
{
    poll_fn(|cx| {
        if let Poll::Ready(output) = left.as_mut().poll(cx) {
            return Poll::Ready(First::Left(output));
        }
        right.as_mut().poll(cx).map(First::Right)
    })
    .await
}
