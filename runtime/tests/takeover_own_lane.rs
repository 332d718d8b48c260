//! Tasks find their own lane: those whose polls keep getting stuck are polled where they do no
//! harm, and are tasks like any other there.

#![cfg(target_os = "linux")]

mod own_lane_support;
mod support;
mod takeover_support;

use evenkeel::runtime::Handle;
use evenkeel::task::{JoinSet, block_in_place, yield_now};
use evenkeel::time::{Duration, interval, sleep, timeout};
use own_lane_support::{Moved, each_way, elsewhere};
use std::future::{pending, poll_fn};
use std::task::Poll;
use std::thread;
use support::{Gate, Live, foreign_block_on, poll_once, until};
use takeover_support::{
    AFTER, End, Stuck, echo_bytes, is_on, move_to_own_lane, own_lane_builder, stay,
    until_nobody_is_displaced,
};

// ---- there and back ----

#[test]
fn some_takeovers_in_a_row_move_a_task_and_a_row_of_short_polls_brings_it_back() {
    each_way(|runtime, how| {
        let task = runtime.spawn(async move {
            let (metrics, lane) = (Handle::current().metrics(), how.lane());
            let moved = || metrics.tasks_moved_to_compute() + metrics.tasks_moved_to_blocking();
            let strikes = how.strikes();
            for strike in 0..strikes {
                assert!(is_on("-io-") || is_on("-spr-"));
                assert_eq!((metrics.takeovers(), moved()), (strike, 0));
                how.strike();
                yield_now().await;
            }
            assert_eq!((metrics.takeovers(), moved()), (strikes, 1));
            for _ in 0..10 {
                assert!(is_on(lane), "{}", support::thread_name());
                stay(how);
                yield_now().await;
            }
            let mut short_polls = 0;
            while is_on(lane) {
                assert_eq!(metrics.tasks_moved_back(), 0);
                short_polls += 1;
                yield_now().await;
            }
            assert!(short_polls >= 7, "{short_polls}");
            assert!(is_on("-io-") || is_on("-spr-"));
            assert_eq!(metrics.tasks_moved_back(), 1);
            // It has a record now.
            how.strike();
            yield_now().await;
            assert!(is_on(lane));
            assert_eq!((metrics.takeovers(), moved()), (strikes + 1, 2));
        });
        foreign_block_on(task).unwrap();
        let metrics = runtime.metrics();
        let expected = match how {
            Stuck::Computes => (2, 0),
            Stuck::Blocks => (0, 2),
        };
        let moved = (
            metrics.tasks_moved_to_compute(),
            metrics.tasks_moved_to_blocking(),
        );
        assert_eq!(moved, expected);
        until_nobody_is_displaced(&metrics);
    });
}

#[test]
fn one_takeover_moves_nobody() {
    each_way(|runtime, how| {
        for _ in 0..5 {
            let task = runtime.spawn(async move {
                how.until_taken_over();
                for _ in 0..10 {
                    yield_now().await;
                    assert!(!is_on("-cpu-") && !is_on("-blk-"));
                }
            });
            foreign_block_on(task).unwrap();
        }
        assert_eq!(runtime.metrics().tasks_moved_to_compute(), 0);
        assert_eq!(runtime.metrics().tasks_moved_to_blocking(), 0);
    });
}

/// It does not learn from `block_in_place`, which is the task's own word that it knows.
#[test]
fn block_in_place_moves_nobody() {
    each_way(|runtime, how| {
        let task = runtime.spawn(async move {
            for _ in 0..5 {
                block_in_place(|| how.keep(2 * AFTER));
                yield_now().await;
                assert!(!is_on("-cpu-") && !is_on("-blk-"));
            }
        });
        foreign_block_on(task).unwrap();
        assert_eq!(runtime.metrics().takeovers(), 0);
        assert_eq!(runtime.metrics().tasks_moved_to_blocking(), 0);
    });
}

