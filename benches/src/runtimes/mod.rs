//! The runtimes behind one trait, so that a measurement is written once and has the same shape on
//! all of them. Each runs with its defaults, on a worker thread per CPU.

mod evenkeel;
mod smol;
mod tokio;

use std::io;
use std::net;
use std::sync::mpsc;
use std::time::Duration;

pub(crate) use self::evenkeel::{Evenkeel, evenkeel_builder};
pub(crate) use self::smol::Smol;
pub(crate) use self::tokio::Tokio;
use crate::suite;

/// What a suite measures, by name.
pub(crate) trait Measurements {
    /// `None` if there is no such case.
    fn measure<R: Runtime>(name: &str, window: Duration) -> Option<Result<Vec<f64>, String>>;
}

/// Measures the case on the contender of that name.
pub(crate) fn measure_on<M: Measurements>(
    name: &str,
    contender: &str,
    window: Duration,
) -> Result<Vec<f64>, String> {
    let measured = match contender {
        "evenkeel" => M::measure::<Evenkeel>(name, window),
        "tokio" => M::measure::<Tokio>(name, window),
        "smol" => M::measure::<Smol>(name, window),
        _ => None,
    };
    measured.unwrap_or_else(|| Err(suite::unknown(name, contender)))
}

/// A runtime, and what programs do with one. The functions without a receiver are for tasks that
/// run on it.
pub(crate) trait Runtime: Sized + Send + Sync + 'static {
    /// What waits for a task, as the runtime gives it.
    type Handle<T: Send + 'static>: Send + 'static;
    type Sleep: Future + Send + 'static;
    type Listener: Send + Sync + 'static;
    type Stream: Send + Sync + 'static;

    fn new() -> io::Result<Self>;

    fn spawn<F>(&self, future: F) -> Self::Handle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static;

    /// Lets the task go on without its handle.
    fn detach<T: Send + 'static>(handle: Self::Handle<T>);

    fn sleep(duration: Duration) -> Self::Sleep;

    /// Runs what may block.
    fn blocking(job: impl FnOnce() + Send + 'static) -> impl Future<Output = ()> + Send;

    /// Runs what computes, in the runtime's own place for it: the compute lane, or the blocking
    /// pool.
    fn compute(job: impl FnOnce() + Send + 'static) -> impl Future<Output = ()> + Send;

    /// `listener` is non-blocking.
    fn listen(listener: net::TcpListener) -> io::Result<Self::Listener>;

    fn accept(listener: &Self::Listener) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    fn readable(stream: &Self::Stream) -> impl Future<Output = io::Result<()>> + Send;

    fn try_read(stream: &Self::Stream, buffer: &mut [u8]) -> io::Result<usize>;
}

/// Starts a runtime for a process that ends with its measurement. It is never dropped: a runtime
/// may wait in its drop, and some have none.
pub(crate) fn start<R: Runtime>() -> Result<&'static R, String> {
    let runtime = R::new().map_err(|error| format!("a runtime that does not start: {error}"))?;
    Ok(Box::leak(Box::new(runtime)))
}

/// Spawns a task, and gives its result to a thread that is not the runtime's, by [`wait`].
pub(crate) fn spawn_for<R, F>(runtime: &R, future: F) -> mpsc::Receiver<F::Output>
where
    R: Runtime,
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let (done, result) = mpsc::channel();
    R::detach(runtime.spawn(async move {
        // Nobody is left to be told when the measurement has failed meanwhile.
        let _ = done.send(future.await);
    }));
    result
}

/// Waits for what [`spawn_for`] has spawned.
pub(crate) fn wait<T>(result: &mpsc::Receiver<T>) -> Result<T, String> {
    result.recv().map_err(|_| "a task was lost".to_owned())
}
