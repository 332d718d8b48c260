use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::SockRef;

use crate::io::{Interest, Ready};
use crate::net::addr::{ToSocketAddrs, try_each};
use crate::net::socket::Socket;

/// A TCP connection.
///
/// Dropping it closes the connection in both directions. To end only the writing direction, use the
/// `shutdown` of the write trait in use, or drop the writing half that
/// [`into_split`](Self::into_split) makes.
///
/// # Urgent data
///
/// Reading leaves the urgent byte out, as is usual. On Linux and Android, [`ready`](Self::ready)
/// with `Interest::PRIORITY` waits for one, and [`async_io`](Self::async_io) with that interest
/// receives it (`MSG_OOB`).
///
/// # Kernel TLS
///
/// A stream on which kernel TLS was set is to be read with [`async_io`](Self::async_io) and
/// `recvmsg`, which says what kind of record it has read, and not by the IO traits.
///
/// # Examples
///
/// ```
/// use evenkeel::net::{TcpListener, TcpStream};
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
///
/// # evenkeel::runtime::Runtime::new().unwrap().block_on(async {
/// let listener = TcpListener::bind("127.0.0.1:0").await?;
/// let mut client = TcpStream::connect(listener.local_addr()?).await?;
/// let (mut server, _) = listener.accept().await?;
///
/// client.write_all(b"hello").await?;
/// client.shutdown().await?;
/// let mut text = String::new();
/// server.read_to_string(&mut text).await?;
/// assert_eq!(text, "hello");
/// # std::io::Result::Ok(()) }).unwrap();
/// ```
///
/// Without the IO traits:
///
/// ```
/// use evenkeel::io::Interest;
/// # use evenkeel::net::{TcpListener, TcpStream};
/// use std::io::ErrorKind;
///
/// async fn read_some(stream: &TcpStream, buf: &mut [u8]) -> std::io::Result<usize> {
///     loop {
///         stream.readable().await?;
///         match stream.try_read(buf) {
///             Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
///             result => return result,
///         }
///     }
/// }
/// # evenkeel::runtime::Runtime::new().unwrap().block_on(async {
/// # let listener = TcpListener::bind("127.0.0.1:0").await?;
/// # let stream = TcpStream::connect(listener.local_addr()?).await?;
/// # let (server, _) = listener.accept().await?;
/// let ready = server.ready(Interest::READABLE | Interest::WRITABLE).await?;
/// assert!(ready.is_writable());
/// assert_eq!(server.try_write(b"hi")?, 2);
/// assert_eq!(read_some(&stream, &mut [0; 8]).await?, 2);
/// # std::io::Result::Ok(()) }).unwrap();
/// ```
///
/// The two directions in two tasks:
///
/// ```
/// use evenkeel::net::{TcpListener, TcpStream};
/// use tokio::io::copy;
///
/// # evenkeel::runtime::Runtime::new().unwrap().block_on(async {
/// let listener = TcpListener::bind("127.0.0.1:0").await?;
/// let client = TcpStream::connect(listener.local_addr()?).await?;
/// let echo = evenkeel::spawn(async move {
///     let (mut read, mut write) = listener.accept().await?.0.into_split();
///     copy(&mut read, &mut write).await
/// });
///
/// let (mut read, mut write) = client.into_split();
/// let text = &b"there and back"[..];
/// let send = evenkeel::spawn(async move { copy(&mut &*text, &mut write).await });
/// let mut received = Vec::new();
/// copy(&mut read, &mut received).await?;
/// assert_eq!(received, text);
/// # assert_eq!(send.await.unwrap()?, 14);
/// # assert_eq!(echo.await.unwrap()?, 14);
/// # std::io::Result::Ok(()) }).unwrap();
/// ```
pub struct TcpStream {
    pub(in crate::net) socket: Socket<mio::net::TcpStream>,
}

/// The urgent mark ends a read early. That there was one is reported as priority, and from then on
/// a read that fills less than its buffer is not taken for the last.
#[cfg(any(target_os = "linux", target_os = "android"))]
const INTEREST: Interest = Interest::READABLE
    .add(Interest::WRITABLE)
    .add(Interest::PRIORITY);
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const INTEREST: Interest = Interest::READABLE.add(Interest::WRITABLE);

