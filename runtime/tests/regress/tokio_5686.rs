//! tokio#5686 and #5712: two tasks that kept waking each other passed the LIFO slot to and fro, and the
//! queue of their worker starved.

use crate::support::{foreign_block_on, on_runtime};
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

#[test]
fn a_pair_that_wakes_each_other_leaves_others_their_turn() {
    on_runtime(1, |runtime| {
        let end = Arc::new(AtomicBool::new(false));
        let wakers: Arc<[Mutex<Option<Waker>>; 2]> = Arc::default();
        let pair = [0, 1].map(|me| {
            let (end, wakers) = (end.clone(), wakers.clone());
            runtime.spawn(poll_fn(move |cx| {
                *wakers[me].lock().unwrap() = Some(cx.waker().clone());
                let other = wakers[1 - me].lock().unwrap().clone();
                // Until the other has its first poll, there is nobody else to wake this one.
                other.as_ref().unwrap_or(cx.waker()).wake_by_ref();
                if end.load(Ordering::SeqCst) {
                    Poll::Ready(())
                } else {
                    Poll::Pending
                }
            }))
        });
        for _ in 0..20 {
            // Behind the pair, in the inbox and in the queue.
            let nested = runtime.spawn(async { evenkeel::spawn(async { 1 }).await.unwrap() });
            assert_eq!(foreign_block_on(nested).unwrap(), 1);
        }
        end.store(true, Ordering::SeqCst);
        pair.into_iter()
            .for_each(|task| foreign_block_on(task).unwrap());
    });
}

/// A task that spawns the next of its kind, for ever.
#[test]
fn a_chain_of_tasks_leaves_others_their_turn() {
    fn link(end: Arc<AtomicBool>) {
        if !end.load(Ordering::SeqCst) {
            evenkeel::spawn(async move { link(end) });
        }
    }
    on_runtime(1, |runtime| {
        let end = Arc::new(AtomicBool::new(false));
        let _entered = runtime.enter();
        link(end.clone());
        for _ in 0..20 {
            foreign_block_on(runtime.spawn(evenkeel::task::yield_now())).unwrap();
        }
        end.store(true, Ordering::SeqCst);
    });
}
