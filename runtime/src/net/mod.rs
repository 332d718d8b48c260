//! TCP, UDP and Unix sockets whose operations are futures.
//!
//! The types carry the names and the meaning of tokio's. Every constructor registers the socket
//! with the IO driver of the current runtime, so it must be called inside one; the socket can then
//! be used from any task on any executor, for as long as that runtime lives.
//!
//! * [`TcpListener`], [`TcpStream`], [`TcpSocket`] (a TCP socket before it is connected, to set
//!   options)
//! * [`UdpSocket`]
//! * [`UnixListener`], [`UnixStream`], [`UnixDatagram`] on Unix
//! * [`ToSocketAddrs`] and [`lookup_host`] for names
//!
//! # Reading and writing
//!
//! Streams implement tokio's `AsyncRead` and `AsyncWrite` with the feature `tokio-io` (on by
//! default), those of futures-io with the feature `futures-io`, and hyper's `Read` and `Write` with
//! the feature `hyper`. With none of them, [`readable`](TcpStream::readable) with
//! [`try_read`](TcpStream::try_read), and [`writable`](TcpStream::writable) with
//! [`try_write`](TcpStream::try_write), are enough to do everything.
//!
//! # Options that are not here
//!
//! All types implement `AsFd`, so that `socket2::SockRef::from(&socket)` reaches every socket
//! option of the operating system.
//!
//! # Blocking
//!
//! Sockets made by the standard library can be handed over with `from_std`. They are put into
//! non-blocking mode, so that no operation here can block a worker; the mode belongs to the open
//! socket, hence clones made with `try_clone` become non-blocking with it. `into_std` gives the
//! socket back, still non-blocking.

mod addr;
mod methods;
#[cfg(unix)]
mod options;
mod socket;
pub(crate) mod split;
pub mod tcp;
mod udp;

#[cfg(unix)]
mod fd;
#[cfg(unix)]
pub mod unix;

#[cfg(feature = "tokio-io")]
mod buf_mut;
#[cfg(feature = "futures-io")]
mod futures_io;
#[cfg(feature = "tokio-io")]
mod tokio_io;

pub use addr::{ToSocketAddrs, lookup_host};
pub use tcp::{TcpListener, TcpSocket, TcpStream};
pub use udp::UdpSocket;
#[cfg(unix)]
pub use unix::{UnixDatagram, UnixListener, UnixSocket, UnixStream};
