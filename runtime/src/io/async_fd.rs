use std::task::{Context, Poll};

use evenkeel_io_driver::{CurrentRuntime, Handle, Runtime};

use super::Interest;
use crate::runtime::context;
use crate::tasks::budget::{poll_operation, poll_output};

/// Waits for a descriptor that no type of [`net`](crate::net) covers: a pipe, a device, an
/// `eventfd`, a socket of another kind or of a C library.
///
/// This is the driver's own [`AsyncFd`](evenkeel_io_driver::AsyncFd), whose methods see there. It
/// is registered with the current runtime's driver, and whatever waits takes from the
/// [budget](crate::task::coop) of the task. Dropping it closes the descriptor if `T` owns it.
///
/// The descriptor must be in non-blocking mode, or an operation on it may block a worker. Regular
/// files cannot be registered (on Linux, the constructor fails with
/// [`PermissionDenied`](std::io::ErrorKind::PermissionDenied)): their operations always block, so
/// use [`spawn_blocking`](crate::spawn_blocking) for them.
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
pub type AsyncFd<T> = evenkeel_io_driver::AsyncFd<T, InRuntime>;

/// A moment in which an [`AsyncFd`] was ready.
pub type AsyncFdReadyGuard<'a, T> = evenkeel_io_driver::AsyncFdReadyGuard<'a, T, InRuntime>;

/// As [`AsyncFdReadyGuard`], with access to `&mut T`.
pub type AsyncFdReadyMutGuard<'a, T> = evenkeel_io_driver::AsyncFdReadyMutGuard<'a, T, InRuntime>;

/// Makes the waits of an [`AsyncFd`] take from the budget of their task.
#[derive(Debug)]
pub enum InRuntime {}

impl Runtime for InRuntime {
    fn poll<R>(
        cx: &mut Context<'_>,
        interest: Interest,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<R>,
    ) -> Poll<R> {
        if interest == Interest::WRITABLE {
            poll_output(cx, poll)
        } else {
            poll_operation(cx, poll)
        }
    }
}

impl CurrentRuntime for InRuntime {
    #[track_caller]
    fn handle() -> Handle {
        context::io_handle()
    }
}
