//! Tasks and their handles, by behaviour.

mod support;

use evenkeel::runtime::{Handle, Runtime};
use evenkeel::task::yield_now;
use std::cell::RefCell;
use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use support::{
    Gate, Live, assert_all_workers_work, foreign_block_on, in_block_on, on_runtime, watchdog,
};

// ---- spawning ----

#[test]
fn spawned_from_outside_from_tasks_and_from_every_kind_of_thread() {
    on_runtime(2, |runtime| {
        let handle = runtime.handle().clone();
        assert_eq!(foreign_block_on(handle.spawn(async { 1 })).unwrap(), 1);
        runtime.block_on(async {
            let inner = evenkeel::spawn(async { evenkeel::spawn(async { 2 }).await.unwrap() });
            assert_eq!(inner.await.unwrap(), 2);
            let inner = evenkeel::spawn_blocking(|| evenkeel::spawn(async { 3 }))
                .await
                .unwrap();
            assert_eq!(inner.await.unwrap(), 3);
            let inner = evenkeel::spawn_compute(|| evenkeel::spawn(async { 4 }))
                .await
                .unwrap();
            assert_eq!(inner.await.unwrap(), 4);
            let inner = evenkeel::spawn_compute(|| evenkeel::spawn_compute(|| 5))
                .await
                .unwrap();
            assert_eq!(inner.await.unwrap(), 5);
            let inner = evenkeel::spawn_blocking(|| evenkeel::spawn_blocking(|| 6))
                .await
                .unwrap();
            assert_eq!(inner.await.unwrap(), 6);
            let inner = evenkeel::compute::spawn(async { evenkeel::spawn_blocking(|| 7).await });
            assert_eq!(inner.await.unwrap().unwrap(), 7);
        });
        let entered = thread::spawn(move || {
            let _entered = handle.enter();
            evenkeel::spawn(async { 8 })
        });
        assert_eq!(foreign_block_on(entered.join().unwrap()).unwrap(), 8);
    });
}

#[test]
fn spawned_by_the_destructor_of_a_thread_local() {
    struct Late(Handle, Live);
    impl Drop for Late {
        fn drop(&mut self) {
            let held = self.1.clone();
            let task = self.0.spawn(async move {
                let _held = held;
                pending::<()>().await;
            });
            task.abort();
            let held = self.1.clone();
            drop(self.0.spawn_compute(move || drop(held)));
        }
    }
    thread_local! {
        static LATE: RefCell<Option<Late>> = const { RefCell::new(None) };
    }
    watchdog(|| {
        let runtime = support::runtime_with(1);
        let live = Live::new();
        let set = |runtime: &Runtime| {
            let late = Late(runtime.handle().clone(), live.clone());
            move || LATE.set(Some(late))
        };
        let (a, b, c) = (set(&runtime), set(&runtime), set(&runtime));
        foreign_block_on(runtime.spawn(async move { a() })).unwrap();
        foreign_block_on(runtime.spawn_compute(b)).unwrap();
        foreign_block_on(runtime.spawn_blocking(c)).unwrap();
        thread::spawn(set(&runtime)).join().unwrap();
        drop(runtime);
        support::until(|| live.others() == 0);
    });
}

#[test]
fn tasks_spawned_one_by_the_other() {
    fn chain(left: usize, end: Gate) {
        evenkeel::spawn(async move {
            if left == 0 {
                end.open()
            } else {
                chain(left - 1, end)
            }
        });
    }
    on_runtime(2, |runtime| {
        let end = Gate::new();
        let _entered = runtime.enter();
        chain(10_000, end.clone());
        end.block();
    });
}

#[test]
fn many_tasks_all_complete() {
    in_block_on(3, || async {
        let tasks: Vec<_> = (0..20_000_u64)
            .map(|i| evenkeel::spawn(async move { i }))
            .collect();
        let mut sum = 0;
        for task in tasks {
            sum += task.await.unwrap();
        }
        assert_eq!(sum, 20_000 * 19_999 / 2);
    });
}

#[test]
fn dropping_the_handle_detaches() {
    on_runtime(1, |runtime| {
        let (release, end) = (Gate::new(), Gate::new());
        let inside = (release.clone(), end.clone());
        drop(runtime.spawn(async move {
            inside.0.wait().await;
            inside.1.open();
        }));
        release.open();
        end.block();

        let end = [Gate::new(), Gate::new(), Gate::new()];
        let [a, b, c] = end.clone();
        drop(runtime.spawn_blocking(move || a.open()));
        drop(runtime.spawn_compute(move || b.open()));
        runtime.block_on(async { drop(evenkeel::compute::spawn(async move { c.open() })) });
        end.iter().for_each(Gate::block);
    });
}

#[test]
fn an_output_that_nobody_takes_is_dropped() {
    on_runtime(1, |runtime| {
        let live = Live::new();
        // Detached before it completes, and after.
        let (release, output) = (Gate::new(), live.clone());
        let inside = release.clone();
        drop(runtime.spawn(async move {
            inside.wait().await;
            output
        }));
        release.open();
        let output = live.clone();
        let task = runtime.spawn(async move { output });
        support::until(|| task.is_finished());
        drop(task);
        support::until(|| live.others() == 0);
    });
}

#[test]
fn a_future_is_dropped_before_its_handle_is_ready() {
    in_block_on(2, || async {
        for _ in 0..500 {
            let live = Live::new();
            let held = live.clone();
            evenkeel::spawn(poll_fn(move |_| {
                let _ = &held;
                Poll::Ready(())
            }))
            .await
            .unwrap();
            assert_eq!(live.others(), 0);
        }
    });
}

