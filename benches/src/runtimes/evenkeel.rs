//! Evenkeel.

use std::io;
use std::net;
use std::time::Duration;

use evenkeel::net::{TcpListener, TcpStream};
use evenkeel::{runtime, task, time};

use super::Runtime;

pub(crate) struct Evenkeel(runtime::Runtime);

/// The defaults, but for what the environment asks for (see the help text).
pub(crate) fn evenkeel_builder() -> runtime::Builder {
    let mut builder = runtime::Builder::new();
    if std::env::var_os("EVENKEEL_TAKEOVER").is_some_and(|takeover| takeover == "off") {
        builder.takeover(runtime::TakeoverPolicy::disabled());
    }
    builder
}

impl Runtime for Evenkeel {
    type Handle<T: Send + 'static> = task::JoinHandle<T>;
    type Sleep = time::Sleep;
    type Listener = TcpListener;
    type Stream = TcpStream;

    fn new() -> io::Result<Self> {
        evenkeel_builder().build().map(Self)
    }

    fn spawn<F>(&self, future: F) -> Self::Handle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.0.spawn(future)
    }

    fn detach<T: Send + 'static>(handle: Self::Handle<T>) {
        drop(handle);
    }

    fn sleep(duration: Duration) -> Self::Sleep {
        time::sleep(duration)
    }

    async fn blocking(job: impl FnOnce() + Send + 'static) {
        evenkeel::spawn_blocking(job).await.expect("job");
    }

    async fn compute(job: impl FnOnce() + Send + 'static) {
        evenkeel::spawn_compute(job).await.expect("job");
    }

    fn listen(listener: net::TcpListener) -> io::Result<Self::Listener> {
        TcpListener::from_std(listener)
    }

    async fn accept(listener: &Self::Listener) -> io::Result<Self::Stream> {
        let (stream, _) = listener.accept().await?;
        Ok(stream)
    }

    fn readable(stream: &Self::Stream) -> impl Future<Output = io::Result<()>> + Send {
        stream.readable()
    }

    fn try_read(stream: &Self::Stream, buffer: &mut [u8]) -> io::Result<usize> {
        stream.try_read(buffer)
    }
}
