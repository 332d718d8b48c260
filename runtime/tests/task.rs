//! Tasks and their handles, by behaviour.

mod support;

use evenkeel::runtime::{Handle, Runtime};
use evenkeel::task::{AbortHandle, JoinError, JoinHandle, yield_now};
use std::cell::RefCell;
use std::collections::HashSet;
use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use support::{
    Gate, Live, OpenOnDrop, assert_all_workers_work, builder, foreign_block_on, in_block_on,
    on_runtime, watchdog,
};

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

// ---- abort ----

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

// ---- panics ----

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
