//! Pipes, with a name in the file system or without.
//!
//! # Examples
//!
//! ```
//! use evenkeel::io::{AsyncReadExt, AsyncWriteExt};
//! use evenkeel::net::unix::pipe;
//!
//! # evenkeel::runtime::Runtime::new().unwrap().block_on(async {
//! let (mut sender, mut receiver) = pipe::pipe()?;
//! sender.write_all(b"through").await?;
//! drop(sender);
//! let mut text = String::new();
//! receiver.read_to_string(&mut text).await?;
//! assert_eq!(text, "through");
//! # std::io::Result::Ok(()) }).unwrap();
//! ```

use std::fs::{self, File};
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use mio::unix::pipe as mio_pipe;
use rustix::io::ioctl_fionbio;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::io::{Interest, Ready};
use crate::net::socket::Socket;

/// Makes a pipe.
///
/// # Errors
///
/// The error of the operating system, or of the registration with the driver.
///
/// # Panics
///
/// Panics outside a runtime.
#[track_caller]
pub fn pipe() -> io::Result<(Sender, Receiver)> {
    let (sender, receiver) = mio_pipe::new()?;
    Ok((Sender::from_mio(sender)?, Receiver::from_mio(receiver)?))
}

/// How to open a pipe that has a name in the file system (a FIFO).
#[derive(Clone, Debug, Default)]
pub struct OpenOptions {
    read_write: bool,
    unchecked: bool,
}

impl OpenOptions {
    /// One end only, of what is a pipe.
    pub fn new() -> Self {
        OpenOptions::default()
    }

    /// Whether the pipe is opened for both, so that there is another end: opening a sender does not
    /// fail then, and a receiver never gets to the end.
    #[cfg(any(target_os = "android", target_os = "linux"))]
    pub fn read_write(&mut self, read_write: bool) -> &mut Self {
        self.read_write = read_write;
        self
    }

    /// Whether it may be something else than a pipe.
    pub fn unchecked(&mut self, unchecked: bool) -> &mut Self {
        self.unchecked = unchecked;
        self
    }

    /// Opens the end that reads. This does not wait for somebody at the other end; until there was
    /// one, reads wait.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidInput`] if it is no pipe, or the error of the operating system.
    ///
    /// # Panics
    ///
    /// Panics outside a runtime.
    #[track_caller]
    pub fn open_receiver(&self, path: impl AsRef<Path>) -> io::Result<Receiver> {
        let mut options = fs::OpenOptions::new();
        options.read(true).write(self.read_write);
        Receiver::from_file_unchecked(self.open(path.as_ref(), options)?)
    }

    /// Opens the end that writes.
    ///
    /// # Errors
    ///
    /// As [`open_receiver`](Self::open_receiver); if nobody has the other end open, that of the
    /// operating system is `ENXIO`.
    ///
    /// # Panics
    ///
    /// Panics outside a runtime.
    #[track_caller]
    pub fn open_sender(&self, path: impl AsRef<Path>) -> io::Result<Sender> {
        let mut options = fs::OpenOptions::new();
        options.write(true).read(self.read_write);
        Sender::from_file_unchecked(self.open(path.as_ref(), options)?)
    }

    fn open(&self, path: &Path, mut options: fs::OpenOptions) -> io::Result<File> {
        let file = options.custom_flags(libc::O_NONBLOCK).open(path)?;
        if !self.unchecked {
            check_pipe(&file)?;
        }
        Ok(file)
    }
}

fn check_pipe(file: &File) -> io::Result<()> {
    if file.metadata()?.file_type().is_fifo() {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "not a pipe"))
}

/// It was opened for one of the two, or for both.
fn check_mode(file: &File, mode: i32) -> io::Result<()> {
    // SAFETY: the descriptor is the file's, and the call reads its flags.
    let flags = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETFL) };
    if flags < 0 {
        return Err(io::Error::last_os_error());
    }
    match flags & libc::O_ACCMODE {
        libc::O_RDWR => Ok(()),
        flags if flags == mode => Ok(()),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the pipe was not opened for this",
        )),
    }
}

/// The end of a pipe that is written.
///
/// A write to a pipe whose other end is closed is an error of the kind
/// [`BrokenPipe`](io::ErrorKind::BrokenPipe), as long as the process ignores `SIGPIPE`, which
/// programs of Rust do.
#[derive(Debug)]
pub struct Sender {
    pipe: Socket<mio_pipe::Sender>,
}

/// The end of a pipe that is read.
#[derive(Debug)]
pub struct Receiver {
    pub(in crate::net) pipe: Socket<mio_pipe::Receiver>,
}

