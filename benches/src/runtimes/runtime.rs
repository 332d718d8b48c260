//! What a contender is that is a runtime.

use std::sync::mpsc;
use std::time::Duration;
use std::{io, net};

use tokio::io::{AsyncRead, AsyncWrite};

use crate::harness::Options;

/// A runtime, and what programs do with one. The functions without a receiver are for tasks that
/// run on it.
pub(crate) trait Runtime: Sized + Send + Sync + 'static {
    /// Of the contender that is the runtime as its users get it.
    const NAME: &'static str;

    /// What waits for a task, as the runtime gives it.
    type Handle<T: Send + 'static>: Send + 'static;
    type Sleep: Future + Send + 'static;
    type Listener: Send + Sync + 'static;
    type Stream: Send + Sync + 'static;
    /// A stream as its users read and write it, by tokio's traits.
    type Io: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// All heed the number of workers, tokio also their places, and Evenkeel alone the others.
    fn new(options: &Options) -> io::Result<Self>;

    fn spawn<F>(&self, future: F) -> Self::Handle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static;

    /// Spawns from a task.
    fn spawn_in_task<F>(&self, future: F) -> Self::Handle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static;

    /// Lets the task go on without its handle.
    fn detach<T: Send + 'static>(handle: Self::Handle<T>);

    /// The task's result.
    fn join<T: Send + 'static>(handle: Self::Handle<T>) -> impl Future<Output = T> + Send;

    fn yield_now() -> impl Future<Output = ()> + Send;

    fn sleep(duration: Duration) -> Self::Sleep;

    /// Starts what may block, from a task.
    fn spawn_blocking<T, C>(call: C) -> Self::Handle<T>
    where
        T: Send + 'static,
        C: FnOnce() -> T + Send + 'static;

    /// Runs what computes, in the runtime's own place for it: the compute lane, or the blocking
    /// pool.
    fn compute(job: impl FnOnce() + Send + 'static) -> impl Future<Output = ()> + Send;

    /// `listener` is non-blocking.
    fn listen(listener: net::TcpListener) -> io::Result<Self::Listener>;

    /// The stream sends without delay.
    fn accept(listener: &Self::Listener) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    fn readable(stream: &Self::Stream) -> impl Future<Output = io::Result<()>> + Send;

    fn try_read(stream: &Self::Stream, buffer: &mut [u8]) -> io::Result<usize>;

    fn io(stream: Self::Stream) -> Self::Io;

    /// How many workers were replaced, where the runtime does that.
    fn takeovers(&self) -> u64 {
        0
    }

    /// The priority in force of the compute lane, where there is one.
    fn compute_priority(&self) -> Option<String> {
        None
    }
}

/// Starts a runtime for a process that ends with its measurement. It is never dropped: a runtime
/// may wait in its drop, and some have none.
pub(crate) fn start<R: Runtime>(options: &Options) -> Result<&'static R, String> {
    start_by(R::new, options)
}

/// [`start`] for a runtime that has other ways to be made.
pub(crate) fn start_by<R: Runtime>(
    new: fn(&Options) -> io::Result<R>,
    options: &Options,
) -> Result<&'static R, String> {
    let runtime = new(options);
    let runtime = runtime.map_err(|error| format!("a runtime that does not start: {error}"))?;
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
