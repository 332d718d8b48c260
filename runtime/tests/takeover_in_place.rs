//! `block_in_place`: the worker's place is somebody else's for as long as the closure runs.

#![cfg(target_os = "linux")]

mod support;
mod takeover_support;

use evenkeel::runtime::{Handle, Runtime, TakeoverPolicy};
use evenkeel::task::{JoinHandle, block_in_place, yield_now};
use evenkeel::time::{Duration, sleep};
use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use support::{Gate, Live, OpenOnDrop, builder, foreign_block_on, in_block_on, until, watchdog};
use takeover_support::{
    assert_spawns_are_cancelled_after, builder_after, builder_with, join_all, on,
    until_nobody_is_displaced,
};

/// Far from being taken over: whatever happens has been done by `block_in_place`.
fn patient(workers: usize) -> evenkeel::runtime::Builder {
    builder_after(workers, Duration::from_secs(3600))
}

#[test]
fn the_others_go_on_while_it_blocks() {
    for workers in [1, 2] {
        on(patient(workers), move |runtime| {
            let tasks: Vec<_> = (0..workers)
                .map(|_| {
                    runtime.spawn(async {
                        let (ran, run) = mpsc::channel();
                        // One is in the LIFO slot, the others in the queue, and a timer is the
                        // worker's.
                        for i in 0..10 {
                            let ran = ran.clone();
                            evenkeel::spawn(async move {
                                sleep(Duration::from_micros(50 * i)).await;
                                ran.send(()).unwrap();
                            });
                        }
                        block_in_place(|| {
                            for _ in 0..10 {
                                run.recv().unwrap();
                            }
                        });
                    })
                })
                .collect();
            join_all(tasks);
            assert_eq!(runtime.metrics().takeovers(), 0);
            until_nobody_is_displaced(&runtime.metrics());
        });
    }
}

#[test]
fn what_it_spawns_and_wakes_runs_while_it_blocks() {
    on(patient(1), |runtime| {
        let task = runtime.spawn(async {
            let gate = Gate::new();
            let (waited, (woken, wakes)) = (gate.clone(), mpsc::channel());
            let waits = evenkeel::spawn(async move {
                waited.wait().await;
                woken.send(1).unwrap();
            });
            yield_now().await;
            let sum = block_in_place(|| {
                gate.open();
                let sum = foreign_block_on(evenkeel::spawn(async { 2 })).unwrap();
                sum + wakes.recv().unwrap()
            });
            waits.await.unwrap();
            sum
        });
        assert_eq!(foreign_block_on(task).unwrap(), 3);
    });
}

#[test]
fn the_dump_and_the_metrics_show_it() {
    on(patient(1), |runtime| {
        let (begun, release) = (Gate::new(), Gate::new());
        let inside = (begun.clone(), release.clone());
        let place = format!("tests/takeover_in_place.rs:{}:", line!() + 1);
        let task = runtime.spawn(async move {
            block_in_place(|| {
                inside.0.open();
                inside.1.block();
            });
        });
        begun.block();
        assert_eq!(runtime.metrics().num_displaced_threads(), 1);
        assert_eq!(runtime.metrics().takeovers(), 0);
        let is_shown = || {
            let dump = runtime.handle().dump().to_string();
            let mut lines = dump.lines();
            lines.any(|line| line.starts_with("displaced") && line.contains(&place))
        };
        until(is_shown);
        release.open();
        foreign_block_on(task).unwrap();
        until(|| !is_shown());
        until_nobody_is_displaced(&runtime.metrics());
    });
}

/// Where it does nothing but call the closure, it does so on the same thread.
#[test]
fn it_works_in_every_place() {
    fn calls() {
        let thread = thread::current().id();
        let text = String::from("borrowed");
        assert_eq!(
            block_in_place(|| (thread::current().id(), text.len())),
            (thread, 8)
        );
        assert_eq!(
            block_in_place(|| block_in_place(|| block_in_place(|| 5))),
            5
        );
    }
    watchdog(calls);
    in_block_on(2, || async {
        calls();
        evenkeel::spawn(async { calls() }).await.unwrap();
        evenkeel::compute::spawn(async { calls() }).await.unwrap();
        evenkeel::spawn_compute(calls).await.unwrap();
        evenkeel::spawn_blocking(calls).await.unwrap();
        calls();
    });
}

