//! Evenkeel.

use std::io;
use std::net;
use std::time::Duration;

use evenkeel::net::{TcpListener, TcpStream};
use evenkeel::runtime::{Builder, Pinning, TakeoverPolicy};
use evenkeel::{runtime, task, time};

use super::runtime::Runtime;
use crate::harness::{EVENKEEL, Options};

pub(crate) struct Evenkeel(runtime::Runtime);

/// The defaults, but for the options. All contenders that run on Evenkeel begin here.
fn builder(options: &Options) -> Builder {
    let mut builder = Builder::new();
    if let Some(workers) = options.worker_threads {
        builder.worker_threads(workers.get());
    }
    builder.pinning(options.pinning.clone());
    builder.tuning(options.tuning);
    if !options.takeover {
        builder.takeover(TakeoverPolicy::disabled());
    }
    builder
}

impl Evenkeel {
    /// With a worker pinned to each core, whatever the default is.
    pub(crate) fn per_core(options: &Options) -> io::Result<Self> {
        builder(options).pinning(Pinning::PerCore).build().map(Self)
    }

    /// With workers that the kernel may move.
    pub(crate) fn unpinned(options: &Options) -> io::Result<Self> {
        builder(options).pinning(Pinning::None).build().map(Self)
    }

    /// Without the replacing of workers that are stuck.
    pub(crate) fn without_takeover(options: &Options) -> io::Result<Self> {
        let off = TakeoverPolicy::disabled();
        builder(options).takeover(off).build().map(Self)
    }
}

impl Runtime for Evenkeel {
    const NAME: &'static str = EVENKEEL;

    type Handle<T: Send + 'static> = task::JoinHandle<T>;
    type Sleep = time::Sleep;
    type Listener = TcpListener;
    type Stream = TcpStream;
    type Io = TcpStream;

    fn new(options: &Options) -> io::Result<Self> {
        builder(options).build().map(Self)
    }

    fn spawn<F>(&self, future: F) -> Self::Handle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.0.spawn(future)
    }

    fn spawn_in_task<F>(&self, future: F) -> Self::Handle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        evenkeel::spawn(future)
    }

    fn detach<T: Send + 'static>(handle: Self::Handle<T>) {
        drop(handle);
    }

    async fn join<T: Send + 'static>(handle: Self::Handle<T>) -> T {
        handle.await.expect("a task")
    }

    fn yield_now() -> impl Future<Output = ()> + Send {
        task::yield_now()
    }

    fn sleep(duration: Duration) -> Self::Sleep {
        time::sleep(duration)
    }

    fn spawn_blocking<T, C>(call: C) -> Self::Handle<T>
    where
        T: Send + 'static,
        C: FnOnce() -> T + Send + 'static,
    {
        evenkeel::spawn_blocking(call)
    }

    async fn compute(job: impl FnOnce() + Send + 'static) {
        evenkeel::spawn_compute(job).await.expect("job");
    }

    fn listen(listener: net::TcpListener) -> io::Result<Self::Listener> {
        TcpListener::from_std(listener)
    }

    async fn accept(listener: &Self::Listener) -> io::Result<Self::Stream> {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    fn readable(stream: &Self::Stream) -> impl Future<Output = io::Result<()>> + Send {
        stream.readable()
    }

    fn try_read(stream: &Self::Stream, buffer: &mut [u8]) -> io::Result<usize> {
        stream.try_read(buffer)
    }

    fn io(stream: Self::Stream) -> Self::Io {
        stream
    }

    fn takeovers(&self) -> u64 {
        self.0.metrics().takeovers()
    }

    fn compute_priority(&self) -> Option<String> {
        Some(format!("{:?}", self.0.handle().compute_priority()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_workers_as_are_asked_for() {
        let mut options = Options::from_env();
        for workers in [1, 3] {
            options.worker_threads = Some(workers.try_into().unwrap());
            let runtime = Evenkeel::new(&options).unwrap();
            assert_eq!(runtime.0.handle().worker_threads(), workers);
        }
    }
}