#[test]
fn the_last_waker_that_polled_a_handle_is_woken() {
    struct Flag(AtomicBool);
    impl Wake for Flag {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    on_runtime(1, |runtime| {
        let release = Gate::new();
        let inside = release.clone();
        let mut task = runtime.spawn(async move { inside.wait().await });
        let flags: [Arc<Flag>; 3] = std::array::from_fn(|_| Arc::new(Flag(AtomicBool::new(false))));
        for flag in &flags {
            let waker = Waker::from(flag.clone());
            for _ in 0..2 {
                assert!(
                    Pin::new(&mut task)
                        .poll(&mut Context::from_waker(&waker))
                        .is_pending()
                );
            }
        }
        assert_eq!(
            Arc::strong_count(&flags[0]),
            1,
            "a replaced waker is dropped"
        );
        release.open();
        support::until(|| flags[2].0.load(Ordering::SeqCst));
        support::until(|| task.is_finished());
        let waker = Waker::noop();
        assert!(
            Pin::new(&mut task)
                .poll(&mut Context::from_waker(waker))
                .is_ready()
        );
        drop(task);
        support::until(|| flags.iter().all(|flag| Arc::strong_count(flag) == 1));
    });
}

#[test]
fn a_waker_that_panics_kills_no_thread() {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("woken");
        }
    }
    on_runtime(2, |runtime| {
        let waker = Waker::from(Arc::new(Panics));
        let release = Gate::new();
        let inside = [release.clone(), release.clone(), release.clone()];
        let [a, b, c] = inside;
        let mut tasks = [
            runtime.spawn(async move { a.wait().await }),
            runtime.spawn_compute(move || b.block()),
            runtime.spawn_blocking(move || c.block()),
        ];
        for task in &mut tasks {
            assert!(
                Pin::new(task)
                    .poll(&mut Context::from_waker(&waker))
                    .is_pending()
            );
        }
        let sleep = runtime.enter();
        let mut sleep = (
            evenkeel::time::sleep(std::time::Duration::from_millis(1)),
            sleep,
        )
            .0;
        let _ = Pin::new(&mut sleep).poll(&mut Context::from_waker(&waker));
        release.open();
        for task in tasks {
            foreign_block_on(task).unwrap();
        }
        foreign_block_on(sleep);
        assert_all_workers_work(runtime.handle());
    });
}

// ---- other executors ----

#[test]
fn handles_complete_under_another_executor() {
    on_runtime(2, |runtime| {
        let release = Gate::new();
        let (a, b, c, d) = (
            release.clone(),
            release.clone(),
            release.clone(),
            release.clone(),
        );
        let entered = runtime.enter();
        let tasks = [
            runtime.spawn(async move { a.wait().await }),
            evenkeel::compute::spawn(async move { b.wait().await }),
            runtime.spawn_compute(move || c.block()),
            runtime.spawn_blocking(move || d.block()),
        ];
        drop(entered);
        let threads = tasks.map(|task| thread::spawn(move || foreign_block_on(task)));
        release.open();
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap().unwrap());
    });
}

#[test]
fn a_handle_awaited_on_another_runtime() {
    watchdog(|| {
        let (a, b) = (support::runtime(), support::runtime());
        let task = a.spawn(async { 1 });
        let task = b.spawn(async move { task.await.unwrap() + 1 });
        let task = a.spawn(async move { task.await.unwrap() + 1 });
        assert_eq!(b.block_on(task).unwrap(), 3);
    });
}

// ---- yield_now ----

#[test]
fn tasks_that_yield_take_turns_on_one_worker() {
    on_runtime(1, |runtime| {
        let counts: Arc<[AtomicUsize; 3]> = Arc::default();
        let begin = Arc::new(AtomicUsize::new(0));
        let tasks = [0, 1, 2].map(|me| {
            let (counts, begin) = (counts.clone(), begin.clone());
            runtime.spawn(async move {
                begin.fetch_add(1, Ordering::SeqCst);
                while begin.load(Ordering::SeqCst) < 3 {
                    yield_now().await;
                }
                for mine in 0..2_000 {
                    counts[me].store(mine, Ordering::SeqCst);
                    for other in counts.iter() {
                        let other = other.load(Ordering::SeqCst);
                        assert!(
                            other == 0 || other + 4 > mine,
                            "{me} is at {mine}, another at {other}"
                        );
                    }
                    yield_now().await;
                }
                counts[me].store(usize::MAX / 2, Ordering::SeqCst);
            })
        });
        tasks
            .into_iter()
            .for_each(|task| foreign_block_on(task).unwrap());
    });
}

#[test]
fn a_task_that_yields_lets_one_from_outside_in() {
    on_runtime(1, |runtime| {
        let end = Arc::new(AtomicBool::new(false));
        let inside = end.clone();
        let yields = runtime.spawn(async move {
            while !inside.load(Ordering::SeqCst) {
                yield_now().await;
            }
        });
        foreign_block_on(runtime.spawn(async move { end.store(true, Ordering::SeqCst) })).unwrap();
        foreign_block_on(yields).unwrap();
    });
}

#[test]
fn yield_now_works_in_block_on_on_the_compute_lane_and_elsewhere() {
    on_runtime(1, |runtime| {
        runtime.block_on(async {
            yield_now().await;
            evenkeel::compute::spawn(yield_now()).await.unwrap();
        });
        foreign_block_on(yield_now());
    });
}
