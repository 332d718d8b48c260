//! Readiness of any descriptor.

use std::error::Error;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::pin::pin;
use std::task::{Context, Poll, ready};

use mio::unix::SourceFd;

use crate::interest::Interest;
use crate::ready::{Ready, ReadyEvent};
use crate::register_error::AsyncFdRegisterError;
use crate::registration::{Direction, Registration, is_blocked};
use crate::shared::Handle;

/// The runtime that the waits of an [`AsyncFd`] belong to.
pub trait Runtime {
    /// Polls a wait for `interest`, or an operation with it, and sees to it that a task whose
    /// source is always ready lets others run: it may return `Pending` without calling `poll`, and
    /// wakes the task then.
    fn poll<R>(
        cx: &mut Context<'_>,
        interest: Interest,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<R>,
    ) -> Poll<R>;
}

/// A [`Runtime`] that knows the driver of the calling thread.
pub trait CurrentRuntime: Runtime {
    /// The current driver.
    ///
    /// # Panics
    ///
    /// Panics outside a runtime.
    #[track_caller]
    fn handle() -> Handle;
}

/// No runtime, or one that knows nothing of this driver: the waits are no more than that.
#[derive(Debug)]
pub enum NoRuntime {}

impl Runtime for NoRuntime {
    fn poll<R>(
        cx: &mut Context<'_>,
        _: Interest,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<R>,
    ) -> Poll<R> {
        poll(cx)
    }
}

/// Owns a value with a descriptor, and waits for the descriptor's readiness.
///
/// The descriptor should be in non-blocking mode, and must stay the same one for as long as this
/// exists. The API is that of tokio's `AsyncFd`, except for the handle that the constructors take.
///
/// A runtime that has a driver and a budget for its tasks names itself as `C`, by a type alias:
/// every wait then goes through [`Runtime::poll`].
///
/// # Examples
/// ```
/// use std::io::{Read, Write};
/// use evenkeel_io_driver::{AsyncFd, DriverThread};
///
/// let driver = DriverThread::spawn("io")?;
/// let (mut a, b) = std::os::unix::net::UnixStream::pair()?;
/// b.set_nonblocking(true)?;
/// let b = AsyncFd::with_handle(b, &driver.handle())?;
/// a.write_all(b"hello")?;
///
/// futures_lite::future::block_on(async {
///     let mut buffer = [0; 16];
///     loop {
///         let mut guard = b.readable().await?;
///         // An operation that would block clears the readiness; then it waits again.
///         if let Ok(n) = guard.try_io(|b| b.get_ref().read(&mut buffer)) {
///             assert_eq!(&buffer[..n?], b"hello");
///             return std::io::Result::Ok(());
///         }
///     }
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "dropping it deregisters the descriptor and drops the value"]
pub struct AsyncFd<T: AsRawFd, C = NoRuntime> {
    /// `None` only in `into_inner` and in `drop`.
    inner: Option<T>,
    registration: Registration,
    runtime: PhantomData<fn() -> C>,
}

impl<T: AsRawFd> AsyncFd<T> {
    /// Registers the descriptor of `inner` for reading and writing.
    ///
    /// # Errors
    /// As [`Handle::register`]; `inner` is dropped.
    pub fn with_handle(inner: T, handle: &Handle) -> io::Result<AsyncFd<T>> {
        AsyncFd::with_handle_and_interest(inner, Interest::READABLE | Interest::WRITABLE, handle)
    }

    /// Registers the descriptor of `inner` for `interest`. Waiting for anything else may be for
    /// ever.
    ///
    /// # Errors
    /// As [`Handle::register`]; `inner` is dropped.
    pub fn with_handle_and_interest(
        inner: T,
        interest: Interest,
        handle: &Handle,
    ) -> io::Result<AsyncFd<T>> {
        Ok(AsyncFd::try_register(inner, interest, handle)?)
    }
}

impl<T: AsRawFd, C> AsyncFd<T, C> {
    pub(crate) fn try_register(
        inner: T,
        interest: Interest,
        handle: &Handle,
    ) -> Result<Self, AsyncFdRegisterError<T>> {
        let registered = handle.register(&mut SourceFd(&inner.as_raw_fd()), interest);
        let registration = match registered {
            Ok(registration) => registration,
            Err(cause) => return Err(AsyncFdRegisterError { inner, cause }),
        };
        Ok(AsyncFd {
            inner: Some(inner),
            registration,
            runtime: PhantomData,
        })
    }

    /// The value.
    pub fn get_ref(&self) -> &T {
        self.inner
            .as_ref()
            .expect("the value is there until `into_inner`")
    }

