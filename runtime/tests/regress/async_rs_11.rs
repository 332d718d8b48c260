//! async-rs#11 (async-task): the closure that schedules a task was freed while it ran, because
//! scheduling gave the last reference away: the task ran, ended and was freed on another thread
//! meanwhile.

use crate::support::{foreign_block_on, on_runtime, runtime, watchdog};
use std::future::{Future, poll_fn};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::thread;

/// Puts its waker where others can take it, and ends when it is polled again.
fn once_woken(slot: Arc<Mutex<Option<Waker>>>) -> impl Future<Output = ()> + Send {
    let mut polled = false;
    poll_fn(move |cx: &mut Context<'_>| {
        if std::mem::replace(&mut polled, true) {
            return Poll::Ready(());
        }
        *slot.lock().unwrap() = Some(cx.waker().clone());
        Poll::Pending
    })
}

/// The waker holds the last reference, and is used up by the wake.
#[test]
fn the_last_waker_schedules_a_detached_task() {
    on_runtime(2, |runtime| {
        for round in 0..4_000 {
            let slot = Arc::new(Mutex::new(None));
            let task = once_woken(slot.clone());
            if round % 2 == 0 {
                drop(runtime.spawn(task));
            } else {
                let _entered = runtime.enter();
                drop(evenkeel::compute::spawn(task));
            }
            let waker = loop {
                if let Some(waker) = slot.lock().unwrap().take() {
                    break waker;
                }
                thread::yield_now();
            };
            if round % 3 == 0 {
                waker.wake()
            } else {
                waker.wake_by_ref()
            }
        }
    });
}

/// Several wakers of one task at once, some by value, while its handle is dropped.
#[test]
fn wakers_race_each_other_and_the_handle() {
    on_runtime(2, |runtime| {
        for _ in 0..500 {
            let slot = Arc::new(Mutex::new(None));
            let task = runtime.spawn(once_woken(slot.clone()));
            let waker = loop {
                if let Some(waker) = slot.lock().unwrap().take() {
                    break waker;
                }
                thread::yield_now();
            };
            thread::scope(|scope| {
                for _ in 0..2 {
                    let waker = waker.clone();
                    scope.spawn(move || waker.wake());
                }
                scope.spawn(move || drop(task));
                waker.wake();
            });
        }
    });
}

/// A waker that outlives the runtime schedules nothing, and frees the rest.
#[test]
fn a_waker_outlives_its_runtime() {
    watchdog(|| {
        for _ in 0..100 {
            let slot = Arc::new(Mutex::new(None));
            let runtime = runtime();
            let task = runtime.spawn(once_woken(slot.clone()));
            let waker = loop {
                if let Some(waker) = slot.lock().unwrap().take() {
                    break waker;
                }
                thread::yield_now();
            };
            drop(runtime);
            waker.wake_by_ref();
            assert!(foreign_block_on(task).unwrap_err().is_cancelled());
            let last = waker.clone();
            drop(waker);
            last.wake();
        }
    });
}
