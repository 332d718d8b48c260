//! The current-thread flavour: whoever is in `block_on` runs the tasks, in tokio's order.

mod support;

use evenkeel::net::{TcpListener, TcpStream};
use evenkeel::runtime::{Builder, Runtime};
use evenkeel::task::{consume_budget, yield_now};
use evenkeel::time::{Duration, Instant, sleep};
use std::future::{Future, pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::thread;
use support::{Gate, Live, on_built, thread_name, wake_self_once};

fn on_current_thread(body: impl FnOnce(&Runtime) + Send + 'static) {
    on_built(Builder::new_current_thread(), body);
}

/// What has happened, in its order.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn add(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

#[test]
fn tasks_run_on_the_thread_in_block_on_and_only_meanwhile() {
    on_current_thread(|runtime| {
        let ran = Arc::new(AtomicUsize::new(0));
        let count = ran.clone();
        let here = thread::current().id();
        let task = runtime.spawn(async move {
            count.fetch_add(1, Ordering::SeqCst);
            thread::current().id()
        });
        // On threads of its own all the same, so that time passes.
        runtime.block_on(async { 1 });
        let of_pool = runtime
            .handle()
            .block_on(runtime.spawn_blocking(thread_name));
        assert!(of_pool.unwrap().contains("-blk-"));
        let before = ran.load(Ordering::SeqCst);
        assert_eq!(
            before, 0,
            "a future that is ready at once leaves no time for tasks"
        );
        assert_eq!(runtime.block_on(task).unwrap(), here);
    });
}

#[test]
fn tasks_are_polled_in_the_order_in_which_they_were_spawned() {
    on_current_thread(|runtime| {
        let log = Log::default();
        for name in ["first", "second"] {
            let log = log.clone();
            runtime.spawn(async move { log.add(name) });
        }
        let inside = log.clone();
        runtime.block_on(async move {
            inside.add("root");
            let tasks: Vec<_> = (0..5)
                .map(|number| {
                    let log = inside.clone();
                    evenkeel::spawn(async move { log.add(number.to_string()) })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
        });
        // What came from outside comes after what was queued here.
        let expected = ["root", "0", "1", "2", "3", "4", "first", "second"];
        assert_eq!(log.take()[..6], expected[..6]);
        runtime.block_on(yield_now());
        assert_eq!(log.take(), Vec::<String>::new());
    });
}

#[test]
fn what_other_threads_send_waits_for_what_is_here_but_no_longer_than_31_tasks() {
    on_current_thread(|runtime| {
        let polls = Arc::new(AtomicUsize::new(0));
        // Two tasks that keep each other and themselves busy.
        for _ in 0..2 {
            let polls = polls.clone();
            runtime.spawn(async move {
                loop {
                    polls.fetch_add(1, Ordering::Relaxed);
                    wake_self_once().await;
                }
            });
        }
        runtime.block_on(async {
            while polls.load(Ordering::Relaxed) < 100 {
                wake_self_once().await;
            }
            let before = polls.load(Ordering::Relaxed);
            let handle = runtime.handle().clone();
            let (task, read) = (polls.clone(), polls.clone());
            let remote = move || handle.spawn(async move { task.load(Ordering::Relaxed) });
            let task = thread::spawn(remote).join().unwrap();
            let at = task.await.unwrap();
            assert!(at - before <= 31 + 1, "{before} to {at}");
            assert!(read.load(Ordering::Relaxed) > before);
        });
    });
}

#[test]
fn a_task_that_yields_comes_after_all_that_its_neighbours_spawn() {
    on_current_thread(|runtime| {
        let log = Log::default();
        let inside = log.clone();
        runtime.block_on(async move {
            let of_first = inside.clone();
            let first = evenkeel::spawn(async move {
                of_first.add("first");
                yield_now().await;
                of_first.add("first again");
            });
            let of_second = inside.clone();
            evenkeel::spawn(async move {
                of_second.add("second");
                evenkeel::spawn(async move { of_second.add("child") });
            });
            first.await.unwrap();
        });
        assert_eq!(log.take(), ["first", "second", "child", "first again"]);
    });
}

#[test]
fn the_future_of_block_on_gets_its_turn_beside_tasks_that_never_wait() {
    on_current_thread(|runtime| {
        for _ in 0..3 {
            runtime.spawn(async {
                loop {
                    wake_self_once().await;
                }
            });
        }
        runtime.block_on(async {
            sleep(Duration::from_millis(5)).await;
            for _ in 0..10 {
                yield_now().await;
            }
            let blocking = evenkeel::spawn_blocking(|| 7);
            assert_eq!(blocking.await.unwrap(), 7);
        });
    });
}

#[test]
fn sockets_and_timers_work_in_tasks_and_in_the_future() {
    on_current_thread(|runtime| {
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let server = evenkeel::spawn(async move {
                let (stream, _) = listener.accept().await.unwrap();
                sleep(Duration::from_millis(2)).await;
                stream.writable().await.unwrap();
                stream.try_write(b"hello").unwrap()
            });
            let stream = TcpStream::connect(address).await.unwrap();
            let mut buffer = [0; 8];
            stream.readable().await.unwrap();
            assert_eq!(stream.try_read(&mut buffer).unwrap(), 5);
            assert_eq!(server.await.unwrap(), 5);
            let start = Instant::now();
            evenkeel::spawn(sleep(Duration::from_millis(5)))
                .await
                .unwrap();
            assert!(start.elapsed() >= Duration::from_millis(5));
        });
    });
}

#[test]
fn a_task_goes_on_in_the_next_block_on_with_its_timer() {
    on_current_thread(|runtime| {
        let task = runtime.spawn(async {
            sleep(Duration::from_millis(20)).await;
            sleep(Duration::from_millis(1)).await;
            thread::current().id()
        });
        runtime.block_on(async { sleep(Duration::from_millis(1)).await });
        assert!(!task.is_finished());
        thread::scope(|scope| {
            let other = scope.spawn(|| (runtime.block_on(task).unwrap(), thread::current().id()));
            let (ran_on, other) = other.join().unwrap();
            assert_eq!(ran_on, other);
        });
    });
}

#[test]
fn closures_have_threads_of_their_own() {
    on_current_thread(|runtime| {
        runtime.block_on(async {
            let compute = evenkeel::spawn_compute(thread_name).await.unwrap();
            let blocking = evenkeel::spawn_blocking(thread_name).await.unwrap();
            let future = evenkeel::compute::spawn(async {
                sleep(Duration::from_millis(1)).await;
                evenkeel::spawn(async { thread_name() }).await.unwrap()
            });
            assert!(compute.contains("-cpu-"), "{compute}");
            assert!(blocking.contains("-blk-"), "{blocking}");
            assert_eq!(future.await.unwrap(), thread_name());
        });
        assert_eq!(runtime.metrics().num_workers(), 1);
    });
}

#[test]
fn one_of_several_threads_drives_and_another_takes_over_from_it() {
    on_current_thread(|runtime| {
        let (first_in, second_in) = (Gate::new(), Gate::new());
        let (leave, done) = (Gate::new(), Gate::new());
        thread::scope(|scope| {
            let first = scope.spawn(|| {
                runtime.block_on(async {
                    first_in.open();
                    leave.wait().await;
                });
            });
            first_in.block();
            let second = scope.spawn(|| {
                runtime.block_on(async {
                    second_in.open();
                    // Its timer is its own as long as the first thread drives.
                    sleep(Duration::from_millis(2)).await;
                    leave.open();
                    // And now this thread has to.
                    sleep(Duration::from_millis(2)).await;
                    done.wait().await;
                    evenkeel::spawn(async { thread::current().id() })
                        .await
                        .unwrap()
                })
            });
            second_in.block();
            first.join().unwrap();
            let waker = done.clone();
            runtime.spawn(async move {
                sleep(Duration::from_millis(2)).await;
                waker.open();
            });
            let second_id = second.thread().id();
            assert_eq!(second.join().unwrap(), second_id);
        });
    });
}

#[test]
fn many_threads_in_block_on_all_get_their_answers() {
    on_current_thread(|runtime| {
        thread::scope(|scope| {
            for number in 0..4_usize {
                scope.spawn(move || {
                    for round in 0..50 {
                        let sum = runtime.block_on(async {
                            let task = evenkeel::spawn(async move {
                                yield_now().await;
                                number + round
                            });
                            task.await.unwrap()
                        });
                        assert_eq!(sum, number + round);
                    }
                });
            }
        });
    });
}

#[test]
fn a_panic_in_the_future_goes_to_the_caller_and_the_runtime_goes_on() {
    on_current_thread(|runtime| {
        let task = runtime.spawn(async {
            yield_now().await;
            3
        });
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            runtime.block_on(async {
                yield_now().await;
                panic!("of the future");
            });
        }));
        let payload = panicked.unwrap_err();
        assert_eq!(payload.downcast_ref(), Some(&"of the future"));
        assert_eq!(runtime.block_on(task).unwrap(), 3);
        let panics = runtime.spawn(async { panic!("of a task") });
        assert!(runtime.block_on(panics).unwrap_err().is_panic());
    });
}

