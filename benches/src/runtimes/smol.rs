//! smol: an executor with a thread per CPU (smol's own default is one thread), as smol's book has
//! it. The threads never end, which is as smol's own do.

use std::io::{self, Read};
use std::net;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use futures_lite::future;
use smol::{Async, Executor, Task, Timer};

use super::Runtime;

pub(crate) struct Smol(Arc<Executor<'static>>);

impl Runtime for Smol {
    type Handle<T: Send + 'static> = Task<T>;
    type Sleep = Timer;
    // What `smol::net` wraps: that has no way to wait without a buffer.
    type Listener = Async<net::TcpListener>;
    type Stream = Async<net::TcpStream>;

    fn new() -> io::Result<Self> {
        let executor = Arc::new(Executor::new());
        for _ in 0..thread::available_parallelism()?.get() {
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

    fn detach<T: Send + 'static>(handle: Self::Handle<T>) {
        handle.detach();
    }

    fn sleep(duration: Duration) -> Self::Sleep {
        Timer::after(duration)
    }

    async fn blocking(job: impl FnOnce() + Send + 'static) {
        smol::unblock(job).await;
    }

    async fn compute(job: impl FnOnce() + Send + 'static) {
        smol::unblock(job).await;
    }

    fn listen(listener: net::TcpListener) -> io::Result<Self::Listener> {
        Async::new_nonblocking(listener)
    }

    async fn accept(listener: &Self::Listener) -> io::Result<Self::Stream> {
        let (stream, _) = listener.accept().await?;
        Ok(stream)
    }

    async fn readable(stream: &Self::Stream) -> io::Result<()> {
        stream.readable().await
    }

    fn try_read(stream: &Self::Stream, buffer: &mut [u8]) -> io::Result<usize> {
        // Not by the stream itself, which is ours to read but not to change.
        stream.get_ref().read(buffer)
    }
}
