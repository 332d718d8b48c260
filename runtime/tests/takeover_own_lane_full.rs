//! Tasks that belong on a lane of their own, where there is no room.

#![cfg(target_os = "linux")]

mod own_lane_support;
mod support;
mod takeover_support;

use evenkeel::runtime::Runtime;
use evenkeel::task::yield_now;
use evenkeel::time::{Duration, sleep, timeout};
use own_lane_support::{Moved, elsewhere};
use std::panic::catch_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use support::{Gate, foreign_block_on, until};
use takeover_support::{Stuck, move_to_own_lane, on, own_lane_builder, stay};

/// Keeps every thread of the lane, of which there is one, until the gate is opened.
fn occupy(runtime: &Runtime, how: Stuck) -> (Gate, evenkeel::JoinHandle<()>) {
    let (begun, release) = (Gate::new(), Gate::new());
    let inside = (begun.clone(), release.clone());
    let keep = move || {
        inside.0.open();
        inside.1.block();
    };
    let task = match how {
        Stuck::Computes => runtime.spawn_compute(keep),
        Stuck::Blocks => runtime.spawn_blocking(keep),
    };
    begun.block();
    (release, task)
}

/// A runtime whose other lanes have a thread each.
#[track_caller]
fn each_narrow_way(body: impl Fn(Runtime, Stuck) + Copy + Send + 'static) {
    for how in Stuck::ALL {
        let mut builder = own_lane_builder();
        builder.compute_threads(1).max_blocking_threads(1);
        on(builder, move |runtime| body(runtime, how));
    }
}

/// The IO worker has sent on whatever was queued before this.
fn io_worker_has_passed(runtime: &Runtime) {
    foreign_block_on(runtime.spawn(yield_now())).unwrap();
}

/// It is queued there, if it waits there for what occupies the lane, which the compute lane lets it
/// do for a while.
fn queue_there(runtime: &Runtime, moved: &Moved, how: Stuck) {
    if how == Stuck::Computes {
        moved.go.open();
        io_worker_has_passed(runtime);
    }
}

#[test]
fn it_does_not_wait_for_what_occupies_the_lane() {
    each_narrow_way(|runtime, how| {
        let moved = Moved::new(&runtime, how);
        let (release, occupies) = occupy(&runtime, how);
        moved.go.open();
        foreign_block_on(moved.task).unwrap();
        assert!(moved.gone.is_open());
        release.open();
        foreign_block_on(occupies).unwrap();
    });
}

#[test]
fn it_can_be_aborted_while_the_lane_is_occupied() {
    each_narrow_way(|runtime, how| {
        for handle_is_dropped in [false, true] {
            let moved = Moved::new(&runtime, how);
            let (release, occupies) = occupy(&runtime, how);
            moved.task.abort();
            if handle_is_dropped {
                drop(moved.task);
            } else {
                assert!(foreign_block_on(moved.task).unwrap_err().is_cancelled());
            }
            until(|| moved.live.others() == 0);
            assert!(!moved.gone.is_open());
            release.open();
            foreign_block_on(occupies).unwrap();
        }
    });
}

/// The thread there is occupied until the task is dropped.
#[test]
fn queued_there_it_is_cancelled_by_a_shutdown() {
    each_narrow_way(|runtime, how| {
        for bounded in [false, true] {
            let mut builder = own_lane_builder();
            builder.compute_threads(1).max_blocking_threads(1);
            let runtime = builder.build().unwrap();
            let moved = Moved::new(&runtime, how);
            let (release, occupies) = occupy(&runtime, how);
            queue_there(&runtime, &moved, how);
            let (dropped, opens) = (moved.dropped.clone(), release.clone());
            let opener = thread::spawn(move || {
                dropped.block();
                opens.open();
            });
            if bounded {
                runtime.shutdown_timeout(Duration::from_millis(5));
            } else {
                drop(runtime);
            }
            let _ = foreign_block_on(moved.task);
            assert_eq!(moved.live.others(), 0);
            opener.join().unwrap();
            foreign_block_on(occupies).unwrap();
        }
        drop(runtime);
    });
}

/// More tasks that block than the pool has threads: they share it, and the IO lane has none of it.
#[test]
fn more_tasks_than_threads() {
    each_narrow_way(|runtime, how| {
        let (ended, ends) = (Arc::new(AtomicUsize::new(0)), mpsc::channel());
        for _ in 0..5 {
            let (ended, ends) = (ended.clone(), ends.0.clone());
            runtime.spawn(async move {
                move_to_own_lane(how).await;
                for _ in 0..5 {
                    stay(how);
                    yield_now().await;
                }
                ended.fetch_add(1, Ordering::SeqCst);
                ends.send(()).unwrap();
            });
        }
        for i in 0..5 {
            foreign_block_on(runtime.spawn(async move {
                sleep(Duration::from_millis(1)).await;
                evenkeel::spawn(async move { i }).await.unwrap()
            }))
            .unwrap();
            ends.1.recv().unwrap();
        }
        assert_eq!(ended.load(Ordering::SeqCst), 5);
    });
}

/// All threads of the lane wait, in closures, for a task that is polled there from now on.
#[test]
fn closures_that_wait_for_a_task_that_belongs_where_they_are() {
    each_narrow_way(|runtime, how| {
        let moved = Moved::new(&runtime, how);
        let (go, begun) = (moved.go.clone(), Gate::new());
        let begins = begun.clone();
        let waits = move || {
            begins.open();
            foreign_block_on(moved.task).unwrap();
        };
        let closure = match how {
            Stuck::Computes => runtime.spawn_compute(waits),
            Stuck::Blocks => runtime.spawn_blocking(waits),
        };
        begun.block();
        go.open();
        foreign_block_on(closure).unwrap();
    });
}

#[cfg(feature = "tokio-rt")]
#[test]
fn tokios_channels_take_part_in_a_budget_elsewhere_and_tokios_timers_are_there() {
    async fn always_receives() {
        let (send, mut receive) = tokio::sync::mpsc::unbounded_channel();
        send.send(()).unwrap();
        while let Some(()) = receive.recv().await {
            send.send(()).unwrap();
        }
    }
    elsewhere(|| async {
        let limit = Duration::from_millis(5);
        assert!(timeout(limit, always_receives()).await.is_err());
        tokio::time::sleep(Duration::from_millis(1)).await;
        let (_send, mut receive) = tokio::sync::mpsc::channel::<()>(1);
        assert!(catch_unwind(move || receive.blocking_recv()).is_err());
    });
}
