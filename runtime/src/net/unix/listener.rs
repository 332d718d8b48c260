use std::io;
use std::os::unix::net::SocketAddr;
use std::path::Path;
use std::task::{Context, Poll, ready};

use socket2::{SockAddr, SockRef, Type};

use super::{UnixStream, addr};
use crate::io::Interest;
use crate::net::socket::Socket;

/// How many connections may wait to be accepted: as many as the system allows.
const BACKLOG: i32 = i32::MAX;

/// A Unix socket that accepts connections.
///
/// Dropping it leaves its file behind; remove the file before the path is bound again.
///
/// # Examples
///
/// ```
/// use evenkeel::net::{UnixListener, UnixStream};
///
/// # evenkeel::runtime::Runtime::new().unwrap().block_on(async {
/// # let folder = std::env::temp_dir().join(format!("evenkeel-doc-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// let path = folder.join("socket");
/// let listener = UnixListener::bind(&path)?;
/// let client = UnixStream::connect(&path).await?;
/// let (server, _) = listener.accept().await?;
/// # drop((client, server));
/// # std::fs::remove_dir_all(&folder)?;
/// # std::io::Result::Ok(()) }).unwrap();
/// ```
pub struct UnixListener {
    pub(in crate::net) socket: Socket<mio::net::UnixListener>,
}

impl UnixListener {
    /// Listens on `path`, where nothing may exist yet; on Linux, one that begins with a null byte
    /// is an abstract name.
    ///
    /// # Errors
    ///
    /// The error of the operating system: [`io::ErrorKind::AddrInUse`] if there is a file already,
    /// [`io::ErrorKind::InvalidInput`] if the path is too long for a socket (108 bytes on Linux).
    ///
    /// # Panics
    ///
    /// Panics outside a runtime.
    #[track_caller]
    pub fn bind(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::listen(&addr::of_path(path.as_ref())?)
    }

    /// Listens on an address, which can be an abstract name on Linux.
    ///
    /// # Errors
    ///
    /// The error of the operating system.
    ///
    /// # Panics
    ///
    /// Panics outside a runtime.
    #[track_caller]
    pub fn bind_addr(addr: &SocketAddr) -> io::Result<Self> {
        Self::listen(&addr::of_std(addr)?)
    }

    #[track_caller]
    fn listen(addr: &SockAddr) -> io::Result<Self> {
        let socket = addr::new_socket(Type::STREAM)?;
        socket.bind(addr)?;
        socket.listen(BACKLOG)?;
        Self::from_mio(mio::net::UnixListener::from_std(socket.into()))
    }

    #[track_caller]
    fn from_mio(source: mio::net::UnixListener) -> io::Result<Self> {
        Ok(Self {
            socket: Socket::new(source)?,
        })
    }

    /// Waits for a connection and returns it with the address of its peer, which is mostly unnamed;
    /// on Linux it can be an abstract name.
    ///
    /// # Errors
    ///
    /// The error of the operating system. Too many open descriptors (`EMFILE`, `ENFILE`) are an
    /// error of this call alone: the connection keeps waiting, and a later call accepts it once
    /// descriptors are free.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: no connection is lost if the future is dropped.
    pub async fn accept(&self) -> io::Result<(UnixStream, SocketAddr)> {
        let (source, peer) = self.socket.call(Interest::READABLE, accept).await?;
        Ok((UnixStream::accepted(source)?, peer))
    }

    /// As [`accept`](Self::accept), for hand-written futures. Only the task of the last call is
    /// woken.
    ///
    /// # Errors
    ///
    /// As [`accept`](Self::accept).
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(UnixStream, SocketAddr)>> {
        let (source, peer) = ready!(self.socket.poll_read_call(cx, accept))?;
        Poll::Ready(Ok((UnixStream::accepted(source)?, peer)))
    }

    /// Takes over a listener of the standard library, and puts it into non-blocking mode.
    ///
    /// # Errors
    ///
    /// The error of the operating system, or of the registration with the driver.
    ///
    /// # Panics
    ///
    /// Panics outside a runtime.
    #[track_caller]
    pub fn from_std(listener: std::os::unix::net::UnixListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Self::from_mio(mio::net::UnixListener::from_std(listener))
    }

    /// Gives the listener to the standard library. It stays non-blocking.
    ///
    /// # Errors
    ///
    /// The error of removing it from the driver.
    pub fn into_std(self) -> io::Result<std::os::unix::net::UnixListener> {
        self.socket.into_inner().map(Into::into)
    }

    /// The address on which this socket listens.
    ///
    /// # Errors
    ///
    /// The error of the operating system.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.get().local_addr()
    }
}

/// In place of mio's `accept`, which panics where a peer's name fills its address, and which loses
/// abstract names.
fn accept(listener: &mio::net::UnixListener) -> io::Result<(mio::net::UnixStream, SocketAddr)> {
    let (socket, peer) = accept_nonblocking(&SockRef::from(listener))?;
    let stream = std::os::unix::net::UnixStream::from(socket);
    let peer = if peer.is_unnamed() {
        SocketAddr::from_pathname("")?
    } else {
        // Only the system can make the library's address of a name that is too long for a path.
        stream.peer_addr()?
    };
    Ok((mio::net::UnixStream::from_std(stream), peer))
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn accept_nonblocking(listener: &socket2::Socket) -> io::Result<(socket2::Socket, SockAddr)> {
    listener.accept4(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn accept_nonblocking(listener: &socket2::Socket) -> io::Result<(socket2::Socket, SockAddr)> {
    let (socket, peer) = listener.accept()?;
    socket.set_nonblocking(true)?;
    Ok((socket, peer))
}
