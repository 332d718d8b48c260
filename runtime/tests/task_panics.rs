//! Panics of tasks, of their destructors, and of what they give out.

mod support;

use evenkeel::runtime::Runtime;
use evenkeel::task::{JoinError, JoinHandle, yield_now};
use std::future::{Future, pending};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread;
use support::{Gate, Live, assert_all_workers_work, foreign_block_on, in_block_on, on_runtime};

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        // Two at once would end the process.
        if !thread::panicking() {
            panic!("bomb");
        }
    }
}

fn message(error: JoinError) -> String {
    let panic = error.into_panic();
    panic
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or(panic.downcast_ref().cloned())
        .unwrap()
}

fn each_kind(runtime: &Runtime, work: fn() -> usize) -> [JoinHandle<usize>; 4] {
    let _entered = runtime.enter();
    [
        runtime.spawn(async move { work() }),
        evenkeel::compute::spawn(async move { work() }),
        runtime.spawn_compute(work),
        runtime.spawn_blocking(work),
    ]
}

#[test]
fn panics_reach_the_handle_and_kill_no_thread() {
    on_runtime(2, |runtime| {
        for _ in 0..4 {
            for task in each_kind(runtime, || panic!("static")) {
                let id = task.id();
                let error = foreign_block_on(task).unwrap_err();
                assert!(error.is_panic() && !error.is_cancelled());
                assert_eq!(error.id(), id);
                let text = error.to_string();
                assert!(
                    text.contains("static") && text.contains(&id.to_string()),
                    "{text}"
                );
                assert!(format!("{error:?}").contains("static"));
                assert_eq!(message(error), "static");
            }
            for task in each_kind(runtime, || panic!("formatted {}", 1)) {
                let error = foreign_block_on(task).unwrap_err();
                assert!(error.to_string().contains("formatted 1"), "{error}");
                assert_eq!(message(error), "formatted 1");
            }
            for task in each_kind(runtime, || std::panic::panic_any(42_u8)) {
                let error = foreign_block_on(task).unwrap_err();
                assert!(error.to_string().contains("panicked"), "{error}");
                let payload = error.try_into_panic().unwrap();
                assert_eq!(payload.downcast_ref(), Some(&42_u8));
            }
        }
        assert_all_workers_work(runtime.handle());
    });
}

#[test]
fn a_panic_after_an_await() {
    in_block_on(1, || async {
        let live = Live::new();
        let held = live.clone();
        let task = evenkeel::spawn(async move {
            let _held = held;
            yield_now().await;
            panic!("later")
        });
        let result: Result<(), _> = task.await;
        assert_eq!(message(result.unwrap_err()), "later");
        assert_eq!(live.others(), 0);
    });
}

#[test]
fn a_cancelled_error_has_no_panic() {
    in_block_on(1, || async {
        let task = evenkeel::spawn(pending::<()>());
        task.abort();
        let error = task.await.unwrap_err().try_into_panic().unwrap_err();
        assert!(error.is_cancelled());
        let panic = std::panic::catch_unwind(move || error.into_panic()).unwrap_err();
        assert!(
            panic
                .downcast_ref::<String>()
                .unwrap()
                .contains("into_panic")
        );
    });
}

#[test]
fn a_join_error_becomes_an_io_error() {
    in_block_on(1, || async {
        let task = evenkeel::spawn(pending::<()>());
        task.abort();
        let error: std::io::Error = task.await.unwrap_err().into();
        assert!(error.to_string().contains("cancelled"));
    });
}

#[test]
fn a_panic_in_the_drop_of_a_cancelled_future() {
    on_runtime(2, |runtime| {
        runtime.block_on(async {
            for _ in 0..4 {
                let task = evenkeel::spawn(async {
                    let _bomb = Bomb;
                    pending::<()>().await;
                });
                yield_now().await;
                task.abort();
                let error = task.await.unwrap_err();
                // Aborted before the first poll, there is no bomb yet.
                assert!(error.is_cancelled() || message(error) == "bomb");
            }
        });
        assert_all_workers_work(runtime.handle());
    });
}

#[test]
fn a_panic_in_the_drop_of_an_output_that_nobody_takes() {
    on_runtime(2, |runtime| {
        let release = Gate::new();
        let all: Vec<_> = (0..4)
            .map(|_| (release.clone(), release.clone(), release.clone()))
            .collect();
        for (a, b, c) in all {
            drop(runtime.spawn(async move {
                a.wait().await;
                Bomb
            }));
            drop(runtime.spawn_compute(move || {
                b.block();
                Bomb
            }));
            drop(runtime.spawn_blocking(move || {
                c.block();
                Bomb
            }));
        }
        release.open();
        assert_all_workers_work(runtime.handle());
    });
}

#[test]
fn a_panic_in_the_drop_of_a_future_that_has_completed() {
    /// Ready at once, and panics when it is dropped.
    struct Future42(Bomb);
    impl Future for Future42 {
        type Output = usize;
        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<usize> {
            let _ = &self.0;
            Poll::Ready(42)
        }
    }
    on_runtime(2, |runtime| {
        for _ in 0..4 {
            let task = runtime.spawn(Future42(Bomb));
            assert_eq!(message(foreign_block_on(task).unwrap_err()), "bomb");
        }
        assert_all_workers_work(runtime.handle());
    });
}

#[test]
fn a_panic_in_the_drop_of_a_future_and_another_in_that_of_its_output() {
    struct FutureBomb(Bomb);
    impl Future for FutureBomb {
        type Output = Bomb;
        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Bomb> {
            let _ = &self.0;
            Poll::Ready(Bomb)
        }
    }
    on_runtime(2, |runtime| {
        for _ in 0..4 {
            let task = runtime.spawn(FutureBomb(Bomb));
            match foreign_block_on(task) {
                Ok(bomb) => std::mem::forget(bomb),
                Err(error) => assert_eq!(message(error), "bomb"),
            }
        }
        assert_all_workers_work(runtime.handle());
    });
}

#[test]
fn a_panic_payload_that_panics_when_it_is_dropped() {
    on_runtime(2, |runtime| {
        for task in each_kind(runtime, || std::panic::panic_any(Bomb)) {
            drop(task);
        }
        assert_all_workers_work(runtime.handle());
    });
}
