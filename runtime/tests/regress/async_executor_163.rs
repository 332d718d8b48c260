//! async-executor#163: a waker fired while the executor was being dropped, and pushed its task into
//! a queue that had just been emptied for the last time: the task was leaked or freed twice.

use crate::support::{Gate, Live, foreign_block_on, runtime, watchdog};
use evenkeel::time::{Duration, sleep};
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

#[test]
fn wakers_fire_while_the_runtime_is_dropped() {
    watchdog(|| {
        for round in 0..150 {
            let runtime = runtime();
            let wakers = Arc::new(Mutex::new(Vec::<Waker>::new()));
            let live = Live::new();
            let begun = Gate::new();
            let tasks: Vec<_> = (0..16)
                .map(|i| {
                    let (wakers, held, begun) = (wakers.clone(), live.clone(), begun.clone());
                    let future = poll_fn(move |cx| {
                        let _ = &held;
                        let mut wakers = wakers.lock().unwrap();
                        if wakers.len() < 64 {
                            wakers.push(cx.waker().clone());
                        }
                        if wakers.len() >= 16 {
                            drop(wakers);
                            begun.open();
                        }
                        Poll::<()>::Pending
                    });
                    let _entered = runtime.enter();
                    if i % 4 == 0 {
                        evenkeel::compute::spawn(future)
                    } else {
                        evenkeel::spawn(future)
                    }
                })
                .collect();
            begun.block();
            let wakers = std::mem::take(&mut *wakers.lock().unwrap());
            let barrier = Barrier::new(3);
            thread::scope(|scope| {
                for part in wakers.chunks(wakers.len().div_ceil(2)) {
                    let barrier = &barrier;
                    scope.spawn(move || {
                        barrier.wait();
                        for _ in 0..20 {
                            part.iter().for_each(Waker::wake_by_ref);
                        }
                    });
                }
                barrier.wait();
                if round % 2 == 0 {
                    drop(runtime)
                } else {
                    runtime.shutdown_background()
                }
            });
            for task in tasks {
                assert!(foreign_block_on(task).unwrap_err().is_cancelled());
            }
            wakers.into_iter().for_each(Waker::wake);
            assert_eq!(live.others(), 0);
        }
    });
}

/// A timer that is set in that moment is either refused or woken by the shutdown: nobody else
/// would.
#[test]
fn timers_set_while_the_runtime_is_dropped() {
    struct Woken(AtomicBool);
    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    watchdog(|| {
        for _ in 0..300 {
            let runtime = runtime();
            let barrier = Barrier::new(4);
            let (barrier, handle) = (&barrier, runtime.handle().clone());
            let set_timers = || {
                let _entered = handle.enter();
                barrier.wait();
                let mut last = None;
                loop {
                    let woken = Arc::new(Woken(AtomicBool::new(false)));
                    let waker = Waker::from(woken.clone());
                    let mut sleep = sleep(Duration::from_secs(3600));
                    let polled = catch_unwind(AssertUnwindSafe(|| {
                        Pin::new(&mut sleep).poll(&mut Context::from_waker(&waker))
                    }));
                    match polled {
                        Ok(polled) => assert!(polled.is_pending()),
                        Err(_) => return last,
                    }
                    last = Some((sleep, woken));
                }
            };
            thread::scope(|scope| {
                let threads = [0, 1, 2].map(|_| scope.spawn(set_timers));
                barrier.wait();
                drop(runtime);
                for thread in threads {
                    let woken = thread
                        .join()
                        .unwrap()
                        .is_none_or(|(_, woken)| woken.0.load(Ordering::SeqCst));
                    assert!(woken, "a timer was set that nobody fires");
                }
            });
        }
    });
}

/// The same for what is spawned and aborted in that moment.
#[test]
fn spawns_and_aborts_while_the_runtime_is_dropped() {
    watchdog(|| {
        for _ in 0..150 {
            let runtime = runtime();
            let (live, barrier) = (Live::new(), Arc::new(Barrier::new(3)));
            let threads = [0, 1].map(|_| {
                let (handle, live, barrier) =
                    (runtime.handle().clone(), live.clone(), barrier.clone());
                thread::spawn(move || {
                    barrier.wait();
                    let mut tasks = Vec::new();
                    for i in 0..50 {
                        let held = live.clone();
                        let waits = async move {
                            let _held = held;
                            std::future::pending::<()>().await;
                        };
                        let held = live.clone();
                        tasks.push(match i % 4 {
                            0 => handle.spawn_blocking(move || drop(held)),
                            1 => handle.spawn_compute(move || drop(held)),
                            _ => handle.spawn(waits),
                        });
                        tasks[i / 2].abort();
                    }
                    for task in tasks {
                        // Some of the closures ran; nothing else ended otherwise than by
                        // cancelling.
                        if let Err(error) = foreign_block_on(task) {
                            assert!(error.is_cancelled());
                        }
                    }
                })
            });
            barrier.wait();
            drop(runtime);
            threads
                .into_iter()
                .for_each(|thread| thread.join().unwrap());
            assert_eq!(live.others(), 0);
        }
    });
}
