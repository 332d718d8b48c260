//! The pipes to a child.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::pin::Pin;
use std::process::{self, Stdio};
use std::task::{Context, Poll};

use rustix::io::ioctl_fionbio;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::net::unix::pipe;

/// The standard input of a child. Dropping it closes it: the child reads to its end then.
#[derive(Debug)]
pub struct ChildStdin(pipe::Sender);

/// The standard output of a child.
#[derive(Debug)]
pub struct ChildStdout(pipe::Receiver);

/// The standard error of a child.
#[derive(Debug)]
pub struct ChildStderr(pipe::Receiver);

impl AsyncWrite for ChildStdin {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
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
                    mut self: Pin<&mut Self>,
                    cx: &mut Context<'_>,
                    buf: &mut ReadBuf<'_>,
                ) -> Poll<io::Result<()>> {
                    Pin::new(&mut self.0).poll_read(cx, buf)
                }
            }
        )+
    };
}

impl_read!(ChildStdout, ChildStderr);

macro_rules! impl_end {
    ($($end:ident, $pipe:ident);+) => {
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
                    // Our end of the pipe is another one than the child's, which stays blocking.
                    ioctl_fionbio(&end, true)?;
                    pipe::$pipe::from_owned_fd_unchecked(end.into()).map(Self)
                }

                /// The descriptor, in blocking mode.
                ///
                /// # Errors
                ///
                /// That of the system, when it cannot be made blocking.
                pub fn into_owned_fd(self) -> io::Result<OwnedFd> {
                    self.0.into_blocking_fd()
                }
            }

            impl AsFd for $end {
                fn as_fd(&self) -> BorrowedFd<'_> {
                    self.0.as_fd()
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
    ChildStdin, Sender;
    ChildStdout, Receiver;
    ChildStderr, Receiver
}
