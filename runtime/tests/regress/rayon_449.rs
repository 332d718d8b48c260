//! rayon#449: two pools, a job of each of which waited for one of the other: all threads waited,
//! and nobody ran what they waited for.

use crate::support::{Gate, OpenOnDrop, foreign_block_on, runtime_with, watchdog};
use evenkeel::runtime::{Handle, Runtime};
use evenkeel::task::block_in_place;
use std::future::{Future, pending};
use std::pin::Pin;
use std::thread;

/// A call that goes to and fro between two runtimes, each caller waiting in its own way.
fn call(here: Handle, there: Handle, way: usize, depth: usize) -> usize {
    if depth == 0 {
        return 0;
    }
    let callee = there.clone();
    match way {
        // The poll of a task.
        0 => {
            let task = callee.spawn(async move { call(there, here, way, depth - 1) });
            1 + foreign_block_on(task).unwrap()
        }
        1 => {
            let future = async move { call(there, here, way, depth - 1) };
            1 + block_in_place(|| callee.block_on(callee.spawn(future))).unwrap()
        }
        2 => {
            let task = callee.spawn_blocking(move || call(there, here, way, depth - 1));
            1 + foreign_block_on(task).unwrap()
        }
        // All in turn; a compute thread may be in a call only once, as there is but one.
        _ if depth == 1 => {
            let task = callee.spawn_compute(move || call(there, here, way, depth - 1));
            1 + foreign_block_on(task).unwrap()
        }
        _ => {
            let task = callee.spawn(async move { call(there, here, way, depth - 1) });
            1 + block_in_place(|| foreign_block_on(task)).unwrap()
        }
    }
}

#[test]
fn two_runtimes_that_wait_for_each_other() {
    watchdog(|| {
        for way in 0..4 {
            let (a, b) = (runtime_with(1), runtime_with(1));
            for depth in [1, 2, 9] {
                let (here, there) = (a.handle().clone(), b.handle().clone());
                let first = a.spawn(async move { call(here, there, way, depth) });
                let (here, there) = (b.handle().clone(), a.handle().clone());
                let second = b.spawn(async move { call(here, there, way, depth) });
                assert_eq!(foreign_block_on(first).unwrap(), depth);
                assert_eq!(foreign_block_on(second).unwrap(), depth);
            }
        }
    });
}

type Boxed = Pin<Box<dyn Future<Output = usize> + Send>>;

/// Who awaits does not hold a thread: so even a lane of one thread can do it to any depth.
#[test]
fn two_compute_lanes_that_await_each_other() {
    fn awaits(here: Handle, there: Handle, depth: usize) -> Boxed {
        Box::pin(async move {
            if depth == 0 {
                return there.spawn_compute(|| 0).await.unwrap();
            }
            let task = {
                let _entered = there.enter();
                evenkeel::compute::spawn(awaits(there.clone(), here, depth - 1))
            };
            1 + task.await.unwrap()
        })
    }
    watchdog(|| {
        let (a, b) = (runtime_with(1), runtime_with(1));
        let _entered = a.enter();
        let tasks: Vec<_> = (0..5)
            .map(|_| {
                let handles = (a.handle().clone(), b.handle().clone());
                evenkeel::compute::spawn(awaits(handles.0, handles.1, 20))
            })
            .collect();
        for task in tasks {
            assert_eq!(foreign_block_on(task).unwrap(), 20);
        }
    });
}

/// A task of each blocks until one of the other runtime is cancelled, and both runtimes are dropped
/// at once. A drop cancels what waits before it waits for what runs, so both end.
#[test]
fn two_runtimes_whose_drops_wait_for_each_other() {
    fn wait_for(here: &Runtime, there: &Runtime) -> evenkeel::JoinHandle<bool> {
        let (polled, dropped, begun) = (Gate::new(), Gate::new(), Gate::new());
        let inside = (polled.clone(), OpenOnDrop(dropped.clone()));
        let never = there.spawn(async move {
            let (polled, _guard) = inside;
            polled.open();
            pending::<()>().await;
        });
        polled.block();
        let begins = begun.clone();
        let waits = here.spawn(async move {
            begins.open();
            dropped.block();
            foreign_block_on(never).unwrap_err().is_cancelled()
        });
        begun.block();
        waits
    }
    watchdog(|| {
        for workers in [1, 2] {
            for _ in 0..20 {
                let (a, b) = (runtime_with(workers), runtime_with(workers));
                let waits = [wait_for(&a, &b), wait_for(&b, &a)];
                let drops = [a, b].map(|runtime| thread::spawn(move || drop(runtime)));
                drops.into_iter().for_each(|thread| thread.join().unwrap());
                for task in waits {
                    assert!(foreign_block_on(task).unwrap());
                }
            }
        }
    });
}