// The two have these in common, but no trait.
macro_rules! impl_end {
    ($end:ident, $interest:expr, $mode:expr, $verb:literal) => {
        impl $end {
            #[track_caller]
            fn from_mio(pipe: mio_pipe::$end) -> io::Result<Self> {
                Ok(Self {
                    pipe: Socket::with_interest(pipe, $interest)?,
                })
            }

            #[doc = concat!("Takes over a pipe that was opened to be ", $verb, ", and puts it into non-blocking mode.")]
            ///
            /// # Errors
            ///
            /// [`io::ErrorKind::InvalidInput`] if it is no pipe, or was not opened for this; or the
            /// error of the operating system.
            ///
            /// # Panics
            ///
            /// Panics outside a runtime.
            #[track_caller]
            pub fn from_file(file: File) -> io::Result<Self> {
                check_pipe(&file)?;
                check_mode(&file, $mode)?;
                ioctl_fionbio(&file, true)?;
                Self::from_file_unchecked(file)
            }

            /// As [`from_file`](Self::from_file).
            ///
            /// # Errors
            ///
            /// As [`from_file`](Self::from_file).
            ///
            /// # Panics
            ///
            /// Panics outside a runtime.
            #[track_caller]
            pub fn from_owned_fd(fd: OwnedFd) -> io::Result<Self> {
                Self::from_file(fd.into())
            }

            /// As [`from_file`](Self::from_file), without a look at what it is. It has to be in
            /// non-blocking mode.
            ///
            /// # Errors
            ///
            /// The error of the registration with the driver.
            ///
            /// # Panics
            ///
            /// Panics outside a runtime.
            #[track_caller]
            pub fn from_file_unchecked(file: File) -> io::Result<Self> {
                Self::from_owned_fd_unchecked(file.into())
            }

            /// As [`from_file_unchecked`](Self::from_file_unchecked).
            ///
            /// # Errors
            ///
            /// As [`from_file_unchecked`](Self::from_file_unchecked).
            ///
            /// # Panics
            ///
            /// Panics outside a runtime.
            #[track_caller]
            pub fn from_owned_fd_unchecked(fd: OwnedFd) -> io::Result<Self> {
                Self::from_mio(fd.into())
            }

            /// Waits until the pipe is ready for any of `interest`, and says for which.
            ///
            /// # Errors
            ///
            /// Fails if the runtime was shut down.
            ///
            /// # Cancel safety
            ///
            /// Cancel safe: readiness that was not used is still there for the next call.
            pub async fn ready(&self, interest: Interest) -> io::Result<Ready> {
                self.pipe.ready(interest).await
            }

            /// Runs an operation of the caller's own on the pipe, if it is believed to be ready for
            /// it.
            ///
            /// # Errors
            ///
            /// [`io::ErrorKind::WouldBlock`] without calling `f` if the pipe is not ready, or the
            /// error of `f`.
            pub fn try_io<R>(&self, f: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
                self.pipe.try_call($interest, |pipe| pipe.try_io(f))
            }

            /// The descriptor, still in non-blocking mode.
            ///
            /// # Errors
            ///
            /// The error of the deregistration.
            pub fn into_nonblocking_fd(self) -> io::Result<OwnedFd> {
                Ok(self.pipe.into_inner()?.into())
            }

            /// The descriptor, in blocking mode.
            ///
            /// # Errors
            ///
            /// The error of the operating system.
            pub fn into_blocking_fd(self) -> io::Result<OwnedFd> {
                let fd = self.into_nonblocking_fd()?;
                ioctl_fionbio(&fd, false)?;
                Ok(fd)
            }
        }

        impl AsFd for $end {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.pipe.get().as_fd()
            }
        }

        impl AsRawFd for $end {
            fn as_raw_fd(&self) -> RawFd {
                self.as_fd().as_raw_fd()
            }
        }
    };
}

impl_end!(Sender, Interest::WRITABLE, libc::O_WRONLY, "written");
impl_end!(Receiver, Interest::READABLE, libc::O_RDONLY, "read");

impl Sender {
    /// Waits until something can be written, or nobody reads any more.
    ///
    /// # Errors
    ///
    /// Fails if the runtime was shut down.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: readiness that was not used is still there for the next call.
    pub async fn writable(&self) -> io::Result<()> {
        self.pipe.writable().await
    }

    /// As [`writable`](Self::writable), for hand-written futures. Only the task of the last call is
    /// woken.
    ///
    /// # Errors
    ///
    /// As [`writable`](Self::writable).
    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pipe.poll_write_ready(cx)
    }

    /// Writes what fits.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] if nothing is known to fit, or the error of the write.
    pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        let write = |mut pipe: &mio_pipe::Sender| pipe.write(buf);
        self.pipe.try_call(Interest::WRITABLE, write)
    }

    /// As [`try_write`](Self::try_write), from one buffer after the other in one system call.
    ///
    /// # Errors
    ///
    /// As [`try_write`](Self::try_write).
    pub fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let write = |mut pipe: &mio_pipe::Sender| pipe.write_vectored(bufs);
        self.pipe.try_call(Interest::WRITABLE, write)
    }
}

impl Receiver {
    /// Waits until there is something to read, or nobody writes any more.
    ///
    /// # Errors
    ///
    /// Fails if the runtime was shut down.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: readiness that was not used is still there for the next call.
    pub async fn readable(&self) -> io::Result<()> {
        self.pipe.readable().await
    }

    /// As [`readable`](Self::readable), for hand-written futures. Only the task of the last call is
    /// woken.
    ///
    /// # Errors
    ///
    /// As [`readable`](Self::readable).
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pipe.poll_read_ready(cx)
    }

    /// Reads what is there; nothing, if nobody writes any more.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] if nothing is known to be there, or the error of the read.
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        let read = |mut pipe: &mio_pipe::Receiver| pipe.read(buf);
        self.pipe.try_call(Interest::READABLE, read)
    }

    /// As [`try_read`](Self::try_read), into one buffer after the other in one system call.
    ///
    /// # Errors
    ///
    /// As [`try_read`](Self::try_read).
    pub fn try_read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let read = |mut pipe: &mio_pipe::Receiver| pipe.read_vectored(bufs);
        self.pipe.try_call(Interest::READABLE, read)
    }
}

impl AsyncRead for Receiver {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let unfilled = buf.initialize_unfilled();
        let read = |mut pipe: &mio_pipe::Receiver| pipe.read(unfilled);
        let count = ready!(self.pipe.poll_read_call(cx, read))?;
        buf.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Sender {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let write = |mut pipe: &mio_pipe::Sender| pipe.write(buf);
        self.pipe.poll_write_call(cx, write)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let write = |mut pipe: &mio_pipe::Sender| pipe.write_vectored(bufs);
        self.pipe.poll_write_call(cx, write)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A pipe has no such call: it is closed when this is dropped.
        Poll::Ready(Ok(()))
    }
}
