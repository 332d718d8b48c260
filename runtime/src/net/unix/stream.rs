use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::unix::net::SocketAddr;
use std::path::Path;
use std::task::{Context, Poll};

use socket2::{SockAddr, Type};

use super::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, UCred, WriteHalf, addr};
use crate::io::{Interest, Ready};
use crate::net::socket::Socket;
use crate::net::split::{self, Stream};

/// A connected Unix stream socket.
///
/// # Examples
///
/// ```
/// use evenkeel::net::UnixStream;
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
///
/// # evenkeel::runtime::Runtime::new().unwrap().block_on(async {
/// let (mut left, mut right) = UnixStream::pair()?;
/// left.write_all(b"over here").await?;
/// drop(left);
/// let mut text = String::new();
/// right.read_to_string(&mut text).await?;
/// assert_eq!(text, "over here");
/// # std::io::Result::Ok(()) }).unwrap();
/// ```
pub struct UnixStream {
    pub(in crate::net) socket: Socket<mio::net::UnixStream>,
}

impl UnixStream {
    /// Connects to the socket at `path`; on Linux, one that begins with a null byte is an abstract name.
    ///
    /// # Errors
    ///
    /// The error of the operating system: [`io::ErrorKind::NotFound`] if there is no such file,
    /// [`io::ErrorKind::ConnectionRefused`] if nobody listens there, and on Linux
    /// [`io::ErrorKind::WouldBlock`] if too many connections wait to be accepted: the kernel has no
    /// way to wait for that, so try again after a pause.
    ///
    /// # Panics
    ///
    /// Panics outside a runtime.
    pub async fn connect(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::connect_to(&addr::of_path(path.as_ref())?).await
    }

    /// Connects to an address, which can be an abstract name on Linux.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    ///
    /// # Panics
    ///
    /// Panics outside a runtime.
    pub async fn connect_addr(addr: &SocketAddr) -> io::Result<Self> {
        Self::connect_to(&addr::of_std(addr)?).await
    }

