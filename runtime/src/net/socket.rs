//! A mio socket that is registered with the current runtime's IO driver: what all types of this
//! module wrap.
//!
//! Everything that waits goes through here, and takes from the task's budget
//! ([`coop`](crate::task::coop)); and everything that reads into memory which is not initialised
//! yet.

use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice, IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::ops::{Deref, Range};
#[cfg(unix)]
use std::os::fd::{AsFd, BorrowedFd};
use std::task::{Context, Poll};

use evenkeel_io_driver::{Direction, Interest, Io, Ready};
use socket2::SockRef;

use crate::runtime::context;
use crate::task::coop::{Coop, cooperative, cooperative_output};
use crate::tasks::budget::{poll_operation, poll_output};

/// A socket on which a system call can be tried.
pub trait MioSocket: mio::event::Source + fmt::Debug {
    /// Runs a system call on the socket; mio must see its outcome on systems that report readiness
    /// only once per registration.
    fn attempt<R>(&self, call: impl FnOnce(SockRef<'_>) -> io::Result<R>) -> io::Result<R>;
}

/// A connected byte stream, read and written through a shared reference.
pub trait MioStream: MioSocket {
    /// Whether a read that fills less than its buffer has emptied the socket, which saves the call
    /// that would only say so. See [`Registration::poll_stream_io`].
    ///
    /// [`Registration::poll_stream_io`]: evenkeel_io_driver::Registration::poll_stream_io
    const SHORT_READ_EMPTIES: bool;

    fn read(&self, buf: &mut [u8]) -> io::Result<usize>;
    fn read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize>;
    fn write(&self, buf: &[u8]) -> io::Result<usize>;
    fn write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize>;
    fn shutdown(&self, how: Shutdown) -> io::Result<()>;
}

/// A peer that is gone is an error of the write and no signal: in a C program SIGPIPE may end the
/// process. Every way of writing to a stream or a Unix socket goes with it; the standard library's
/// for UDP do so by themselves. Apple's systems have an option of the socket in its place.
#[cfg(all(unix, not(target_vendor = "apple")))]
pub(in crate::net) const NO_SIGNAL: i32 = libc::MSG_NOSIGNAL;
#[cfg(not(all(unix, not(target_vendor = "apple"))))]
pub(in crate::net) const NO_SIGNAL: i32 = 0;

/// The most slices that a system takes in one call (`IOV_MAX`). Of more, Linux takes so many in
/// `readv`, and none in `sendmsg`.
const SLICES_MAX: usize = 1024;

/// Which of the slices go into one call. Empty ones in front are left out: a call that gets nothing
/// else moves no byte, which would be taken for the end of the stream.
fn for_one_call<B: Deref<Target = [u8]>>(bufs: &[B]) -> Range<usize> {
    let first = bufs.iter().position(|buf| !buf.is_empty()).unwrap_or(0);
    first..bufs.len().min(first + SLICES_MAX)
}

fn len_of<B: Deref<Target = [u8]>>(bufs: &[B]) -> usize {
    bufs.iter()
        .fold(0, |len, buf| len.saturating_add(buf.len()))
}

// mio's sockets have these methods in common, but no trait.
macro_rules! impl_socket {
    ($source:ty) => {
        impl MioSocket for $source {
            fn attempt<R>(&self, call: impl FnOnce(SockRef<'_>) -> io::Result<R>) -> io::Result<R> {
                self.try_io(|| call(SockRef::from(self)))
            }
        }
    };
}

macro_rules! impl_stream {
    ($source:ty, short_read_empties: $short_read_empties:literal) => {
        impl_socket!($source);

        impl MioStream for $source {
            const SHORT_READ_EMPTIES: bool = $short_read_empties;

            fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
                Read::read(&mut &*self, buf)
            }

            fn read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                Read::read_vectored(&mut &*self, bufs)
            }

            fn write(&self, buf: &[u8]) -> io::Result<usize> {
                self.attempt(|socket| socket.send_with_flags(buf, NO_SIGNAL))
            }

            fn write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
                self.attempt(|socket| socket.send_vectored_with_flags(bufs, NO_SIGNAL))
            }

            fn shutdown(&self, how: Shutdown) -> io::Result<()> {
                <$source>::shutdown(self, how)
            }
        }
    };
}

