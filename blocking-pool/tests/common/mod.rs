//! Helpers of the tests.
#![allow(dead_code, reason = "each test file uses its part")]

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

pub(crate) use futures_lite::future::block_on;

/// Longer than anything here takes on a loaded machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// Runs `test` on a thread of its own; panics if it has not returned after [`LIMIT`].
pub(crate) fn within_limit<T: Send + 'static>(test: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = mpsc::channel();
    let thread = thread::spawn(move || {
        let _ = done.send(test());
    });
    match result.recv_timeout(LIMIT) {
        Ok(result) => result,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("no progress for {LIMIT:?}"),
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            std::panic::resume_unwind(thread.join().unwrap_err())
        }
    }
}

/// Polls until `condition` holds; panics after [`LIMIT`].
pub(crate) fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(
            begin.elapsed() < LIMIT,
            "still not so after {LIMIT:?}: {what}"
        );
        thread::sleep(Duration::from_millis(1));
    }
}

/// A job that runs until the sender is dropped, and a receiver that tells when it has begun.
pub(crate) fn blocker() -> (
    impl FnOnce() + Send + 'static,
    mpsc::Sender<()>,
    mpsc::Receiver<()>,
) {
    let (release, released) = mpsc::channel::<()>();
    let (begun, has_begun) = mpsc::channel();
    let job = move || {
        let _ = begun.send(());
        let _ = released.recv();
    };
    (job, release, has_begun)
}
