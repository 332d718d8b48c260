use std::fmt;
use std::io;
use std::path::Path;

use socket2::{Socket, Type};

use super::{UnixDatagram, UnixListener, UnixStream, addr};

/// A Unix socket that is not bound, nor connected, yet.
///
/// It is not registered with a driver until then, so it can be made outside a runtime.
///
/// # Examples
///
/// ```
/// use evenkeel::net::UnixSocket;
///
/// # evenkeel::runtime::Runtime::new().unwrap().block_on(async {
/// # let folder = std::env::temp_dir().join(format!("evenkeel-unbound-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// let path = folder.join("socket");
/// let socket = UnixSocket::new_stream()?;
/// socket.bind(&path)?;
/// let listener = socket.listen(16)?;
/// let client = UnixSocket::new_stream()?.connect(&path).await?;
/// let (server, _) = listener.accept().await?;
/// # drop((client, server));
/// # std::fs::remove_dir_all(&folder)?;
/// # std::io::Result::Ok(()) }).unwrap();
/// ```
pub struct UnixSocket {
    pub(in crate::net) socket: Socket,
}

impl UnixSocket {
    /// Makes a socket for datagrams.
    ///
    /// # Errors
    ///
    /// The error of the operating system.
    pub fn new_datagram() -> io::Result<Self> {
        Self::new(Type::DGRAM)
    }

    /// Makes a socket for a stream, or to listen.
    ///
    /// # Errors
    ///
    /// The error of the operating system.
    pub fn new_stream() -> io::Result<Self> {
        Self::new(Type::STREAM)
    }

    fn new(kind: Type) -> io::Result<Self> {
        Ok(Self {
            socket: addr::new_socket(kind)?,
        })
    }

    /// Binds the socket to a path, where nothing may exist yet; on Linux, one that begins with a
    /// null byte is an abstract name.
    ///
    /// # Errors
    ///
    /// As [`UnixListener::bind`].
    pub fn bind(&self, path: impl AsRef<Path>) -> io::Result<()> {
        self.socket.bind(&addr::of_path(path.as_ref())?)
    }

    /// Listens for connections, of which `backlog` may wait to be accepted.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::Unsupported`] for a socket for datagrams, or the error of the operating
    /// system.
    ///
    /// # Panics
    ///
    /// Panics outside a runtime.
    #[track_caller]
    pub fn listen(self, backlog: u32) -> io::Result<UnixListener> {
        self.check(Type::STREAM, "listen")?;
        self.socket
            .listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
        UnixListener::from_std(self.socket.into())
    }

    /// Connects to the socket at `path`.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::Unsupported`] for a socket for datagrams, or as [`UnixStream::connect`].
    ///
    /// # Panics
    ///
    /// Panics outside a runtime.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the attempt up.
    pub async fn connect(self, path: impl AsRef<Path>) -> io::Result<UnixStream> {
        self.check(Type::STREAM, "connect")?;
        UnixStream::connect_with(self.socket, &addr::of_path(path.as_ref())?).await
    }

    /// The socket, to send and receive datagrams.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::Unsupported`] for a socket for a stream, or the error of the operating
    /// system.
    ///
    /// # Panics
    ///
    /// Panics outside a runtime.
    #[track_caller]
    pub fn datagram(self) -> io::Result<UnixDatagram> {
        self.check(Type::DGRAM, "be one for datagrams")?;
        UnixDatagram::from_std(self.socket.into())
    }

    fn check(&self, needed: Type, what: &str) -> io::Result<()> {
        if self.socket.r#type()? == needed {
            return Ok(());
        }
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            format!("a socket of this type cannot {what}"),
        ))
    }
}

impl fmt::Debug for UnixSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.socket.fmt(f)
    }
}
