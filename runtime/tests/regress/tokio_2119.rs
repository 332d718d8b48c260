//! tokio#2119: a runtime that was shut down while one of its workers was in a blocking section lost
//! the worker's core between the two, and waited for it for ever.

use crate::support::{Gate, Live, foreign_block_on, runtime, watchdog, watchdog_of};
use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::thread;

/// A worker blocks; the shutdown begins; the worker comes back at some moment of it.
#[test]
fn a_shutdown_while_a_worker_blocks() {
    watchdog(|| {
        for round in 0..200 {
            let runtime = runtime();
            let (live, begun, release) = (Live::new(), Gate::new(), Gate::new());
            let inside = (live.clone(), begun.clone(), release.clone());
            let task = runtime.spawn(async move {
                let _held = inside.0;
                inside.1.open();
                inside.2.block();
                // Spawned and woken after the shutdown has begun, perhaps.
                drop(evenkeel::spawn(pending::<()>()));
                drop(evenkeel::spawn_blocking(|| ()));
                evenkeel::task::yield_now().await;
                pending::<()>().await;
            });
            begun.block();
            let opener = thread::spawn(move || {
                for _ in 0..round * 20 {
                    std::hint::spin_loop();
                }
                release.open();
            });
            drop(runtime);
            assert!(foreign_block_on(task).unwrap_err().is_cancelled());
            assert_eq!(live.others(), 0);
            opener.join().unwrap();
        }
    });
}

/// A blocking section waits for a future of the runtime that is being dropped: it gets an error.
#[test]
fn a_blocking_closure_that_waits_for_a_task_of_the_runtime_that_is_dropped() {
    watchdog_of(thread::Builder::new(), |handles| {
        for _ in 0..100 {
            let runtime = runtime();
            handles.send(runtime.handle().clone()).unwrap();
            let (begun, begins) = mpsc::channel();
            let closures = [0, 1].map(|i| {
                let begun = begun.clone();
                let waits = move || {
                    let task = evenkeel::spawn(pending::<()>());
                    begun.send(()).unwrap();
                    foreign_block_on(task).unwrap_err().is_cancelled()
                };
                if i == 0 {
                    runtime.spawn_blocking(waits)
                } else {
                    runtime.spawn_compute(waits)
                }
            });
            begins.recv().unwrap();
            begins.recv().unwrap();
            drop(runtime);
            closures
                .into_iter()
                .for_each(|closure| assert!(foreign_block_on(closure).unwrap()));
        }
    });
}

/// Another thread submits closures while the runtime is dropped (tokio#7922): each runs once and
/// hands its value over, or is dropped and cancelled.
#[test]
fn blocking_closures_that_are_submitted_during_the_shutdown() {
    watchdog(|| {
        for round in 0..400 {
            let runtime = runtime();
            let (live, runs) = (Live::new(), Arc::new(AtomicUsize::new(0)));
            let barrier = Arc::new(Barrier::new(2));
            let inside = (live.clone(), runs.clone(), barrier.clone());
            let handle = runtime.handle().clone();
            let submitter = thread::spawn(move || {
                let (live, runs, barrier) = inside;
                // A thread of the pool is in a blocking section, and others may be in the making.
                let early = handle.spawn_blocking(thread::yield_now);
                barrier.wait();
                let closures: Vec<_> = (0..32)
                    .map(|i| {
                        let held = (live.clone(), runs.clone());
                        handle.spawn_blocking(move || {
                            held.1.fetch_add(1, Ordering::SeqCst);
                            thread::yield_now();
                            i
                        })
                    })
                    .collect();
                drop(early);
                // Kept, as nothing is to be dropped with the last handle only.
                (handle, closures)
            });
            barrier.wait();
            for _ in 0..round % 20 * 200 {
                std::hint::spin_loop();
            }
            drop(runtime);
            let mut done = 0;
            let (_handle, closures) = submitter.join().unwrap();
            for (i, closure) in closures.into_iter().enumerate() {
                match foreign_block_on(closure) {
                    Ok(value) => done += usize::from(value == i),
                    Err(error) => assert!(error.is_cancelled()),
                }
            }
            assert_eq!(done, runs.load(Ordering::SeqCst));
            assert_eq!(live.others(), 0);
        }
    });
}