#[test]
fn dropping_the_runtime_drops_the_tasks() {
    let live = Live::new();
    let runtime = Builder::new_current_thread().build().unwrap();
    let hold = |live: Live| async move {
        let _live = live;
        pending::<()>().await;
    };
    let polled = runtime.spawn(hold(live.clone()));
    let sleeps = runtime.spawn({
        let live = live.clone();
        async move {
            sleep(Duration::from_secs(1000)).await;
            drop(live);
        }
    });
    runtime.block_on(async {
        for _ in 0..3 {
            yield_now().await;
        }
    });
    let never_polled = runtime.spawn(hold(live.clone()));
    assert_eq!(live.others(), 3);
    let handle = runtime.handle().clone();
    drop(runtime);
    assert_eq!(live.others(), 0);
    let late = handle.spawn(hold(live.clone()));
    assert_eq!(live.others(), 0);
    for task in [polled, sleeps, never_polled, late] {
        let error = support::foreign_block_on(task).unwrap_err();
        assert!(error.is_cancelled());
    }
}

#[test]
fn a_runtime_that_is_shut_down_lets_a_future_in_block_on_go_on() {
    support::watchdog(|| {
        let runtime = Arc::new(Mutex::new(Some(
            Builder::new_current_thread().build().unwrap(),
        )));
        let (inside, gone) = (Gate::new(), Gate::new());
        let live = Live::new();
        let handle = runtime.lock().unwrap().as_ref().unwrap().handle().clone();
        let waits = thread::spawn({
            let (inside, gone) = (inside.clone(), gone.clone());
            move || {
                handle.block_on(async {
                    inside.open();
                    gone.wait().await;
                    5
                })
            }
        });
        inside.block();
        let runtime = runtime.lock().unwrap().take().unwrap();
        let of_task = live.clone();
        runtime.spawn(async move {
            let _live = of_task;
            pending::<()>().await;
        });
        runtime.block_on(async { yield_now().await });
        drop(runtime);
        assert_eq!(live.others(), 0);
        gone.open();
        assert_eq!(waits.join().unwrap(), 5);
    });
}

