//! async-executor#103 and #104: whoever drove the executor by single ticks never looked into the
//! queue that belonged to another thread, and what was in there was not run.

use crate::support::{Gate, foreign_block_on, on_runtime};
use std::thread;

/// Spawned inside `block_on` on one thread, which is left; driven and awaited only from another.
#[test]
fn spawned_on_one_thread_and_awaited_on_another() {
    on_runtime(1, |runtime| {
        for _ in 0..200 {
            let gate = Gate::new();
            let inside = gate.clone();
            let task = runtime.block_on(async {
                let task = evenkeel::spawn(async move {
                    let child = evenkeel::spawn(async { 1 });
                    inside.wait().await;
                    child.await.unwrap()
                });
                evenkeel::task::yield_now().await;
                task
            });
            let handle = runtime.handle().clone();
            let other = thread::spawn(move || {
                handle.block_on(async {
                    gate.open();
                    task.await.unwrap()
                })
            });
            assert_eq!(other.join().unwrap(), 1);
        }
    });
}

/// Spawned by a worker that then blocks: what is in its queue is driven by the other.
#[test]
fn spawned_by_a_worker_that_is_busy() {
    on_runtime(2, |runtime| {
        let (children, child) = std::sync::mpsc::channel();
        let release = Gate::new();
        let inside = release.clone();
        let busy = runtime.spawn(async move {
            for i in 0..100 {
                children.send(evenkeel::spawn(async move { i })).unwrap();
            }
            // One more, which takes the LIFO slot: that is not shared.
            let last = evenkeel::spawn(async {});
            inside.block();
            last
        });
        for i in 0..100 {
            assert_eq!(foreign_block_on(child.recv().unwrap()).unwrap(), i);
        }
        release.open();
        foreign_block_on(foreign_block_on(busy).unwrap()).unwrap();
    });
}
