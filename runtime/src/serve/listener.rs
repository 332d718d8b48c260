//! What connections come from.

use std::fmt;
use std::future::{Future, Ready, ready};
use std::io;
use std::net::SocketAddr;

use hyper::rt::{Read, Write};

use crate::net::{TcpListener, TcpStream};
#[cfg(unix)]
use crate::net::{UnixListener, UnixStream};

/// What accepts connections for a [`Serve`](super::Serve): a TCP or a Unix listener, or one of your
/// own.
///
/// TLS goes in between here, since [`Handshake`](Self::Handshake) is awaited by the task of the
/// connection, where it does not hold up the others:
///
/// ```ignore
/// struct Tls {
///     listener: TcpListener,
///     acceptor: tokio_rustls::TlsAcceptor,
/// }
///
/// impl Listener for Tls {
///     type Io = hyper::Io<TlsStream<TcpStream>>;
///     type Addr = SocketAddr;
///     type Handshake = Pin<Box<dyn Future<Output = io::Result<Self::Io>> + Send>>;
///
///     async fn accept(&mut self) -> io::Result<(Self::Handshake, SocketAddr)> {
///         let (stream, addr) = self.listener.accept().await?;
///         let handshake = self.acceptor.accept(stream);
///         Ok((Box::pin(async { Ok(hyper::Io::new(handshake.await?)) }), addr))
///     }
///
///     fn local_addr(&self) -> io::Result<SocketAddr> {
///         self.listener.local_addr()
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`evenkeel::serve` cannot accept connections from `{Self}`",
    label = "not a listener of `evenkeel::net`, nor one of your own",
    note = "in place of a listener of tokio's: `evenkeel::net::TcpListener`, `evenkeel::net::UnixListener`"
)]
pub trait Listener: Send + 'static {
    /// The stream of a connection, as HTTP needs it.
    type Io: Read + Write + Unpin + Send + 'static;

    /// The address of a peer.
    type Addr: fmt::Debug + Send + 'static;

    /// Makes the stream of an accepted connection. It has the time that
    /// [`header_timeout`](super::Serve::header_timeout) gives to the first request.
    type Handshake: Future<Output = io::Result<Self::Io>> + Send + 'static;

    /// Waits for a connection.
    ///
    /// # Errors
    ///
    /// Those of the operating system. The server goes on after any of them; see
    /// [`serve`](super::serve()).
    ///
    /// # Cancel safety
    ///
    /// It must be cancel safe: no connection is lost if the future is dropped.
    fn accept(&mut self) -> impl Future<Output = io::Result<(Self::Handshake, Self::Addr)>> + Send;

    /// The address on which it listens.
    ///
    /// # Errors
    ///
    /// The error of the operating system.
    fn local_addr(&self) -> io::Result<Self::Addr>;
}

impl Listener for TcpListener {
    type Io = TcpStream;
    type Addr = SocketAddr;
    type Handshake = Ready<io::Result<TcpStream>>;

    async fn accept(&mut self) -> io::Result<(Self::Handshake, SocketAddr)> {
        let (stream, addr) = TcpListener::accept(self).await?;
        // HTTP writes what belongs together at once; without this the kernel may hold an answer
        // back for what could follow it. It fails if the peer is gone, which is found out later.
        let _ = stream.set_nodelay(true);
        Ok((ready(Ok(stream)), addr))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        TcpListener::local_addr(self)
    }
}

#[cfg(unix)]
impl Listener for UnixListener {
    type Io = UnixStream;
    type Addr = std::os::unix::net::SocketAddr;
    type Handshake = Ready<io::Result<UnixStream>>;

    async fn accept(&mut self) -> io::Result<(Self::Handshake, Self::Addr)> {
        let (stream, addr) = UnixListener::accept(self).await?;
        Ok((ready(Ok(stream)), addr))
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        UnixListener::local_addr(self)
    }
}
