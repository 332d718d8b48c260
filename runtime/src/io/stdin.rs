use super::inflow::Inflow;
use super::outbox::BUFFER_MAX;
use std::fmt;
use std::io::{self, Read};
#[cfg(unix)]
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, ReadBuf};

/// The standard input of the process, from [`stdin`].
pub struct Stdin {
    inflow: Inflow,
    std: io::Stdin,
}

/// The standard input of the process.
///
/// A read that has to wait runs on the blocking pool: a hop to another thread and back. Wrap it in
/// a [`BufReader`](super::BufReader) to read by lines.
///
/// Such a read cannot be interrupted. While nothing is typed, dropping the runtime waits for it:
/// use [`shutdown_background`](crate::runtime::Runtime::shutdown_background) at the end of an
/// interactive program. What it reads is not lost, if its future is dropped: the next read of the
/// same `Stdin` gets it.
///
/// # Panics
///
/// A read panics outside a runtime.
pub fn stdin() -> Stdin {
    Stdin {
        inflow: Inflow::default(),
        std: io::stdin(),
    }
}

impl AsyncRead for Stdin {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let wanted = buf.remaining().min(BUFFER_MAX);
        let read = |buf: &mut [u8]| io::stdin().read(buf);
        self.inflow.poll_read(cx, buf, wanted, read)
    }
}

#[cfg(unix)]
impl AsFd for Stdin {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.std.as_fd()
    }
}

#[cfg(unix)]
impl AsRawFd for Stdin {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl fmt::Debug for Stdin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stdin").finish_non_exhaustive()
    }
}
