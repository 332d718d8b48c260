//! What is of tokio's finds, in tasks and on the threads around them, what it finds on a runtime of
//! tokio's.

#![cfg(feature = "tokio-rt")]

mod support;
mod tokio_support;

use evenkeel::runtime::Runtime;
use evenkeel::task::{JoinError, block_in_place, consume_budget, unconstrained, yield_now};
use evenkeel::time::{Duration, timeout};
use evenkeel::{compute, spawn, spawn_blocking, spawn_compute};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Waker};
use support::{builder, in_block_on, on_built, on_runtime};
use tokio::io::AsyncWriteExt;
use tokio::sync::{Mutex, mpsc};
use tokio_support::{all_time_out, always_receives, receive_blocking};

#[test]
fn timeouts_fire_around_what_is_always_ready_in_block_on() {
    on_runtime(1, |runtime| runtime.block_on(all_time_out()));
}

#[test]
fn timeouts_fire_around_what_is_always_ready_in_a_task() {
    on_runtime(1, |runtime| {
        runtime.block_on(async { spawn(all_time_out()).await.unwrap() });
    });
}

#[test]
fn timeouts_fire_around_what_is_always_ready_on_the_compute_lane() {
    on_runtime(1, |runtime| {
        runtime.block_on(async { compute::spawn(all_time_out()).await.unwrap() });
    });
}

#[test]
fn timeouts_fire_around_what_is_always_ready_in_a_block_on_of_a_blocking_thread() {
    on_runtime(1, |runtime| {
        let handle = runtime.handle().clone();
        let all = spawn_blocking_on(runtime, move || handle.block_on(all_time_out()));
        runtime.block_on(all).unwrap();
    });
}

#[test]
fn timeouts_fire_around_what_is_always_ready_in_a_block_on_of_a_blocking_thread_of_tokios() {
    on_runtime(1, |runtime| {
        runtime.block_on(async {
            let here = evenkeel::runtime::Handle::current();
            let all = tokio::task::spawn_blocking(move || here.block_on(all_time_out()));
            all.await.unwrap();
        });
    });
}

/// The shutdown waits for the closures, also for one that gets a thread late.
#[test]
fn timeouts_fire_around_what_is_always_ready_in_a_closure_that_runs_in_the_shutdown() {
    support::watchdog(|| {
        let mut builder = builder(1);
        builder.max_blocking_threads(1);
        let runtime = builder.build().unwrap();
        let handle = runtime.handle().clone();
        let (shut_down, wait) = std::sync::mpsc::channel::<()>();
        let busy = runtime.spawn_blocking(move || wait.recv());
        let last = runtime.spawn_blocking(move || handle.block_on(all_time_out()));
        runtime.shutdown_background();
        // Later than whatever a shutdown gives up by and by.
        std::thread::sleep(Duration::from_millis(20));
        shut_down.send(()).unwrap();
        futures_lite::future::block_on(busy).unwrap().unwrap();
        futures_lite::future::block_on(last).unwrap();
    });
}

#[test]
fn timeouts_fire_around_what_is_always_ready_when_the_runtime_is_gone() {
    support::watchdog(|| {
        let runtime = support::runtime();
        let handle = runtime.handle().clone();
        drop(runtime);
        handle.block_on(all_time_out());
        assert!(
            handle.block_on(async { tokio::spawn(async {}).await.unwrap_err().is_cancelled() })
        );
    });
}

#[test]
fn timeouts_fire_after_code_that_blocks_in_place_in_each_round() {
    async fn always_blocks_and_receives() {
        let (send, mut receive) = mpsc::unbounded_channel();
        send.send(()).unwrap();
        while let Some(()) = receive.recv().await {
            block_in_place(|| send.send(()).unwrap());
        }
    }
    on_runtime(1, |runtime| {
        runtime.block_on(async {
            let both = || timeout(Duration::from_millis(5), always_blocks_and_receives());
            assert!(both().await.is_err());
            assert!(spawn(both()).await.unwrap().is_err());
        });
    });
}

#[test]
fn branches_of_a_select_beside_what_is_always_ready_get_on() {
    on_runtime(1, |runtime| {
        let select = || async {
            tokio::select! {
                biased;
                () = always_receives() => false,
                () = evenkeel::time::sleep(Duration::from_millis(5)) => true,
            }
        };
        assert!(runtime.block_on(select()));
        assert!(runtime.block_on(runtime.spawn(select())).unwrap());
    });
}

#[test]
fn neighbours_of_tasks_that_always_receive_get_on_without_a_takeover() {
    let mut builder = builder(1);
    builder.takeover(evenkeel::runtime::TakeoverPolicy::disabled());
    on_built(builder, |runtime| {
        let busy: Vec<_> = (0..3).map(|_| runtime.spawn(always_receives())).collect();
        let other = runtime.spawn(async {
            for _ in 0..100 {
                evenkeel::task::yield_now().await;
            }
        });
        runtime.block_on(other).unwrap();
        busy.iter().for_each(|busy| busy.abort());
    });
}

