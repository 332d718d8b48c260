use std::io;
use std::os::unix::net::SocketAddr;
use std::path::Path;

use socket2::{SockAddr, Type};

use super::{UCred, addr};
use crate::io::Ready;
use crate::net::socket::Socket;

/// A connected Unix stream socket.
///
/// Descriptors are passed with [`async_io`](Self::async_io), by `sendmsg` and `recvmsg`.
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
    /// Connects to the socket at `path`; on Linux, one that begins with a null byte is an abstract
    /// name.
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
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the attempt up.
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
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the attempt up.
    pub async fn connect_addr(addr: &SocketAddr) -> io::Result<Self> {
        Self::connect_to(&addr::of_std(addr)?).await
    }

    async fn connect_to(addr: &SockAddr) -> io::Result<Self> {
        Self::connect_with(addr::new_socket(Type::STREAM)?, addr).await
    }

    /// With a socket that is not blocking.
    pub(super) async fn connect_with(socket: socket2::Socket, addr: &SockAddr) -> io::Result<Self> {
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
    #[track_caller]
    pub fn pair() -> io::Result<(Self, Self)> {
        let (left, right) = mio::net::UnixStream::pair()?;
        let (left, right) = (Self::from_mio(left)?, Self::from_mio(right)?);
        for stream in [&left, &right] {
            stream.socket.assume_ready(Ready::WRITABLE);
        }
        Ok((left, right))
    }

    /// It can be written to, and as a rule its first bytes are there or will be soon.
    pub(super) fn accepted(source: mio::net::UnixStream) -> io::Result<Self> {
        let stream = Self::from_mio(source)?;
        stream
            .socket
            .assume_ready(Ready::READABLE | Ready::WRITABLE);
        Ok(stream)
    }

    #[track_caller]
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
    #[track_caller]
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
}
