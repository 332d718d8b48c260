//! Whoever receives the log panics on every line, as `println!` does when the output is closed,
//! with a payload whose destructor panics in turn: no thread of a runtime is lost by it, and a
//! shutdown ends.
//!
//! The receiver of the log is that of the whole process, hence a binary of its own.

mod log_support;
mod support;
mod takeover_support;

use evenkeel::runtime::{Handle, Runtime};
use log_support::{Bomb, ON_LINE, explode, have_the_log_panic, lines};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Wake, Waker};
use std::time::Duration;
use support::{
    Gate, assert_all_workers_work, builder, foreign_block_on, on_built, until, watchdog,
};
use takeover_support::burn;

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

#[track_caller]
fn with_panicking_log(test: impl FnOnce() + Send + 'static) {
    have_the_log_panic();
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let before = lines();
    watchdog(test);
    assert!(lines() > before, "nothing was logged");
}

/// Polls that are replaced, until that has been logged.
fn have_a_takeover_logged(runtime: &Runtime) {
    let before = lines();
    while lines() == before {
        let hogs = [(); 3].map(|()| runtime.spawn(async { burn(Duration::from_millis(20)) }));
        for hog in hogs {
            foreign_block_on(hog).unwrap();
        }
    }
}

#[test]
fn a_line_about_a_takeover() {
    with_panicking_log(|| {
        let runtime = builder(2).build().unwrap();
        have_a_takeover_logged(&runtime);
        assert_all_workers_work(runtime.handle());
        drop(runtime);
    });
}

/// It uses the runtime as a task would.
#[test]
fn a_receiver_that_uses_the_runtime() {
    with_panicking_log(|| {
        let runtime = builder(2).build().unwrap();
        let (handle, used) = (runtime.handle().clone(), Gate::new());
        let opens = used.clone();
        *ON_LINE.lock().unwrap() = Some(Box::new(move || {
            assert!(!handle.dump().to_string().is_empty());
            drop(handle.spawn(async {}));
            drop(handle.spawn_compute(|| ()));
            let opens = opens.clone();
            drop(handle.spawn_blocking(move || opens.open()));
        }));
        have_a_takeover_logged(&runtime);
        used.block();
        assert_all_workers_work(runtime.handle());
    });
}

/// On a thread of the blocking pool, whose line it is.
#[test]
fn a_receiver_that_drops_the_runtime() {
    with_panicking_log(|| {
        let runtime = Arc::new(Mutex::new(Some(builder(2).build().unwrap())));
        let (owner, dropped) = (runtime.clone(), Gate::new());
        let opens = dropped.clone();
        *ON_LINE.lock().unwrap() = Some(Box::new(move || {
            drop(owner.lock().unwrap().take());
            opens.open();
        }));
        while !dropped.is_open() {
            let spawn = |runtime: &Runtime| {
                [(); 3].map(|()| runtime.spawn(async { burn(Duration::from_millis(20)) }))
            };
            let hogs = runtime.lock().unwrap().as_ref().map(spawn);
            for hog in hogs.into_iter().flatten() {
                let _ = foreign_block_on(hog);
            }
        }
    });
}

/// On a compute worker that is just being started, and must not wait for itself.
#[test]
fn a_receiver_that_drops_the_runtime_at_the_start_of_a_worker() {
    with_panicking_log(|| {
        let runtime = builder(1).build().unwrap();
        let (handle, dropped) = (runtime.handle().clone(), Gate::new());
        let (opens, owner) = (dropped.clone(), Mutex::new(Some(runtime)));
        *ON_LINE.lock().unwrap() = Some(Box::new(move || {
            drop(owner.lock().unwrap().take());
            opens.open();
        }));
        let _ = foreign_block_on(handle.spawn_compute(|| ()));
        dropped.block();
    });
}

#[test]
fn hooks_that_panic_on_every_thread() {
    with_panicking_log(|| {
        let (begins, ends) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (starts, stops) = (begins.clone(), ends.clone());
        let captured = Bomb(2);
        let mut builder = builder(2);
        builder
            .on_thread_start(move || {
                starts.fetch_add(1, Ordering::SeqCst);
                explode();
            })
            .on_thread_stop(move || {
                let _ = &captured;
                stops.fetch_add(1, Ordering::SeqCst);
                explode();
            });
        on_built(builder, |runtime| {
            assert_all_workers_work(runtime.handle());
            // Spares, too.
            have_a_takeover_logged(runtime);
            assert_all_workers_work(runtime.handle());
        });
        assert!(begins.load(Ordering::SeqCst) >= 5);
        assert_eq!(
            begins.load(Ordering::SeqCst),
            ends.load(Ordering::SeqCst),
            "each thread has stopped"
        );
    });
}

/// On a worker, and on the driver thread.
#[test]
fn a_line_about_a_waker_that_panics() {
    struct Explode;
    impl Wake for Explode {
        fn wake(self: Arc<Self>) {
            explode();
        }
    }
    with_panicking_log(|| {
        let runtime = builder(1).compute_threads(1).build().unwrap();
        let (waker, before) = (Waker::from(Arc::new(Explode)), lines());
        // This thread has no timers of its own.
        let _entered = runtime.enter();
        let mut of_driver = Box::pin(evenkeel::time::sleep(Duration::from_millis(1)));
        let poll = of_driver.as_mut().poll(&mut Context::from_waker(&waker));
        assert!(poll.is_pending());
        let of_worker = runtime.spawn(async move {
            let mut sleep = Box::pin(evenkeel::time::sleep(Duration::from_millis(1)));
            let poll = sleep.as_mut().poll(&mut Context::from_waker(&waker));
            assert!(poll.is_pending());
            [sleep]
        });
        let _of_worker = foreign_block_on(of_worker).unwrap();
        until(|| lines() >= before + 2);
        assert_all_workers_work(&Handle::current());
    });
}

/// Their last owner is a thread that ends.
#[test]
fn what_a_hook_has_captured() {
    with_panicking_log(|| {
        let captured = Bomb(2);
        let mut builder = builder(1);
        builder.on_thread_stop(move || {
            let _ = &captured;
            explode();
        });
        let runtime = builder.build().unwrap();
        drop(builder);
        let (begun, release) = (Gate::new(), Gate::new());
        let (opens, stays) = (begun.clone(), release.clone());
        let task = runtime.spawn_blocking(move || {
            opens.open();
            stays.block();
        });
        begun.block();
        runtime.shutdown_background();
        let before = lines();
        release.open();
        foreign_block_on(task).unwrap();
        until(|| lines() > before);
    });
}
