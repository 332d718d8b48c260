use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use super::Interest;
use crate::runtime::context;

/// Waits for a descriptor that no type of [`net`](crate::net) covers: a pipe, a device, an
/// `eventfd`, a socket of another kind or of a C library.
///
/// This registers the descriptor with the current runtime's driver and dereferences to the driver's
/// own [`AsyncFd`](evenkeel_io_driver::AsyncFd), which has the methods. Dropping it closes the
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
