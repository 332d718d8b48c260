//! What the tests share.
#![allow(dead_code, reason = "each test binary uses its own part")]

pub(crate) mod http;
pub(crate) mod postgres;
pub(crate) mod process;
pub(crate) mod sums;

use evenkeel::runtime::{Builder, Handle, Pinning, Runtime};
use std::future::Future;
use std::panic;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Mutex, Once};
use std::thread;
use std::time::Duration;

/// The name of the thread on which tokio's small runtime runs.
pub(crate) const SMALL_RUNTIME: &str = "evenkeel-tokio";
/// What the names of the workers of the IO lane begin with.
pub(crate) const IO_WORKER: &str = "evenkeel-io-";

const LIMIT: Duration = Duration::from_secs(100);

/// What has panicked on threads of no test.
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Runs `body` on a thread of its own, and panics if that hangs, or if anything has panicked on a
/// thread of a runtime meanwhile.
#[track_caller]
pub(crate) fn watchdog<R: Send + 'static>(body: impl FnOnce() -> R + Send + 'static) -> R {
    static HOOK: Once = Once::new();
    HOOK.call_once(note_panics);
    let (ended, end) = channel::<()>();
    let thread = thread::spawn(move || {
        let _ended = ended;
        body()
    });
    let waited = end.recv_timeout(LIMIT);
    assert_ne!(
        waited,
        Err(RecvTimeoutError::Timeout),
        "no end after {LIMIT:?}"
    );
    let result = thread
        .join()
        .unwrap_or_else(|error| panic::resume_unwind(error));
    let panics = PANICS.lock().unwrap();
    assert!(panics.is_empty(), "{panics:?}");
    result
}

/// Those on threads with a name of a runtime's: that of a test says itself that it panics.
fn note_panics() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let thread = thread::current();
        if let Some(name) = thread.name()
            && name.starts_with("evenkeel-")
            && !info.to_string().contains(MEANT)
        {
            PANICS.lock().unwrap().push(format!("{name}: {info}"));
        }
        before(info);
    }));
}

/// In the message of a panic that a test makes.
pub(crate) const MEANT: &str = "a panic of the test's";

/// Two workers, not pinned: many tests run at the same time.
pub(crate) fn runtime() -> Runtime {
    let mut builder = Builder::new();
    builder.worker_threads(2).pinning(Pinning::None);
    builder.build().expect("a runtime")
}

/// Runs a future on a runtime, in `block_on`, and drops the runtime, with the [`watchdog`].
#[track_caller]
pub(crate) fn run<F: Future<Output = ()>>(body: impl FnOnce() -> F + Send + 'static) {
    watchdog(|| runtime().block_on(async { body().await }));
}

/// Runs what `make` makes in each place where a library may be used.
pub(crate) async fn everywhere<F>(make: impl Fn() -> F + Clone + Send + 'static)
where
    F: Future<Output = ()> + Send + 'static,
{
    make().await;
    evenkeel::spawn(make()).await.expect("a task");
    evenkeel::compute::spawn(make())
        .await
        .expect("a task of the compute lane");
    tokio::spawn(make())
        .await
        .expect("a task of the small runtime");
    let handle = Handle::current();
    let in_closure = {
        let (make, handle) = (make.clone(), handle.clone());
        evenkeel::spawn_blocking(move || handle.block_on(make()))
    };
    in_closure.await.expect("a closure on the blocking pool");
    let on_thread = thread::spawn(move || {
        let _entered = handle.enter();
        Handle::current().block_on(make());
    });
    let joined = evenkeel::spawn_blocking(|| on_thread.join().is_ok());
    assert!(joined.await.expect("a closure"), "a thread of one's own");
}

pub(crate) fn thread_name() -> String {
    thread::current().name().unwrap_or_default().to_owned()
}

/// Waits until it is so; the watchdog is the limit.
pub(crate) async fn until<F: Future<Output = bool>>(mut so: impl FnMut() -> F) {
    while !so().await {
        evenkeel::time::sleep(Duration::from_millis(2)).await;
    }
}
