//! smol: an executor with a thread per CPU (smol's own default is one thread), as smol's book has
//! it. The threads never end, which is as smol's own do.

use std::io::{self, Read};
use std::net;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::thread;
use std::time::Duration;

use futures_lite::{AsyncRead, AsyncWrite, future};
use smol::net::TcpStream;
use smol::{Async, Executor, Task, Timer};
use tokio::io::ReadBuf;

use super::runtime::Runtime;
use crate::harness::Options;

pub(crate) struct Smol(Arc<Executor<'static>>);

/// tokio's traits over futures-io's.
pub(crate) struct SmolIo(TcpStream);

impl Runtime for Smol {
    const NAME: &'static str = "smol";

    type Handle<T: Send + 'static> = Task<T>;
    type Sleep = Timer;
    // What `smol::net` wraps: that has no way to wait without a buffer.
    type Listener = Async<net::TcpListener>;
    type Stream = Async<net::TcpStream>;
    type Io = SmolIo;

    fn new(options: &Options) -> io::Result<Self> {
        let executor = Arc::new(Executor::new());
        for _ in 0..options.workers() {
            let executor = Arc::clone(&executor);
            thread::Builder::new()
                .spawn(move || smol::block_on(executor.run(future::pending::<()>())))?;
        }
        Ok(Self(executor))
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
        self.0.spawn(future)
    }

    fn detach<T: Send + 'static>(handle: Self::Handle<T>) {
        handle.detach();
    }

    async fn join<T: Send + 'static>(handle: Self::Handle<T>) -> T {
        handle.await
    }

    fn yield_now() -> impl Future<Output = ()> + Send {
        future::yield_now()
    }

    fn sleep(duration: Duration) -> Self::Sleep {
        Timer::after(duration)
    }

    fn spawn_blocking<T, C>(call: C) -> Self::Handle<T>
    where
        T: Send + 'static,
        C: FnOnce() -> T + Send + 'static,
    {
        smol::unblock(call)
    }

    async fn compute(job: impl FnOnce() + Send + 'static) {
        smol::unblock(job).await;
    }

    fn listen(listener: net::TcpListener) -> io::Result<Self::Listener> {
        Async::new_nonblocking(listener)
    }

    async fn accept(listener: &Self::Listener) -> io::Result<Self::Stream> {
        let (stream, _) = listener.accept().await?;
        stream.get_ref().set_nodelay(true)?;
        Ok(stream)
    }

    async fn readable(stream: &Self::Stream) -> io::Result<()> {
        stream.readable().await
    }

    fn try_read(stream: &Self::Stream, buffer: &mut [u8]) -> io::Result<usize> {
        // Not by the stream itself, which is ours to read but not to change.
        stream.get_ref().read(buffer)
    }

    fn io(stream: Self::Stream) -> Self::Io {
        SmolIo(TcpStream::from(stream))
    }
}

impl tokio::io::AsyncRead for SmolIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let count = ready!(Pin::new(&mut self.0).poll_read(cx, buffer.initialize_unfilled()))?;
        buffer.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl tokio::io::AsyncWrite for SmolIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_close(cx)
    }
}
