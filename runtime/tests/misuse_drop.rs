//! A runtime dropped in odd places, and shutdowns with a limit: none waits without end.

mod support;

use evenkeel::runtime::Runtime;
use evenkeel::time::{Instant, sleep};
use std::future::{Future, pending};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;
use support::{
    Gate, OpenOnDrop, assert_all_workers_work, builder, foreign_block_on, runtime, watchdog,
};

// ---- a runtime dropped in odd places ----

/// Drops a runtime where `place` calls the closure, and checks that it shuts down all the same.
fn dropped_in(place: impl FnOnce(Runtime, Box<dyn FnOnce(Runtime) + Send>) + Send + 'static) {
    watchdog(move || {
        let stopped = Arc::new(AtomicUsize::new(0));
        let counted = stopped.clone();
        let runtime = builder(2)
            .compute_threads(2)
            .on_thread_stop(move || {
                counted.fetch_add(1, Ordering::SeqCst);
            })
            .build()
            .unwrap();
        let dropped = Gate::new();
        let guard = OpenOnDrop(dropped.clone());
        runtime.spawn(async move {
            let _guard = guard;
            pending::<()>().await;
        });
        assert_all_workers_work(runtime.handle());
        place(runtime, Box::new(drop));
        dropped.block();
        support::until(|| stopped.load(Ordering::SeqCst) >= 4);
    });
}

#[test]
fn dropped_in_block_on_of_another() {
    dropped_in(|runtime, drop| self::runtime().block_on(async { drop(runtime) }));
}

#[test]
fn dropped_in_a_task_of_another() {
    dropped_in(|runtime, drop| {
        foreign_block_on(self::runtime().spawn(async move { drop(runtime) })).unwrap();
    });
}

#[test]
fn dropped_in_its_own_block_on() {
    dropped_in(|runtime, drop| {
        let handle = runtime.handle().clone();
        handle.block_on(async { drop(runtime) });
    });
}

#[test]
fn dropped_in_its_own_task() {
    dropped_in(|runtime, drop| {
        let handle = runtime.handle().clone();
        let end = Gate::new();
        let ended = end.clone();
        handle.spawn(async move {
            drop(runtime);
            ended.open();
        });
        end.block();
    });
}

#[test]
fn dropped_in_its_own_task_whose_handle_is_awaited() {
    dropped_in(|runtime, drop| {
        let handle = runtime.handle().clone();
        // The poll is not interrupted, so the task completes.
        let task = handle.spawn(async move {
            drop(runtime);
            5
        });
        assert_eq!(foreign_block_on(task).unwrap(), 5);
    });
}

#[test]
fn dropped_in_its_own_compute_closure() {
    dropped_in(|runtime, drop| {
        let handle = runtime.handle().clone();
        assert!(foreign_block_on(handle.spawn_compute(move || drop(runtime))).is_ok());
    });
}

#[test]
fn dropped_in_its_own_blocking_closure() {
    dropped_in(|runtime, drop| {
        let handle = runtime.handle().clone();
        assert!(foreign_block_on(handle.spawn_blocking(move || drop(runtime))).is_ok());
    });
}

#[test]
fn dropped_by_its_own_task_when_that_is_cancelled() {
    dropped_in(|runtime, _| {
        let handle = runtime.handle().clone();
        let begun = Gate::new();
        let inside = begun.clone();
        let task = handle.spawn(async move {
            let _runtime = runtime;
            inside.open();
            pending::<()>().await;
        });
        begun.block();
        task.abort();
        assert!(foreign_block_on(task).unwrap_err().is_cancelled());
    });
}

#[test]
fn dropped_by_a_waker_on_the_thread_that_fires_timers() {
    struct DropRuntime(Mutex<Option<Runtime>>, Gate);
    impl Wake for DropRuntime {
        fn wake(self: Arc<Self>) {
            let runtime = self.0.lock().unwrap().take();
            drop(runtime);
            self.1.open();
        }
    }
    dropped_in(|runtime, _| {
        let entered = runtime.enter();
        let mut sleep = pin!(sleep(Duration::from_millis(20)));
        drop(entered);
        let end = Gate::new();
        let slot = Arc::new(DropRuntime(Mutex::new(Some(runtime)), end.clone()));
        let waker = Waker::from(slot.clone());
        let polled = sleep.as_mut().poll(&mut Context::from_waker(&waker));
        if let Poll::Ready(()) = polled {
            slot.wake_by_ref();
        }
        end.block();
    });
}

// ---- shutdowns with a limit ----

#[test]
fn a_bounded_shutdown_returns_while_a_closure_runs_for_ever() {
    watchdog(|| {
        for kind in 0..3 {
            let runtime = runtime();
            let (begun, release) = (Gate::new(), Gate::new());
            let inside = (begun.clone(), release.clone());
            let stuck = move || {
                inside.0.open();
                inside.1.block();
                9
            };
            let task = match kind {
                0 => runtime.spawn_blocking(stuck),
                1 => runtime.spawn_compute(stuck),
                _ => runtime.spawn(async move { stuck() }),
            };
            begun.block();
            let before = Instant::now();
            let limit = Duration::from_millis(30);
            runtime.shutdown_timeout(limit);
            assert!(before.elapsed() >= limit, "it waits for the closure");
            assert!(!task.is_finished());
            release.open();
            assert_eq!(
                foreign_block_on(task).unwrap(),
                9,
                "left to itself, it completes"
            );
        }
    });
}

#[test]
fn a_background_shutdown_waits_for_nothing() {
    watchdog(|| {
        let runtime = runtime();
        let (begun, release) = (Gate::new(), Gate::new());
        let inside = (begun.clone(), release.clone());
        let task = runtime.spawn_blocking(move || {
            inside.0.open();
            inside.1.block();
        });
        begun.block();
        runtime.shutdown_background();
        assert!(!task.is_finished(), "only now may the closure end");
        release.open();
        foreign_block_on(task).unwrap();
    });
}

#[test]
fn a_bounded_shutdown_of_an_idle_runtime_ends_at_once() {
    watchdog(|| {
        runtime().shutdown_timeout(Duration::from_secs(3600));
        runtime().shutdown_timeout(Duration::MAX);
        runtime().shutdown_timeout(Duration::ZERO);
    });
}