    /// The value. Its descriptor must not be exchanged.
    pub fn get_mut(&mut self) -> &mut T {
        self.inner
            .as_mut()
            .expect("the value is there until `into_inner`")
    }

    /// Deregisters the descriptor and returns the value.
    #[must_use = "the value would be dropped"]
    pub fn into_inner(mut self) -> T {
        self.deregister();
        self.inner
            .take()
            .expect("the value is there until `into_inner`")
    }

    /// Calls `f` if the descriptor is ready. See [`Registration::try_io`].
    ///
    /// # Errors
    /// As there.
    pub fn try_io<R>(
        &self,
        interest: Interest,
        f: impl FnOnce(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        self.registration.try_io(interest, || f(self.get_ref()))
    }

    /// As [`try_io`](AsyncFd::try_io), for operations that need `&mut T`.
    ///
    /// # Errors
    /// As there.
    pub fn try_io_mut<R>(
        &mut self,
        interest: Interest,
        f: impl FnOnce(&mut T) -> io::Result<R>,
    ) -> io::Result<R> {
        let inner = self
            .inner
            .as_mut()
            .expect("the value is there until `into_inner`");
        self.registration.try_io(interest, || f(inner))
    }

    fn deregister(&self) {
        if let Some(inner) = &self.inner {
            // It fails where the owner has closed the descriptor, and then there is nothing to do.
            let _ = self
                .registration
                .deregister(&mut SourceFd(&inner.as_raw_fd()));
        }
    }
}

impl<T: AsRawFd, C: Runtime> AsyncFd<T, C> {
    /// Waits until a read is worth trying.
    ///
    /// # Errors
    /// That the driver has shut down.
    ///
    /// # Cancel safety
    /// Dropping the future loses no readiness.
    pub async fn readable(&self) -> io::Result<AsyncFdReadyGuard<'_, T, C>> {
        self.ready(Interest::READABLE).await
    }

