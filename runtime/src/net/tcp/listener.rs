use std::future;
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};

use super::TcpStream;
use crate::io::Interest;
use crate::net::addr::{ToSocketAddrs, try_each};
use crate::net::socket::Socket;

/// A TCP socket that accepts connections.
///
/// # Examples
///
/// ```
/// use evenkeel::net::{TcpListener, TcpStream};
///
/// # evenkeel::runtime::Runtime::new().unwrap().block_on(async {
/// let listener = TcpListener::bind("127.0.0.1:0").await?;
/// let client = TcpStream::connect(listener.local_addr()?).await?;
/// let (server, peer) = listener.accept().await?;
/// assert_eq!(peer, client.local_addr()?);
/// # drop(server);
/// # std::io::Result::Ok(()) }).unwrap();
/// ```
pub struct TcpListener {
    pub(in crate::net) socket: Socket<mio::net::TcpListener>,
}

impl TcpListener {
    /// Listens on `addr`; port 0 lets the operating system choose a free port.
    ///
    /// If `addr` stands for several addresses, the first that can be bound is taken. `SO_REUSEADDR`
    /// is set on Unix and up to 1024 connections wait to be accepted;
    /// [`TcpSocket`](super::TcpSocket) gives other values.
    ///
    /// # Errors
    ///
    /// The error of the last address that was tried, for instance [`io::ErrorKind::AddrInUse`].
    ///
    /// # Panics
    ///
    /// Panics outside a runtime.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: if the future is dropped before it is done, nothing is bound.
    pub async fn bind<A: ToSocketAddrs>(addr: A) -> io::Result<Self> {
        let source = try_each(addr, |addr| {
            future::ready(mio::net::TcpListener::bind(addr))
        })
        .await?;
        Self::from_mio(source)
    }

    #[track_caller]
    pub(super) fn from_mio(source: mio::net::TcpListener) -> io::Result<Self> {
        Ok(Self {
            socket: Socket::new(source)?,
        })
    }

    /// Waits for a connection and returns it with the address of its peer.
    ///
    /// # Errors
    ///
    /// The error of the operating system. Too many open descriptors (`EMFILE`, `ENFILE`) are an
    /// error of this call alone: the connection keeps waiting, and a later call accepts it once
    /// descriptors are free. Until then each call fails at once, so a server's loop should pause
    /// for a moment. A connection that the peer gave up while it waited
    /// ([`io::ErrorKind::ConnectionAborted`]) is an error of this call, too.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: no connection is lost if the future is dropped.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (source, peer) = self
            .socket
            .call(Interest::READABLE, |listener| listener.accept())
            .await?;
        Ok((TcpStream::accepted(source)?, peer))
    }

    /// As [`accept`](Self::accept), for hand-written futures. Only the task of the last call is
    /// woken.
    ///
    /// # Errors
    ///
    /// As [`accept`](Self::accept).
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        let (source, peer) = ready!(self.socket.poll_read_call(cx, |listener| listener.accept()))?;
        Poll::Ready(Ok((TcpStream::accepted(source)?, peer)))
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
    pub fn from_std(listener: std::net::TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Self::from_mio(mio::net::TcpListener::from_std(listener))
    }

    /// Gives the listener to the standard library. It stays non-blocking.
    ///
    /// # Errors
    ///
    /// The error of removing it from the driver.
    ///
    /// # Examples
    ///
    /// ```
    /// # evenkeel::runtime::Runtime::new().unwrap().block_on(async {
    /// let listener = evenkeel::net::TcpListener::bind("127.0.0.1:0").await?;
    /// let listener: std::net::TcpListener = listener.into_std()?;
    /// listener.set_nonblocking(false)?;
    /// # std::io::Result::Ok(()) }).unwrap();
    /// ```
    pub fn into_std(self) -> io::Result<std::net::TcpListener> {
        self.socket.into_inner().map(Into::into)
    }

    /// The address on which this socket listens: with the port that was chosen, if it was bound to
    /// port 0.
    ///
    /// # Errors
    ///
    /// The error of the operating system.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.get().local_addr()
    }

    /// The time to live (`IP_TTL`) of the packets that are sent, in hops.
    ///
    /// # Errors
    ///
    /// The error of the operating system.
    pub fn ttl(&self) -> io::Result<u32> {
        self.socket.get().ttl()
    }

    /// Sets the time to live (`IP_TTL`) of the packets that are sent, in hops.
    ///
    /// # Errors
    ///
    /// The error of the operating system.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.socket.get().set_ttl(ttl)
    }
}
