//! tokio#7877: tasks that had yielded were put aside without a notification, and when the worker
//! then blocked, no other worker came for them.

use crate::support::{Gate, foreign_block_on, on_runtime};
use evenkeel::runtime::Runtime;
use evenkeel::task::yield_now;
use evenkeel::time::{Duration, sleep};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};

/// With two, the other worker must come. With one, it is replaced.
fn with_one_and_two_workers(body: fn(&Runtime)) {
    on_runtime(1, body);
    on_runtime(2, body);
}

/// A task that yields all the time beside one that a timer wakes, and that then blocks the thread
/// until the first has run again.
#[test]
fn a_yielded_task_runs_when_a_timer_wakes_a_task_that_blocks() {
    with_one_and_two_workers(|runtime| {
        for _ in 0..100 {
            let blocks = runtime.spawn(async {
                let blocked = Arc::new(AtomicBool::new(false));
                let (ran, run) = mpsc::channel();
                let seen = blocked.clone();
                let yields = evenkeel::spawn(async move {
                    while !seen.load(Ordering::SeqCst) {
                        yield_now().await;
                    }
                    ran.send(()).unwrap();
                });
                sleep(Duration::from_micros(300)).await;
                blocked.store(true, Ordering::SeqCst);
                run.recv().unwrap();
                yields
            });
            foreign_block_on(foreign_block_on(blocks).unwrap()).unwrap();
        }
    });
}

/// As above, woken by another thread instead of a timer.
#[test]
fn a_yielded_task_runs_when_a_task_from_outside_blocks() {
    with_one_and_two_workers(|runtime| {
        for _ in 0..300 {
            let (blocked, ran) = (Gate::new(), Gate::new());
            let inside = (blocked.clone(), ran.clone());
            let yields = runtime.spawn(async move {
                while !inside.0.is_open() {
                    yield_now().await;
                }
                inside.1.open();
            });
            let blocks = runtime.spawn(async move {
                blocked.open();
                ran.block();
            });
            foreign_block_on(yields).unwrap();
            foreign_block_on(blocks).unwrap();
        }
    });
}

/// Many yield, then one blocks until all the others have run.
#[test]
fn many_yielded_tasks_run_while_one_blocks() {
    with_one_and_two_workers(|runtime| {
        for _ in 0..200 {
            let task = runtime.spawn(async {
                let (ran, run) = mpsc::channel();
                let others: Vec<_> = (0..8)
                    .map(|_| {
                        let ran = ran.clone();
                        evenkeel::spawn(async move {
                            yield_now().await;
                            yield_now().await;
                            ran.send(()).unwrap();
                        })
                    })
                    .collect();
                yield_now().await;
                yield_now().await;
                (0..8).for_each(|_| run.recv().unwrap());
                others
            });
            for other in foreign_block_on(task).unwrap() {
                foreign_block_on(other).unwrap();
            }
        }
    });
}