    /// As [`readable`](AsyncFd::readable), for operations that need `&mut T`.
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// As there.
    pub async fn readable_mut(&mut self) -> io::Result<AsyncFdReadyMutGuard<'_, T, C>> {
        self.ready_mut(Interest::READABLE).await
    }

    /// Waits until a write is worth trying.
    ///
    /// # Errors
    /// That the driver has shut down.
    ///
    /// # Cancel safety
    /// Dropping the future loses no readiness.
    pub async fn writable(&self) -> io::Result<AsyncFdReadyGuard<'_, T, C>> {
        self.ready(Interest::WRITABLE).await
    }

    /// As [`writable`](AsyncFd::writable), for operations that need `&mut T`.
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// As there.
    pub async fn writable_mut(&mut self) -> io::Result<AsyncFdReadyMutGuard<'_, T, C>> {
        self.ready_mut(Interest::WRITABLE).await
    }

    /// Waits for any of `interest`; [`AsyncFdReadyGuard::ready`] says for what the descriptor is
    /// ready.
    ///
    /// # Errors
    /// That the driver has shut down.
    ///
    /// # Cancel safety
    /// Dropping the future loses no readiness.
    pub async fn ready(&self, interest: Interest) -> io::Result<AsyncFdReadyGuard<'_, T, C>> {
        let event = self.event(interest).await?;
        Ok(AsyncFdReadyGuard {
            async_fd: self,
            event,
        })
    }

    /// As [`ready`](AsyncFd::ready), for operations that need `&mut T`.
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// As there.
    pub async fn ready_mut(
        &mut self,
        interest: Interest,
    ) -> io::Result<AsyncFdReadyMutGuard<'_, T, C>> {
        // Not through `event`, which borrows all of this: a `T` need not be `Sync` here.
        let event = within::<C, _>(interest, self.registration.readiness(interest)).await?;
        Ok(AsyncFdReadyMutGuard {
            async_fd: self,
            event,
        })
    }

    /// As [`readable`](AsyncFd::readable), for callers that poll. Remembers the waker of the last
    /// caller only.
    ///
    /// # Errors
    /// As there.
    pub fn poll_read_ready<'a>(
        &'a self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<AsyncFdReadyGuard<'a, T, C>>> {
        let event = ready!(self.poll_event(cx, Direction::Read))?;
        Poll::Ready(Ok(AsyncFdReadyGuard {
            async_fd: self,
            event,
        }))
    }

    /// As [`poll_read_ready`](AsyncFd::poll_read_ready), for operations that need `&mut T`.
    ///
    /// # Errors
    /// As there.
    pub fn poll_read_ready_mut<'a>(
        &'a mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<AsyncFdReadyMutGuard<'a, T, C>>> {
        let event = ready!(self.poll_event(cx, Direction::Read))?;
        Poll::Ready(Ok(AsyncFdReadyMutGuard {
            async_fd: self,
            event,
        }))
    }

    /// As [`writable`](AsyncFd::writable), for callers that poll. Remembers the waker of the last
    /// caller only.
    ///
    /// # Errors
    /// As there.
    pub fn poll_write_ready<'a>(
        &'a self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<AsyncFdReadyGuard<'a, T, C>>> {
        let event = ready!(self.poll_event(cx, Direction::Write))?;
        Poll::Ready(Ok(AsyncFdReadyGuard {
            async_fd: self,
            event,
        }))
    }

    /// As [`poll_write_ready`](AsyncFd::poll_write_ready), for operations that need `&mut T`.
    ///
    /// # Errors
    /// As there.
    pub fn poll_write_ready_mut<'a>(
        &'a mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<AsyncFdReadyMutGuard<'a, T, C>>> {
        let event = ready!(self.poll_event(cx, Direction::Write))?;
        Poll::Ready(Ok(AsyncFdReadyMutGuard {
            async_fd: self,
            event,
        }))
    }

    /// Calls `f` until it does not say that it would block. See [`Registration::async_io`].
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// As there.
    pub async fn async_io<R>(
        &self,
        interest: Interest,
        mut f: impl FnMut(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        let operation = self.registration.async_io(interest, || f(self.get_ref()));
        within::<C, _>(interest, operation).await
    }

    /// As [`async_io`](AsyncFd::async_io), for operations that need `&mut T`.
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// As there.
    pub async fn async_io_mut<R>(
        &mut self,
        interest: Interest,
        mut f: impl FnMut(&mut T) -> io::Result<R>,
    ) -> io::Result<R> {
        let inner = self
            .inner
            .as_mut()
            .expect("the value is there until `into_inner`");
        let operation = self.registration.async_io(interest, || f(inner));
        within::<C, _>(interest, operation).await
    }

    /// Waits for any of `interest`, as the runtime has it.
    async fn event(&self, interest: Interest) -> io::Result<ReadyEvent> {
        within::<C, _>(interest, self.registration.readiness(interest)).await
    }

    fn poll_event(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
    ) -> Poll<io::Result<ReadyEvent>> {
        match direction {
            Direction::Read => C::poll(cx, Interest::READABLE, |cx| {
                self.registration.poll_read_ready(cx)
            }),
            Direction::Write => C::poll(cx, Interest::WRITABLE, |cx| {
                self.registration.poll_write_ready(cx)
            }),
        }
    }
}

/// Each poll of `future` goes through the runtime.
async fn within<C: Runtime, F: Future>(interest: Interest, future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|cx| C::poll(cx, interest, |cx| future.as_mut().poll(cx))).await
}

impl<T: AsRawFd, C> Drop for AsyncFd<T, C> {
    fn drop(&mut self) {
        self.deregister();
    }
}

impl<T: AsRawFd, C> AsRawFd for AsyncFd<T, C> {
    fn as_raw_fd(&self) -> RawFd {
        self.get_ref().as_raw_fd()
    }
}

impl<T: AsRawFd + AsFd, C> AsFd for AsyncFd<T, C> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.get_ref().as_fd()
    }
}

impl<T: AsRawFd + fmt::Debug, C> fmt::Debug for AsyncFd<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncFd")
            .field("inner", self.get_ref())
            .finish_non_exhaustive()
    }
}

/// A moment in which an [`AsyncFd`] was ready.
///
/// Whoever finds with it that an operation would block clears that readiness, with
/// [`try_io`](AsyncFdReadyGuard::try_io) or [`clear_ready`](AsyncFdReadyGuard::clear_ready);
/// otherwise the descriptor is still taken for ready and the next wait returns at once.
#[derive(Debug)]
#[must_use = "a guard that is not used to clear the readiness leaves it set"]
pub struct AsyncFdReadyGuard<'a, T: AsRawFd, C = NoRuntime> {
    async_fd: &'a AsyncFd<T, C>,
    event: ReadyEvent,
}

impl<'a, T: AsRawFd, C> AsyncFdReadyGuard<'a, T, C> {
    /// Clears the readiness that the guard stands for, except what was reported since and that a
    /// side is closed. Where a side may be opened again, as a FIFO's by its next writer, use
    /// [`try_io`](AsyncFdReadyGuard::try_io), which sees that the operation would block.
    pub fn clear_ready(&mut self) {
        self.clear_ready_matching(self.ready());
    }

