use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use super::{TcpListener, TcpStream};

/// A TCP socket that is not connected yet, to set options before [`connect`](Self::connect) or
/// [`listen`](Self::listen).
///
/// It is not registered with a driver until then, so it can be made outside a runtime.
///
/// # Examples
///
/// ```
/// use evenkeel::net::TcpSocket;
///
/// # evenkeel::runtime::Runtime::new().unwrap().block_on(async {
/// let socket = TcpSocket::new_v4()?;
/// socket.set_reuseaddr(true)?;
/// socket.bind("127.0.0.1:0".parse().unwrap())?;
/// let listener = socket.listen(16)?;
///
/// let socket = TcpSocket::new_v4()?;
/// socket.set_nodelay(true)?;
/// let stream = socket.connect(listener.local_addr()?).await?;
/// assert!(stream.nodelay()?);
/// # std::io::Result::Ok(()) }).unwrap();
/// ```
pub struct TcpSocket {
    pub(in crate::net) socket: Socket,
}

impl TcpSocket {
    /// Makes a socket for IPv4.
    ///
    /// # Errors
    ///
    /// The error of the operating system.
    pub fn new_v4() -> io::Result<Self> {
        Self::new(Domain::IPV4)
    }

    /// Makes a socket for IPv6.
    ///
    /// # Errors
    ///
    /// The error of the operating system.
    pub fn new_v6() -> io::Result<Self> {
        Self::new(Domain::IPV6)
    }

    fn new(domain: Domain) -> io::Result<Self> {
        Ok(Self {
            socket: Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?,
        })
    }

    /// Takes over a socket that is not connected yet, for instance one made by `socket2`, which the
    /// standard library has only this type for.
    pub fn from_std_stream(stream: std::net::TcpStream) -> Self {
        Self {
            socket: stream.into(),
        }
    }

    /// Binds the socket to an address; port 0 lets the operating system choose a free port.
    ///
    /// # Errors
    ///
    /// The error of the operating system, for instance [`io::ErrorKind::AddrInUse`].
    pub fn bind(&self, addr: SocketAddr) -> io::Result<()> {
        self.socket.bind(&addr.into())
    }

    /// Connects to `addr`.
    ///
    /// # Errors
    ///
    /// The error of the operating system, for instance [`io::ErrorKind::ConnectionRefused`].
    ///
    /// # Panics
    ///
    /// Panics outside a runtime.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the attempt up.
    pub async fn connect(self, addr: SocketAddr) -> io::Result<TcpStream> {
        self.socket.set_nonblocking(true)?;
        match self.socket.connect(&addr.into()) {
            Err(error) if !is_in_progress(&error) => Err(error),
            _ => {
                let source = mio::net::TcpStream::from_std(self.socket.into());
                TcpStream::finish_connect(source).await
            }
        }
    }

    /// Listens for connections, of which up to about `backlog` wait to be accepted.
    ///
    /// # Errors
    ///
    /// The error of the operating system, or of the registration with the driver.
    ///
    /// # Panics
    ///
    /// Panics outside a runtime.
    #[track_caller]
    pub fn listen(self, backlog: u32) -> io::Result<TcpListener> {
        self.socket.set_nonblocking(true)?;
        self.socket.listen(backlog.try_into().unwrap_or(i32::MAX))?;
        TcpListener::from_mio(mio::net::TcpListener::from_std(self.socket.into()))
    }

