//! Name look-ups have a pool of their own. In the blocking pool they would wait for its threads,
//! and those may run closures that wait for a look-up: with as many of them as there are threads,
//! for ever. A look-up waits for nobody. The pool has no thread until the first one.

use super::handle::Handle;
use super::shared::Shared;
use crate::timers::InFlight;
use evenkeel_blocking_pool::{BlockingTask, JobError};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

impl Handle {
    /// Runs `look_up`, which must wait for nothing that this runtime does.
    pub(crate) fn look_up<T: Send + 'static>(
        &self,
        look_up: impl FnOnce() -> T + Send + 'static,
    ) -> LookUp<T> {
        let in_flight = InFlight::new(&self.shared.clock);
        LookUp(self.shared.look_ups.spawn(move || {
            let _in_flight = in_flight;
            look_up()
        }))
    }
}

/// The result of a look-up. Dropped before that has begun, it never will be: nobody waits for it,
/// and the drop of the runtime would.
pub struct LookUp<T: Send>(BlockingTask<T>);

impl<T: Send> Future for LookUp<T> {
    type Output = Result<T, JobError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl<T: Send> Drop for LookUp<T> {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl Shared {
    /// Makes the threads that the pools want. Some time if it has to be tried again; after a
    /// failure that is `retry`.
    pub(super) fn make_threads(&self, retry: Duration) -> Option<Duration> {
        let pools = [&self.blocking, &self.look_ups];
        // A pool has logged its error.
        let pauses = pools.map(|pool| pool.make_threads().unwrap_or(Some(retry)));
        pauses.into_iter().flatten().min()
    }
}
