//! Stands in for the module of this name in a build without tokio's runtime.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

pub(crate) struct TokioContext;

impl TokioContext {
    pub(crate) fn new(
        _: impl Fn() -> String + Send + Sync + 'static,
        _: usize,
        _: Duration,
        _: Option<usize>,
        _: impl Fn() + Send + Sync + 'static,
    ) -> io::Result<TokioContext> {
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

    pub(crate) fn enter(&self) -> Option<Entered> {
        None
    }
}

pub(crate) enum Entered {}

impl Entered {
    pub(crate) fn is_of(&self, _: &TokioContext) -> bool {
        match *self {}
    }

    pub(crate) fn leave(self) -> Result<(), Entered> {
        match self {}
    }
}

pub(crate) fn is_foreign() -> bool {
    false
}

#[inline]
pub(crate) fn renew() {}

pub(crate) fn use_up() {}

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