// As long as there was no urgent data: see `TcpStream::from_mio`.
impl_stream!(mio::net::TcpStream, short_read_empties: true);
impl_socket!(mio::net::UdpSocket);
// A read ends early where the peer has passed a descriptor, credentials or an out-of-band byte,
// with more bytes behind it, and nothing tells of that. So each end of what is there costs a read
// that would block.
#[cfg(unix)]
impl_stream!(mio::net::UnixStream, short_read_empties: false);
#[cfg(unix)]
impl_socket!(mio::net::UnixDatagram);

/// A registered socket.
pub struct Socket<S: mio::event::Source> {
    io: Io<S>,
}

impl<S: mio::event::Source + fmt::Debug> fmt::Debug for Socket<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.io.get_ref().fmt(f)
    }
}

/// An operation on a socket takes part in the budget of its poll.
fn taking_part<F: Future>(interest: Interest, operation: F) -> Coop<F> {
    if interest == Interest::WRITABLE {
        cooperative_output(operation)
    } else {
        cooperative(operation)
    }
}

impl<S: mio::event::Source> Socket<S> {
    /// Registers a socket, which must be non-blocking, with the current runtime's driver.
    #[track_caller]
    pub(crate) fn new(source: S) -> io::Result<Self> {
        Self::with_interest(source, Interest::READABLE.add(Interest::WRITABLE))
    }

    /// As [`new`](Self::new), for `interest`.
    #[track_caller]
    pub(crate) fn with_interest(source: S, interest: Interest) -> io::Result<Self> {
        Ok(Self {
            io: Io::with_interest(source, interest, &context::io_handle())?,
        })
    }

    /// The socket is tried at once, before the driver has said for what it is ready.
    pub(crate) fn assume_ready(&self, ready: Ready) {
        self.io.registration().assume_ready(ready);
    }

    pub(crate) fn get(&self) -> &S {
        self.io.get_ref()
    }

    pub(crate) fn into_inner(self) -> io::Result<S> {
        self.io.into_inner()
    }

    pub(crate) async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        Ok(taking_part(interest, self.io.ready(interest))
            .await?
            .ready())
    }

    /// As [`ready`](Self::ready), as a part of an operation, which takes from the budget itself.
    pub(crate) async fn when_ready(&self, interest: Interest) -> io::Result<Ready> {
        Ok(self.io.ready(interest).await?.ready())
    }

    pub(crate) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.poll_write_ready(cx).map_ok(drop)
    }

    /// The driver that the socket is registered with.
    pub(crate) fn driver(&self) -> evenkeel_io_driver::Handle {
        self.io.registration().handle()
    }

    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.ready(Interest::READABLE).await.map(drop)
    }

    pub(crate) async fn writable(&self) -> io::Result<()> {
        self.ready(Interest::WRITABLE).await.map(drop)
    }

    pub(crate) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        poll_operation(cx, |cx| self.io.poll_read_ready(cx)).map_ok(drop)
    }

    pub(crate) fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        poll_output(cx, |cx| self.io.poll_write_ready(cx)).map_ok(drop)
    }

    /// Runs `call` if the socket is believed to be ready, and remembers if it turns out not to be.
    pub(crate) fn try_call<R>(
        &self,
        interest: Interest,
        call: impl FnOnce(&S) -> io::Result<R>,
    ) -> io::Result<R> {
        self.io.try_io(interest, call)
    }

    /// Waits for `interest` and runs `call`, again and again until it does not say that it would
    /// block.
    pub(crate) async fn call<R>(
        &self,
        interest: Interest,
        call: impl FnMut(&S) -> io::Result<R>,
    ) -> io::Result<R> {
        taking_part(interest, self.io.async_io(interest, call)).await
    }

    pub(crate) fn poll_read_call<R>(
        &self,
        cx: &mut Context<'_>,
        call: impl FnMut(&S) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        poll_operation(cx, |cx| self.io.poll_io(cx, Direction::Read, call))
    }

    pub(crate) fn poll_write_call<R>(
        &self,
        cx: &mut Context<'_>,
        call: impl FnMut(&S) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        poll_output(cx, |cx| self.io.poll_io(cx, Direction::Write, call))
    }
}

