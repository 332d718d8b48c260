//! Models of the pool's protocol, which is written down in `src/shared.rs`. A job that is forgotten shows as a deadlock.
//!
//! Run with `RUSTFLAGS="--cfg evenkeel_loom" cargo test --release -p evenkeel-blocking-pool --test loom --lib`.
#![cfg(evenkeel_loom)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use evenkeel_blocking_pool::{Builder, Pool, ThreadMaker};
use loom::future::block_on;
use loom::sync::Notify;
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

/// Two threads submit while a third makes the threads that the hook asks for.
#[test]
fn asking_meets_making() {
    model(|| {
        let maker = Arc::new(Mutex::new(None::<ThreadMaker>));
        let rung = Arc::new(Notify::new());
        let (ring, asked) = (rung.clone(), maker.clone());
        let pool = Builder::new()
            .max_threads(1)
            .keep_alive(Duration::MAX)
            .thread_maker(move |maker| {
                *asked.lock().unwrap() = Some(maker.clone());
                ring.notify();
            })
            .build()
            .unwrap();
        let driver = thread::spawn(move || {
            rung.wait();
            let maker = maker.lock().unwrap().take().unwrap();
            assert_eq!(maker.make_threads().unwrap(), 1);
        });
        let other = pool.clone();
        let submitter = thread::spawn(move || other.execute(|| ()).unwrap());
        assert_eq!(block_on(pool.spawn(|| 7)).unwrap(), 7);
        submitter.join().unwrap();
        driver.join().unwrap();
        assert!(pool.shutdown(None));
    });
}
