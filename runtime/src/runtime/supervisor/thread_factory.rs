//! Making threads for whoever may not make them: the supervisor is of normal priority and not
//! pinned, and a thread inherits both from its maker.

use super::look::{Look, shortest};
use crate::runtime::first_use::FirstUse;
use crate::runtime::shared::Shared;
use evenkeel_sync::panics::log;
use std::io;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How long to wait before asking for a thread again that the operating system refused.
const THREAD_RETRY: Duration = Duration::from_millis(100);

#[derive(Default)]
pub(super) struct ThreadFactory {
    pools: Maker,
    compute: Starter,
    tokio: Starter,
}

impl ThreadFactory {
    /// Makes the threads that are wanted. Some time if one has to be tried again.
    pub(super) fn look(&mut self, look: Look<'_>) -> Option<Duration> {
        shortest([
            self.pools.make_threads(look),
            self.compute.start_compute(look),
            self.tokio.start_tokio(look),
        ])
    }

    /// The last act, once the pools have been shut down: what waits there still runs, and nobody
    /// else makes threads for it. With the system refusing them, those that there are will do; if
    /// there are none, a pool cancels what waits.
    pub(super) fn finish(shared: &Shared) {
        while let Some(pause) = shared.make_threads(THREAD_RETRY) {
            shared.watch.parker.park(Some(pause));
        }
    }
}

/// The making of threads for the blocking pool and for look-ups; the pools pace it.
#[derive(Default)]
struct Maker {
    /// Not before this.
    again_at: Option<Instant>,
}

impl Maker {
    /// Makes threads if a pool wants some. Some time if it has to be tried again.
    fn make_threads(&mut self, look: Look<'_>) -> Option<Duration> {
        let Look { shared, now, .. } = look;
        let wanted = shared.threads_wanted.load(Ordering::Acquire);
        if !wanted && self.again_at.is_none() {
            return None;
        }
        if let Some(at) = self.again_at.filter(|at| *at > now) {
            return Some(at - now);
        }
        shared.threads_wanted.swap(false, Ordering::AcqRel);
        let pause = shared.make_threads(THREAD_RETRY);
        self.again_at = pause.map(|pause| now + pause);
        pause
    }
}

/// The starting of threads that are wanted once somebody uses them.
#[derive(Default)]
struct Starter {
    /// Not before this: the system has refused a thread.
    again_at: Option<Instant>,
}

impl Starter {
    fn start_compute(&mut self, look: Look<'_>) -> Option<Duration> {
        let shared = look.shared;
        let log_refused = |error: &io::Error| {
            let (started, wanted) = (shared.compute.started(), shared.compute.workers());
            tracing::error!(%error, started, wanted, "a thread of the compute lane could not be made; \
                tried again until it can");
        };
        let first_use = &shared.compute_start.first_use;
        self.start(look, first_use, || shared.start_compute(), log_refused)
    }

    fn start_tokio(&mut self, look: Look<'_>) -> Option<Duration> {
        let shared = look.shared;
        let log_refused = |error: &io::Error| {
            tracing::error!(%error, "the thread of tokio's runtime could not be made; \
                tried again until it can");
        };
        self.start(
            look,
            &shared.tokio_use,
            || shared.start_tokio(),
            log_refused,
        )
    }

    /// Lets `start` do it if somebody wants it. Some time if it has to be tried again.
    fn start(
        &mut self,
        look: Look<'_>,
        first_use: &FirstUse,
        start: impl FnOnce() -> io::Result<()>,
        log_refused: impl FnOnce(&io::Error),
    ) -> Option<Duration> {
        if !first_use.is_wanted() {
            return None;
        }
        let now = look.now;
        if let Some(at) = self.again_at.filter(|at| *at > now) {
            return Some(at - now);
        }
        let Err(error) = start() else {
            return None;
        };
        if self.again_at.is_none() {
            log(|| log_refused(&error));
        }
        self.again_at = Some(now + THREAD_RETRY);
        Some(THREAD_RETRY)
    }
}
