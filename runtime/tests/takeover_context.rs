//! The code that is still in a poll that was taken over: all that works in a task works there as
//! before, and so does what comes after the poll.

#![cfg(target_os = "linux")]

mod support;
mod takeover_support;

use evenkeel::net::{TcpListener, TcpStream, UnixStream};
use evenkeel::runtime::{Handle, Runtime};
use evenkeel::task::{JoinSet, block_in_place, yield_now};
use evenkeel::time::{Duration, sleep, timeout};
use std::cell::Cell;
use std::future::{pending, poll_fn};
use std::panic::catch_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::thread;
use support::{Gate, Live, foreign_block_on, until};
use takeover_support::{End, each_way, until_nobody_is_displaced};

/// Runs `body` in a poll that has been taken over, and at the end sees that the runtime is as good
/// as new.
#[track_caller]
fn displaced(body: fn()) {
    each_way(move |runtime, how| {
        let live = Live::new();
        let held = live.clone();
        let task = runtime.spawn(async move {
            let _held = held;
            how.until_taken_over();
            body();
            how
        });
        assert_eq!(foreign_block_on(task).unwrap(), how);
        assert_as_good_as_new(&runtime, &live);
    });
}

fn assert_as_good_as_new(runtime: &Runtime, live: &Live) {
    until_nobody_is_displaced(&runtime.metrics());
    until(|| live.others() == 0);
    support::assert_all_workers_work(runtime.handle());
}

// ---- in the poll ----

#[test]
fn the_runtime_is_still_the_current_one() {
    displaced(|| {
        assert_eq!(Handle::current().worker_threads(), 1);
        for i in 0..10 {
            let child = evenkeel::spawn(async move { i });
            assert_eq!(foreign_block_on(child).unwrap(), i);
            let child = Handle::current().spawn(async move {
                yield_now().await;
                evenkeel::spawn(async move { i }).await.unwrap()
            });
            assert_eq!(foreign_block_on(child).unwrap(), i);
        }
    });
}

#[test]
fn the_other_lanes_can_be_used() {
    displaced(|| {
        let compute = evenkeel::spawn_compute(|| 1);
        let blocking = evenkeel::spawn_blocking(|| 2);
        let future = evenkeel::compute::spawn(async { 3 });
        assert_eq!(foreign_block_on(compute).unwrap(), 1);
        assert_eq!(foreign_block_on(blocking).unwrap(), 2);
        assert_eq!(foreign_block_on(future).unwrap(), 3);
    });
}

#[test]
fn timers_fire() {
    displaced(|| {
        for i in 0..5 {
            foreign_block_on(sleep(Duration::from_micros(700 * i)));
        }
        let never =
            foreign_block_on(async { timeout(Duration::from_millis(2), pending::<()>()).await });
        assert!(never.is_err());
        drop(sleep(Duration::from_secs(3600)));
    });
}

/// Set before the takeover, and polled after it: the timer is the seat's, which is another thread's
/// by now.
#[test]
fn a_timer_from_before_the_takeover_fires_or_is_cancelled() {
    each_way(|runtime, how| {
        let task = runtime.spawn(async move {
            let mut short = sleep(Duration::from_millis(5));
            let mut long = sleep(Duration::from_secs(3600));
            assert!(support::poll_once(&mut short).await.is_pending());
            assert!(support::poll_once(&mut long).await.is_pending());
            how.until_taken_over();
            drop(long);
            foreign_block_on(&mut short);
            assert!(short.is_elapsed());
        });
        foreign_block_on(task).unwrap();
    });
}

#[test]
fn sockets_can_be_made_and_awaited() {
    displaced(|| {
        foreign_block_on(async {
            let (ours, theirs) = UnixStream::pair().unwrap();
            ours.writable().await.unwrap();
            assert_eq!(ours.try_write(&[7]).unwrap(), 1);
            theirs.readable().await.unwrap();
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let accepted = evenkeel::spawn(async move { listener.accept().await.unwrap().0 });
            let client = TcpStream::connect(address).await.unwrap();
            let server = accepted.await.unwrap();
            client.writable().await.unwrap();
            assert_eq!(client.try_write(&[7]).unwrap(), 1);
            server.readable().await.unwrap();
            assert_eq!(server.try_read(&mut [0; 2]).unwrap(), 1);
        });
    });
}