    async fn connect_to(addr: &SockAddr) -> io::Result<Self> {
        let socket = addr::new_socket(Type::STREAM)?;
        match socket.connect(addr) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => return Err(error),
            _ => {}
        }
        let stream = Self::from_mio(mio::net::UnixStream::from_std(socket.into()))?;
        stream.writable().await?;
        match stream.take_error()? {
            None => Ok(stream),
            Some(error) => Err(error),
        }
    }

    /// Makes two streams that are connected to each other.
    ///
    /// # Errors
    ///
    /// The error of the operating system, or of the registration with the driver.
    ///
    /// # Panics
    ///
    /// Panics outside a runtime.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (left, right) = mio::net::UnixStream::pair()?;
        Ok((Self::from_mio(left)?, Self::from_mio(right)?))
    }

    pub(super) fn from_mio(source: mio::net::UnixStream) -> io::Result<Self> {
        Ok(Self {
            socket: Socket::new(source)?,
        })
    }

    /// Takes over a stream of the standard library, and puts it into non-blocking mode.
    ///
    /// # Errors
    ///
    /// The error of the operating system, or of the registration with the driver.
    ///
    /// # Panics
    ///
    /// Panics outside a runtime.
    pub fn from_std(stream: std::os::unix::net::UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Self::from_mio(mio::net::UnixStream::from_std(stream))
    }

    /// Gives the stream to the standard library. It stays non-blocking.
    ///
    /// # Errors
    ///
    /// The error of removing it from the driver.
    pub fn into_std(self) -> io::Result<std::os::unix::net::UnixStream> {
        self.socket.into_inner().map(Into::into)
    }

    /// The address of this end.
    ///
    /// # Errors
    ///
    /// The error of the operating system.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.get().local_addr()
    }

    /// The address of the peer.
    ///
    /// # Errors
    ///
    /// The error of the operating system.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket.get().peer_addr()
    }

    /// Who is at the other end, as the system knew them when the two were connected.
    ///
    /// # Errors
    ///
    /// The error of the operating system.
    pub fn peer_cred(&self) -> io::Result<UCred> {
        UCred::of_peer(self.socket.get())
    }

    /// Takes the error that is pending on the socket (`SO_ERROR`).
    ///
    /// # Errors
    ///
    /// The error of asking.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.socket.get().take_error()
    }

    /// Waits until the stream is ready for any of `interest`, and says for which.
    ///
    /// The answer can be wrong: the next operation may still report that it would block. A stream
    /// of which the peer has closed its writing direction is readable.
    ///
    /// # Errors
    ///
    /// Fails if the runtime was shut down.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: readiness that was not used is still there for the next call.
    pub async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        self.socket.ready(interest).await
    }

    /// Waits until the stream can be read, or has ended.
    ///
    /// # Errors
    ///
    /// Fails if the runtime was shut down.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: readiness that was not used is still there for the next call.
    pub async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    /// Waits until the stream can be written, or the peer has closed it.
    ///
    /// # Errors
    ///
    /// Fails if the runtime was shut down.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: readiness that was not used is still there for the next call.
    pub async fn writable(&self) -> io::Result<()> {
        self.socket.writable().await
    }

    /// As [`readable`](Self::readable), for hand-written futures. Only the task of the last call is
    /// woken, and reading through the IO traits counts as such a call.
    ///
    /// # Errors
    ///
    /// As [`readable`](Self::readable).
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_read_ready(cx)
    }

    /// As [`writable`](Self::writable), for hand-written futures. Only the task of the last call is
    /// woken, and writing through the IO traits counts as such a call.
    ///
    /// # Errors
    ///
    /// As [`writable`](Self::writable).
    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_write_ready(cx)
    }

    /// Reads what is there without waiting, and returns the number of bytes: 0 at the end of the
    /// stream, or for an empty `buf`.
    ///
    /// What a stream is ready for is learnt from the driver, a moment after it was made: wait for
    /// [`readable`](Self::readable) first.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] if nothing is known to be there, or the error of the read.
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket.try_read(buf)
    }

    /// As [`try_read`](Self::try_read), filling one buffer after the other.
    ///
    /// # Errors
    ///
    /// As [`try_read`](Self::try_read).
    pub fn try_read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.socket.try_read_vectored(bufs)
    }

    /// Writes what fits into the send buffer without waiting, and returns the number of bytes.
    ///
    /// What a stream is ready for is learnt from the driver, a moment after it was made: wait for
    /// [`writable`](Self::writable) first.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] if nothing is known to fit, or the error of the write.
    pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        self.socket.try_write(buf)
    }

    /// As [`try_write`](Self::try_write), from one buffer after the other in one system call.
    ///
    /// # Errors
    ///
    /// As [`try_write`](Self::try_write).
    pub fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.socket.try_write_vectored(bufs)
    }

    /// Runs an operation of the caller's own on the socket, if the stream is believed to be ready
    /// for it: for instance one that passes descriptors.
    ///
    /// `f` must do one non-blocking operation on this socket, for which `interest` stands. If it
    /// reports [`io::ErrorKind::WouldBlock`], the stream is taken for not ready until the system
    /// says otherwise.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] without calling `f` if the stream is not ready, or the error
    /// of `f`.
    pub fn try_io<R>(
        &self,
        interest: Interest,
        f: impl FnOnce() -> io::Result<R>,
    ) -> io::Result<R> {
        self.socket.try_io(interest, f)
    }

    /// Runs an operation of the caller's own on the socket, as often as it takes until it does not
    /// report [`io::ErrorKind::WouldBlock`], waiting in between. See [`try_io`](Self::try_io) for
    /// what `f` may do.
    ///
    /// # Errors
    ///
    /// The error of `f`; fails also if the runtime was shut down.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe if `f` is: it never waits in the middle of `f`.
    pub async fn async_io<R>(
        &self,
        interest: Interest,
        f: impl FnMut() -> io::Result<R>,
    ) -> io::Result<R> {
        self.socket.async_io(interest, f).await
    }

    /// Splits the stream into borrowed halves, for two futures of the same task. This costs
    /// nothing.
    pub fn split(&mut self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        split::split(self)
    }

    /// Splits the stream into owned halves, which can be moved to different tasks. This costs one
    /// allocation.
    ///
    /// Dropping the writing half shuts down the writing direction.
    pub fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        split::into_split(self)
    }
}

impl Stream for UnixStream {
    type Source = mio::net::UnixStream;
    type Addr = SocketAddr;

    fn socket(&self) -> &Socket<Self::Source> {
        &self.socket
    }

    fn local(&self) -> io::Result<SocketAddr> {
        self.local_addr()
    }

    fn peer(&self) -> io::Result<SocketAddr> {
        self.peer_addr()
    }
}

impl fmt::Debug for UnixStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.socket.fmt(f)
    }
}

impl AsRef<Self> for UnixStream {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl TryFrom<std::os::unix::net::UnixStream> for UnixStream {
    type Error = io::Error;

    /// As [`from_std`](Self::from_std).
    fn try_from(stream: std::os::unix::net::UnixStream) -> io::Result<Self> {
        Self::from_std(stream)
    }
}
