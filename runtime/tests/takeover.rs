//! A worker that is stuck in a poll costs nobody else anything: each of these tests has all workers
//! stuck until what waits for them has been done.

#![cfg(target_os = "linux")]

mod support;
mod takeover_support;

use evenkeel::net::UnixStream;
use evenkeel::runtime::Handle;
use evenkeel::task::{consume_budget, yield_now};
use evenkeel::time::{Duration, interval, sleep};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use support::{Gate, builder, count_polls, foreign_block_on, poll_once, until};
use takeover_support::{
    End, Stuck, builder_after, builder_without_own_lanes, burn, echo_bytes, join_all, on,
    read_byte, stick_all_but, until_nobody_is_displaced,
};

/// For one worker and two, computing and blocked: all workers are stuck until `others` has ended,
/// which a thread outside has spawned.
#[track_caller]
fn goes_on<F>(others: fn() -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    for workers in [1, 2] {
        for how in Stuck::ALL {
            on(builder(workers), move |runtime| {
                let end = End::new();
                let stuck = stick_all_but(0, &runtime, how, &end);
                foreign_block_on(runtime.spawn(others())).unwrap();
                end.come();
                join_all(stuck);
                assert!(runtime.metrics().takeovers() > 0);
                until_nobody_is_displaced(&runtime.metrics());
            });
        }
    }
}

/// As [`goes_on`]; but the last of the stuck tasks first does what `prepare` does, which makes the
/// end come when it has run.
#[track_caller]
fn own_work_goes_on<F>(prepare: fn(End) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    for workers in [1, 2] {
        for how in Stuck::ALL {
            on(builder(workers), move |runtime| {
                for _ in 0..5 {
                    let end = End::new();
                    let stuck = stick_all_but(1, &runtime, how, &end);
                    let last = runtime.spawn(async move {
                        prepare(end.clone()).await;
                        how.until(&end);
                    });
                    foreign_block_on(last).unwrap();
                    join_all(stuck);
                }
            });
        }
    }
}

/// Spawned, and polled once, on the worker of the caller or another one.
async fn spawn_polled<F>(future: F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let polled = Gate::new();
    let inside = polled.clone();
    evenkeel::spawn(async move {
        let mut future = Box::pin(future);
        let first = poll_once(&mut future).await;
        inside.open();
        if first.is_pending() {
            future.await;
        }
    });
    polled.wait().await;
}

/// Something waits in the LIFO slot, which nobody can steal from: with two workers, one that is
/// stuck alone is not replaced without a reason.
fn make_the_seat_worth_taking() {
    evenkeel::spawn(async {});
}

/// Calls `then` when the seat has been taken.
fn after_a_takeover(then: impl FnOnce()) {
    Stuck::Computes.until_taken_over();
    then();
}

// ---- what comes from outside ----

#[test]
fn tasks_from_outside_run() {
    goes_on(|| async {});
}

#[test]
fn tasks_that_yield_and_spawn_go_on() {
    goes_on(|| async {
        for i in 0..50 {
            yield_now().await;
            assert_eq!(evenkeel::spawn(async move { i }).await.unwrap(), i);
        }
    });
}

#[test]
fn timers_go_on() {
    goes_on(|| async {
        sleep(Duration::from_millis(3)).await;
        let mut ticks = interval(Duration::from_millis(1));
        for _ in 0..10 {
            ticks.tick().await;
        }
    });
}

#[test]
fn sockets_go_on() {
    goes_on(|| echo_bytes(50));
}

#[test]
fn the_other_lanes_can_be_awaited() {
    goes_on(|| async {
        for i in 0..10 {
            assert_eq!(evenkeel::spawn_blocking(move || i).await.unwrap(), i);
        }
        assert_eq!(evenkeel::spawn_compute(|| 7).await.unwrap(), 7);
    });
}

// ---- what belongs to the worker that gets stuck ----

#[test]
fn the_task_in_the_next_slot_runs() {
    own_work_goes_on(|end| async move {
        evenkeel::spawn(async move { end.come() });
    });
}

