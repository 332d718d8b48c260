//! The blocking pool of a runtime, by behaviour.

mod support;

use evenkeel::runtime::Handle;
use evenkeel::time::{Duration, sleep};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use support::{Gate, builder, foreign_block_on, in_block_on, on_runtime, thread_name, watchdog};

#[test]
fn as_many_threads_as_calls_at_the_same_time() {
    on_runtime(1, |runtime| {
        let barrier = Arc::new(Barrier::new(20));
        let tasks: Vec<_> = (0..20)
            .map(|_| {
                let barrier = barrier.clone();
                runtime.spawn_blocking(move || {
                    barrier.wait();
                })
            })
            .collect();
        tasks
            .into_iter()
            .for_each(|task| foreign_block_on(task).unwrap());
    });
}

#[test]
fn calls_beyond_the_cap_wait_in_a_queue() {
    watchdog(|| {
        let runtime = builder(1).max_blocking_threads(3).build().unwrap();
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let tasks: Vec<_> = (0..300)
            .map(|i| {
                let (running, most) = (running.clone(), most.clone());
                runtime.spawn_blocking(move || {
                    let now = running.fetch_add(1, Ordering::SeqCst) + 1;
                    most.fetch_max(now, Ordering::SeqCst);
                    thread::yield_now();
                    running.fetch_sub(1, Ordering::SeqCst);
                    i
                })
            })
            .collect();
        for (i, task) in tasks.into_iter().enumerate() {
            assert_eq!(foreign_block_on(task).unwrap(), i);
        }
        assert!(most.load(Ordering::SeqCst) <= 3);
    });
}

#[test]
fn one_thread_runs_its_calls_in_the_order_of_arrival() {
    watchdog(|| {
        let runtime = builder(1).max_blocking_threads(1).build().unwrap();
        let order = Arc::new(Mutex::new(Vec::new()));
        let tasks: Vec<_> = (0..200)
            .map(|i| {
                let order = order.clone();
                runtime.spawn_blocking(move || order.lock().unwrap().push(i))
            })
            .collect();
        tasks
            .into_iter()
            .for_each(|task| foreign_block_on(task).unwrap());
        assert_eq!(*order.lock().unwrap(), (0..200).collect::<Vec<_>>());
    });
}

#[test]
fn idle_threads_end_after_the_keep_alive() {
    watchdog(|| {
        let stopped = Arc::new(AtomicUsize::new(0));
        let counted = stopped.clone();
        let runtime = builder(1)
            .thread_keep_alive(Duration::from_millis(5))
            .on_thread_stop(move || {
                if thread_name().contains("-blk-") {
                    counted.fetch_add(1, Ordering::SeqCst);
                }
            })
            .build()
            .unwrap();
        foreign_block_on(runtime.spawn_blocking(|| ())).unwrap();
        support::until(|| stopped.load(Ordering::SeqCst) == 1);
        assert_eq!(foreign_block_on(runtime.spawn_blocking(|| 2)).unwrap(), 2);
        support::until(|| stopped.load(Ordering::SeqCst) == 2);
    });
}

#[test]
fn an_idle_thread_is_used_again() {
    watchdog(|| {
        let runtime = builder(1).max_blocking_threads(1).build().unwrap();
        let first = foreign_block_on(runtime.spawn_blocking(|| thread::current().id())).unwrap();
        for _ in 0..100 {
            let next = foreign_block_on(runtime.spawn_blocking(|| thread::current().id()));
            assert_eq!(next.unwrap(), first);
        }
    });
}

#[test]
fn blocking_closures_may_block_on_futures() {
    in_block_on(1, || async {
        let tasks: Vec<_> = (0..10)
            .map(|i| {
                evenkeel::spawn_blocking(move || {
                    Handle::current().block_on(async move {
                        sleep(Duration::from_millis(i)).await;
                        evenkeel::spawn(async move { i }).await.unwrap()
                    })
                })
            })
            .collect();
        for (i, task) in tasks.into_iter().enumerate() {
            assert_eq!(task.await.unwrap(), i as u64);
        }
    });
}

#[test]
fn calls_from_calls() {
    fn nested(depth: usize) -> usize {
        if depth == 0 {
            return 0;
        }
        foreign_block_on(evenkeel::spawn_blocking(move || nested(depth - 1))).unwrap() + 1
    }
    on_runtime(1, |runtime| {
        assert_eq!(
            foreign_block_on(runtime.spawn_blocking(|| nested(10))).unwrap(),
            10
        );
    });
}

#[test]
fn a_full_pool_leaves_the_other_work_alone() {
    watchdog(|| {
        let runtime = builder(1).max_blocking_threads(2).build().unwrap();
        let (begun, release) = (Arc::new(Barrier::new(3)), Gate::new());
        let stuck = [0, 1].map(|_| {
            let (begun, release) = (begun.clone(), release.clone());
            runtime.spawn_blocking(move || {
                begun.wait();
                release.block();
            })
        });
        begun.wait();
        let queued = runtime.spawn_blocking(|| 3);
        runtime.block_on(async {
            sleep(Duration::from_millis(1)).await;
            evenkeel::spawn(sleep(Duration::from_millis(1)))
                .await
                .unwrap();
            evenkeel::spawn_compute(|| ()).await.unwrap();
        });
        assert!(!queued.is_finished());
        release.open();
        stuck
            .into_iter()
            .for_each(|task| foreign_block_on(task).unwrap());
        assert_eq!(foreign_block_on(queued).unwrap(), 3);
    });
}

#[test]
fn a_burst_from_many_threads() {
    on_runtime(2, |runtime| {
        let sum = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let tasks: Vec<_> = (0..250)
                        .map(|i| runtime.spawn_blocking(move || i))
                        .collect();
                    for task in tasks {
                        sum.fetch_add(foreign_block_on(task).unwrap(), Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(sum.into_inner(), 4 * 250 * 249 / 2);
    });
}
