//! Shutdowns while polls are stuck, have been taken over, or are just about to be.

#![cfg(target_os = "linux")]

mod support;
mod takeover_support;

use evenkeel::task::yield_now;
use evenkeel::time::{Duration, Instant, sleep};
use std::future::pending;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use support::{Gate, Live, OpenOnDrop, foreign_block_on, until, watchdog};
use takeover_support::{
    End, EndOnDrop, assert_spawns_are_cancelled_after, each_way, until_nobody_is_displaced,
};

#[test]
fn dropping_the_runtime_waits_for_the_poll() {
    each_way(|runtime, how| {
        for ends_with_an_await in [false, true] {
            let runtime = if ends_with_an_await {
                support::runtime_with(2)
            } else {
                support::runtime_with(1)
            };
            let (live, end, ended) = (Live::new(), End::new(), Arc::new(AtomicBool::new(false)));
            let (held, inside, ends) = (live.clone(), end.clone(), ended.clone());
            let taken = Gate::new();
            let takes = taken.clone();
            let stuck = runtime.spawn(async move {
                let _held = held;
                how.until_taken_over();
                takes.open();
                how.until(&inside);
                ends.store(true, Ordering::SeqCst);
                if ends_with_an_await {
                    pending::<()>().await;
                }
            });
            // Cancelled by the shutdown, this lets the poll end.
            let begun = Gate::new();
            let (polled, guard) = (begun.clone(), EndOnDrop(end));
            let waits = runtime.spawn(async move {
                let _guard = guard;
                polled.open();
                pending::<()>().await;
            });
            begun.block();
            taken.block();
            drop(runtime);
            assert!(ended.load(Ordering::SeqCst));
            assert_eq!(live.others(), 0);
            let result = foreign_block_on(stuck);
            assert_eq!(result.is_err(), ends_with_an_await);
            assert!(foreign_block_on(waits).unwrap_err().is_cancelled());
        }
        drop(runtime);
    });
}

#[test]
fn a_bounded_shutdown_does_not_wait_for_the_poll() {
    each_way(|runtime, how| {
        let (live, end) = (Live::new(), End::new());
        let (held, inside, children) = (live.clone(), end.clone(), mpsc::channel());
        let taken = Gate::new();
        let takes = taken.clone();
        let task = runtime.spawn(async move {
            how.until_taken_over();
            takes.open();
            how.until(&inside);
            // There is no runtime any more, and these are told so.
            children
                .0
                .send(evenkeel::spawn(async move { drop(held) }))
                .unwrap();
            3
        });
        taken.block();
        let (handle, before) = (runtime.handle().clone(), Instant::now());
        runtime.shutdown_timeout(Duration::from_millis(10));
        assert!(before.elapsed() >= Duration::from_millis(10));
        assert!(!task.is_finished());
        end.come();
        assert_eq!(foreign_block_on(task).unwrap(), 3);
        let child = children.1.recv().unwrap();
        assert!(foreign_block_on(child).unwrap_err().is_cancelled());
        assert_eq!(live.others(), 0);
        until_nobody_is_displaced(&handle.metrics());
    });
}

#[test]
fn a_poll_that_ends_after_a_background_shutdown_is_cancelled() {
    each_way(|runtime, how| {
        for polled_before in [false, true] {
            let runtime = support::builder(1).build().unwrap();
            let (live, end) = (Live::new(), End::new());
            let (held, inside) = (live.clone(), end.clone());
            let taken = Gate::new();
            let takes = taken.clone();
            let task = runtime.spawn(async move {
                let _held = held;
                if polled_before {
                    yield_now().await;
                }
                how.until_taken_over();
                takes.open();
                how.until(&inside);
                pending::<()>().await;
            });
            taken.block();
            runtime.shutdown_background();
            end.come();
            assert!(foreign_block_on(task).unwrap_err().is_cancelled());
            until(|| live.others() == 0);
        }
        drop(runtime);
    });
}

