//! Models of the pool's protocol, which is written down in `src/shared.rs`. A job that is forgotten
//! shows as a deadlock.
//!
//! Run with `RUSTFLAGS="--cfg evenkeel_loom" cargo test --release -p evenkeel-blocking-pool --test
//! loom --lib`.
//!
//! Mutations tried, each of which makes this file fail with a deadlock: `Shared::submit` without
//! its fence; `Shared::settle` without its fence; `settle` without its re-check of the inbox;
//! `submit` that does not empty the inbox when it reads `CLOSED`; `Shared::pause` without its
//! settling, or counting itself as ended after that; `Shared::shutdown` that does not wait until
//! all threads are listed, or not until another has joined them, or is not told that they are;
//! `Core::wants_thread` that is never so when closed. And this with a job that is cancelled:
//! `Shared::close` that leaves the inbox to `settle`.
#![cfg(evenkeel_loom)]

use std::sync::Arc;
use std::time::Duration;

use evenkeel_blocking_pool::{Builder, Pool};
use loom::future::block_on;
use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread;

fn model(test: impl Fn() + Send + Sync + 'static) {
    model_with_preemptions(2, test);
}

fn model_with_preemptions(bound: usize, test: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(bound);
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

/// What was accepted before the shutdown runs, though another submitter comes too late and empties
/// the inbox.
#[test]
fn a_late_submitter_meets_shutdown() {
    model(|| {
        let pool = pool(1, Duration::MAX);
        let task = pool.spawn(|| 7);
        let other = pool.clone();
        let late = thread::spawn(move || drop(other.execute(|| ())));
        assert!(pool.shutdown(None));
        late.join().unwrap();
        assert_eq!(block_on(task).unwrap(), 7);
    });
}

/// The same, while the only thread times out and leaves, and another waits for the end as well.
#[test]
fn leaving_meets_shutdown() {
    // Four threads, with the one that comes for the second job.
    model_with_preemptions(1, || {
        let pool = pool(1, Duration::ZERO);
        pool.execute(|| ()).unwrap();
        let task = pool.spawn(|| 7);
        let other = pool.clone();
        let shutdown = thread::spawn(move || assert!(other.shutdown(None)));
        assert!(pool.shutdown(None));
        // Nobody waits for threads that have been joined.
        assert!(pool.shutdown(Some(Duration::ZERO)));
        shutdown.join().unwrap();
        assert_eq!(block_on(task).unwrap(), 7);
    });
}

/// A maker that is asked for a thread before the shutdown comes after it.
#[test]
fn making_meets_shutdown() {
    model(|| {
        let (ring, rung) = loom::sync::mpsc::channel();
        let pool = Builder::new()
            .max_threads(1)
            .keep_alive(Duration::MAX)
            .thread_maker(move || ring.send(()).unwrap())
            .build()
            .unwrap();
        let task = pool.spawn(|| 7);
        let other = pool.clone();
        let maker = thread::spawn(move || {
            rung.recv().unwrap();
            while other.make_threads().unwrap().is_some() {}
        });
        assert!(pool.shutdown(None));
        assert_eq!(block_on(task).unwrap(), 7);
        maker.join().unwrap();
        assert!(pool.shutdown(Some(Duration::ZERO)), "it has been joined");
    });
}

/// A job is submitted while an earlier request for threads is being answered: either that answer
/// covers it, or its submitter asks anew.
#[test]
fn asking_meets_making() {
    model(|| {
        let rung = Arc::new(AtomicBool::new(false));
        let ring = rung.clone();
        let pool = Builder::new()
            .max_threads(1)
            .keep_alive(Duration::MAX)
            .thread_maker(move || ring.store(true, Ordering::Relaxed))
            .build()
            .unwrap();
        let other = pool.clone();
        let submitter = thread::spawn(move || other.spawn(|| 7));
        let paused = pool.make_threads().unwrap();
        let task = submitter.join().unwrap();
        if pool.threads() == 0 {
            assert!(paused.is_some() || rung.load(Ordering::Relaxed));
            assert_eq!(pool.make_threads().unwrap(), None);
            assert_eq!(pool.threads(), 1);
        }
        assert_eq!(block_on(task).unwrap(), 7);
        assert!(pool.shutdown(None));
    });
}

/// A job is submitted while a maker pauses, or does not, and a thread starts: a job that has no
/// thread has a maker on its way, who is rung for or comes back by itself.
#[test]
fn submitting_meets_pausing() {
    // Four threads: a second preemption would take minutes.
    model_with_preemptions(1, || {
        let (ring, rung) = loom::sync::mpsc::channel();
        let pool = Builder::new()
            .max_threads(2)
            .keep_alive(Duration::MAX)
            .thread_maker(move || ring.send(()).unwrap())
            .build()
            .unwrap();
        // The first job waits for the second, which so needs a thread of its own.
        let (open, opened) = loom::sync::mpsc::channel();
        let first = pool.spawn(move || opened.recv().unwrap());
        let other = pool.clone();
        let submitter =
            thread::spawn(move || other.execute(move || open.send(()).unwrap()).unwrap());
        rung.recv().unwrap();
        while pool.threads() < 2 {
            if pool.make_threads().unwrap().is_none() && pool.threads() < 2 {
                rung.recv().unwrap();
            }
        }
        submitter.join().unwrap();
        block_on(first).unwrap();
        assert!(pool.shutdown(None));
    });
}