#[test]
fn block_on_is_allowed_in_it_everywhere() {
    fn blocks_on() -> i32 {
        block_in_place(|| {
            Handle::current().block_on(async {
                sleep(Duration::from_micros(100)).await;
                let inner = evenkeel::spawn(async {
                    block_in_place(|| Handle::current().block_on(async { 3 }))
                });
                inner.await.unwrap()
            })
        })
    }
    fn refused() {
        assert!(catch_unwind(|| Handle::current().block_on(async {})).is_err());
    }
    in_block_on(1, || async {
        assert_eq!(blocks_on(), 3);
        refused();
        let task = evenkeel::spawn(async {
            assert_eq!(blocks_on(), 3);
            refused();
            assert_eq!(blocks_on(), 3);
            yield_now().await;
            assert_eq!(blocks_on(), 3);
            refused();
        });
        task.await.unwrap();
        let compute = evenkeel::compute::spawn(async {
            assert_eq!(blocks_on(), 3);
            refused();
        });
        compute.await.unwrap();
        assert_eq!(evenkeel::spawn_compute(blocks_on).await.unwrap(), 3);
        assert_eq!(evenkeel::spawn_blocking(blocks_on).await.unwrap(), 3);
    });
}

/// The inner `block_on` drives a future that gets as far as any other does in `block_on`.
#[test]
fn block_on_in_it_can_await_everything() {
    in_block_on(1, || async {
        let task = evenkeel::spawn(async {
            block_in_place(|| {
                Handle::current().block_on(async {
                    let (ours, theirs) = evenkeel::net::UnixStream::pair().unwrap();
                    ours.writable().await.unwrap();
                    assert_eq!(ours.try_write(&[1]).unwrap(), 1);
                    theirs.readable().await.unwrap();
                    evenkeel::spawn_blocking(|| ()).await.unwrap();
                    evenkeel::spawn_compute(|| ()).await.unwrap();
                });
            });
            // And the task goes on as one.
            sleep(Duration::from_micros(100)).await;
        });
        task.await.unwrap();
    });
}

#[test]
fn a_panic_in_it_is_the_callers() {
    on(patient(1), |runtime| {
        for caught in [false, true] {
            let live = Live::new();
            let held = live.clone();
            let task = runtime.spawn(async move {
                let panics = move || {
                    let _held = held;
                    block_in_place(|| resume_unwind(Box::new(11)));
                };
                if !caught {
                    panics();
                    return 0;
                }
                let panic = catch_unwind(AssertUnwindSafe(panics)).unwrap_err();
                // It may not block any more.
                assert!(catch_unwind(|| Handle::current().block_on(async {})).is_err());
                yield_now().await;
                *panic.downcast::<i32>().unwrap()
            });
            match foreign_block_on(task) {
                Ok(value) => assert!(caught && value == 11),
                Err(error) => assert_eq!(error.into_panic().downcast_ref(), Some(&11)),
            }
            assert_eq!(live.others(), 0);
        }
        until_nobody_is_displaced(&runtime.metrics());
        support::assert_all_workers_work(runtime.handle());
    });
}

fn many(runtime: &Runtime, tasks: usize, times: usize) {
    let tasks: Vec<JoinHandle<usize>> = (0..tasks)
        .map(|i| {
            runtime.spawn(async move {
                let mut sum = 0;
                for j in 0..times {
                    sum += block_in_place(|| i * j);
                    match j % 3 {
                        0 => yield_now().await,
                        1 => sum += evenkeel::spawn(async move { j }).await.unwrap(),
                        _ => {}
                    }
                }
                sum
            })
        })
        .collect();
    for (i, task) in tasks.into_iter().enumerate() {
        let sum: usize = (0..times)
            .map(|j| i * j + if j % 3 == 1 { j } else { 0 })
            .sum();
        assert_eq!(foreign_block_on(task).unwrap(), sum);
    }
}

#[test]
fn many_tasks_call_it_many_times() {
    for workers in [1, 2] {
        on(builder(workers), move |runtime| {
            many(&runtime, 50, 60);
            many(&runtime, 1, 1000);
            until_nobody_is_displaced(&runtime.metrics());
        });
    }
}

#[test]
fn it_calls_the_closure_if_no_thread_may_take_over() {
    on(builder_with(2, TakeoverPolicy::disabled()), |runtime| {
        many(&runtime, 10, 20);
        // A thread is displaced for a moment longer than its poll takes.
        until_nobody_is_displaced(&runtime.metrics());
        assert_eq!(runtime.metrics().takeovers(), 0);
        // The rest of what it does is the same.
        let task =
            runtime.spawn(async { block_in_place(|| Handle::current().block_on(async { 1 })) });
        assert_eq!(foreign_block_on(task).unwrap(), 1);
        let task = runtime.spawn(async { block_in_place(|| resume_unwind(Box::new(2))) });
        let panic = foreign_block_on::<JoinHandle<()>>(task)
            .unwrap_err()
            .into_panic();
        assert_eq!(panic.downcast_ref(), Some(&2));
        support::assert_all_workers_work(runtime.handle());
    });
}

