//! Name look-ups have a pool of their own. In the blocking pool they would wait for its threads, and
//! those may run closures that wait for a look-up: with as many of them as there are threads, for ever.
//! A look-up waits for nobody. The pool has no thread until the first one.

use super::{Handle, Shared};
use evenkeel_blocking_pool::BlockingTask;
use std::time::Duration;

impl Handle {
    /// Runs `look_up`, which must wait for nothing that this runtime does.
    pub(crate) fn look_up<T: Send + 'static>(
        &self,
        look_up: impl FnOnce() -> T + Send + 'static,
    ) -> BlockingTask<T> {
        self.shared.look_ups.spawn(look_up)
    }
}

impl Shared {
    /// Makes the threads that the pools want. Some time if it has to be tried again; after a failure
    /// that is `retry`.
    pub(super) fn make_threads(&self, retry: Duration) -> Option<Duration> {
        let pools = [&self.blocking, &self.look_ups];
        // A pool has logged its error.
        let pauses = pools.map(|pool| pool.make_threads().unwrap_or(Some(retry)));
        pauses.into_iter().flatten().min()
    }
}
