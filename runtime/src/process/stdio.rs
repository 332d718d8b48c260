//! The pipes to a child.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::pin::Pin;
use std::process::{self, Stdio};
use std::task::{Context, Poll, ready};

use rustix::io::{Errno, ioctl_fionbio};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::io::{AsyncFd, Interest};

/// Our end of a pipe, non-blocking: it is another one than the child's, which stays as it is.
#[derive(Debug)]
struct Pipe<T: AsRawFd>(AsyncFd<T>);

impl<T: AsFd + AsRawFd + Into<OwnedFd>> Pipe<T> {
    fn new(end: T, interest: Interest) -> io::Result<Self> {
        ioctl_fionbio(&end, true)?;
        AsyncFd::with_interest(end, interest).map(Pipe)
    }

    fn poll_read(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let unfilled = buf.initialize_unfilled();
        loop {
            let mut guard = ready!(self.0.poll_read_ready(cx))?;
            let read = guard.try_io(|fd| again(|| rustix::io::read(fd.get_ref(), &mut *unfilled)));
            if let Ok(read) = read {
                return Poll::Ready(read.map(|n| buf.advance(n)));
            }
        }
    }

    fn poll_write(
        &self,
        cx: &mut Context<'_>,
        mut write: impl FnMut(BorrowedFd<'_>) -> Result<usize, Errno>,
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut guard = ready!(self.0.poll_write_ready(cx))?;
            let written = guard.try_io(|fd| again(|| write(fd.get_ref().as_fd())));
            if let Ok(written) = written {
                return Poll::Ready(written);
            }
        }
    }

    /// Blocking again.
    fn into_fd(self) -> io::Result<OwnedFd> {
        let end = self.0.into_inner();
        ioctl_fionbio(&end, false)?;
        Ok(end.into())
    }
}

/// A signal that is handled meanwhile is no error.
fn again<R>(mut call: impl FnMut() -> Result<R, Errno>) -> io::Result<R> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
}

/// The standard input of a child. Dropping it closes it: the child reads to its end then.
#[derive(Debug)]
pub struct ChildStdin(Pipe<process::ChildStdin>);

/// The standard output of a child.
#[derive(Debug)]
pub struct ChildStdout(Pipe<process::ChildStdout>);

/// The standard error of a child.
#[derive(Debug)]
pub struct ChildStderr(Pipe<process::ChildStderr>);

impl AsyncWrite for ChildStdin {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_write(cx, |fd| rustix::io::write(fd, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_write(cx, |fd| rustix::io::writev(fd, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Nothing is held back.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Does nothing: only a drop closes the pipe.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

macro_rules! impl_read {
    ($($end:ty),+) => {
        $(
            impl AsyncRead for $end {
                fn poll_read(
                    self: Pin<&mut Self>,
                    cx: &mut Context<'_>,
                    buf: &mut ReadBuf<'_>,
                ) -> Poll<io::Result<()>> {
                    self.0.poll_read(cx, buf)
                }
            }
        )+
    };
}

impl_read!(ChildStdout, ChildStderr);

macro_rules! impl_end {
    ($($end:ident, $interest:ident);+) => {
        $(
            impl $end {
                /// Takes over an end of `std`'s.
                ///
                /// # Errors
                ///
                /// Those of the system, when it cannot be made non-blocking or be registered.
                ///
                /// # Panics
                ///
                /// Outside a runtime.
                pub fn from_std(end: process::$end) -> io::Result<Self> {
                    Pipe::new(end, Interest::$interest).map(Self)
                }

                /// The descriptor, in blocking mode.
                ///
                /// # Errors
                ///
                /// That of the system, when it cannot be made blocking.
                pub fn into_owned_fd(self) -> io::Result<OwnedFd> {
                    self.0.into_fd()
                }
            }

            impl AsFd for $end {
                fn as_fd(&self) -> BorrowedFd<'_> {
                    self.0.0.get_ref().as_fd()
                }
            }

            impl AsRawFd for $end {
                fn as_raw_fd(&self) -> RawFd {
                    self.as_fd().as_raw_fd()
                }
            }

            /// For another child, of which it is the input or an output: that takes a blocking one.
            impl TryFrom<$end> for Stdio {
                type Error = io::Error;

                fn try_from(end: $end) -> io::Result<Stdio> {
                    end.into_owned_fd().map(Stdio::from)
                }
            }
        )+
    };
}

impl_end! {
    ChildStdin, WRITABLE;
    ChildStdout, READABLE;
    ChildStderr, READABLE
}
