//! Driving one future on the calling thread.

use super::Handle;
use super::context::BlockOnGuard;
use crate::lane::parker::Parker;
use crate::task::coop;
use crate::time::clock;
use crate::time::shard::{NEVER, Shard, wake};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

struct Unpark(Parker);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark(None);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark(None);
    }
}

#[track_caller]
pub(super) fn block_on<F: Future>(runtime: &Handle, future: F) -> F::Output {
    let guard = BlockOnGuard::new(runtime.clone());
    let parker = Arc::new(Unpark(Parker::new()));
    let waker = Waker::from(parker.clone());
    let mut cx = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = coop::with_budget(|| future.as_mut().poll(&mut cx)) {
            return output;
        }
        // Whatever wakes us from here on leaves its mark in the parker, so the park below returns.
        let prepare_sleep = |timers: &Shard| timers.prepare_sleep(clock::now_ns(), wake);
        let deadline_ns = guard.timers().map_or(NEVER, prepare_sleep);
        parker.0.park(clock::timeout(deadline_ns));
        let fire = |timers: &Shard| timers.fire(clock::now_ns());
        let due = guard.timers().map(fire);
        due.into_iter().flatten().for_each(wake);
    }
}
