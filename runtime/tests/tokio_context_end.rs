//! What is of tokio's, when a runtime or a thread ends.

#![cfg(feature = "tokio-rt")]

mod support;
mod tokio_support;

use evenkeel::task::block_in_place;
use evenkeel::time::Duration;
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use support::builder;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_support::receive_blocking;

#[test]
fn the_drop_of_a_runtime_ends_what_was_spawned_on_tokios() {
    struct SetOnDrop(Arc<AtomicBool>);
    impl Drop for SetOnDrop {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Release);
        }
    }
    support::watchdog(|| {
        let runtime = support::runtime();
        let dropped = SetOnDrop(Arc::default());
        let is_dropped = dropped.0.clone();
        let (begun, wait) = oneshot::channel();
        runtime.block_on(async {
            tokio::spawn(async move {
                let _dropped = dropped;
                begun.send(()).unwrap();
                Notify::new().notified().await;
            });
            wait.await.unwrap();
        });
        drop(runtime);
        assert!(is_dropped.load(Ordering::Acquire));
    });
}

#[test]
fn the_drop_of_a_runtime_waits_for_a_blocking_call_of_tokios_that_has_begun() {
    support::watchdog(|| {
        let runtime = support::runtime();
        let ended = Arc::new(AtomicBool::new(false));
        let set = ended.clone();
        let (begun, wait) = oneshot::channel();
        let (go_on, gate) = std::sync::mpsc::channel::<()>();
        runtime.block_on(async {
            tokio::task::spawn_blocking(move || {
                begun.send(()).unwrap();
                gate.recv().unwrap();
                set.store(true, Ordering::Release);
            });
            wait.await.unwrap();
        });
        let opener = std::thread::spawn(move || go_on.send(()).unwrap());
        drop(runtime);
        assert!(ended.load(Ordering::Acquire));
        opener.join().unwrap();
    });
}

/// Its thread may not have been made by then.
#[test]
fn the_drop_of_a_runtime_waits_for_a_blocking_call_of_tokios_that_has_just_begun() {
    support::watchdog(|| {
        for _ in 0..100 {
            let runtime = support::runtime();
            let (begun, wait) = std::sync::mpsc::channel();
            let ended = Arc::new(AtomicBool::new(false));
            let set = ended.clone();
            runtime.block_on(async {
                tokio::task::spawn_blocking(move || {
                    begun.send(()).unwrap();
                    std::thread::sleep(Duration::from_millis(5));
                    set.store(true, Ordering::Release);
                });
            });
            wait.recv().unwrap();
            drop(runtime);
            assert!(ended.load(Ordering::Acquire));
        }
    });
}

#[test]
fn a_task_that_waits_for_tokios_while_the_runtime_ends_does_not_hold_it_up() {
    support::watchdog(|| {
        let runtime = support::runtime();
        let (begun, wait) = oneshot::channel();
        runtime.spawn(async move {
            begun.send(()).unwrap();
            // Stuck in its poll until the other runtime gives up what it waits for.
            let (_send, receive) = std::sync::mpsc::channel::<()>();
            let _task = tokio::spawn(async move {
                let _send = _send;
                std::future::pending::<()>().await;
            });
            let _ = block_in_place(|| receive.recv());
        });
        runtime.block_on(wait).unwrap();
        drop(runtime);
    });
}

#[test]
fn a_runtime_dropped_by_a_blocking_call_of_tokios_does_not_wait_for_it() {
    support::watchdog(|| {
        let runtime = support::runtime();
        let handle = runtime.handle().clone();
        let (dropped, wait) = std::sync::mpsc::channel();
        handle.block_on(async move {
            tokio::task::spawn_blocking(move || {
                drop(runtime);
                dropped.send(()).unwrap();
            });
        });
        wait.recv().unwrap();
    });
}

#[test]
#[should_panic(expected = "it is being shutdown")]
fn a_timer_of_tokios_says_that_the_runtime_is_gone() {
    support::watchdog(|| {
        let runtime = support::runtime();
        let handle = runtime.handle().clone();
        drop(runtime);
        handle.block_on(async { tokio::time::sleep(Duration::from_millis(1)).await });
    });
}

/// What a thread does last of all.
struct AtEnd(Option<Box<dyn FnOnce()>>);

impl Drop for AtEnd {
    fn drop(&mut self) {
        self.0.take().into_iter().for_each(|f| f());
    }
}

thread_local!(static AT_END: RefCell<AtEnd> = const { RefCell::new(AtEnd(None)) });

/// tokio's context, its parker and ours are thread-locals as well, of which some may be gone.
#[test]
fn block_on_works_in_the_destructor_of_a_thread_local_whatever_came_before_it() {
    support::watchdog(|| {
        let mut builder = builder(1);
        builder.thread_keep_alive(Duration::from_millis(1));
        let runtime = builder.build().unwrap();
        type Use = fn(&evenkeel::runtime::Handle);
        let nothing: Use = |_| ();
        let find: Use = |_| drop(tokio::runtime::Handle::try_current());
        let block: Use = |handle| handle.block_on(async {});
        let receive: Use = |_| assert_eq!(receive_blocking(), Some(7));
        for (before, after) in [
            (nothing, nothing),
            (nothing, block),
            (find, block),
            (block, block),
            (block, receive),
            (receive, block),
        ] {
            let (ended, wait) = std::sync::mpsc::channel();
            let body = || {
                let (handle, ended) = (runtime.handle().clone(), ended.clone());
                move || {
                    before(&handle);
                    let at_end = handle.clone();
                    let at_end = move || {
                        // More than there is in a budget that nobody renews.
                        at_end.block_on(async {
                            let (send, mut receive) = mpsc::unbounded_channel();
                            for number in 0..1000 {
                                send.send(number).unwrap();
                                receive.recv().await.unwrap();
                            }
                        });
                        at_end.block_on(at_end.spawn(async {})).unwrap();
                        ended.send(()).unwrap();
                    };
                    AT_END.set(AtEnd(Some(Box::new(at_end))));
                    after(&handle);
                }
            };
            std::thread::spawn(body()).join().unwrap();
            wait.recv().unwrap();
            runtime.spawn_blocking(body());
            wait.recv().unwrap();
            runtime.block_on(async { drop(tokio::task::spawn_blocking(body())) });
            wait.recv().unwrap();
        }
        // Closures of the pool may use anything, since what they find is older than what is theirs.
        let (ended, wait) = std::sync::mpsc::channel();
        let handle = runtime.handle().clone();
        runtime.spawn_blocking(move || {
            let at_end = move || handle.block_on(async { ended.send(()).unwrap() });
            AT_END.set(AtEnd(Some(Box::new(at_end))));
            receive_blocking();
        });
        wait.recv().unwrap();
    });
}