    /// The address to which the socket is bound.
    ///
    /// # Errors
    ///
    /// The error of the operating system.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        let addr = self.socket.local_addr()?;
        addr.as_socket()
            .ok_or_else(|| io::Error::other("the socket is not bound to an IP address"))
    }

    /// Takes the error that is pending on the socket (`SO_ERROR`).
    ///
    /// # Errors
    ///
    /// The error of asking.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.socket.take_error()
    }

    /// Whether an idle connection is probed (`SO_KEEPALIVE`).
    ///
    /// # Errors
    ///
    /// The error of the operating system.
    pub fn keepalive(&self) -> io::Result<bool> {
        self.socket.keepalive()
    }

    /// Sets whether an idle connection is probed (`SO_KEEPALIVE`).
    ///
    /// # Errors
    ///
    /// The error of the operating system.
    pub fn set_keepalive(&self, keepalive: bool) -> io::Result<()> {
        self.socket.set_keepalive(keepalive)
    }

    /// Whether an address can be bound that a closed connection still holds (`SO_REUSEADDR`).
    ///
    /// # Errors
    ///
    /// The error of the operating system.
    pub fn reuseaddr(&self) -> io::Result<bool> {
        self.socket.reuse_address()
    }

    /// Sets whether an address can be bound that a closed connection still holds (`SO_REUSEADDR`).
    ///
    /// # Errors
    ///
    /// The error of the operating system.
    pub fn set_reuseaddr(&self, reuseaddr: bool) -> io::Result<()> {
        self.socket.set_reuse_address(reuseaddr)
    }

    /// Whether several sockets can be bound to one address (`SO_REUSEPORT`).
    ///
    /// # Errors
    ///
    /// The error of the operating system.
    #[cfg(unix)]
    pub fn reuseport(&self) -> io::Result<bool> {
        self.socket.reuse_port()
    }

    /// Sets whether several sockets can be bound to one address (`SO_REUSEPORT`).
    ///
    /// # Errors
    ///
    /// The error of the operating system.
    #[cfg(unix)]
    pub fn set_reuseport(&self, reuseport: bool) -> io::Result<()> {
        self.socket.set_reuse_port(reuseport)
    }

    /// The size of the send buffer (`SO_SNDBUF`) in bytes.
    ///
    /// # Errors
    ///
    /// The error of the operating system.
    pub fn send_buffer_size(&self) -> io::Result<u32> {
        self.socket.send_buffer_size().map(saturate)
    }

    /// Asks for a size of the send buffer (`SO_SNDBUF`) in bytes. Linux doubles it, for its own
    /// bookkeeping.
    ///
    /// # Errors
    ///
    /// The error of the operating system.
    pub fn set_send_buffer_size(&self, size: u32) -> io::Result<()> {
        self.socket.set_send_buffer_size(size as usize)
    }

    /// The size of the receive buffer (`SO_RCVBUF`) in bytes.
    ///
    /// # Errors
    ///
    /// The error of the operating system.
    pub fn recv_buffer_size(&self) -> io::Result<u32> {
        self.socket.recv_buffer_size().map(saturate)
    }

    /// Asks for a size of the receive buffer (`SO_RCVBUF`) in bytes. Linux doubles it, for its own
    /// bookkeeping.
    ///
    /// # Errors
    ///
    /// The error of the operating system.
    pub fn set_recv_buffer_size(&self, size: u32) -> io::Result<()> {
        self.socket.set_recv_buffer_size(size as usize)
    }

    /// For how long closing waits until what was written is sent (`SO_LINGER`); `None` if it does
    /// not wait.
    ///
    /// # Errors
    ///
    /// The error of the operating system.
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        self.socket.linger()
    }

    /// Sets for how long closing waits, in whole seconds; see [`TcpStream::set_linger`] for what
    /// that costs.
    ///
    /// # Errors
    ///
    /// The error of the operating system.
    pub fn set_linger(&self, duration: Option<Duration>) -> io::Result<()> {
        self.socket.set_linger(duration)
    }

    /// Whether small writes are sent at once (`TCP_NODELAY`).
    ///
    /// # Errors
    ///
    /// The error of the operating system.
    pub fn nodelay(&self) -> io::Result<bool> {
        self.socket.tcp_nodelay()
    }

    /// Sets whether small writes are sent at once (`TCP_NODELAY`).
    ///
    /// # Errors
    ///
    /// The error of the operating system.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.socket.set_tcp_nodelay(nodelay)
    }
}

/// A connection attempt on a non-blocking socket reports that it goes on, each system by its own
/// name for it.
fn is_in_progress(error: &io::Error) -> bool {
    #[cfg(unix)]
    return error.raw_os_error() == Some(libc::EINPROGRESS);
    #[cfg(not(unix))]
    return error.kind() == io::ErrorKind::WouldBlock;
}

fn saturate(size: usize) -> u32 {
    size.try_into().unwrap_or(u32::MAX)
}

impl fmt::Debug for TcpSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.socket.fmt(f)
    }
}
