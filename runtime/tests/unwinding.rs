//! Panics that pass through tasks: what their fields see of it, and what may be caught.

mod support;

use evenkeel::runtime::{Handle, Runtime};
use evenkeel::task::JoinSet;
use evenkeel::{JoinError, JoinHandle};
use std::future::Future;
use std::panic::{AssertUnwindSafe, RefUnwindSafe, UnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::thread;
use support::{assert_all_workers_work, foreign_block_on, on_runtime};

/// What a transaction does in its drop.
#[derive(Clone, Default)]
struct Ends {
    committed: Arc<AtomicUsize>,
    rolled_back: Arc<AtomicUsize>,
}

struct Transaction(Ends);

impl Drop for Transaction {
    fn drop(&mut self) {
        let ended = match thread::panicking() {
            true => &self.0.rolled_back,
            false => &self.0.committed,
        };
        ended.fetch_add(1, Ordering::Relaxed);
    }
}

/// Holds a transaction in a field, not on the stack, and panics in its second poll.
struct Panics {
    polls: usize,
    _transaction: Transaction,
}

impl Panics {
    fn new(ends: &Ends) -> Panics {
        Panics {
            polls: 0,
            _transaction: Transaction(ends.clone()),
        }
    }
}

impl Future for Panics {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.polls += 1;
        assert!(self.polls < 2, "in the second poll");
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

fn message(error: JoinError) -> String {
    let payload = error.into_panic();
    payload.downcast_ref::<&str>().unwrap().to_string()
}

#[test]
fn the_fields_of_a_task_that_panics_are_dropped_in_the_unwinding() {
    on_runtime(2, |runtime| {
        let ends = Ends::default();
        let _entered = runtime.enter();
        let tasks = [
            runtime.spawn(Panics::new(&ends)),
            evenkeel::compute::spawn(Panics::new(&ends)),
        ];
        for task in tasks {
            assert_eq!(
                message(foreign_block_on(task).unwrap_err()),
                "in the second poll"
            );
        }
        let mut set = JoinSet::new();
        set.spawn(Panics::new(&ends));
        let joined = foreign_block_on(set.join_next()).unwrap();
        assert_eq!(message(joined.unwrap_err()), "in the second poll");
        let blocked = catch_unwind(AssertUnwindSafe(|| runtime.block_on(Panics::new(&ends))));
        assert!(blocked.is_err());
        assert_eq!(ends.rolled_back.load(Ordering::Relaxed), 4);
        assert_eq!(ends.committed.load(Ordering::Relaxed), 0);
        assert_all_workers_work(runtime.handle());
    });
}

#[test]
fn what_a_closure_that_panics_has_captured_is_dropped_in_the_unwinding() {
    on_runtime(1, |runtime| {
        let ends = Ends::default();
        let closure = || {
            let transaction = Transaction(ends.clone());
            move || {
                let _transaction = &transaction;
                panic!("in the closure")
            }
        };
        let tasks: [JoinHandle<()>; 2] = [
            runtime.spawn_blocking(closure()),
            runtime.spawn_compute(closure()),
        ];
        for task in tasks {
            assert_eq!(
                message(foreign_block_on(task).unwrap_err()),
                "in the closure"
            );
        }
        assert_eq!(ends.rolled_back.load(Ordering::Relaxed), 2);
    });
}

#[test]
fn an_aborted_task_is_dropped_outside_of_an_unwinding() {
    on_runtime(1, |runtime| {
        let ends = Ends::default();
        let transaction = Transaction(ends.clone());
        let task = runtime.spawn(async move {
            let _transaction = transaction;
            std::future::pending::<()>().await;
        });
        task.abort();
        assert!(foreign_block_on(task).unwrap_err().is_cancelled());
        assert_eq!(ends.committed.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn a_task_that_panics_again_in_its_drop_gives_the_first_panic() {
    struct PanicsTwice;
    impl Drop for PanicsTwice {
        fn drop(&mut self) {
            panic!("in the drop");
        }
    }
    impl Future for PanicsTwice {
        type Output = ();
        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
            panic!("in the poll")
        }
    }
    on_runtime(2, |runtime| {
        let _entered = runtime.enter();
        let tasks = [
            runtime.spawn(PanicsTwice),
            evenkeel::compute::spawn(PanicsTwice),
        ];
        for task in tasks {
            assert_eq!(message(foreign_block_on(task).unwrap_err()), "in the poll");
        }
        assert_all_workers_work(runtime.handle());
    });
}

#[test]
fn a_panic_in_block_on_can_be_caught_without_more_ado() {
    on_runtime(1, |runtime| {
        let handle = runtime.handle();
        assert!(catch_unwind(|| runtime.block_on(async { panic!("caught") })).is_err());
        assert!(catch_unwind(|| handle.block_on(async { panic!("caught") })).is_err());
        assert_eq!(catch_unwind(|| runtime.block_on(async { 1 })).unwrap(), 1);
    });
}

#[test]
fn what_users_hold_is_unwind_safe() {
    fn check<T: UnwindSafe + RefUnwindSafe>() {}
    check::<Runtime>();
    check::<Handle>();
    check::<evenkeel::runtime::LocalRuntime>();
    check::<evenkeel::runtime::RuntimeMetrics>();
    check::<evenkeel::runtime::EnterGuard<'_>>();
    check::<JoinHandle<()>>();
    check::<JoinError>();
    check::<evenkeel::task::AbortHandle>();
    check::<JoinSet<()>>();
    check::<evenkeel::time::Sleep>();
    check::<evenkeel::time::Interval>();
    check::<evenkeel::net::TcpListener>();
    check::<evenkeel::net::TcpSocket>();
    check::<evenkeel::net::TcpStream>();
    check::<evenkeel::net::UdpSocket>();
    #[cfg(unix)]
    {
        check::<evenkeel::net::UnixDatagram>();
        check::<evenkeel::net::UnixListener>();
        check::<evenkeel::net::UnixStream>();
        check::<evenkeel::net::unix::OwnedReadHalf>();
        check::<evenkeel::io::AsyncFd<std::fs::File>>();
    }
    check::<evenkeel::net::tcp::OwnedReadHalf>();
    check::<evenkeel::net::tcp::OwnedWriteHalf>();
}