#[test]
fn block_on_is_refused_as_on_any_worker() {
    displaced(|| {
        let panic = catch_unwind(|| Handle::current().block_on(async {})).unwrap_err();
        let message = panic.downcast_ref::<&str>().expect("a message");
        assert!(message.contains("on a worker of a runtime"), "{message}");
    });
}

#[test]
fn block_in_place_calls_the_closure() {
    displaced(|| {
        let thread = thread::current().id();
        let value = block_in_place(|| {
            assert_eq!(thread::current().id(), thread);
            block_in_place(|| {
                Handle::current().block_on(async { sleep(Duration::from_millis(1)).await })
            });
            6
        });
        assert_eq!(value, 6);
        // Over: it is a worker again.
        assert!(catch_unwind(|| Handle::current().block_on(async {})).is_err());
    });
}

#[test]
fn another_runtime_can_be_built_entered_and_dropped() {
    displaced(|| {
        let outer = Handle::current();
        let other = support::builder(2).build().unwrap();
        {
            let _entered = other.enter();
            assert_eq!(Handle::current().worker_threads(), 2);
            assert_eq!(foreign_block_on(evenkeel::spawn(async { 5 })).unwrap(), 5);
        }
        assert_eq!(Handle::current().worker_threads(), outer.worker_threads());
        drop(other);
    });
}

#[test]
fn the_thread_stays_the_same() {
    thread_local!(static MARK: Cell<usize> = const { Cell::new(0) });
    each_way(|runtime, how| {
        let task = runtime.spawn(async move {
            let thread = thread::current().id();
            MARK.set(7);
            how.until_taken_over();
            assert_eq!(MARK.get(), 7);
            assert_eq!(thread::current().id(), thread);
            let child = evenkeel::spawn(async { (MARK.get(), thread::current().id()) });
            let (mark, other) = foreign_block_on(child).unwrap();
            assert_eq!(mark, 0);
            assert_ne!(other, thread);
        });
        foreign_block_on(task).unwrap();
    });
}

// ---- the end of the poll ----

#[test]
fn its_output_goes_to_the_handle_to_a_task_and_to_a_set() {
    each_way(|runtime, how| {
        let stuck = move || async move {
            how.until_taken_over();
            Box::new(9)
        };
        assert_eq!(*foreign_block_on(runtime.spawn(stuck())).unwrap(), 9);
        let awaits = runtime.spawn(async move {
            let first = *evenkeel::spawn(stuck()).await.unwrap();
            let mut set = JoinSet::new();
            for _ in 0..3 {
                set.spawn(stuck());
            }
            let mut sum = first;
            while let Some(value) = set.join_next().await {
                sum += *value.unwrap();
            }
            sum
        });
        assert_eq!(foreign_block_on(awaits).unwrap(), 36);
    });
}

#[test]
fn its_panic_is_caught() {
    each_way(|runtime, how| {
        let live = Live::new();
        for polled_before in [false, true] {
            let held = live.clone();
            let task = runtime.spawn(async move {
                let _held = held;
                if polled_before {
                    sleep(Duration::from_micros(1)).await;
                }
                how.until_taken_over();
                std::panic::resume_unwind(Box::new("on purpose"));
            });
            let panic = foreign_block_on(task).unwrap_err().into_panic();
            assert_eq!(panic.downcast_ref(), Some(&"on purpose"));
        }
        assert_as_good_as_new(&runtime, &live);
    });
}

/// A stuck poll that returns `Pending`, for the first time or not, and is woken before or after
/// that by one of several.
#[test]
fn it_is_polled_again_when_it_is_woken() {
    each_way(|runtime, how| {
        let live = Live::new();
        for polled_before in [false, true] {
            for when in 0..4 {
                let held = live.clone();
                let task = runtime.spawn(async move {
                    let _held = held;
                    if polled_before {
                        sleep(Duration::from_micros(1)).await;
                    }
                    let (mut polls, woken) = (0, Gate::new());
                    poll_fn(|cx| {
                        polls += 1;
                        if polls == 2 {
                            return Poll::Ready(());
                        }
                        let (waker, woken) = (cx.waker().clone(), woken.clone());
                        if when == 0 {
                            waker.wake_by_ref();
                        }
                        how.until_taken_over();
                        match when {
                            0 => {}
                            1 => waker.wake(),
                            2 => {
                                // By whoever sits in the seat now.
                                evenkeel::spawn(async move {
                                    waker.wake();
                                    woken.open();
                                });
                            }
                            // Perhaps before this poll is over, perhaps after.
                            _ => drop(thread::spawn(move || waker.wake())),
                        }
                        Poll::Pending
                    })
                    .await;
                    polls
                });
                assert_eq!(foreign_block_on(task).unwrap(), 2);
            }
        }
        assert_as_good_as_new(&runtime, &live);
    });
}