#[cfg(unix)]
impl<S: mio::event::Source + AsFd> AsFd for Socket<S> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.get().as_fd()
    }
}

impl<S: MioSocket> Socket<S> {
    /// The user's form of [`try_call`](Self::try_call): the closure finds the socket by itself.
    pub(crate) fn try_io<R>(
        &self,
        interest: Interest,
        call: impl FnOnce() -> io::Result<R>,
    ) -> io::Result<R> {
        self.io
            .try_io(interest, |source| source.attempt(|_| call()))
    }

    /// The user's form of [`call`](Self::call).
    pub(crate) async fn async_io<R>(
        &self,
        interest: Interest,
        mut call: impl FnMut() -> io::Result<R>,
    ) -> io::Result<R> {
        self.call(interest, |source| source.attempt(|_| call()))
            .await
    }
}

impl<S: MioStream> Socket<S> {
    pub(crate) fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.try_call(Interest::READABLE, |source| source.read(buf))
    }

    pub(crate) fn try_read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let call = for_one_call(bufs);
        let bufs = &mut bufs[call];
        self.try_call(Interest::READABLE, |source| source.read_vectored(bufs))
    }

    pub(crate) fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        self.try_call(Interest::WRITABLE, |source| source.write(buf))
    }

    pub(crate) fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let bufs = &bufs[for_one_call(bufs)];
        self.try_call(Interest::WRITABLE, |source| source.write_vectored(bufs))
    }

    /// Shuts a direction down. A stream that the peer has reset is shut down already: that is no
    /// error, or the caller would see one or not depending on who was faster.
    pub(crate) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        match self.get().shutdown(how) {
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            result => result,
        }
    }
}

/// What the IO traits are made of.
#[allow(dead_code, reason = "the features select the traits")]
impl<S: MioStream> Socket<S> {
    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_read_with(cx, buf.len(), |source| source.read(buf))
    }

    pub(crate) fn poll_read_vectored(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        let call = for_one_call(bufs);
        let bufs = &mut bufs[call];
        self.poll_read_with(cx, len_of(bufs), |source| source.read_vectored(bufs))
    }

    /// Receives into memory that need not be initialised. If this returns `n`, the first `n` bytes
    /// are; the others are as they were.
    pub(crate) fn poll_read_uninit(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [MaybeUninit<u8>],
    ) -> Poll<io::Result<usize>> {
        self.poll_read_with(cx, buf.len(), |source| {
            source.attempt(|socket| socket.recv(buf))
        })
    }

    fn poll_read_with(
        &self,
        cx: &mut Context<'_>,
        len: usize,
        mut read: impl FnMut(&S) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let registration = self.io.registration();
        let read = || read(self.get());
        poll_operation(cx, |cx| {
            if S::SHORT_READ_EMPTIES {
                registration.poll_stream_io(cx, Direction::Read, len, read)
            } else {
                registration.poll_io(cx, Direction::Read, read)
            }
        })
    }

    pub(crate) fn poll_write(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_with(cx, buf.len(), |source| source.write(buf))
    }

    pub(crate) fn poll_write_vectored(
        &self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let bufs = &bufs[for_one_call(bufs)];
        self.poll_write_with(cx, len_of(bufs), |source| source.write_vectored(bufs))
    }

    fn poll_write_with(
        &self,
        cx: &mut Context<'_>,
        len: usize,
        mut write: impl FnMut(&S) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let registration = self.io.registration();
        let write = || write(self.get());
        poll_output(cx, |cx| {
            registration.poll_stream_io(cx, Direction::Write, len, write)
        })
    }
}