/// Few enough for each to have a large share of the core.
#[test]
fn several_tasks_go_there_and_back() {
    const TASKS: usize = 3;
    each_way(|runtime, how| {
        let tasks: Vec<_> = (0..TASKS)
            .map(|i| {
                runtime.spawn(async move {
                    for _ in 0..2 {
                        while !is_on(how.lane()) {
                            // Whoever is taken over, sooner or later it is this one.
                            how.strike();
                            yield_now().await;
                        }
                        while is_on(how.lane()) {
                            yield_now().await;
                        }
                    }
                    i
                })
            })
            .collect();
        for (i, task) in tasks.into_iter().enumerate() {
            assert_eq!(foreign_block_on(task).unwrap(), i);
        }
        assert_eq!(runtime.metrics().tasks_moved_back(), 2 * TASKS as u64);
        until_nobody_is_displaced(&runtime.metrics());
    });
}

// ---- what works there ----

#[test]
fn timers_fire() {
    elsewhere(|| async {
        sleep(Duration::from_millis(1)).await;
        let mut ticks = interval(Duration::from_millis(1));
        for _ in 0..3 {
            ticks.tick().await;
        }
        assert!(
            timeout(Duration::from_millis(1), pending::<()>())
                .await
                .is_err()
        );
    });
}

/// Set on one lane and awaited on another.
#[test]
fn timers_move_with_the_task() {
    each_way(|runtime, how| {
        let task = runtime.spawn(async move {
            let mut first = sleep(Duration::from_millis(60));
            assert!(poll_once(&mut first).await.is_pending());
            move_to_own_lane(how).await;
            let mut second = sleep(Duration::from_secs(1));
            assert!(poll_once(&mut second).await.is_pending());
            first.await;
            while is_on(how.lane()) {
                yield_now().await;
            }
            second.await;
        });
        foreign_block_on(task).unwrap();
    });
}

#[test]
fn sockets_are_read_and_written() {
    elsewhere(|| echo_bytes(3));
}

#[test]
fn it_is_woken_from_everywhere() {
    elsewhere(|| async {
        for from in 0..5 {
            let gate = Gate::new();
            let opens = gate.clone();
            match from {
                0 => drop(thread::spawn(move || opens.open())),
                1 => drop(evenkeel::spawn(async move { opens.open() })),
                2 => drop(evenkeel::spawn_compute(move || opens.open())),
                3 => drop(evenkeel::spawn_blocking(move || opens.open())),
                // By itself, in its own poll.
                _ => opens.open(),
            }
            gate.wait().await;
        }
    });
}

/// A wake in the midst of a poll is not lost, whoever it comes from.
#[test]
fn a_wake_during_its_poll_has_it_polled_again() {
    each_way(|runtime, how| {
        let task = runtime.spawn(async move {
            move_to_own_lane(how).await;
            for by_a_thread in [false, true] {
                let mut polls = 0;
                poll_fn(|cx| {
                    polls += 1;
                    if polls == 20 {
                        return Poll::Ready(());
                    }
                    let waker = cx.waker().clone();
                    if by_a_thread {
                        thread::spawn(|| waker.wake()).join().unwrap();
                    } else {
                        waker.wake();
                    }
                    if polls % 4 == 0 {
                        stay(how);
                    }
                    Poll::Pending
                })
                .await;
            }
        });
        foreign_block_on(task).unwrap();
    });
}

#[test]
fn it_spawns_joins_and_awaits_the_other_lanes() {
    elsewhere(|| async {
        assert_eq!(Handle::current().worker_threads(), 1);
        let mut set = JoinSet::new();
        for i in 0..5 {
            set.spawn(async move { i });
        }
        set.spawn_blocking(|| 10);
        set.spawn_compute(|| 20);
        let mut sum = 0;
        while let Some(value) = set.join_next().await {
            sum += value.unwrap();
        }
        assert_eq!(sum, 40);
        assert_eq!(
            block_in_place(|| Handle::current().block_on(async { 3 })),
            3
        );
    });
}

// ---- its end ----

