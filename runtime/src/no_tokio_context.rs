//! Stands in for the module of this name in a build without tokio's runtime.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

pub(crate) struct TokioContext;

#[allow(dead_code, reason = "what there is nobody to read")]
pub(crate) struct BlockingThreads<F> {
    pub(crate) name: String,
    pub(crate) max: usize,
    pub(crate) keep_alive: Duration,
    pub(crate) stack_size: Option<usize>,
    pub(crate) on_start: F,
}

impl TokioContext {
    pub(crate) fn new<F>(_: BlockingThreads<F>) -> io::Result<TokioContext> {
        Ok(TokioContext)
    }

    pub(crate) fn run(&self) {}

    pub(crate) fn stop(&self) {}

    pub(crate) fn abandon(&self) {}

    pub(crate) fn tasks(&self) -> Option<usize> {
        None
    }

    pub(crate) fn inside<R>(&self, f: impl FnOnce() -> R) -> R {
        f()
    }

    pub(crate) fn enter_for_good(&self) {}
}

#[inline]
pub(crate) fn renew() {}

#[inline]
pub(crate) fn is_used_up() -> bool {
    false
}

pub(crate) fn outside<R>(f: impl FnOnce() -> R) -> R {
    f()
}

#[inline]
pub(crate) fn poll_without_budget<F: Future>(
    future: Pin<&mut F>,
    cx: &mut Context<'_>,
) -> Poll<F::Output> {
    future.poll(cx)
}