/// The poll is not taken over yet when the shutdown begins, and waits for a task in its worker's
/// LIFO slot or queue: that one is cancelled, or run, though no worker leaves that could do it.
#[test]
fn a_shutdown_at_the_beginning_of_a_poll_that_waits_for_its_child() {
    for workers in [1, 2] {
        watchdog(move || {
            for round in 0..20 {
                let runtime = support::runtime_with(workers);
                let begun = Arc::new(std::sync::Barrier::new(workers + 1));
                let tasks: Vec<_> = (0..workers)
                    .map(|_| {
                        let begun = begun.clone();
                        runtime.spawn(async move {
                            let child = evenkeel::spawn(async {});
                            let queued = (round % 2 == 0).then(|| evenkeel::spawn(async {}));
                            begun.wait();
                            let _ = foreign_block_on(child);
                            drop(queued);
                        })
                    })
                    .collect();
                begun.wait();
                drop(runtime);
                for task in tasks {
                    foreign_block_on(task).unwrap();
                }
            }
        });
    }
}

/// As above, with a child that is spawned when everything has been cancelled: so is it, at once.
#[test]
fn a_poll_that_spawns_a_child_after_the_shutdown_and_waits_for_it() {
    watchdog(|| {
        let runtime = support::runtime_with(2);
        let (begun, cancelled) = (Gate::new(), Gate::new());
        let (begins, guard) = (begun.clone(), OpenOnDrop(cancelled.clone()));
        let never = runtime.spawn(async move {
            let _guard = guard;
            begins.open();
            pending::<()>().await;
        });
        begun.block();
        let begun = Gate::new();
        let begins = begun.clone();
        let spawns = runtime.spawn(async move {
            begins.open();
            assert_spawns_are_cancelled_after(never, &cancelled);
        });
        begun.block();
        drop(runtime);
        foreign_block_on(spawns).unwrap();
    });
}

/// The runtime is dropped by the task itself, on the thread that has lost its seat.
#[test]
fn the_runtime_can_be_dropped_in_the_poll() {
    each_way(|runtime, how| {
        let handle = runtime.handle().clone();
        let (cancelled, guard) = (Gate::new(), Gate::new());
        let inside = OpenOnDrop(cancelled.clone());
        handle.spawn(async move {
            let _inside = inside;
            pending::<()>().await;
        });
        let opens = guard.clone();
        let task = handle.spawn(async move {
            how.until_taken_over();
            drop(runtime);
            opens.open();
            4
        });
        guard.block();
        cancelled.block();
        assert_eq!(foreign_block_on(task).unwrap(), 4);
    });
}

/// Polls that end at every moment of a shutdown.
#[test]
fn shutdowns_while_polls_that_were_taken_over_end() {
    each_way(|runtime, how| {
        drop(runtime);
        for round in 0..60 {
            let runtime = support::runtime_with(1 + round % 2);
            let (live, end, runs) = (Live::new(), End::new(), Arc::new(AtomicUsize::new(0)));
            let tasks: Vec<_> = (0..3)
                .map(|i| {
                    let (held, inside, runs) = (live.clone(), end.clone(), runs.clone());
                    runtime.spawn(async move {
                        let _held = held;
                        how.until(&inside);
                        drop(evenkeel::spawn(async {}));
                        runs.fetch_add(1, Ordering::SeqCst);
                        if i > 0 {
                            sleep(Duration::from_micros(10)).await;
                            pending::<()>().await;
                        }
                    })
                })
                .collect();
            if round % 4 < 2 {
                until(|| runtime.metrics().takeovers() > 0);
            }
            let opener = thread::spawn(move || {
                for _ in 0..round * 50 {
                    std::hint::spin_loop();
                }
                end.come();
            });
            drop(runtime);
            opener.join().unwrap();
            let mut completed = 0;
            for task in tasks {
                match foreign_block_on(task) {
                    Ok(()) => completed += 1,
                    Err(error) => assert!(error.is_cancelled()),
                }
            }
            assert!(completed <= 1 && completed <= runs.load(Ordering::SeqCst));
            assert_eq!(live.others(), 0);
        }
    });
}
