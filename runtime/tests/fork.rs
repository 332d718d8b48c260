//! What a child made by `fork` does to its parent, which is nothing; and what can be seen from a
//! child only.
//!
//! - dd-trace-py#18861: a child has the epoll of its parent, and none of its threads. What it
//!   dropped was taken out of the parent's epoll, and the drop of a runtime waited for threads that
//!   were not there.
//! - tokio#2635: descriptors of runtimes that were gone stayed open for as long as anybody had a
//!   handle of one of their tasks.
//!
//! A lock that another thread has during the fork stays locked in the child, hence a binary of its
//! own, and one test at a time.
#![cfg(target_os = "linux")]

mod support;

use evenkeel::JoinHandle;
use evenkeel::net::{TcpListener, UnixStream};
use evenkeel::runtime::{Handle, Runtime};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::task::Waker;
use support::{on_runtime, runtime, watchdog};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Runs `f` in a child; true if it returned true in time.
fn in_child(f: impl FnOnce() -> bool) -> bool {
    // SAFETY: the child calls nothing but `f`, an alarm and `_exit`.
    match unsafe { libc::fork() } {
        0 => {
            // SAFETY: it ends the child, should it hang.
            unsafe { libc::alarm(20) };
            let ended_well = catch_unwind(AssertUnwindSafe(f)).unwrap_or(false);
            // SAFETY: no destructor of the parent's runs here.
            unsafe { libc::_exit(i32::from(!ended_well)) }
        }
        child => {
            let mut status = -1;
            // SAFETY: the pointer is to a status that outlives the call.
            unsafe { libc::waitpid(child, &mut status, 0) };
            status == 0
        }
    }
}

fn exchange(runtime: &Runtime, (mut a, mut b): (UnixStream, UnixStream)) {
    runtime.block_on(async {
        let read = evenkeel::spawn(async move { b.read_u8().await });
        // It waits by now, or will.
        evenkeel::task::yield_now().await;
        a.write_u8(7).await.unwrap();
        assert_eq!(read.await.unwrap().unwrap(), 7);
    });
}

#[test]
fn sockets_dropped_in_a_child_stay_registered_in_the_parent() {
    let _alone = ONE_AT_A_TIME.lock();
    watchdog(|| {
        let runtime = runtime();
        let mut pair = Some(runtime.block_on(async { UnixStream::pair().unwrap() }));
        assert!(in_child(|| {
            drop(pair.take());
            true
        }));
        exchange(&runtime, pair.unwrap());
    });
}

#[test]
fn a_runtime_dropped_in_a_child_goes_on_in_the_parent() {
    let _alone = ONE_AT_A_TIME.lock();
    watchdog(|| {
        let mut runtime = Some(runtime());
        let pair = runtime
            .as_ref()
            .unwrap()
            .block_on(async { UnixStream::pair().unwrap() });
        let task = runtime
            .as_ref()
            .unwrap()
            .spawn(std::future::pending::<()>());
        assert!(in_child(|| {
            drop(runtime.take());
            true
        }));
        let runtime = runtime.unwrap();
        exchange(&runtime, pair);
        assert!(!task.is_finished());
    });
}

#[test]
fn what_cannot_work_in_a_child_says_so() {
    let _alone = ONE_AT_A_TIME.lock();
    watchdog(|| {
        let runtime = runtime();
        let _entered = runtime.enter();
        assert!(in_child(|| {
            let no_sockets = UnixStream::pair().is_err();
            let panic = catch_unwind(AssertUnwindSafe(|| runtime.block_on(async {})));
            let message = panic.unwrap_err();
            let says_why = message.downcast_ref::<&str>().unwrap().contains("fork");
            drop(runtime.spawn(async {}));
            no_sockets && says_why
        }));
        runtime.block_on(async { TcpListener::bind("127.0.0.1:0").await.unwrap() });
    });
}

#[test]
fn a_runtime_made_in_a_child_works() {
    let _alone = ONE_AT_A_TIME.lock();
    watchdog(|| {
        let outer = runtime();
        let _entered = outer.enter();
        assert!(in_child(|| {
            let inner = runtime();
            let pair = inner.block_on(async { UnixStream::pair().unwrap() });
            exchange(&inner, pair);
            drop(inner);
            true
        }));
    });
}

/// What the descriptors of this process are of that a runtime has: no files, no sockets.
fn polls_and_wakers(fds: &[i32]) -> usize {
    let link = |fd: &i32| std::fs::read_link(format!("/proc/self/fd/{fd}")).ok();
    let is_ours = |path: &std::path::PathBuf| {
        let path = path.to_string_lossy();
        path.contains("eventpoll") || path.contains("eventfd")
    };
    fds.iter().filter_map(link).filter(is_ours).count()
}

fn fds() -> Vec<i32> {
    let entries = std::fs::read_dir("/proc/self/fd").unwrap();
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name();
    entries
        .map(|entry| name(entry).to_string_lossy().parse().unwrap())
        .collect()
}

#[test]
fn nothing_that_is_kept_of_a_runtime_keeps_its_descriptors() {
    let _alone = ONE_AT_A_TIME.lock();
    watchdog(|| {
        assert!(in_child(|| {
            let before = polls_and_wakers(&fds());
            let mut kept: Vec<(Handle, JoinHandle<()>, Waker)> = Vec::new();
            for _ in 0..20 {
                let runtime = runtime();
                let waker = runtime.block_on(runtime.spawn(std::future::poll_fn(|cx| {
                    std::task::Poll::Ready(cx.waker().clone())
                })));
                let pending = runtime.spawn(std::future::pending());
                kept.push((runtime.handle().clone(), pending, waker.unwrap()));
            }
            polls_and_wakers(&fds()) == before
        }));
    });
}

#[test]
fn a_socket_of_a_runtime_that_is_gone_can_be_dropped_and_taken_back() {
    let _alone = ONE_AT_A_TIME.lock();
    on_runtime(1, |other| {
        let gone = runtime();
        let (one, two) = gone.block_on(async { evenkeel::net::UnixStream::pair().unwrap() });
        drop(gone);
        drop(one);
        let std = two.into_std().unwrap();
        let _entered = other.enter();
        evenkeel::net::UnixStream::from_std(std).unwrap();
    });
}