impl TcpStream {
    /// Connects to `addr`. If that stands for several addresses, they are tried in order.
    ///
    /// # Errors
    ///
    /// The error of the last address that was tried, for instance
    /// [`io::ErrorKind::ConnectionRefused`].
    ///
    /// # Panics
    ///
    /// Panics outside a runtime.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the attempt up.
    pub async fn connect<A: ToSocketAddrs>(addr: A) -> io::Result<Self> {
        try_each(addr, |addr| async move {
            Self::finish_connect(mio::net::TcpStream::connect(addr)?).await
        })
        .await
    }

    /// Waits for the outcome of a connection attempt that was started on `source`.
    pub(super) async fn finish_connect(source: mio::net::TcpStream) -> io::Result<Self> {
        let stream = Self::from_mio(source)?;
        // The socket becomes writable when the attempt has ended, well or not; the outcome is its
        // SO_ERROR.
        stream.writable().await?;
        match stream.take_error()? {
            None => Ok(stream),
            Some(error) => Err(error),
        }
    }

    #[track_caller]
    pub(super) fn from_mio(source: mio::net::TcpStream) -> io::Result<Self> {
        Ok(Self {
            socket: Socket::with_interest(source, INTEREST)?,
        })
    }

    /// It can be written to, and as a rule its first bytes are there or will be soon.
    pub(super) fn accepted(source: mio::net::TcpStream) -> io::Result<Self> {
        let stream = Self::from_mio(source)?;
        stream
            .socket
            .assume_ready(Ready::READABLE | Ready::WRITABLE);
        Ok(stream)
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
    pub fn from_std(stream: std::net::TcpStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Self::from_mio(mio::net::TcpStream::from_std(stream))
    }

    /// Gives the stream to the standard library. It stays non-blocking; call
    /// `set_nonblocking(false)` on it to use it in a thread that may block.
    ///
    /// # Errors
    ///
    /// The error of removing it from the driver.
    pub fn into_std(self) -> io::Result<std::net::TcpStream> {
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
    /// The error of the operating system; [`io::ErrorKind::NotConnected`] if the connection is
    /// gone.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket.get().peer_addr()
    }

    /// Waits for bytes and copies them without taking them out of the stream: the next read returns
    /// them again.
    ///
    /// # Errors
    ///
    /// The error of the read.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: nothing is taken out of the stream.
    pub async fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket
            .call(Interest::READABLE, |stream| stream.peek(buf))
            .await
    }

    /// Whether small writes are sent at once (`TCP_NODELAY`).
    ///
    /// # Errors
    ///
    /// The error of the operating system.
    pub fn nodelay(&self) -> io::Result<bool> {
        self.socket.get().nodelay()
    }

    /// Sets whether small writes are sent at once (`TCP_NODELAY`) instead of being collected
    /// (Nagle's algorithm).
    ///
    /// # Errors
    ///
    /// The error of the operating system.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.socket.get().set_nodelay(nodelay)
    }

    /// For how long closing waits until what was written is sent (`SO_LINGER`); `None` if it does
    /// not wait.
    ///
    /// # Errors
    ///
    /// The error of the operating system.
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        SockRef::from(self.socket.get()).linger()
    }

    /// Sets for how long closing waits until what was written is sent (`SO_LINGER`), in whole
    /// seconds.
    ///
    /// With a duration above zero, dropping the stream **blocks the thread** for up to that long,
    /// and with it every task of that worker. With zero the connection is reset at once, see
    /// [`set_zero_linger`](Self::set_zero_linger).
    ///
    /// # Errors
    ///
    /// The error of the operating system.
    pub fn set_linger(&self, duration: Option<Duration>) -> io::Result<()> {
        SockRef::from(self.socket.get()).set_linger(duration)
    }

    /// Makes dropping the stream reset the connection: what was not sent yet is thrown away, and
    /// the peer's next read fails with [`io::ErrorKind::ConnectionReset`].
    ///
    /// # Errors
    ///
    /// The error of the operating system.
    pub fn set_zero_linger(&self) -> io::Result<()> {
        self.set_linger(Some(Duration::ZERO))
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
