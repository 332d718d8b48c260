//! `LocalRuntime`: a current-thread runtime whose tasks need not be `Send`.

mod support;

use evenkeel::runtime::{Builder, Handle, LocalOptions, LocalRuntime, worker_index};
use evenkeel::task::{JoinSet, LocalSet, spawn_local, yield_now};
use evenkeel::time::{Duration, sleep};
use std::cell::Cell;
use std::future::pending;
use std::io::ErrorKind;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::thread;
use support::{Gate, watchdog};

fn local() -> LocalRuntime {
    LocalRuntime::new().unwrap()
}

#[test]
fn tasks_that_are_not_send_run_beside_those_that_are() {
    watchdog(|| {
        let runtime = local();
        let here = thread::current().id();
        let count = Rc::new(Cell::new(0));
        let before = runtime.spawn_local({
            let count = count.clone();
            async move { count.set(count.get() + 1) }
        });
        runtime.block_on(async {
            before.await.unwrap();
            let one = spawn_local({
                let count = count.clone();
                async move {
                    yield_now().await;
                    sleep(Duration::from_micros(10)).await;
                    count.set(count.get() + 1);
                    thread::current().id()
                }
            });
            // From a task of the runtime's as well.
            let other = evenkeel::spawn(async {
                drop(spawn_local(async { Rc::new(1) }));
                let blocked = evenkeel::spawn_blocking(worker_index).await.unwrap();
                (thread::current().id(), worker_index(), blocked)
            });
            assert_eq!(one.await.unwrap(), here);
            assert_eq!(other.await.unwrap(), (here, Some(0), None));
            let mut set = JoinSet::new();
            (0..3).for_each(|n| {
                set.spawn_local(async move { *Rc::new(n) });
            });
            let mut outputs = set.join_all().await;
            outputs.sort_unstable();
            assert_eq!(outputs, [0, 1, 2]);
        });
        assert_eq!(count.get(), 2);
        assert!(catch_unwind(|| drop(spawn_local(async {}))).is_err());
    });
}

#[test]
fn a_guard_of_it_lets_this_thread_spawn_and_no_other() {
    watchdog(|| {
        let runtime = local();
        let entered = runtime.enter();
        let task = spawn_local(async { Rc::new(1) });
        drop(entered);
        assert_eq!(*runtime.block_on(task).unwrap(), 1);

        let handle = runtime.handle().clone();
        let elsewhere = thread::spawn(move || {
            let _entered = handle.enter();
            drop(spawn_local(async {}));
        });
        let message = elsewhere.join().unwrap_err();
        let message = message.downcast_ref::<&str>().unwrap();
        assert!(message.contains("`LocalRuntime`"), "{message}");
    });
}

#[test]
fn another_runtime_on_this_thread_is_not_taken_for_it() {
    watchdog(|| {
        let (local, other) = (local(), Builder::new_current_thread().build().unwrap());
        let spawn = || catch_unwind(AssertUnwindSafe(|| drop(spawn_local(async {}))));
        assert!(other.block_on(async { spawn() }).is_err());
        let second = LocalRuntime::new().unwrap();
        let spawn_in = |runtime: &LocalRuntime| {
            let _entered = runtime.enter();
            spawn_local(async { Handle::current().id() })
        };
        let (one, two) = (spawn_in(&local), spawn_in(&second));
        assert_eq!(second.block_on(two).unwrap(), second.handle().id());
        assert_eq!(local.block_on(one).unwrap(), local.handle().id());
        drop(local);
        assert!(second.block_on(spawn_in(&second)).is_ok());
        // A set of its own comes first.
        let set = LocalSet::new();
        second.block_on(set.run_until(async {
            assert_ne!(set.id(), Handle::current().id());
            spawn_local(async {}).await.unwrap();
        }));
    });
}

#[test]
fn its_tasks_are_dropped_in_it_on_its_thread() {
    struct Drops(mpsc::Sender<(bool, thread::ThreadId)>, PhantomData<Rc<()>>);
    impl Drop for Drops {
        fn drop(&mut self) {
            let is_in_runtime = Handle::try_current().is_ok();
            let _ = self.0.send((is_in_runtime, thread::current().id()));
            // Refused, and dropped at once.
            drop(spawn_local(async {}));
        }
    }
    watchdog(|| {
        type End = fn(LocalRuntime);
        let ends: [End; 3] = [drop, LocalRuntime::shutdown_background, |runtime| {
            runtime.shutdown_timeout(Duration::from_secs(20))
        }];
        for end in ends {
            let runtime = local();
            let (dropped, drops) = mpsc::channel();
            let drops_on = Drops(dropped, PhantomData);
            runtime.spawn_local(async move {
                let _drops_on = drops_on;
                pending::<()>().await;
            });
            runtime.block_on(yield_now());
            end(runtime);
            assert_eq!(drops.try_recv(), Ok((true, thread::current().id())));
        }
    });
}

#[test]
fn what_other_threads_send_and_wake_gets_its_turn() {
    watchdog(|| {
        let runtime = local();
        let handle = runtime.handle().clone();
        let (gate, sent) = (Gate::new(), Arc::new(Gate::new()));
        runtime.block_on(async {
            let waits = spawn_local({
                let gate = gate.clone();
                async move { gate.wait().await }
            });
            let outside = thread::spawn(move || {
                let sent = handle.spawn(async { worker_index() });
                gate.open();
                sent
            });
            waits.await.unwrap();
            let sent = outside.join().unwrap();
            assert_eq!(sent.await.unwrap(), Some(0));
        });
        drop(sent);
    });
}

#[test]
fn a_builder_with_workers_builds_none() {
    let error = Builder::new()
        .build_local(LocalOptions::default())
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let mut builder = Builder::new_current_thread();
    let runtime = builder.name("local").build_local(LocalOptions::default());
    assert_eq!(runtime.unwrap().handle().name(), Some("local"));
}
