//! Driving one future on the calling thread.

use super::context::BlockOnGuard;
use super::shared::Shared;
use crate::panics::wake;
use crate::scheduler::parker::Parker;
use crate::tasks::budget;
use crate::timers::{Sleeper, Sleeps, clock};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
#[cfg(feature = "test-util")]
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

#[derive(Default)]
struct Unpark {
    parker: Parker,
    /// The future was woken since its thread has last woken up.
    #[cfg(feature = "test-util")]
    woken: AtomicBool,
}

impl Unpark {
    fn unpark(&self) {
        // First, for as soon as the thread returns from its sleep, that does not show it any more.
        #[cfg(feature = "test-util")]
        self.woken.store(true, Ordering::SeqCst);
        self.parker.unpark(None);
    }
}

#[cfg(not(feature = "test-util"))]
impl Sleeps for Unpark {}

#[cfg(feature = "test-util")]
impl Sleeps for Unpark {
    fn is_notified(&self) -> bool {
        self.woken.load(Ordering::SeqCst)
    }

    fn unpark(&self) {
        Unpark::unpark(self);
    }

    fn acknowledge(&self) {
        self.woken.store(false, Ordering::SeqCst);
    }
}

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        Unpark::unpark(&self);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        Unpark::unpark(self);
    }
}

#[track_caller]
pub(super) fn check_process(shared: &Shared) {
    assert!(
        !shared.is_of_parent(),
        "`block_on` was called in a child of `fork`, which has none of the runtime's threads: make a runtime after the fork"
    );
}

#[track_caller]
pub(super) fn block_on<F: Future>(shared: &Arc<Shared>, future: F) -> F::Output {
    check_process(shared);
    let guard = BlockOnGuard::new(shared.clone());
    let parker = Arc::<Unpark>::default();
    let waker = Waker::from(parker.clone());
    let mut cx = Context::from_waker(&waker);
    let mut future = pin!(future);
    let clock = &shared.clock;
    let sleeper = Sleeper::new(clock, &parker, guard.timers().shard());
    shared.want_tokio();
    shared.tokio.inside(|| {
        loop {
            if let Poll::Ready(output) = budget::with_budget(|| future.as_mut().poll(&mut cx)) {
                return output;
            }
            // Whatever wakes us from here on leaves its mark in the parker, so the park below
            // returns.
            let deadline_ns = guard.timers().prepare_sleep(clock.now_ns(), wake);
            let timeout = clock::timeout(clock.to_system(deadline_ns));
            sleeper.sleep(|| parker.parker.park(timeout));
            let due = guard.timers().fire(clock.now_ns());
            due.into_iter().for_each(wake);
        }
    })
}
