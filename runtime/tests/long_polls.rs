//! Polls that take milliseconds, as those of honest handlers do: they are served in order, behind
//! short ones and before the compute lane, and nothing is held against their tasks.

#![cfg(target_os = "linux")]

mod support;
mod takeover_support;

use evenkeel::runtime::Runtime;
use evenkeel::task::coop::consume_budget;
use evenkeel::task::{JoinHandle, block_in_place, yield_now};
use evenkeel::time::sleep;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::{Gate, foreign_block_on};
use takeover_support::{Stuck, burn, cpu_time, is_on, on, until_nobody_is_displaced};

/// Long, with the default policy.
const LONG: Duration = Duration::from_millis(3);

/// So many polls tell the lane what a task is like.
const LEARNT: usize = 8;

fn is_lowered() -> bool {
    // SAFETY: it takes no pointer.
    let policy = unsafe { libc::sched_getscheduler(0) };
    assert!(policy >= 0);
    policy == libc::SCHED_IDLE
}

fn on_one_worker(body: impl FnOnce(Runtime) + Send + 'static) {
    on(support::builder(1), body);
}

/// A task that calls `poll` when it is told to, after it has shown what it is like with `learn`.
struct Told {
    go: Gate,
    task: JoinHandle<()>,
}

impl Told {
    fn new(
        runtime: &Runtime,
        learn: impl Fn() + Send + 'static,
        poll: impl FnOnce() + Send + 'static,
    ) -> Told {
        let (go, ready) = (Gate::new(), Gate::new());
        let (goes, learnt) = (go.clone(), ready.clone());
        let task = runtime.spawn(async move {
            for _ in 0..LEARNT {
                learn();
                sleep(Duration::from_micros(100)).await;
            }
            // In the poll in which it begins to wait, too.
            learn();
            learnt.open();
            goes.wait().await;
            poll();
        });
        ready.block();
        Told { go, task }
    }
}

#[test]
fn a_handler_is_never_moved_nor_lowered() {
    on(support::builder(2), |runtime| {
        let handlers: Vec<_> = (0..16)
            .map(|_| {
                runtime.spawn(async {
                    for _ in 0..20 {
                        sleep(Duration::from_millis(1)).await;
                        burn(LONG);
                        assert!(is_on("-io-") || is_on("-spr-"));
                        assert!(!is_lowered());
                    }
                })
            })
            .collect();
        handlers
            .into_iter()
            .for_each(|handler| foreign_block_on(handler).unwrap());
        let metrics = runtime.metrics();
        assert_eq!(metrics.tasks_moved_to_compute(), 0);
        assert_eq!(metrics.tasks_moved_to_blocking(), 0);
        until_nobody_is_displaced(&metrics);
    });
}

/// A yield now and then, in what computes for some milliseconds, makes no hog.
#[test]
fn a_handler_that_yields_is_not_moved() {
    on(support::builder(2), |runtime| {
        let handler = runtime.spawn(async {
            for _ in 0..20 {
                sleep(Duration::from_millis(1)).await;
                for _ in 0..3 {
                    burn(LONG);
                    yield_now().await;
                }
            }
        });
        foreign_block_on(handler).unwrap();
        assert_eq!(runtime.metrics().tasks_moved_to_compute(), 0);
    });
}

#[test]
fn long_ones_are_served_in_the_order_in_which_they_came_and_short_ones_before_them() {
    on_one_worker(|runtime| {
        let order = Arc::new(Mutex::new(Vec::new()));
        let told = |name: usize, poll: Duration| {
            let order = order.clone();
            let learn = move || burn(poll);
            let then = move || {
                order.lock().unwrap().push(name);
                burn(poll);
            };
            Told::new(&runtime, learn, then)
        };
        let long: Vec<_> = (0..5).map(|name| told(name, LONG)).collect();
        let short = told(9, Duration::ZERO);
        // In one poll, so that all have come before the first one begins.
        let gates: Vec<_> = long
            .iter()
            .chain([&short])
            .map(|told| told.go.clone())
            .collect();
        let all_at_once = runtime.spawn(async move { gates.iter().for_each(Gate::open) });
        foreign_block_on(all_at_once).unwrap();
        for told in long.into_iter().chain([short]) {
            foreign_block_on(told.task).unwrap();
        }
        let mut order = order.lock().unwrap().clone();
        // Once in a while a long one has its turn first.
        let place = order.iter().position(|name| *name == 9).unwrap();
        assert!(place <= 1, "{order:?}");
        order.remove(place);
        assert_eq!(order, [0, 1, 2, 3, 4]);
    });
}

#[test]
fn a_short_task_does_not_wait_for_one_that_is_known_to_be_long() {
    on_one_worker(|runtime| {
        let begun = Gate::new();
        let begins = begun.clone();
        let long = Told::new(
            &runtime,
            || burn(LONG),
            move || {
                begins.open();
                // Makes no end before others have run.
                Stuck::Computes.until_taken_over();
            },
        );
        long.go.open();
        begun.block();
        foreign_block_on(runtime.spawn(async {})).unwrap();
        foreign_block_on(long.task).unwrap();
    });
}

