//! The standard output and the standard error of the process.

use super::outbox::{BUFFER_MAX, Outbox};
use std::fmt;
use std::io::{self, IoSlice};
#[cfg(unix)]
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::AsyncWrite;

/// The standard output of the process, from [`stdout`].
pub struct Stdout(Outbox<io::Stdout>);

/// The standard output of the process.
///
/// A write is done once its bytes are in a buffer, from which a thread of the blocking pool writes
/// them at once: small writes in a row cost one hop to that thread together. `flush` waits until
/// they are written. An error comes with the next operation.
///
/// Dropping the runtime waits for what has been written here; [`std::process::exit`] does not.
/// Values from two calls have a buffer each, so flush one before you go on with the other, or with
/// `println!`.
///
/// # Panics
///
/// A write panics outside a runtime.
pub fn stdout() -> Stdout {
    Stdout(Outbox::new(Arc::new(io::stdout())))
}

/// The standard error of the process, from [`stderr`].
pub struct Stderr(Outbox<io::Stderr>);

/// The standard error of the process. What is said of [`stdout`] holds for it too.
///
/// # Panics
///
/// A write panics outside a runtime.
pub fn stderr() -> Stderr {
    Stderr(Outbox::new(Arc::new(io::stderr())))
}

// A generic impl would need a type that both share, which tokio does not have.
macro_rules! impl_output {
    ($output:ident) => {
        impl AsyncWrite for $output {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                self.poll_write_vectored(cx, &[IoSlice::new(buf)])
            }

            fn poll_write_vectored(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                self.0.poll_write(cx, bufs, BUFFER_MAX)
            }

            fn is_write_vectored(&self) -> bool {
                true
            }

            fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.0.poll_flush(cx)
            }

            fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.poll_flush(cx)
            }
        }

        #[cfg(unix)]
        impl AsFd for $output {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.0.target().as_fd()
            }
        }

        #[cfg(unix)]
        impl AsRawFd for $output {
            fn as_raw_fd(&self) -> RawFd {
                self.as_fd().as_raw_fd()
            }
        }

        impl fmt::Debug for $output {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($output)).finish_non_exhaustive()
            }
        }
    };
}

impl_output!(Stdout);
impl_output!(Stderr);