#[test]
fn the_tasks_in_the_queue_run() {
    own_work_goes_on(|end| async move {
        let left = Arc::new(AtomicUsize::new(100));
        for _ in 0..100 {
            let (left, end) = (left.clone(), end.clone());
            evenkeel::spawn(async move {
                yield_now().await;
                if left.fetch_sub(1, Ordering::SeqCst) == 1 {
                    end.come();
                }
            });
        }
    });
}

#[test]
fn the_timers_of_the_worker_fire() {
    own_work_goes_on(|end| async move {
        spawn_polled(async move {
            sleep(Duration::from_millis(5)).await;
            end.come();
        })
        .await;
    });
}

#[test]
fn a_long_row_of_timers_of_the_worker_fires() {
    own_work_goes_on(|end| async move {
        let left = Arc::new(AtomicUsize::new(30));
        for i in 0..30 {
            let (left, end) = (left.clone(), end.clone());
            spawn_polled(async move {
                sleep(Duration::from_micros(i * 300)).await;
                if left.fetch_sub(1, Ordering::SeqCst) == 1 {
                    end.come();
                }
            })
            .await;
        }
    });
}

#[test]
fn a_socket_that_was_polled_on_the_worker_is_read() {
    own_work_goes_on(|end| async move {
        let (reader, writer) = UnixStream::pair().unwrap();
        writer.writable().await.unwrap();
        spawn_polled(async move {
            assert_eq!(read_byte(&reader).await, 1);
            end.come();
        })
        .await;
        outside_after_a_takeover(move || assert_eq!(writer.try_write(&[1]).unwrap(), 1));
    });
}

/// Has a thread outside call `then` when the seat has been taken, or at least may have been.
fn outside_after_a_takeover(then: impl FnOnce() + Send + 'static) {
    let metrics = Handle::current().metrics();
    let seen = metrics.takeovers();
    make_the_seat_worth_taking();
    thread::spawn(move || {
        until(|| metrics.takeovers() > seen);
        then();
    });
}

/// The gate of a task that waits for it, to come to its end then.
async fn waiting_for_a_gate(end: End) -> Gate {
    let gate = Gate::new();
    let inside = gate.clone();
    spawn_polled(async move {
        inside.wait().await;
        end.come();
    })
    .await;
    gate
}

#[test]
fn a_task_that_was_woken_in_the_poll_runs() {
    own_work_goes_on(|end| async move { waiting_for_a_gate(end).await.open() });
}

#[test]
fn a_task_that_is_woken_after_the_takeover_runs() {
    own_work_goes_on(|end| async move {
        let gate = waiting_for_a_gate(end).await;
        after_a_takeover(|| gate.open());
    });
}

#[test]
fn a_task_that_is_spawned_after_the_takeover_runs() {
    own_work_goes_on(|end| async move {
        after_a_takeover(|| {
            evenkeel::spawn(async move { end.come() });
        });
    });
}

#[test]
fn a_task_that_a_thread_wakes_after_the_takeover_runs() {
    own_work_goes_on(|end| async move {
        let gate = waiting_for_a_gate(end).await;
        outside_after_a_takeover(move || gate.open());
    });
}

/// What waits in the queue of a stuck worker may be as bad, and would take as long each. An event
/// comes first.
#[test]
fn an_event_does_not_wait_for_all_that_get_stuck() {
    const TASKS: usize = 8;
    for how in Stuck::ALL {
        let builder = builder_after(1, Duration::from_millis(10));
        on(builder, move |runtime| {
            let end = End::new();
            let begun = Arc::new(AtomicUsize::new(0));
            let (reader, writer) = runtime.block_on(async { UnixStream::pair().unwrap() });
            runtime.block_on(async { writer.writable().await.unwrap() });
            let polled = Gate::new();
            let (inside, seen) = (polled.clone(), begun.clone());
            let read = runtime.spawn(async move {
                let mut reading = Box::pin(read_byte(&reader));
                assert!(poll_once(&mut reading).await.is_pending());
                inside.open();
                reading.await;
                seen.load(Ordering::SeqCst)
            });
            polled.block();
            let (comes, begins) = (end.clone(), begun.clone());
            let spawn = async move {
                let stuck = |_| {
                    let (end, begun) = (comes.clone(), begins.clone());
                    evenkeel::spawn(async move {
                        begun.fetch_add(1, Ordering::SeqCst);
                        how.until(&end);
                    })
                };
                (0..TASKS).map(stuck).collect()
            };
            let stuck = foreign_block_on(runtime.spawn(spawn)).unwrap();
            until(|| begun.load(Ordering::SeqCst) > 0);
            writer.try_write(&[1]).unwrap();
            let written_at = begun.load(Ordering::SeqCst);
            let read_at = foreign_block_on(read).unwrap();
            // The next one may have been on its way already.
            assert!(read_at <= written_at + 1, "{read_at} > {written_at} + 1");
            end.come();
            join_all(stuck);
        });
    }
}