/// A timer that is due while the thread falls asleep wakes the future, and no task.
#[test]
fn timers_of_the_future_wake_it_whenever_they_are_due() {
    on_current_thread(|runtime| {
        runtime.block_on(async {
            for micros in 0..500 {
                sleep(Duration::from_micros(micros % 20)).await;
            }
        });
    });
}

#[test]
fn block_on_in_block_on_panics_and_block_in_place_just_runs() {
    on_current_thread(|runtime| {
        runtime.block_on(async {
            let value = evenkeel::spawn(async { evenkeel::task::block_in_place(|| 9) });
            assert_eq!(value.await.unwrap(), 9);
            let nested = catch_unwind(AssertUnwindSafe(|| runtime.block_on(async {})));
            assert!(nested.is_err());
            let task = evenkeel::spawn(async {
                let handle = evenkeel::runtime::Handle::current();
                handle.block_on(async {});
            });
            assert!(task.await.unwrap_err().is_panic());
        });
        runtime.block_on(yield_now());
    });
}

/// A displaced worker of another runtime may drive one of this kind, and is what it was afterwards.
#[test]
fn it_runs_inside_block_in_place_of_another_runtime() {
    support::in_block_on(1, || async {
        let outer = evenkeel::spawn(async {
            let inner = evenkeel::task::block_in_place(|| {
                let runtime = Builder::new_current_thread().build().unwrap();
                let here = thread::current().id();
                let task = runtime.spawn(async { thread::current().id() });
                assert_eq!(runtime.block_on(task).unwrap(), here);
                runtime.block_on(async { sleep(Duration::from_millis(1)).await });
                1
            });
            let spawned = evenkeel::spawn(async move { inner + 1 });
            sleep(Duration::from_millis(1)).await;
            spawned.await.unwrap()
        });
        assert_eq!(outer.await.unwrap(), 2);
    });
}

