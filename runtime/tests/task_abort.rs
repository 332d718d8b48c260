//! Tasks that are aborted.

mod support;

use evenkeel::task::{AbortHandle, JoinHandle, yield_now};
use std::collections::HashSet;
use std::future::pending;
use std::sync::{Arc, Mutex};
use std::thread;
use support::{Gate, Live, OpenOnDrop, builder, foreign_block_on, on_runtime, watchdog};

#[test]
fn abort_drops_a_waiting_future() {
    on_runtime(2, |runtime| {
        runtime.block_on(async {
            for compute in [false, true] {
                let (begun, dropped) = (Gate::new(), Gate::new());
                let inside = (begun.clone(), OpenOnDrop(dropped.clone()));
                let future = async move {
                    inside.0.open();
                    pending::<()>().await;
                    drop(inside.1);
                };
                let task = if compute {
                    evenkeel::compute::spawn(future)
                } else {
                    evenkeel::spawn(future)
                };
                begun.wait().await;
                assert!(!dropped.is_open());
                task.abort();
                task.abort();
                let id = task.id();
                let error = task.await.unwrap_err();
                assert!(error.is_cancelled() && !error.is_panic());
                assert_eq!(error.id(), id);
                assert!(error.to_string().contains("cancelled"), "{error}");
                assert!(
                    dropped.is_open(),
                    "the future is dropped before the handle is ready"
                );
            }
        });
    });
}

#[test]
fn a_queued_future_that_is_aborted_is_never_polled() {
    on_runtime(1, |runtime| {
        let (begun, release) = (Gate::new(), Gate::new());
        let inside = (begun.clone(), release.clone());
        let busy = runtime.spawn(async move {
            inside.0.open();
            inside.1.block();
        });
        begun.block();
        let live = Live::new();
        let held = live.clone();
        let task = runtime.spawn(async move {
            let _held = held;
            unreachable!("it was aborted before");
        });
        task.abort();
        release.open();
        foreign_block_on(busy).unwrap();
        let result: Result<(), _> = foreign_block_on(task);
        assert!(result.unwrap_err().is_cancelled());
        assert_eq!(live.others(), 0);
    });
}

/// One thread that is busy, and a closure behind it in the queue.
fn abort_a_queued_closure(spawn: impl Fn(Box<dyn FnOnce() -> usize + Send>) -> JoinHandle<usize>) {
    let (begun, release) = (Gate::new(), Gate::new());
    let inside = (begun.clone(), release.clone());
    let busy = spawn(Box::new(move || {
        inside.0.open();
        inside.1.block();
        7
    }));
    begun.block();
    let live = Live::new();
    let held = live.clone();
    let queued = spawn(Box::new(move || {
        let _held = held;
        unreachable!("it was aborted before");
    }));
    queued.abort();
    busy.abort();
    release.open();
    assert_eq!(
        foreign_block_on(busy).unwrap(),
        7,
        "a closure that has started goes on"
    );
    assert!(foreign_block_on(queued).unwrap_err().is_cancelled());
    assert_eq!(live.others(), 0);
    assert_eq!(foreign_block_on(spawn(Box::new(|| 8))).unwrap(), 8);
}

#[test]
fn abort_of_a_queued_compute_closure() {
    watchdog(|| {
        let runtime = builder(1).compute_threads(1).build().unwrap();
        abort_a_queued_closure(|f| runtime.spawn_compute(f));
    });
}

#[test]
fn abort_of_a_queued_blocking_closure() {
    watchdog(|| {
        let runtime = builder(1).max_blocking_threads(1).build().unwrap();
        abort_a_queued_closure(|f| runtime.spawn_blocking(f));
    });
}

#[test]
fn abort_after_completion_keeps_the_result() {
    on_runtime(1, |runtime| {
        let tasks = [
            runtime.spawn(async { 1 }),
            runtime.spawn_compute(|| 1),
            runtime.spawn_blocking(|| 1),
        ];
        for task in tasks {
            support::until(|| task.is_finished());
            task.abort();
            task.abort_handle().abort();
            assert_eq!(foreign_block_on(task).unwrap(), 1);
        }
    });
}

#[test]
fn an_abort_handle_aborts_a_detached_task() {
    on_runtime(1, |runtime| {
        let dropped = Gate::new();
        let guard = OpenOnDrop(dropped.clone());
        let task = runtime.spawn(async move {
            let _guard = guard;
            pending::<()>().await;
        });
        let abort: AbortHandle = task.abort_handle();
        assert_eq!(abort.id(), task.id());
        drop(task);
        let abort = abort.clone();
        assert!(!abort.is_finished());
        abort.abort();
        dropped.block();
        support::until(|| abort.is_finished());
        abort.abort();
    });
}

#[test]
fn abort_handles_outlive_everything() {
    watchdog(|| {
        let runtime = support::runtime();
        let task = runtime.spawn(pending::<()>());
        let (abort, id) = (task.abort_handle(), task.id());
        drop(task);
        drop(runtime);
        assert!(abort.is_finished());
        assert_eq!(abort.id(), id);
        abort.abort();
    });
}

#[test]
fn a_task_that_aborts_itself() {
    on_runtime(1, |runtime| {
        for waits_afterwards in [true, false] {
            let (out, handle) = (Arc::new(Mutex::new(None::<AbortHandle>)), Gate::new());
            let inside = (out.clone(), handle.clone());
            let task = runtime.spawn(async move {
                inside.1.wait().await;
                inside.0.lock().unwrap().take().unwrap().abort();
                if waits_afterwards {
                    // Ready the next time: but there is no next time.
                    yield_now().await;
                }
                5
            });
            *out.lock().unwrap() = Some(task.abort_handle());
            handle.open();
            match foreign_block_on(task) {
                Ok(value) => assert!(!waits_afterwards && value == 5),
                Err(error) => assert!(waits_afterwards && error.is_cancelled()),
            }
        }
    });
}

#[test]
fn abort_from_many_threads_while_the_task_is_woken() {
    on_runtime(2, |runtime| {
        for _ in 0..300 {
            let live = Live::new();
            let held = live.clone();
            let task = runtime.spawn(async move {
                let _held = held;
                loop {
                    yield_now().await;
                }
            });
            thread::scope(|scope| {
                for _ in 0..2 {
                    let abort = task.abort_handle();
                    scope.spawn(move || abort.abort());
                }
            });
            let result: Result<(), _> = foreign_block_on(task);
            assert!(result.unwrap_err().is_cancelled());
            assert_eq!(live.others(), 0);
        }
    });
}

#[test]
fn is_finished_tells() {
    on_runtime(1, |runtime| {
        let release = Gate::new();
        let inside = release.clone();
        let task = runtime.spawn(async move { inside.wait().await });
        let abort = task.abort_handle();
        assert!(!task.is_finished() && !abort.is_finished());
        release.open();
        support::until(|| task.is_finished());
        assert!(abort.is_finished());
        foreign_block_on(task).unwrap();
    });
}

#[test]
fn ids_are_unique_on_all_threads() {
    on_runtime(2, |runtime| {
        let ids = Mutex::new(HashSet::new());
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let tasks: Vec<_> = (0..5_000).map(|_| runtime.spawn(async {})).collect();
                    let mut ids = ids.lock().unwrap();
                    assert!(tasks.iter().all(|task| ids.insert(task.id())));
                });
            }
        });
        let mut all = ids.into_inner().unwrap();
        let others = [runtime.spawn_compute(|| ()), runtime.spawn_blocking(|| ())];
        assert!(others.iter().all(|task| all.insert(task.id())));
        assert_eq!(all.len(), 15_002);
    });
}