#[test]
fn it_is_refused_a_thread_when_the_limit_is_reached() {
    let policy = TakeoverPolicy {
        after: Duration::from_secs(3600),
        max_threads: 1,
        ..TakeoverPolicy::default()
    };
    on(builder_with(1, policy), |runtime| {
        let release = Gate::new();
        let inside = release.clone();
        let first = runtime.spawn(async move { block_in_place(|| inside.block()) });
        // In the seat of the first, and it keeps it.
        let second = runtime
            .spawn(async { block_in_place(|| Handle::current().metrics().takeovers_refused()) });
        assert_eq!(foreign_block_on(second).unwrap(), 1);
        assert_eq!(runtime.metrics().num_displaced_threads(), 1);
        release.open();
        foreign_block_on(first).unwrap();
        until_nobody_is_displaced(&runtime.metrics());
        foreign_block_on(runtime.spawn(async { block_in_place(|| ()) })).unwrap();
        assert_eq!(runtime.metrics().takeovers_refused(), 1);
    });
}

#[test]
fn aborted_meanwhile_the_task_is_cancelled_after_it() {
    on(patient(1), |runtime| {
        for completes in [false, true] {
            let (live, begun, release) = (Live::new(), Gate::new(), Gate::new());
            let inside = (live.clone(), begun.clone(), release.clone());
            let task = runtime.spawn(async move {
                let _held = inside.0;
                block_in_place(|| {
                    inside.1.open();
                    inside.2.block();
                });
                if !completes {
                    yield_now().await;
                }
                1
            });
            begun.block();
            task.abort();
            foreign_block_on(runtime.spawn(async {})).unwrap();
            assert!(!task.is_finished());
            release.open();
            match foreign_block_on(task) {
                Ok(value) => assert!(completes && value == 1),
                Err(error) => assert!(!completes && error.is_cancelled()),
            }
            until(|| live.others() == 0);
        }
        until_nobody_is_displaced(&runtime.metrics());
    });
}

#[test]
fn a_shutdown_waits_for_it_and_cancels_what_it_waits_for() {
    for workers in [1, 2] {
        on(patient(workers), move |runtime| {
            let (live, begun, cancelled) = (Live::new(), Gate::new(), Gate::new());
            let guard = OpenOnDrop(cancelled.clone());
            let never = runtime.spawn(async move {
                let _guard = guard;
                pending::<()>().await;
            });
            let inside = (live.clone(), begun.clone());
            let task = runtime.spawn(async move {
                let _held = inside.0;
                block_in_place(|| {
                    inside.1.open();
                    assert_spawns_are_cancelled_after(never, &cancelled);
                });
            });
            begun.block();
            drop(runtime);
            assert_eq!(live.others(), 0);
            foreign_block_on(task).unwrap();
        });
    }
}

/// As in the poll itself, where it is shut down in the background: to wait there would be to wait
/// for this very thread.
#[test]
fn its_own_runtime_can_be_dropped_in_it() {
    for workers in [1, 2] {
        on(patient(workers), move |runtime| {
            let handle = runtime.handle().clone();
            let task = handle.spawn(async move {
                block_in_place(|| drop(runtime));
                5
            });
            assert_eq!(foreign_block_on(task).unwrap(), 5);
        });
    }
}

/// The lock is held across the hand-over, and wanted by a task that has the seat meanwhile.
#[test]
fn a_lock_that_is_held_in_it_is_wanted_by_others() {
    on(builder(1), |runtime| {
        let lock = Arc::new(Mutex::new(0));
        let tasks: Vec<_> = (0..20)
            .map(|i| {
                let lock = lock.clone();
                runtime.spawn(async move {
                    let mut value = lock.lock().unwrap();
                    *value += 1;
                    if i % 2 == 0 {
                        // While the others wait for the lock, in polls that are taken over.
                        block_in_place(|| foreign_block_on(evenkeel::spawn(async {})).unwrap());
                    }
                })
            })
            .collect();
        join_all(tasks);
        assert_eq!(*lock.lock().unwrap(), 20);
        until_nobody_is_displaced(&runtime.metrics());
    });
}
