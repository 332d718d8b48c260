//! The runtime, its builder and its handles, by behaviour.

mod support;

use evenkeel::runtime::{Builder, ComputePriority, Handle, Pinning, Runtime};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;
use support::{runtime, watchdog};

#[test]
fn block_on_gives_the_output() {
    watchdog(|| assert_eq!(runtime().block_on(async { 42 }), 42));
}

#[test]
fn spawn_gives_the_output() {
    watchdog(|| {
        runtime().block_on(async {
            let handle = evenkeel::spawn(async { 42 });
            assert_eq!(handle.await.unwrap(), 42);
        });
    });
}

#[test]
fn spawn_compute_and_spawn_blocking_give_the_output() {
    watchdog(|| {
        runtime().block_on(async {
            assert_eq!(evenkeel::spawn_compute(|| 1).await.unwrap(), 1);
            assert_eq!(evenkeel::spawn_blocking(|| 2).await.unwrap(), 2);
            assert_eq!(evenkeel::compute::spawn(async { 3 }).await.unwrap(), 3);
        });
    });
}

#[test]
fn sleep_waits() {
    watchdog(|| {
        runtime().block_on(async {
            let before = std::time::Instant::now();
            evenkeel::time::sleep(Duration::from_millis(20)).await;
            assert!(before.elapsed() >= Duration::from_millis(20));
            let on_worker = evenkeel::spawn(evenkeel::time::sleep(Duration::from_millis(5)));
            on_worker.await.unwrap();
            evenkeel::compute::spawn(evenkeel::time::sleep(Duration::from_millis(5)))
                .await
                .unwrap();
        });
    });
}
