//! What is of tokio's, on a thread that has entered a runtime with `Handle::enter`.

#![cfg(feature = "tokio-rt")]

mod support;

use evenkeel::runtime::{Handle, Runtime};
use std::any::Any;
use std::cell::RefCell;
use std::sync::Mutex;
use std::sync::mpsc::channel;
use support::{foreign_block_on, on_runtime, runtime, watchdog};
use tokio::runtime::Id;

fn current() -> Option<Id> {
    let handle = tokio::runtime::Handle::try_current();
    handle.ok().map(|handle| handle.id())
}

/// Of the runtime of tokio's behind this one.
fn behind(runtime: &Runtime) -> Option<Id> {
    runtime.block_on(async { current() })
}

/// As a pool of connections does in destructors. The runtime has done nothing before.
#[test]
fn what_is_spawned_on_tokios_runtime_runs() {
    on_runtime(1, |runtime| {
        let handle = runtime.handle().clone();
        std::thread::spawn(move || {
            let _entered = handle.enter();
            let task = tokio::spawn(async {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
                evenkeel::spawn(async { 7 }).await.unwrap()
            });
            assert_eq!(foreign_block_on(task).unwrap(), 7);
        })
        .join()
        .unwrap();
    });
}

#[test]
fn nothing_of_it_is_left_after_the_guard() {
    on_runtime(1, |runtime| {
        let entered = runtime.enter();
        assert!(current().is_some());
        drop(entered);
        assert_eq!(current(), None);
    });
}

#[test]
fn guards_are_dropped_in_any_order() {
    watchdog(|| {
        let (one, two) = (runtime(), runtime());
        let ids = [behind(&one), behind(&two)];
        let (in_one, in_two) = (one.enter(), two.enter());
        assert_eq!(current(), ids[1]);
        drop(in_one);
        assert_eq!(current(), ids[1]);
        let in_one = one.enter();
        assert_eq!(current(), ids[0]);
        drop(in_one);
        assert_eq!(current(), ids[1]);
        drop(in_two);
        assert_eq!(current(), None);
    });
}

#[test]
fn a_guard_may_be_dropped_in_a_block_on() {
    on_runtime(1, |runtime| {
        let entered = runtime.enter();
        runtime.block_on(async move { drop(entered) });
        assert_eq!(current(), None);
    });
}

#[test]
fn a_guard_may_be_made_in_a_block_on_and_outlive_it() {
    watchdog(|| {
        let (one, two) = (runtime(), runtime());
        let behind = [behind(&one), behind(&two)];
        let in_two = one.block_on(async {
            let in_two = two.enter();
            assert_eq!(current(), behind[0]);
            in_two
        });
        assert_eq!(current(), behind[1]);
        drop(in_two);
        assert_eq!(current(), None);
    });
}

#[test]
fn threads_of_the_runtime_have_their_own_context_after_a_guard() {
    on_runtime(1, |runtime| {
        let id = behind(runtime);
        let other = support::runtime();
        let handle = other.handle().clone();
        let use_other = move || {
            drop(handle.enter());
            current()
        };
        let here = runtime.block_on(async {
            let closures = (use_other.clone(), use_other.clone(), use_other.clone());
            [
                evenkeel::spawn(async move { closures.0() }).await.unwrap(),
                evenkeel::spawn_compute(closures.1).await.unwrap(),
                evenkeel::spawn_blocking(closures.2).await.unwrap(),
            ]
        });
        assert_eq!(here, [id; 3]);
    });
}

#[test]
fn a_context_of_tokios_that_was_there_stays_as_it_is() {
    on_runtime(1, |runtime| {
        let theirs = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let id = Some(theirs.handle().id());
        let in_theirs = theirs.enter();
        let entered = runtime.enter();
        assert_eq!(current(), id);
        drop(entered);
        assert_eq!(current(), id);
        drop(in_theirs);
    });
}

/// tokio's guards have to be dropped in order, ours need not be.
#[test]
fn a_context_of_tokios_that_was_entered_later_may_be_left_later() {
    on_runtime(1, |runtime| {
        let theirs = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let entered = runtime.enter();
        let in_theirs = theirs.enter();
        drop(entered);
        assert_eq!(current(), Some(theirs.handle().id()));
        drop(in_theirs);
        // What could not be left in between is by now.
        drop(runtime.enter());
        assert_eq!(current(), None);
    });
}

#[test]
fn what_is_spawned_on_the_runtime_of_a_guard_that_is_gone_is_cancelled() {
    watchdog(|| {
        let runtime = runtime();
        let handle = runtime.handle().clone();
        let entered = handle.enter();
        drop(runtime);
        let task = tokio::spawn(async {});
        assert!(foreign_block_on(task).unwrap_err().is_cancelled());
        drop(entered);
        assert_eq!(current(), None);
    });
}

#[test]
fn a_guard_may_be_dropped_when_its_thread_ends_or_never() {
    static LEAKED: Mutex<Vec<&Handle>> = Mutex::new(Vec::new());
    thread_local! {
        static FIRST: RefCell<Option<Box<dyn Any>>> = const { RefCell::new(None) };
    }
    on_runtime(1, |runtime| {
        type Use = fn(&Handle);
        // Thread-locals are destroyed in the opposite order, and with them the guard: after what
        // is made later than it, and before the rest.
        let nothing: Use = |_| ();
        let ours: Use = |_| drop(Handle::try_current());
        let both: Use = |handle| drop(handle.enter());
        for before in [nothing, ours, both] {
            let handle: &'static Handle = Box::leak(Box::new(runtime.handle().clone()));
            // Where a leak sanitizer finds it.
            LEAKED.lock().unwrap().push(handle);
            let (kept, wait) = channel();
            let thread = std::thread::spawn(move || {
                before(handle);
                FIRST.with(|first| drop(first.borrow_mut().take()));
                FIRST.set(Some(Box::new(handle.enter())));
                kept.send(()).unwrap();
            });
            wait.recv().unwrap();
            thread.join().unwrap();
        }
        let handle = runtime.handle().clone();
        let forgets = std::thread::spawn(move || std::mem::forget(handle.enter()));
        forgets.join().unwrap();
    });
}

/// What is entered already is not entered anew, which would be out of order.
#[test]
fn a_guard_of_tokios_may_be_made_in_between() {
    on_runtime(1, |runtime| {
        let _entered = runtime.enter();
        let tokios = tokio::runtime::Handle::current();
        let guard = tokios.enter();
        assert_eq!(runtime.block_on(async { 7 }), 7);
        drop(runtime.enter());
        drop(guard);
        tokios.block_on(async { drop(runtime.enter()) });
        assert_eq!(current(), Some(tokios.id()));
    });
}

/// As in tests that `tokio_test::block_on` runs.
#[test]
fn in_a_runtime_of_tokios_the_error_names_it_and_the_guard_is_enough() {
    on_runtime(1, |runtime| {
        let said = || Handle::try_current().unwrap_err().to_string();
        let tokios = "no Evenkeel runtime on this thread, only one of tokio's";
        assert!(!said().contains("only one of tokio's"), "{}", said());
        let theirs = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        theirs.block_on(async {
            assert!(said().contains(tokios), "{}", said());
            let entered = runtime.enter();
            assert_eq!(evenkeel::spawn(async { 7 }).await.unwrap(), 7);
            drop(entered);
            assert!(said().contains(tokios), "{}", said());
        });
    });
}
