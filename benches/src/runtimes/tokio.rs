//! tokio's multi-threaded runtime.

use std::io;
use std::net;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::{runtime, task, time};

use super::runtime::Runtime;
use crate::harness::Options;

pub(crate) struct Tokio(runtime::Runtime);

impl Runtime for Tokio {
    const NAME: &'static str = "tokio";

    type Handle<T: Send + 'static> = task::JoinHandle<T>;
    type Sleep = time::Sleep;
    type Listener = TcpListener;
    type Stream = TcpStream;
    type Io = TcpStream;

    fn new(options: &Options) -> io::Result<Self> {
        let mut builder = runtime::Builder::new_multi_thread();
        if let Some(workers) = options.worker_threads {
            builder.worker_threads(workers.get());
        }
        builder.enable_all().build().map(Self)
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
        task::spawn(future)
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
        task::spawn_blocking(call)
    }

    async fn compute(job: impl FnOnce() + Send + 'static) {
        task::spawn_blocking(job).await.expect("job");
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_workers_as_are_asked_for() {
        let mut options = Options::from_env();
        for workers in [1, 3] {
            options.worker_threads = Some(workers.try_into().unwrap());
            let runtime = Tokio::new(&options).unwrap();
            assert_eq!(runtime.0.metrics().num_workers(), workers);
        }
    }
}