    /// As [`clear_ready`](AsyncFdReadyGuard::clear_ready), but clears `ready` alone.
    pub fn clear_ready_matching(&mut self, ready: Ready) {
        self.event = clear(&self.async_fd.registration, self.event, ready);
    }

    /// Leaves the readiness as it is, and says so where it is not plain to see.
    pub fn retain_ready(&mut self) {}

    /// What the descriptor was ready for, less what this guard cleared.
    pub fn ready(&self) -> Ready {
        self.event.ready()
    }

    /// The [`AsyncFd`].
    pub fn get_ref(&self) -> &'a AsyncFd<T, C> {
        self.async_fd
    }

    /// The value of the [`AsyncFd`].
    pub fn get_inner(&self) -> &'a T {
        self.async_fd.get_ref()
    }

    /// Calls `f`, and clears the readiness if it says that it would block.
    ///
    /// # Errors
    /// [`TryIoError`] if `f` would block. Its other errors are in the inner result.
    pub fn try_io<R>(
        &mut self,
        f: impl FnOnce(&'a AsyncFd<T, C>) -> io::Result<R>,
    ) -> Result<io::Result<R>, TryIoError> {
        let result = f(self.async_fd);
        clear_if_blocked(&self.async_fd.registration, &mut self.event, result)
    }
}

/// As [`AsyncFdReadyGuard`], with access to `&mut T`.
#[derive(Debug)]
#[must_use = "a guard that is not used to clear the readiness leaves it set"]
pub struct AsyncFdReadyMutGuard<'a, T: AsRawFd, C = NoRuntime> {
    async_fd: &'a mut AsyncFd<T, C>,
    event: ReadyEvent,
}

impl<T: AsRawFd, C> AsyncFdReadyMutGuard<'_, T, C> {
    /// See [`AsyncFdReadyGuard::clear_ready`].
    pub fn clear_ready(&mut self) {
        self.clear_ready_matching(self.ready());
    }

    /// See [`AsyncFdReadyGuard::clear_ready_matching`].
    pub fn clear_ready_matching(&mut self, ready: Ready) {
        self.event = clear(&self.async_fd.registration, self.event, ready);
    }

    /// See [`AsyncFdReadyGuard::retain_ready`].
    pub fn retain_ready(&mut self) {}

    /// See [`AsyncFdReadyGuard::ready`].
    pub fn ready(&self) -> Ready {
        self.event.ready()
    }

    /// The [`AsyncFd`].
    pub fn get_ref(&self) -> &AsyncFd<T, C> {
        self.async_fd
    }

    /// The [`AsyncFd`].
    pub fn get_mut(&mut self) -> &mut AsyncFd<T, C> {
        self.async_fd
    }

    /// The value of the [`AsyncFd`].
    pub fn get_inner(&self) -> &T {
        self.async_fd.get_ref()
    }

    /// The value of the [`AsyncFd`]. Its descriptor must not be exchanged.
    pub fn get_inner_mut(&mut self) -> &mut T {
        self.async_fd.get_mut()
    }

    /// See [`AsyncFdReadyGuard::try_io`].
    ///
    /// # Errors
    /// As there.
    pub fn try_io<R>(
        &mut self,
        f: impl FnOnce(&mut AsyncFd<T, C>) -> io::Result<R>,
    ) -> Result<io::Result<R>, TryIoError> {
        let result = f(self.async_fd);
        clear_if_blocked(&self.async_fd.registration, &mut self.event, result)
    }
}

/// The operation would have blocked; the readiness that had promised otherwise is cleared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TryIoError;

impl fmt::Display for TryIoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the operation would block")
    }
}

impl Error for TryIoError {}

/// Returns what is left of `event`.
fn clear(registration: &Registration, event: ReadyEvent, ready: Ready) -> ReadyEvent {
    registration.clear_readiness(event.with_ready(event.ready() & ready));
    event.with_ready(event.ready() - (ready - Ready::STICKY))
}

/// As `clear`, of what is left in `event`, if the operation that gave `result` would block.
fn clear_if_blocked<R>(
    registration: &Registration,
    event: &mut ReadyEvent,
    result: io::Result<R>,
) -> Result<io::Result<R>, TryIoError> {
    match result {
        Err(error) if is_blocked(&error) => {
            let cleared = registration.clear_blocked(*event);
            *event = event.with_ready(event.ready() - cleared);
            Err(TryIoError)
        }
        result => Ok(result),
    }
}