#[test]
fn a_worker_that_waits_for_a_std_mutex_is_replaced() {
    for workers in [1, 2] {
        on(builder(workers), move |runtime| {
            let mutex = Arc::new(Mutex::new(0));
            let locked = mutex.lock().unwrap();
            let tasks: Vec<_> = (0..workers + 1)
                .map(|_| {
                    let mutex = mutex.clone();
                    runtime.spawn(async move { *mutex.lock().unwrap() += 1 })
                })
                .collect();
            // Behind those that block, however the workers share them.
            for _ in 0..10 {
                foreign_block_on(runtime.spawn(async { sleep(Duration::from_millis(1)).await }))
                    .unwrap();
            }
            drop(locked);
            join_all(tasks);
            assert_eq!(*mutex.lock().unwrap(), workers + 1);
        });
    }
}

/// A channel to and fro between tasks that block in `recv`: each needs a worker that the others
/// have.
#[test]
fn tasks_that_wait_for_each_other_in_channels_go_on() {
    on(builder(1), |runtime| {
        let mut tasks = Vec::new();
        let (first, mut before) = std::sync::mpsc::channel::<usize>();
        for _ in 0..20 {
            let (out, next) = std::sync::mpsc::channel();
            tasks.push(runtime.spawn(async move {
                let value = before.recv().unwrap();
                out.send(value + 1).unwrap();
            }));
            before = next;
        }
        // The last is spawned last, so that all of the others have to block before it runs.
        foreign_block_on(runtime.spawn(async move { first.send(0).unwrap() })).unwrap();
        assert_eq!(before.recv().unwrap(), 20);
        join_all(tasks);
    });
}

// ---- again and again ----

#[test]
fn all_workers_get_stuck_again_and_again() {
    for how in Stuck::ALL {
        on(builder(2), move |runtime| {
            for round in 0..40 {
                let end = End::new();
                let stuck = stick_all_but(0, &runtime, how, &end);
                foreign_block_on(runtime.spawn(async move {
                    sleep(Duration::from_micros(100 * round)).await;
                }))
                .unwrap();
                end.come();
                join_all(stuck);
            }
            until_nobody_is_displaced(&runtime.metrics());
        });
    }
}

/// More and more get stuck at once, each on the thread that took over from the one before.
#[test]
fn whoever_sits_down_may_get_stuck_as_well() {
    for how in Stuck::ALL {
        on(builder(1), move |runtime| {
            let end = End::new();
            let mut stuck = Vec::new();
            for _ in 0..12 {
                stuck.extend(stick_all_but(0, &runtime, how, &end));
            }
            foreign_block_on(runtime.spawn(async { sleep(Duration::from_millis(1)).await }))
                .unwrap();
            assert!(runtime.metrics().num_displaced_threads() >= 12);
            end.come();
            join_all(stuck);
            until_nobody_is_displaced(&runtime.metrics());
        });
    }
}

// ---- no takeover without a reason ----

fn patient(workers: usize) -> evenkeel::runtime::Builder {
    // Longer than what any of the polls below takes on a busy machine; and what counts is CPU time,
    // or sleep.
    builder_after(workers, Duration::from_millis(200))
}

#[test]
fn an_idle_runtime_has_no_takeovers() {
    on(patient(2), |runtime| {
        foreign_block_on(runtime.spawn(async { sleep(Duration::from_millis(300)).await })).unwrap();
        runtime.block_on(async { sleep(Duration::from_millis(300)).await });
        assert_eq!(runtime.metrics().takeovers(), 0);
        assert_eq!(runtime.metrics().num_displaced_threads(), 0);
    });
}