/// Wakes from many threads, while the future and the tasks fall asleep again and again.
#[test]
fn no_wake_up_of_another_thread_is_lost() {
    on_current_thread(|runtime| {
        const ROUNDS: usize = 2000;
        let (ask, asked) = std::sync::mpsc::channel::<Gate>();
        let opener = thread::spawn(move || asked.into_iter().for_each(|gate| gate.open()));
        runtime.block_on(async {
            let of_task = ask.clone();
            let task = evenkeel::spawn(async move {
                for _ in 0..ROUNDS {
                    let gate = Gate::new();
                    of_task.send(gate.clone()).unwrap();
                    gate.wait().await;
                }
            });
            for _ in 0..ROUNDS {
                let gate = Gate::new();
                ask.send(gate.clone()).unwrap();
                gate.wait().await;
            }
            task.await.unwrap();
        });
        drop(ask);
        opener.join().unwrap();
    });
}

#[test]
fn events_come_before_the_next_poll_of_a_task_that_has_used_up_its_budget() {
    on_current_thread(|runtime| {
        let (has_come, polls) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (comes, counts) = (has_come.clone(), polls.clone());
        let listening = runtime.spawn(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let accepting = evenkeel::spawn(async move {
                let accepted = listener.accept().await;
                comes.store(1, Ordering::SeqCst);
                accepted.map(drop)
            });
            yield_now().await;
            // It is there when this returns.
            drop(std::net::TcpStream::connect(address).unwrap());
            while has_come.load(Ordering::SeqCst) == 0 {
                counts.fetch_add(1, Ordering::SeqCst);
                for _ in 0..128 {
                    consume_budget().await;
                }
            }
            accepting.await.unwrap().unwrap();
        });
        runtime.block_on(listening).unwrap();
        // One poll before the look, one until the other task has had its turn.
        assert!(polls.load(Ordering::SeqCst) <= 3);
    });
}

#[test]
fn a_future_that_uses_up_its_budget_leaves_tasks_their_turns() {
    on_current_thread(|runtime| {
        let left = Arc::new(AtomicUsize::new(100));
        for _ in 0..100 {
            let left = left.clone();
            runtime.spawn(async move { left.fetch_sub(1, Ordering::SeqCst) });
        }
        let mut polls = 0;
        runtime.block_on(poll_fn(|cx| {
            polls += 1;
            while pin!(consume_budget()).poll(cx).is_ready() {}
            match left.load(Ordering::SeqCst) {
                0 => Poll::Ready(()),
                _ => Poll::Pending,
            }
        }));
        assert!(polls <= 4, "{polls} polls");
    });
}