#[test]
fn an_unconstrained_future_is_not_put_off() {
    on_runtime(1, |runtime| {
        let in_one_poll = || async {
            let polls = AtomicUsize::new(0);
            let (send, mut receive) = mpsc::unbounded_channel();
            (0..1000).for_each(|number| send.send(number).unwrap());
            let receive_all = async {
                for number in 0..1000 {
                    assert_eq!(receive.recv().await, Some(number));
                }
            };
            let mut receive_all = std::pin::pin!(unconstrained(receive_all));
            std::future::poll_fn(|cx| {
                polls.fetch_add(1, Ordering::Relaxed);
                receive_all.as_mut().poll(cx)
            })
            .await;
            polls.into_inner()
        };
        assert_eq!(runtime.block_on(in_one_poll()), 1);
        assert_eq!(runtime.block_on(runtime.spawn(in_one_poll())).unwrap(), 1);
    });
}

#[test]
fn every_message_arrives_whatever_is_put_off() {
    on_runtime(2, |runtime| {
        runtime.block_on(async {
            let (send, mut receive) = mpsc::channel(7);
            let senders: Vec<_> = (0..4)
                .map(|_| {
                    let send = send.clone();
                    spawn(async move {
                        for number in 0..5_000_u64 {
                            send.send(number).await.unwrap();
                        }
                    })
                })
                .collect();
            drop(send);
            let mut sum = 0;
            while let Some(number) = receive.recv().await {
                sum += number;
            }
            assert_eq!(sum, 4 * (0..5_000).sum::<u64>());
            for sender in senders {
                sender.await.unwrap();
            }
        });
    });
}

fn spawn_blocking_on<R: Send + 'static>(
    runtime: &Runtime,
    f: impl FnOnce() -> R + Send + 'static,
) -> evenkeel::JoinHandle<R> {
    runtime.spawn_blocking(f)
}

#[track_caller]
fn assert_panicked_over_blocking<T: std::fmt::Debug>(joined: Result<T, JoinError>) {
    let panic = joined.unwrap_err().into_panic();
    let message = panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string))
        .unwrap();
    assert!(message.contains("block"), "{message}");
}

#[test]
fn blocking_calls_of_channels_panic_in_a_task_and_say_why() {
    on_runtime(1, |runtime| {
        runtime.block_on(async {
            assert_panicked_over_blocking(spawn(async { receive_blocking() }).await);
            assert_panicked_over_blocking(compute::spawn(async { receive_blocking() }).await);
            assert_panicked_over_blocking(
                spawn(async { drop(Mutex::new(()).blocking_lock()) }).await,
            );
        });
    });
}

#[test]
fn blocking_calls_of_channels_panic_in_block_on_and_say_why() {
    on_runtime(1, |runtime| {
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            runtime.block_on(async { receive_blocking() })
        }));
        assert!(caught.is_err());
        // The thread is as it was.
        assert_eq!(receive_blocking(), Some(7));
        assert_eq!(runtime.block_on(async { 5 }), 5);
    });
}

#[test]
fn blocking_calls_of_channels_work_wherever_blocking_is_allowed() {
    on_runtime(1, |runtime| {
        assert_eq!(receive_blocking(), Some(7));
        runtime.block_on(async {
            assert_eq!(block_in_place(receive_blocking), Some(7));
            assert_eq!(spawn_blocking(receive_blocking).await.unwrap(), Some(7));
            assert_eq!(spawn_compute(receive_blocking).await.unwrap(), Some(7));
            let in_place = spawn(async { block_in_place(receive_blocking) });
            assert_eq!(in_place.await.unwrap(), Some(7));
        });
    });
}

#[test]
fn what_needs_tokios_timers_finds_them() {
    async fn use_timers() {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let never = std::future::pending::<()>();
        assert!(
            tokio::time::timeout(Duration::from_millis(1), never)
                .await
                .is_err()
        );
        let (send, _receive) = mpsc::channel(1);
        let limit = Duration::from_millis(1);
        assert!(send.send_timeout(1, limit).await.is_ok());
        assert!(send.send_timeout(2, limit).await.is_err());
    }
    on_runtime(1, |runtime| {
        runtime.block_on(async {
            use_timers().await;
            spawn(use_timers()).await.unwrap();
            compute::spawn(use_timers()).await.unwrap();
            let blocking =
                spawn_blocking(|| tokio::runtime::Handle::current().block_on(use_timers()));
            blocking.await.unwrap();
        });
    });
}

#[test]
fn standard_output_of_tokios_can_be_written_to() {
    on_runtime(1, |runtime| {
        let write = || async { tokio::io::stdout().write_all(b"\n").await.is_ok() };
        assert!(runtime.block_on(write()));
        assert!(runtime.block_on(runtime.spawn(write())).unwrap());
    });
}