#[test]
fn its_output_and_its_panic_go_to_the_handle() {
    each_way(|runtime, how| {
        let live = Live::new();
        for panics in [false, true] {
            let held = live.clone();
            let task = runtime.spawn(async move {
                let _held = held;
                move_to_own_lane(how).await;
                if panics {
                    std::panic::resume_unwind(Box::new(5));
                }
                String::from("done")
            });
            match foreign_block_on(task) {
                Ok(text) => assert!(!panics && text == "done"),
                Err(error) => assert_eq!(error.into_panic().downcast_ref(), Some(&5)),
            }
            until(|| live.others() == 0);
        }
    });
}

#[test]
fn waiting_there_it_is_woken_aborted_or_forgotten() {
    each_way(|runtime, how| {
        for what in 0..3 {
            let moved = Moved::new(&runtime, how);
            match what {
                0 => {
                    moved.go.open();
                    foreign_block_on(moved.task).unwrap();
                    assert!(moved.gone.is_open());
                }
                1 => {
                    moved.task.abort();
                    assert!(foreign_block_on(moved.task).unwrap_err().is_cancelled());
                    assert!(!moved.gone.is_open());
                }
                _ => {
                    drop(moved.task);
                    moved.go.open();
                    moved.gone.block();
                }
            }
            until(|| moved.live.others() == 0);
        }
    });
}

#[test]
fn aborted_in_a_poll_there_it_is_cancelled_at_the_next_await() {
    each_way(|runtime, how| {
        let (live, begun, end) = (Live::new(), Gate::new(), End::new());
        let (held, begins, inside) = (live.clone(), begun.clone(), end.clone());
        let task = runtime.spawn(async move {
            let _held = held;
            move_to_own_lane(how).await;
            begins.open();
            how.until(&inside);
            yield_now().await;
            unreachable!("it was aborted");
        });
        begun.block();
        task.abort();
        foreign_block_on(runtime.spawn(async {})).unwrap();
        assert!(!task.is_finished());
        end.come();
        assert!(foreign_block_on(task).unwrap_err().is_cancelled());
        until(|| live.others() == 0);
    });
}

#[test]
fn a_shutdown_cancels_those_that_wait_there() {
    each_way(|runtime, how| {
        let moved = Moved::new(&runtime, how);
        drop(runtime);
        assert!(foreign_block_on(moved.task).unwrap_err().is_cancelled());
        assert_eq!(moved.live.others(), 0);
    });
}

#[test]
fn a_shutdown_waits_for_a_poll_there() {
    each_way(|runtime, how| {
        for ends_with_an_await in [false, true] {
            let runtime = own_lane_builder().build().unwrap();
            let (live, begun, end, ended) = (Live::new(), Gate::new(), End::new(), Gate::new());
            let inside = (live.clone(), begun.clone(), end.clone(), ended.clone());
            // Lets the poll end when it is cancelled.
            let guard = takeover_support::EndOnDrop(end);
            runtime.spawn(async move {
                let _guard = guard;
                pending::<()>().await;
            });
            let task = runtime.spawn(async move {
                let _held = inside.0;
                move_to_own_lane(how).await;
                inside.1.open();
                how.until(&inside.2);
                inside.3.open();
                if ends_with_an_await {
                    yield_now().await;
                }
            });
            begun.block();
            drop(runtime);
            assert!(ended.is_open());
            assert_eq!(live.others(), 0);
            assert_eq!(foreign_block_on(task).is_err(), ends_with_an_await);
        }
        drop(runtime);
    });
}

#[test]
fn a_bounded_shutdown_does_not_wait_for_a_poll_there() {
    each_way(|runtime, how| {
        let (begun, end) = (Gate::new(), End::new());
        let inside = (begun.clone(), end.clone());
        let task = runtime.spawn(async move {
            move_to_own_lane(how).await;
            inside.0.open();
            how.until(&inside.1);
            8
        });
        begun.block();
        runtime.shutdown_timeout(Duration::from_millis(5));
        assert!(!task.is_finished());
        end.come();
        assert_eq!(foreign_block_on(task).unwrap(), 8);
    });
}
