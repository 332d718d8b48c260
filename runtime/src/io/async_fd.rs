use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::task::{Context, Poll};

use super::{AsyncFdReadyGuard, AsyncFdReadyMutGuard, Interest};
use crate::runtime::context;
use crate::task::coop::{cooperative, cooperative_output};
use crate::tasks::budget::{poll_operation, poll_output};

/// Waits for a descriptor that no type of [`net`](crate::net) covers: a pipe, a device, an
/// `eventfd`, a socket of another kind or of a C library.
///
/// This registers the descriptor with the current runtime's driver and dereferences to the driver's
/// own [`AsyncFd`](evenkeel_io_driver::AsyncFd), which has the methods that do not wait. Those that do are
/// here, because they take from the [budget](crate::task::coop) of the task. Dropping it closes the
/// descriptor if `T` owns it.
///
/// The descriptor must be in non-blocking mode, or an operation on it may block a worker. Regular
/// files cannot be registered (on Linux, the constructor fails with
/// [`io::ErrorKind::PermissionDenied`]): their operations always block, so use
/// [`spawn_blocking`](crate::spawn_blocking) for them.
///
/// # Examples
///
/// ```
/// use evenkeel::io::AsyncFd;
/// use std::io::{Read, Write};
/// use std::os::unix::net::UnixStream;
///
/// # evenkeel::runtime::Runtime::new().unwrap().block_on(async {
/// let (theirs, mut ours) = UnixStream::pair()?;
/// theirs.set_nonblocking(true)?;
/// let fd = AsyncFd::new(theirs)?;
/// ours.write_all(b"x")?;
///
/// let mut byte = [0];
/// loop {
///     let mut guard = fd.readable().await?;
///     match guard.try_io(|fd| fd.get_ref().read(&mut byte)) {
///         Ok(result) => break assert_eq!(result?, 1),
///         Err(_would_block) => continue,
///     }
/// }
/// # std::io::Result::Ok(()) }).unwrap();
/// ```
#[must_use = "dropping it deregisters the descriptor and drops the value"]
pub struct AsyncFd<T: AsRawFd>(evenkeel_io_driver::AsyncFd<T>);

impl<T: AsRawFd> AsyncFd<T> {
    /// Registers the descriptor of `inner` for reading and writing.
    ///
    /// # Errors
    ///
    /// The error of the operating system, for instance if the descriptor is a regular file or is
    /// registered already; `inner` is dropped.
    ///
    /// # Panics
    ///
    /// Panics outside a runtime.
    pub fn new(inner: T) -> io::Result<Self> {
        Self::with_interest(inner, Interest::READABLE | Interest::WRITABLE)
    }

    /// Registers the descriptor of `inner` for `interest`. Waiting for anything else may be for
    /// ever.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    ///
    /// # Panics
    ///
    /// Panics outside a runtime.
    pub fn with_interest(inner: T, interest: Interest) -> io::Result<Self> {
        let handle = context::io_handle();
        evenkeel_io_driver::AsyncFd::with_handle_and_interest(inner, interest, &handle).map(Self)
    }

    /// Deregisters the descriptor and returns the value.
    #[must_use = "the value would be dropped"]
    pub fn into_inner(self) -> T {
        self.0.into_inner()
    }

