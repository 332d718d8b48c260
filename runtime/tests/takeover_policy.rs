//! What a `TakeoverPolicy` says is what happens.

#![cfg(target_os = "linux")]

mod support;
mod takeover_support;

use evenkeel::runtime::TakeoverPolicy;
use evenkeel::task::yield_now;
use evenkeel::time::{Duration, sleep};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use support::{Gate, foreign_block_on, until, watchdog};
use takeover_support::{
    End, Stuck, builder_with, builder_without_own_lanes, is_on, join_all, on, stick_all_but,
    until_nobody_is_displaced,
};

#[test]
fn a_limit_of_no_time_is_refused() {
    watchdog(|| {
        let policy = TakeoverPolicy {
            after: Duration::ZERO,
            ..TakeoverPolicy::default()
        };
        let error = builder_with(1, policy).build().unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    });
}

/// One of two workers is stuck, and the other serves everybody.
#[test]
fn disabled_a_stuck_worker_keeps_its_seat() {
    for how in Stuck::ALL {
        on(
            builder_with(2, TakeoverPolicy::disabled()),
            move |runtime| {
                let end = End::new();
                let stuck = stick_all_but(1, &runtime, how, &end);
                for i in 0..20 {
                    let task = runtime.spawn(async move {
                        sleep(Duration::from_millis(1)).await;
                        evenkeel::spawn(async move { i }).await.unwrap()
                    });
                    assert_eq!(foreign_block_on(task).unwrap(), i);
                }
                assert_eq!(runtime.metrics().takeovers(), 0);
                assert_eq!(runtime.metrics().num_displaced_threads(), 0);
                end.come();
                join_all(stuck);
                assert_eq!(runtime.metrics().takeovers(), 0);
            },
        );
    }
}

/// What is said of disabled takeovers: what is stuck stays so until it ends, and then everything
/// goes on.
#[test]
fn disabled_with_all_workers_stuck_others_wait_and_then_go_on() {
    on(builder_with(2, TakeoverPolicy::disabled()), |runtime| {
        let end = End::new();
        let stuck = stick_all_but(0, &runtime, Stuck::Blocks, &end);
        let ran = Arc::new(AtomicBool::new(false));
        let runs = ran.clone();
        let waits = runtime.spawn(async move { runs.store(true, Ordering::SeqCst) });
        // Another runtime, whose workers get stuck later and are taken over, has gone on by then.
        let enabled = builder_with(2, TakeoverPolicy::default()).build().unwrap();
        let stuck_there = stick_all_but(0, &enabled, Stuck::Blocks, &end);
        foreign_block_on(enabled.spawn(async {})).unwrap();
        assert!(!ran.load(Ordering::SeqCst));
        end.come();
        foreign_block_on(waits).unwrap();
        join_all(stuck);
        join_all(stuck_there);
        assert_eq!(runtime.metrics().takeovers(), 0);
    });
}

#[test]
fn no_more_threads_are_displaced_than_the_limit_allows() {
    for workers in [1, 2] {
        let policy = TakeoverPolicy {
            max_threads: 2,
            ..TakeoverPolicy::default()
        };
        on(builder_with(workers, policy), move |runtime| {
            let (begun, inside, release) = (
                Arc::new(AtomicUsize::new(0)),
                Arc::new(AtomicUsize::new(0)),
                Gate::new(),
            );
            let tasks: Vec<_> = (0..10)
                .map(|i| {
                    let (begun, release) = (begun.clone(), release.clone());
                    let inside = inside.clone();
                    runtime.spawn(async move {
                        begun.fetch_add(1, Ordering::SeqCst);
                        // Two that are displaced, and those in the seats.
                        assert!(inside.fetch_add(1, Ordering::SeqCst) < 2 + workers);
                        release.block();
                        inside.fetch_sub(1, Ordering::SeqCst);
                        yield_now().await;
                        i
                    })
                })
                .collect();
            until(|| runtime.metrics().takeovers_refused() > 0);
            assert_eq!(runtime.metrics().takeovers(), 2);
            until(|| runtime.metrics().num_displaced_threads() == 2);
            until(|| begun.load(Ordering::SeqCst) == 2 + workers);
            // Those who are not workers go on all the same.
            runtime.block_on(async {
                sleep(Duration::from_millis(5)).await;
                evenkeel::spawn_blocking(|| ()).await.unwrap();
            });
            assert_eq!(begun.load(Ordering::SeqCst), 2 + workers);
            release.open();
            for (i, task) in tasks.into_iter().enumerate() {
                assert_eq!(foreign_block_on(task).unwrap(), i);
            }
            until_nobody_is_displaced(&runtime.metrics());
            // There is room again.
            let before = runtime.metrics().takeovers();
            let end = End::new();
            let stuck = stick_all_but(0, &runtime, Stuck::Computes, &end);
            foreign_block_on(runtime.spawn(async {})).unwrap();
            assert!(runtime.metrics().takeovers() > before);
            end.come();
            join_all(stuck);
        });
    }
}

/// The limit is reached and the runtime is shut down: the queued tasks are cancelled, the others
/// waited for.
#[test]
fn a_shutdown_at_the_limit() {
    let policy = TakeoverPolicy {
        max_threads: 1,
        ..TakeoverPolicy::default()
    };
    on(builder_with(1, policy), |runtime| {
        let (release, begun) = (Gate::new(), Arc::new(AtomicUsize::new(0)));
        let tasks: Vec<_> = (0..6)
            .map(|_| {
                let (begun, release) = (begun.clone(), release.clone());
                runtime.spawn(async move {
                    begun.fetch_add(1, Ordering::SeqCst);
                    release.block();
                })
            })
            .collect();
        until(|| begun.load(Ordering::SeqCst) == 2);
        runtime.shutdown_timeout(Duration::from_millis(5));
        let is_finished = |finished| {
            tasks
                .iter()
                .filter(|task| task.is_finished() == finished)
                .count()
        };
        assert_eq!((is_finished(true), is_finished(false)), (4, 2));
        release.open();
        let results = tasks.into_iter().map(foreign_block_on);
        assert_eq!(results.filter(Result::is_ok).count(), 2);
    });
}

#[test]
fn without_lanes_of_their_own_tasks_stay_where_they_are() {
    for how in Stuck::ALL {
        on(builder_without_own_lanes(1), move |runtime| {
            let task = runtime.spawn(async move {
                for _ in 0..12 {
                    assert!(!is_on("-cpu-") && !is_on("-blk-"));
                    how.until_taken_over();
                    yield_now().await;
                }
            });
            foreign_block_on(task).unwrap();
            let metrics = runtime.metrics();
            assert!(metrics.takeovers() >= 12);
            assert_eq!(metrics.tasks_moved_to_compute(), 0);
            assert_eq!(metrics.tasks_moved_to_blocking(), 0);
            assert_eq!(metrics.tasks_moved_back(), 0);
        });
    }
}