#[test]
fn what_is_spawned_on_tokios_runtime_runs_and_finds_this_one() {
    on_runtime(1, |runtime| {
        runtime.block_on(async {
            let waits = tokio::spawn(std::future::pending::<()>());
            let dump = evenkeel::runtime::Handle::current().dump().to_string();
            assert!(dump.contains("tokio's runtime: 1 tasks"), "{dump}");
            waits.abort();
            let there = tokio::spawn(async {
                let here = spawn(async { 3 }).await.unwrap();
                evenkeel::time::sleep(Duration::from_millis(1)).await;
                let blocking = tokio::task::spawn_blocking(|| {
                    evenkeel::runtime::Handle::current().block_on(async { 4 })
                });
                here + blocking.await.unwrap()
            });
            assert_eq!(there.await.unwrap(), 7);
        });
    });
}

#[test]
fn a_context_of_tokios_that_was_there_stays_as_it_is() {
    support::watchdog(|| {
        let theirs = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let ours = support::runtime();
        theirs.block_on(async {
            let id = tokio::runtime::Handle::current().id();
            let seen = ours.block_on(async {
                // With the budget of the poll of theirs this would end in a loop that gets nowhere.
                let (send, mut receive) = mpsc::unbounded_channel();
                for number in 0..1000 {
                    send.send(number).unwrap();
                    receive.recv().await.unwrap();
                }
                block_in_place(|| ());
                tokio::runtime::Handle::current().id()
            });
            assert_eq!(seen, id);
        });
    });
}

#[test]
fn the_thread_that_blocked_on_a_runtime_is_left_without_a_budget() {
    on_runtime(1, |runtime| {
        runtime.block_on(async { tokio::task::consume_budget().await });
        // It would never end if operations were put off.
        futures_lite::future::block_on(async {
            let (send, mut receive) = mpsc::unbounded_channel();
            for number in 0..1000 {
                send.send(number).unwrap();
                receive.recv().await.unwrap();
            }
        });
        assert!(tokio::runtime::Handle::try_current().is_err());
    });
}

#[test]
fn timeouts_fire_again_after_tokios_own_block_in_place() {
    on_runtime(1, |runtime| {
        let spoil = || async { tokio::task::block_in_place(|| ()) };
        runtime.block_on(async {
            spoil().await;
            spawn(spoil()).await.unwrap();
            for _ in 0..1000 {
                evenkeel::task::yield_now().await;
                spawn(async {}).await.unwrap();
            }
            all_time_out().await;
            spawn(all_time_out()).await.unwrap();
        });
    });
}

/// An executor in a task polls until it is done: put off in there, it never gets on. So a poll must
/// not begin with what others have left of the budget.
#[test]
fn what_other_polls_have_used_is_not_missing_in_an_executor_inside_a_task() {
    async fn use_both(lock: Arc<Mutex<()>>, before: u32) {
        for _ in 0..before {
            drop(lock.lock().await);
        }
        futures_lite::future::block_on(async {
            drop(lock.lock().await);
            drop(lock.lock().await);
        });
    }
    on_runtime(1, |runtime| {
        runtime.block_on(async {
            let lock = Arc::new(Mutex::new(()));
            for round in 0..1000 {
                spawn(use_both(lock.clone(), round % 7)).await.unwrap();
                compute::spawn(use_both(lock.clone(), round % 7))
                    .await
                    .unwrap();
            }
        });
    });
}

#[test]
fn a_poll_does_not_begin_with_what_others_have_left_of_the_budget() {
    async fn is_received_at_once(used_before: u32) -> bool {
        let (send, mut receive) = mpsc::unbounded_channel();
        send.send(()).unwrap();
        let received = std::pin::pin!(receive.recv())
            .poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
            .is_ready();
        for _ in 0..used_before {
            tokio::task::consume_budget().await;
        }
        received
    }
    on_runtime(1, |runtime| {
        runtime.block_on(async {
            for units in 0..140 {
                assert!(spawn(is_received_at_once(units)).await.unwrap());
                assert!(compute::spawn(is_received_at_once(units)).await.unwrap());
            }
        });
    });
}

/// `select!` and the locks are tokio's, and ask tokio's budget.
#[test]
fn with_the_budget_of_a_poll_tokios_is_used_up_as_well() {
    fn is_ready<F: Future>(future: F) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        pin!(future).poll(&mut cx).is_ready()
    }
    in_block_on(1, || async {
        let lock = Mutex::new(());
        let are_ready = || {
            let ready = async {
                tokio::select! { () = std::future::ready(()) => () }
            };
            [is_ready(lock.lock()), is_ready(ready)]
        };
        assert_eq!(are_ready(), [true; 2]);
        while is_ready(consume_budget()) {}
        assert_eq!(are_ready(), [false; 2]);
        yield_now().await;
        assert_eq!(are_ready(), [true; 2]);
    });
}
