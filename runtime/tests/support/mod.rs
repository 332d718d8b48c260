//! What the tests of this crate share.
#![allow(dead_code, reason = "each test binary uses its own part")]

use evenkeel::runtime::{Builder, Handle, Pinning, Runtime};
use std::panic::resume_unwind;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Longer than anything takes on a machine that is merely busy.
const LIMIT: Duration = Duration::from_secs(60);

/// Runs `body` on a thread of its own, and panics if it has not ended after a minute.
#[track_caller]
pub(crate) fn watchdog<R: Send + 'static>(body: impl FnOnce() -> R + Send + 'static) -> R {
    let (ended, end) = mpsc::channel::<()>();
    let thread = thread::spawn(move || {
        let _ended = ended;
        body()
    });
    if let Err(mpsc::RecvTimeoutError::Timeout) = end.recv_timeout(LIMIT) {
        panic!("the test has made no end within {LIMIT:?}");
    }
    thread.join().unwrap_or_else(|panic| resume_unwind(panic))
}

/// Two workers, not pinned: many tests run at the same time.
pub(crate) fn runtime() -> Runtime {
    runtime_with(2)
}

pub(crate) fn runtime_with(workers: usize) -> Runtime {
    Builder::new()
        .worker_threads(workers)
        .pinning(Pinning::None)
        .build()
        .expect("a runtime")
}

/// As [`watchdog`], on a runtime; says what every thread of it was doing when time was over.
#[track_caller]
pub(crate) fn on_runtime<R: Send + 'static>(
    workers: usize,
    body: impl FnOnce(&Runtime) -> R + Send + 'static,
) -> R {
    let (handle_out, handle_in) = mpsc::channel::<Handle>();
    let (ended, end) = mpsc::channel::<()>();
    let thread = thread::spawn(move || {
        let _ended = ended;
        let runtime = runtime_with(workers);
        let _ = handle_out.send(runtime.handle().clone());
        body(&runtime)
    });
    let handle = handle_in.recv();
    if let Err(mpsc::RecvTimeoutError::Timeout) = end.recv_timeout(LIMIT) {
        let dump = handle.map(|handle| handle.dump().to_string());
        panic!("no end within {LIMIT:?}:\n{}", dump.unwrap_or_default());
    }
    drop(handle);
    thread.join().unwrap_or_else(|panic| resume_unwind(panic))
}
