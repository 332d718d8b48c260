//! rayon#992: the last look before sleep left out one source of work, and what came from there
//! waited until something else woke the pool.

use crate::support::{Gate, foreign_block_on, on_runtime};
use evenkeel::net::{TcpListener, TcpStream};
use evenkeel::time::{Duration, sleep};
use std::sync::{Arc, Barrier};
use std::thread;

/// Every source in turn, with nothing else in the runtime that could wake the worker by accident.
#[test]
fn every_source_of_work_ends_a_sleep() {
    on_runtime(1, |runtime| {
        let _entered = runtime.enter();
        let (server, client) = runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let client = TcpStream::connect(listener.local_addr().unwrap())
                .await
                .unwrap();
            client.writable().await.unwrap();
            (Arc::new(listener.accept().await.unwrap().0), client)
        });
        for _ in 0..400 {
            // The inbox, from a plain thread.
            foreign_block_on(runtime.spawn(async {})).unwrap();
            // A wake from a plain thread.
            let gate = Gate::new();
            let inside = gate.clone();
            let task = runtime.spawn(async move { inside.wait().await });
            let waker = thread::spawn(move || gate.open());
            foreign_block_on(task).unwrap();
            waker.join().unwrap();
            // A timer of the worker itself.
            foreign_block_on(runtime.spawn(sleep(Duration::from_micros(50)))).unwrap();
            // The driver thread.
            let reader = server.clone();
            let task = runtime.spawn(async move {
                reader.readable().await.unwrap();
                while reader.try_read(&mut [0]).is_err() {
                    reader.readable().await.unwrap();
                }
            });
            assert_eq!(client.try_write(&[1]).unwrap(), 1);
            foreign_block_on(task).unwrap();
            // The other lane and the pool.
            let task = runtime.spawn_compute(|| evenkeel::spawn(async {}));
            foreign_block_on(foreign_block_on(task).unwrap()).unwrap();
            let task = runtime.spawn_blocking(|| evenkeel::spawn(async {}));
            foreign_block_on(foreign_block_on(task).unwrap()).unwrap();
            // The abort of a task that waits.
            let task = runtime.spawn(std::future::pending::<()>());
            task.abort();
            assert!(foreign_block_on(task).unwrap_err().is_cancelled());
        }
    });
}

/// The queue of another worker, whose owner is stuck.
#[test]
fn the_queue_of_another_worker_ends_a_sleep() {
    on_runtime(2, |runtime| {
        for _ in 0..1_000 {
            let end = Gate::new();
            let inside = end.clone();
            let task = runtime.spawn(async move {
                let end = inside.clone();
                let first = evenkeel::spawn(async move { end.open() });
                // Takes the LIFO slot, so that the first is where the other worker can get it.
                let second = evenkeel::spawn(async {});
                inside.block();
                (first, second)
            });
            let (first, second) = foreign_block_on(task).unwrap();
            foreign_block_on(first).unwrap();
            foreign_block_on(second).unwrap();
        }
    });
}

#[test]
fn the_queue_of_another_compute_worker_ends_a_sleep() {
    on_runtime(2, |runtime| {
        for _ in 0..1_000 {
            let task = runtime.spawn_compute(move || {
                let barrier = Arc::new(Barrier::new(2));
                let other = barrier.clone();
                let task = evenkeel::spawn_compute(move || {
                    other.wait();
                });
                barrier.wait();
                task
            });
            foreign_block_on(foreign_block_on(task).unwrap()).unwrap();
        }
    });
}
