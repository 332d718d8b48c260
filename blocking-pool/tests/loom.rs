//! Models of the pool's protocol, which is written down in `src/shared.rs`. A job that is forgotten shows as a deadlock.
//!
//! Run with `RUSTFLAGS="--cfg evenkeel_loom" cargo test --release -p evenkeel-blocking-pool --test loom --lib`.
//!
//! Mutations tried, each of which makes this file fail with a deadlock: `Shared::submit` without its fence;
//! `Shared::settle` without its fence; `settle` without its re-check of the inbox; `submit` that does not empty the inbox
//! when it reads `CLOSED`.
#![cfg(evenkeel_loom)]

use std::sync::Arc;
use std::time::Duration;

use evenkeel_blocking_pool::{Builder, Pool};
use loom::future::block_on;
use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread;

fn model(test: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.max_branches = 20_000;
    builder.check(test);
}

fn pool(threads: usize, keep_alive: Duration) -> Pool {
    Builder::new()
        .max_threads(threads)
        .keep_alive(keep_alive)
        .build()
        .unwrap()
}

/// A job is submitted while the only thread becomes idle.
#[test]
fn submit_meets_going_idle() {
    model(|| {
        let pool = pool(1, Duration::MAX);
        pool.execute(|| ()).unwrap();
        let task = pool.spawn(|| 7);
        assert_eq!(block_on(task).unwrap(), 7);
        assert!(pool.shutdown(None));
    });
}

/// A job is submitted while the only thread times out and leaves.
#[test]
fn submit_meets_timing_out() {
    model(|| {
        let pool = pool(1, Duration::ZERO);
        pool.execute(|| ()).unwrap();
        let task = pool.spawn(|| 7);
        assert_eq!(block_on(task).unwrap(), 7);
        assert!(pool.shutdown(None));
    });
}

/// A job is submitted while the pool shuts down: its task completes, one way or the other.
#[test]
fn submit_meets_shutdown() {
    model(|| {
        let pool = pool(1, Duration::MAX);
        let other = pool.clone();
        let shutdown = thread::spawn(move || assert!(other.shutdown(None)));
        match block_on(pool.spawn(|| 7)) {
            Ok(value) => assert_eq!(value, 7),
            Err(error) => assert!(error.is_cancelled()),
        }
        shutdown.join().unwrap();
    });
}

/// A job is submitted while an earlier request for threads is being answered: either that answer covers it, or its
/// submitter asks anew.
#[test]
fn asking_meets_making() {
    model(|| {
        let rung = Arc::new(AtomicBool::new(false));
        let ring = rung.clone();
        let pool = Builder::new()
            .max_threads(1)
            .keep_alive(Duration::MAX)
            .thread_maker(move |_| ring.store(true, Ordering::Relaxed))
            .build()
            .unwrap();
        let other = pool.clone();
        let submitter = thread::spawn(move || other.spawn(|| 7));
        let made = pool.make_threads().unwrap();
        let task = submitter.join().unwrap();
        if made == 0 {
            assert!(rung.load(Ordering::Relaxed));
            assert_eq!(pool.make_threads().unwrap(), 1);
        }
        assert_eq!(block_on(task).unwrap(), 7);
        assert!(pool.shutdown(None));
    });
}