#[test]
fn short_polls_are_not_taken_over() {
    on(patient(2), |runtime| {
        let tasks: Vec<_> = (0..200)
            .map(|i| {
                runtime.spawn(async move {
                    for _ in 0..100 {
                        yield_now().await;
                    }
                    sleep(Duration::from_micros(i)).await;
                    for _ in 0..20 {
                        evenkeel::spawn(async {}).await.unwrap();
                    }
                })
            })
            .collect();
        join_all(tasks);
        assert_eq!(runtime.metrics().takeovers(), 0);
        assert_eq!(runtime.metrics().takeovers_refused(), 0);
    });
}

/// A poll that goes on for long because there is so much to do, but takes part in the budget, is
/// asked to end first.
#[test]
fn a_poll_that_takes_part_is_not_taken_over() {
    on(patient(1), |runtime| {
        let task = runtime.spawn(async {
            let waiting = evenkeel::spawn(async {});
            let work = async {
                // Longer than the policy allows, and less than a budget.
                for _ in 0..100 {
                    burn(Duration::from_millis(4));
                    consume_budget().await;
                }
            };
            let (_, polls) = count_polls(work).await;
            assert!(polls > 1);
            assert!(waiting.is_finished());
        });
        foreign_block_on(task).unwrap();
        assert_eq!(runtime.metrics().takeovers(), 0);
    });
}

/// What computes before its first operation, poll after poll, is asked each time, and gets on all
/// the same.
#[test]
fn a_poll_that_is_asked_to_end_gets_something_done_first() {
    const SLEEPS: usize = 10;
    on(builder_without_own_lanes(1), |runtime| {
        let task = runtime.spawn(async {
            let mut sleeps = pin!(async {
                for _ in 0..SLEEPS {
                    sleep(Duration::from_millis(1)).await;
                }
            });
            let mut polls = 0;
            poll_fn(|cx| {
                polls += 1;
                // Long enough to be asked.
                burn(Duration::from_millis(2));
                cx.waker().wake_by_ref();
                sleeps.as_mut().poll(cx)
            })
            .await;
            polls
        });
        // One that sets the timer, and one that sees that it is over; and some, since a thread may
        // be lowered.
        let polls = foreign_block_on(task).unwrap();
        assert!(polls <= 10 * SLEEPS, "{polls} polls");
    });
}

/// One worker is stuck, the other is there, and nothing waits.
#[test]
fn a_worker_that_nobody_waits_for_keeps_its_seat() {
    on(builder(2), |runtime| {
        let end = End::new();
        let stuck = stick_all_but(1, &runtime, Stuck::Blocks, &end);
        runtime.block_on(async { sleep(Duration::from_millis(50)).await });
        assert_eq!(runtime.metrics().takeovers(), 0);
        end.come();
        join_all(stuck);
    });
}

/// The same, but it has the core for itself, at normal priority.
#[test]
fn a_worker_that_does_not_stop_computing_is_replaced_all_the_same() {
    on(builder(2), |runtime| {
        let end = End::new();
        let stuck = stick_all_but(1, &runtime, Stuck::Computes, &end);
        until(|| runtime.metrics().takeovers() > 0);
        end.come();
        join_all(stuck);
    });
}

// ---- what can be seen of it ----

#[test]
fn a_dump_names_the_task_whose_poll_was_taken_over() {
    for how in Stuck::ALL {
        on(builder(1), move |runtime| {
            let end = End::new();
            let inside = end.clone();
            let line = line!() + 1;
            let stuck = runtime.spawn(async move { how.until(&inside) });
            foreign_block_on(runtime.spawn(async {})).unwrap();
            let replaced = || {
                let dump = runtime.handle().dump().to_string();
                let line = dump.lines().find(|line| line.starts_with("displaced from"));
                line.map(str::to_owned)
            };
            until(|| replaced().is_some());
            let text = replaced().unwrap_or_default();
            let id = format!("task {},", stuck.id());
            let place = format!("tests/takeover.rs:{line}:");
            assert!(text.contains(&id) && text.contains(&place), "{text}");
            assert!(text.contains("IO worker 0"), "{text}");
            if how == Stuck::Blocks {
                assert!(text.contains("asleep"), "{text}");
            }
            end.come();
            foreign_block_on(stuck).unwrap();
            until(|| replaced().is_none() && runtime.metrics().num_displaced_threads() == 0);
        });
    }
}