#[test]
fn a_poll_is_lowered_only_after_a_hundred_milliseconds_of_cpu_time() {
    on_one_worker(|runtime| {
        let task = runtime.spawn(async {
            let begun = cpu_time();
            Stuck::Computes.until_taken_over();
            assert!(!is_lowered());
            while !is_lowered() {
                burn(Duration::from_millis(1));
            }
            assert!(cpu_time() - begun >= Duration::from_millis(100));
        });
        foreign_block_on(task).unwrap();
    });
}

/// The core of a poll that was lowered is free for others.
#[test]
fn long_ones_do_not_wait_for_one_that_was_lowered() {
    on_one_worker(|runtime| {
        let (go_on, lowered) = (Gate::new(), Gate::new());
        let long = Told::new(&runtime, || burn(LONG), || burn(LONG));
        let (goes_on, opens) = (go_on.clone(), lowered.clone());
        let mistake = runtime.spawn(async move {
            while !is_lowered() {
                burn(Duration::from_millis(1));
            }
            opens.open();
            goes_on.block();
        });
        lowered.block();
        long.go.open();
        foreign_block_on(long.task).unwrap();
        go_on.open();
        foreign_block_on(mistake).unwrap();
    });
}

/// Of two tasks that are known to be long the first waits in its poll for the second, by calling
/// what `poll` is given.
#[track_caller]
fn the_second_runs_beside(poll: impl FnOnce(&dyn Fn()) + Send + 'static) {
    on_one_worker(move |runtime| {
        let (inside, go_on) = (Gate::new(), Gate::new());
        let (opens, goes_on) = (inside.clone(), go_on.clone());
        let first = Told::new(
            &runtime,
            || burn(LONG),
            move || {
                poll(&|| {
                    opens.open();
                    goes_on.block();
                });
            },
        );
        let second = Told::new(&runtime, || burn(LONG), move || go_on.open());
        first.go.open();
        inside.block();
        second.go.open();
        foreign_block_on(second.task).unwrap();
        foreign_block_on(first.task).unwrap();
    });
}

/// A poll that was expected to compute may sleep, or begin to after it was displaced.
#[test]
fn long_ones_do_not_wait_for_one_that_sleeps() {
    the_second_runs_beside(|wait| wait());
    the_second_runs_beside(|wait| {
        Stuck::Computes.until_taken_over();
        wait();
    });
}

/// Nor for one that has given its place up.
#[test]
fn long_ones_do_not_wait_for_one_in_block_in_place() {
    the_second_runs_beside(|wait| block_in_place(wait));
}

#[test]
fn a_dump_shows_long_polls_and_who_waits_for_one() {
    on_one_worker(|runtime| {
        let second = Told::new(&runtime, || burn(LONG), || {});
        let (handle, wakes_second) = (runtime.handle().clone(), second.go);
        let first = Told::new(
            &runtime,
            || burn(LONG),
            // From inside the poll, which computes all the while: nobody waits for one that sleeps.
            move || {
                wakes_second.open();
                let shows_both = || {
                    let dump = handle.dump().to_string();
                    dump.contains("1 in long polls, 1 wait for one")
                };
                while !shows_both() {}
            },
        );
        first.go.open();
        foreign_block_on(first.task).unwrap();
        foreign_block_on(second.task).unwrap();
    });
}

/// hyper answers request after request in one poll, as long as its client is quick. With budgets of
/// operations alone each poll would take 128 times as long as one request.
#[test]
fn tasks_that_are_always_ready_have_turns_of_some_milliseconds() {
    /// So many operations may still go on when the turn is over, or before it is known how long
    /// polls take.
    const IN_A_ROW_MAX: usize = 64;
    on_one_worker(|runtime| {
        let order = Arc::new(Mutex::new(Vec::new()));
        let tasks: Vec<_> = (0..2)
            .map(|task| {
                let order = order.clone();
                runtime.spawn(async move {
                    for _ in 0..400 {
                        burn(Duration::from_micros(400));
                        consume_budget().await;
                        order.lock().unwrap().push(task);
                    }
                })
            })
            .collect();
        let ends = tasks.into_iter().map(foreign_block_on);
        ends.for_each(|end| end.unwrap());
        let order = order.lock().unwrap();
        // Until it is known what they are like, and after one of them has ended, nothing is said.
        let runs: Vec<_> = order.chunk_by(|one, next| one == next).collect();
        let known = &runs[1..runs.len() - 2];
        assert!(known.len() > 10, "turns: {}", runs.len());
        assert!(known.iter().all(|run| run.len() < IN_A_ROW_MAX));
    });
}