#[test]
fn each_of_its_polls_can_be_taken_over() {
    each_way(|runtime, how| {
        let task = runtime.spawn(async move {
            for _ in 0..10 {
                how.until_taken_over();
                yield_now().await;
                how.until_taken_over();
                sleep(Duration::from_micros(50)).await;
            }
        });
        foreign_block_on(task).unwrap();
        // A sleep may be over when it is first polled, and then the poll goes on.
        assert!(runtime.metrics().takeovers() >= 10);
        assert_eq!(runtime.metrics().tasks_moved_to_compute(), 0);
        assert_eq!(runtime.metrics().tasks_moved_to_blocking(), 0);
        until_nobody_is_displaced(&runtime.metrics());
    });
}

#[test]
fn aborted_meanwhile_it_is_cancelled_at_the_next_await() {
    each_way(|runtime, how| {
        let live = Live::new();
        for (polled_before, awaits) in [(false, true), (true, true), (false, false), (true, false)]
        {
            let (held, end, passed) = (live.clone(), End::new(), Arc::new(AtomicBool::new(false)));
            let (inside, passes) = (end.clone(), passed.clone());
            let begun = Gate::new();
            let begins = begun.clone();
            let task = runtime.spawn(async move {
                let _held = held;
                if polled_before {
                    yield_now().await;
                }
                begins.open();
                how.until(&inside);
                if awaits {
                    yield_now().await;
                }
                passes.store(true, Ordering::SeqCst);
            });
            begun.block();
            // The seat is somebody else's when this has run.
            foreign_block_on(runtime.spawn(async {})).unwrap();
            task.abort();
            // Abort is for the next await, and the poll has not ended.
            foreign_block_on(runtime.spawn(async {})).unwrap();
            assert!(!task.is_finished());
            end.come();
            match foreign_block_on(task) {
                Ok(()) => assert!(!awaits),
                Err(error) => assert!(awaits && error.is_cancelled()),
            }
            assert_eq!(passed.load(Ordering::SeqCst), !awaits);
        }
        assert_as_good_as_new(&runtime, &live);
    });
}

#[test]
fn its_handle_can_be_dropped_meanwhile() {
    each_way(|runtime, how| {
        let live = Live::new();
        for polled_before in [false, true] {
            let (held, end, ended) = (live.clone(), End::new(), Gate::new());
            let (inside, ends) = (end.clone(), ended.clone());
            let begun = Gate::new();
            let begins = begun.clone();
            let task = runtime.spawn(async move {
                if polled_before {
                    yield_now().await;
                }
                begins.open();
                how.until(&inside);
                ends.open();
                // Dropped as the output.
                held
            });
            begun.block();
            foreign_block_on(runtime.spawn(async {})).unwrap();
            drop(task);
            end.come();
            ended.block();
        }
        assert_as_good_as_new(&runtime, &live);
    });
}

/// While one thread is in the poll, another drops all that may wake the task.
#[test]
fn a_task_that_nobody_can_wake_is_dropped_with_the_runtime() {
    each_way(|runtime, how| {
        let live = Live::new();
        let held = live.clone();
        let taken = Gate::new();
        let takes = taken.clone();
        let task = runtime.spawn(async move {
            let _held = held;
            how.until_taken_over();
            takes.open();
            pending::<()>().await;
        });
        taken.block();
        until_nobody_is_displaced(&runtime.metrics());
        assert_eq!(live.others(), 1);
        drop(runtime);
        assert!(foreign_block_on(task).unwrap_err().is_cancelled());
        assert_eq!(live.others(), 0);
    });
}
