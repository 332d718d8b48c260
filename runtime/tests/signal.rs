//! Signals. Each test has one of its own: they come to all of the process.
#![cfg(all(unix, feature = "signal"))]

mod support;

use evenkeel::signal::ctrl_c;
use evenkeel::signal::unix::{SignalKind, signal};
use std::future::Future;
use std::io::ErrorKind;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use support::{in_block_on, runtime, watchdog};

fn raise(kind: SignalKind) {
    // SAFETY: each test listens for the signal first, so that it does nothing but be heard of.
    assert_eq!(unsafe { libc::raise(kind.as_raw_value()) }, 0);
}

fn poll<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn every_waiter_hears_of_a_signal() {
    in_block_on(2, || async {
        let mut here = signal(SignalKind::user_defined1()).unwrap();
        let tasks: Vec<_> = (0..4)
            .map(|_| {
                let mut there = signal(SignalKind::user_defined1()).unwrap();
                evenkeel::spawn(async move { there.recv().await })
            })
            .collect();
        raise(SignalKind::user_defined1());
        assert_eq!(here.recv().await, Some(()));
        for task in tasks {
            assert_eq!(task.await.unwrap(), Some(()));
        }
    });
}

#[test]
fn signals_that_nobody_waited_for_meanwhile_count_as_one() {
    in_block_on(1, || async {
        let mut heard = signal(SignalKind::user_defined2()).unwrap();
        // More than a socket holds.
        for _ in 0..10_000 {
            raise(SignalKind::user_defined2());
        }
        assert_eq!(heard.recv().await, Some(()));
        assert!(poll(heard.recv()).is_pending());
        raise(SignalKind::user_defined2());
        assert_eq!(heard.recv().await, Some(()));
    });
}

#[test]
fn a_dropped_recv_loses_nothing() {
    in_block_on(1, || async {
        let mut heard = signal(SignalKind::alarm()).unwrap();
        assert!(poll(heard.recv()).is_pending());
        raise(SignalKind::alarm());
        assert_eq!(heard.recv().await, Some(()));
    });
}

#[test]
fn other_runtimes_hear_of_it_and_go_on_when_one_is_dropped() {
    watchdog(|| {
        let (first, second) = (runtime(), runtime());
        let kind = SignalKind::hangup();
        let mut of_first = first.block_on(async { signal(kind).unwrap() });
        let mut of_second = second.block_on(async { signal(kind).unwrap() });
        raise(kind);
        assert_eq!(first.block_on(of_first.recv()), Some(()));
        assert_eq!(second.block_on(of_second.recv()), Some(()));
        drop(first);
        raise(kind);
        assert_eq!(second.block_on(of_second.recv()), Some(()));
        // Its runtime is gone.
        assert_eq!(second.block_on(of_first.recv()), None);
        let third = runtime();
        let mut of_third = third.block_on(async { signal(kind).unwrap() });
        raise(kind);
        assert_eq!(third.block_on(of_third.recv()), Some(()));
    });
}

#[test]
fn a_signal_that_was_listened_for_once_does_nothing_by_itself_any_more() {
    in_block_on(1, || async {
        drop(signal(SignalKind::quit()).unwrap());
        // By default it would end the process.
        raise(SignalKind::quit());
    });
}

#[test]
fn ctrl_c_is_heard_of_by_all_who_wait() {
    in_block_on(2, || async {
        let (mut one, mut two) = (pin!(ctrl_c()), pin!(ctrl_c()));
        assert!(poll(one.as_mut()).is_pending());
        assert!(poll(two.as_mut()).is_pending());
        raise(SignalKind::interrupt());
        one.await.unwrap();
        two.await.unwrap();
    });
}

#[test]
fn what_cannot_be_listened_for_is_refused() {
    in_block_on(1, || async {
        for number in [libc::SIGKILL, libc::SIGSTOP, libc::SIGSEGV, 0, -1] {
            let error = signal(SignalKind::from_raw(number)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{number}");
        }
        assert!(signal(SignalKind::from_raw(1000)).is_err());
    });
}

#[test]
#[should_panic(expected = "there is no Evenkeel runtime on this thread")]
fn outside_a_runtime_it_panics() {
    let _ = signal(SignalKind::window_change());
}
