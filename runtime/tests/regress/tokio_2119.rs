//! tokio#2119: a runtime that was shut down while one of its workers was in a blocking section lost the
//! worker's core between the two, and waited for it for ever.

use crate::support::{Gate, Live, foreign_block_on, runtime, watchdog, watchdog_of};
use std::future::pending;
use std::sync::mpsc;
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