    /// Waits until the descriptor is worth reading.
    ///
    /// # Errors
    ///
    /// That the runtime was shut down.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future loses no readiness.
    pub async fn readable(&self) -> io::Result<AsyncFdReadyGuard<'_, T>> {
        cooperative(self.0.readable()).await
    }

    /// As [`readable`](Self::readable), for operations that need `&mut T`.
    ///
    /// # Errors
    ///
    /// As [`readable`](Self::readable).
    ///
    /// # Cancel safety
    ///
    /// As [`readable`](Self::readable).
    pub async fn readable_mut(&mut self) -> io::Result<AsyncFdReadyMutGuard<'_, T>> {
        cooperative(self.0.readable_mut()).await
    }

    /// Waits until the descriptor is worth writing.
    ///
    /// # Errors
    ///
    /// That the runtime was shut down.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future loses no readiness.
    pub async fn writable(&self) -> io::Result<AsyncFdReadyGuard<'_, T>> {
        cooperative_output(self.0.writable()).await
    }

    /// As [`writable`](Self::writable), for operations that need `&mut T`.
    ///
    /// # Errors
    ///
    /// As [`writable`](Self::writable).
    ///
    /// # Cancel safety
    ///
    /// As [`writable`](Self::writable).
    pub async fn writable_mut(&mut self) -> io::Result<AsyncFdReadyMutGuard<'_, T>> {
        cooperative_output(self.0.writable_mut()).await
    }

    /// Waits for any of `interest`; [`AsyncFdReadyGuard::ready`] says for what the descriptor is ready.
    ///
    /// # Errors
    ///
    /// That the runtime was shut down.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future loses no readiness.
    pub async fn ready(&self, interest: Interest) -> io::Result<AsyncFdReadyGuard<'_, T>> {
        cooperative(self.0.ready(interest)).await
    }

    /// As [`ready`](Self::ready), for operations that need `&mut T`.
    ///
    /// # Errors
    ///
    /// As [`ready`](Self::ready).
    ///
    /// # Cancel safety
    ///
    /// As [`ready`](Self::ready).
    pub async fn ready_mut(
        &mut self,
        interest: Interest,
    ) -> io::Result<AsyncFdReadyMutGuard<'_, T>> {
        cooperative(self.0.ready_mut(interest)).await
    }

    /// As [`readable`](Self::readable), for hand-written futures. Only the task of the last call is woken.
    ///
    /// # Errors
    ///
    /// As [`readable`](Self::readable).
    pub fn poll_read_ready<'a>(
        &'a self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<AsyncFdReadyGuard<'a, T>>> {
        poll_operation(cx, |cx| self.0.poll_read_ready(cx))
    }

    /// As [`poll_read_ready`](Self::poll_read_ready), for operations that need `&mut T`.
    ///
    /// # Errors
    ///
    /// As [`readable`](Self::readable).
    pub fn poll_read_ready_mut<'a>(
        &'a mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<AsyncFdReadyMutGuard<'a, T>>> {
        poll_operation(cx, move |cx| self.0.poll_read_ready_mut(cx))
    }

    /// As [`writable`](Self::writable), for hand-written futures. Only the task of the last call is woken.
    ///
    /// # Errors
    ///
    /// As [`writable`](Self::writable).
    pub fn poll_write_ready<'a>(
        &'a self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<AsyncFdReadyGuard<'a, T>>> {
        poll_output(cx, |cx| self.0.poll_write_ready(cx))
    }

    /// As [`poll_write_ready`](Self::poll_write_ready), for operations that need `&mut T`.
    ///
    /// # Errors
    ///
    /// As [`writable`](Self::writable).
    pub fn poll_write_ready_mut<'a>(
        &'a mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<AsyncFdReadyMutGuard<'a, T>>> {
        poll_output(cx, move |cx| self.0.poll_write_ready_mut(cx))
    }

    /// Waits for any of `interest` and calls `f`, again and again until it does not say that it would block.
    ///
    /// # Errors
    ///
    /// That the runtime was shut down, and what `f` returns.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: it waits only when `f` would block, so dropping the future loses no result of `f`.
    pub async fn async_io<R>(
        &self,
        interest: Interest,
        f: impl FnMut(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        cooperative(self.0.async_io(interest, f)).await
    }

    /// As [`async_io`](Self::async_io), for operations that need `&mut T`.
    ///
    /// # Errors
    ///
    /// As [`async_io`](Self::async_io).
    ///
    /// # Cancel safety
    ///
    /// As [`async_io`](Self::async_io).
    pub async fn async_io_mut<R>(
        &mut self,
        interest: Interest,
        f: impl FnMut(&mut T) -> io::Result<R>,
    ) -> io::Result<R> {
        cooperative(self.0.async_io_mut(interest, f)).await
    }
}

impl<T: AsRawFd> Deref for AsyncFd<T> {
    type Target = evenkeel_io_driver::AsyncFd<T>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<T: AsRawFd> DerefMut for AsyncFd<T> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl<T: AsRawFd + AsFd> AsFd for AsyncFd<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.get_ref().as_fd()
    }
}

impl<T: AsRawFd> AsRawFd for AsyncFd<T> {
    fn as_raw_fd(&self) -> RawFd {
        self.get_ref().as_raw_fd()
    }
}

impl<T: AsRawFd + fmt::Debug> fmt::Debug for AsyncFd<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AsyncFd").field(self.get_ref()).finish()
    }
}
