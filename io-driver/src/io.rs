//! A source together with its registration.

use std::io;
use std::task::{Context, Poll};

use mio::event::Source;

use crate::interest::Interest;
use crate::ready::ReadyEvent;
use crate::registration::{Direction, Registration};
use crate::shared::Handle;

/// A source that is registered for as long as this owns it.
///
/// # Examples
/// A datagram to oneself, from an executor that knows nothing of this driver:
/// ```
/// use evenkeel_io_driver::{DriverThread, Interest, Io};
/// use mio::net::UdpSocket;
///
/// let driver = DriverThread::spawn("io")?;
/// let socket = Io::new(UdpSocket::bind("127.0.0.1:0".parse().unwrap())?, &driver.handle())?;
/// let own = socket.get_ref().local_addr()?;
///
/// futures_lite::future::block_on(async {
///     socket.async_io(Interest::WRITABLE, |s| s.send_to(b"hello", own)).await?;
///     let mut buffer = [0; 16];
///     let n = socket.async_io(Interest::READABLE, |s| s.recv(&mut buffer)).await?;
///     assert_eq!(&buffer[..n], b"hello");
///     std::io::Result::Ok(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "dropping it deregisters and drops the source"]
pub struct Io<S: Source> {
    /// `None` only in `into_inner` and in `drop`.
    source: Option<S>,
    registration: Registration,
}

impl<S: Source> Io<S> {
    /// Registers `source` for reading and writing.
    ///
    /// # Errors
    /// As [`Handle::register`]; the source is dropped.
    pub fn new(source: S, handle: &Handle) -> io::Result<Io<S>> {
        Io::with_interest(source, Interest::READABLE | Interest::WRITABLE, handle)
    }

    /// Registers `source` for `interest`. Waiting for anything else may be for ever.
    ///
    /// # Errors
    /// As [`Handle::register`]; the source is dropped.
    pub fn with_interest(mut source: S, interest: Interest, handle: &Handle) -> io::Result<Io<S>> {
        let registration = handle.register(&mut source, interest)?;
        Ok(Io {
            source: Some(source),
            registration,
        })
    }

    /// The source. Operations on it that would block do not clear its readiness; see
    /// [`try_io`](Io::try_io).
    pub fn get_ref(&self) -> &S {
        self.source
            .as_ref()
            .expect("the source is there until `into_inner`")
    }

    /// The registration.
    pub fn registration(&self) -> &Registration {
        &self.registration
    }

    /// Deregisters the source and returns it.
    ///
    /// # Errors
    /// The system's, when it cannot deregister the source; the source is then dropped.
    pub fn into_inner(mut self) -> io::Result<S> {
        let mut source = self
            .source
            .take()
            .expect("the source is there until `into_inner`");
        self.registration.deregister(&mut source)?;
        Ok(source)
    }

    /// Waits until a read is worth trying. See [`Registration::readiness`].
    ///
    /// # Errors
    /// That the driver has shut down.
    ///
    /// # Cancel safety
    /// Dropping the future loses no readiness.
    pub async fn readable(&self) -> io::Result<ReadyEvent> {
        self.registration.readiness(Interest::READABLE).await
    }

    /// Waits until a write is worth trying. See [`Registration::readiness`].
    ///
    /// # Errors
    /// That the driver has shut down.
    ///
    /// # Cancel safety
    /// Dropping the future loses no readiness.
    pub async fn writable(&self) -> io::Result<ReadyEvent> {
        self.registration.readiness(Interest::WRITABLE).await
    }

    /// Waits for any of `interest`. See [`Registration::readiness`].
    ///
    /// # Errors
    /// That the driver has shut down.
    ///
    /// # Cancel safety
    /// Dropping the future loses no readiness.
    pub async fn ready(&self, interest: Interest) -> io::Result<ReadyEvent> {
        self.registration.readiness(interest).await
    }

    /// See [`Registration::poll_read_ready`].
    ///
    /// # Errors
    /// That the driver has shut down.
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<ReadyEvent>> {
        self.registration.poll_read_ready(cx)
    }

    /// See [`Registration::poll_write_ready`].
    ///
    /// # Errors
    /// That the driver has shut down.
    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<ReadyEvent>> {
        self.registration.poll_write_ready(cx)
    }

    /// See [`Registration::clear_readiness`].
    pub fn clear_readiness(&self, event: ReadyEvent) {
        self.registration.clear_readiness(event);
    }

    /// See [`Registration::try_io`].
    ///
    /// # Errors
    /// As there.
    pub fn try_io<R>(
        &self,
        interest: Interest,
        f: impl FnOnce(&S) -> io::Result<R>,
    ) -> io::Result<R> {
        self.registration.try_io(interest, || f(self.get_ref()))
    }

    /// See [`Registration::async_io`].
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// As there.
    pub async fn async_io<R>(
        &self,
        interest: Interest,
        mut f: impl FnMut(&S) -> io::Result<R>,
    ) -> io::Result<R> {
        self.registration
            .async_io(interest, || f(self.get_ref()))
            .await
    }

    /// See [`Registration::poll_io`].
    ///
    /// # Errors
    /// As there.
    pub fn poll_io<R>(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
        mut f: impl FnMut(&S) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        self.registration
            .poll_io(cx, direction, || f(self.get_ref()))
    }

    /// See [`Registration::poll_stream_io`].
    ///
    /// # Errors
    /// As there.
    pub fn poll_stream_io(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
        len: usize,
        mut f: impl FnMut(&S) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        self.registration
            .poll_stream_io(cx, direction, len, || f(self.get_ref()))
    }
}

impl<S: Source> Drop for Io<S> {
    fn drop(&mut self) {
        if let Some(source) = &mut self.source {
            // Closing the source, which comes next, deregisters it as well, unless it was
            // duplicated; an error here changes nothing for the caller.
            let _ = self.registration.deregister(source);
        }
    }
}
