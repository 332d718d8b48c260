//! What several types of sockets have in common.
//!
//! These are inherent methods, and so made by macros: they are to be found, and documented, where
//! tokio has them, without a trait to import.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::task::{Context, Poll};

use super::socket::{MioSocket, NO_SIGNAL, Socket};
use super::{TcpListener, TcpStream, UdpSocket, split, tcp};
#[cfg(unix)]
use super::{UnixDatagram, UnixListener, UnixStream, unix};
use crate::io::{Interest, Ready};

macro_rules! impl_common {
    ($socket:ty, $of_std:ty) => {
        impl $socket {
            /// Takes the error that is pending on the socket (`SO_ERROR`).
            ///
            /// # Errors
            ///
            /// The error of asking.
            pub fn take_error(&self) -> io::Result<Option<io::Error>> {
                self.socket.get().take_error()
            }
        }

        impl fmt::Debug for $socket {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.socket.fmt(f)
            }
        }

        impl TryFrom<$of_std> for $socket {
            type Error = io::Error;

            /// As [`from_std`](Self::from_std).
            fn try_from(socket: $of_std) -> io::Result<Self> {
                Self::from_std(socket)
            }
        }
    };
}

impl_common!(TcpListener, std::net::TcpListener);
impl_common!(TcpStream, std::net::TcpStream);
impl_common!(UdpSocket, std::net::UdpSocket);
#[cfg(unix)]
impl_common!(UnixDatagram, std::os::unix::net::UnixDatagram);
#[cfg(unix)]
impl_common!(UnixListener, std::os::unix::net::UnixListener);
#[cfg(unix)]
impl_common!(UnixStream, std::os::unix::net::UnixStream);

macro_rules! impl_readiness {
    ($socket:ty) => {
        /// Readiness, and operations of the caller's own.
        impl $socket {
            /// Waits until the socket is ready for any of `interest`, and says for which.
            ///
            /// The answer can be wrong: the next operation may still report that it would block,
            /// and then has to be preceded by another wait. A stream of which the peer has closed
            /// its writing direction is readable.
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

            /// Runs an operation of the caller's own on the socket, if it is believed to be ready
            /// for it.
            ///
            /// `f` must do one non-blocking operation on this socket, for which `interest` stands.
            /// If it reports [`io::ErrorKind::WouldBlock`], the socket is taken for not ready until
            /// the system says otherwise.
            ///
            /// # Errors
            ///
            /// [`io::ErrorKind::WouldBlock`] without calling `f` if the socket is not ready, or the
            /// error of `f`.
            pub fn try_io<R>(
                &self,
                interest: Interest,
                f: impl FnOnce() -> io::Result<R>,
            ) -> io::Result<R> {
                self.socket.try_io(interest, f)
            }

            /// Runs an operation of the caller's own on the socket, as often as it takes until it
            /// does not report [`io::ErrorKind::WouldBlock`], waiting in between. See
            /// [`try_io`](Self::try_io) for what `f` may do.
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
        }
    };
}

impl_readiness!(TcpStream);
impl_readiness!(UdpSocket);
#[cfg(unix)]
impl_readiness!(UnixDatagram);
#[cfg(unix)]
impl_readiness!(UnixStream);

macro_rules! impl_stream {
    ($stream:ident, $halves:ident, $addr:ty) => {
        /// Reading and writing without the IO traits.
        impl $stream {
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

            /// As [`readable`](Self::readable), for hand-written futures. Only the task of the last
            /// call is woken, and reading through the IO traits counts as such a call.
            ///
            /// # Errors
            ///
            /// As [`readable`](Self::readable).
            pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.socket.poll_read_ready(cx)
            }

            /// As [`writable`](Self::writable), for hand-written futures. Only the task of the last
            /// call is woken, and writing through the IO traits counts as such a call.
            ///
            /// # Errors
            ///
            /// As [`writable`](Self::writable).
            pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.socket.poll_write_ready(cx)
            }

            /// Reads what is there without waiting, and returns the number of bytes: 0 at the end
            /// of the stream, or for an empty `buf`.
            ///
            /// What a stream is ready for is learnt from the driver, a moment after it was made:
            /// wait for [`readable`](Self::readable) first. (One that was accepted is tried at
            /// once.)
            ///
            /// # Errors
            ///
            /// [`io::ErrorKind::WouldBlock`] if nothing is known to be there, or the error of the
            /// read.
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

            /// Writes what fits into the send buffer without waiting, and returns the number of
            /// bytes.
            ///
            /// What a stream is ready for is learnt from the driver, a moment after it was made:
            /// wait for [`writable`](Self::writable) first. (One that was accepted, or is one of a
            /// pair, is tried at once.)
            ///
            /// # Errors
            ///
            /// [`io::ErrorKind::WouldBlock`] if nothing is known to fit, or the error of the write.
            pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
                self.socket.try_write(buf)
            }

            /// As [`try_write`](Self::try_write), from one buffer after the other in one system
            /// call.
            ///
            /// # Errors
            ///
            /// As [`try_write`](Self::try_write).
            pub fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
                self.socket.try_write_vectored(bufs)
            }

            /// Splits the stream into borrowed halves, for two futures of the same task. This costs
            /// nothing.
            pub fn split(&mut self) -> ($halves::ReadHalf<'_>, $halves::WriteHalf<'_>) {
                split::split(self)
            }

            /// Splits the stream into owned halves, which can be moved to different tasks. This
            /// costs one allocation.
            ///
            /// Dropping the writing half shuts down the writing direction.
            pub fn into_split(self) -> ($halves::OwnedReadHalf, $halves::OwnedWriteHalf) {
                split::into_split(self)
            }
        }

        impl split::Stream for $stream {
            type Source = mio::net::$stream;
            type Addr = $addr;

            fn socket(&self) -> &Socket<Self::Source> {
                &self.socket
            }

            fn local(&self) -> io::Result<$addr> {
                self.local_addr()
            }

            fn peer(&self) -> io::Result<$addr> {
                self.peer_addr()
            }
        }

        impl AsRef<Self> for $stream {
            fn as_ref(&self) -> &Self {
                self
            }
        }
    };
}

impl_stream!(TcpStream, tcp, std::net::SocketAddr);
#[cfg(unix)]
impl_stream!(UnixStream, unix, std::os::unix::net::SocketAddr);

macro_rules! impl_datagrams {
    ($socket:ty, $addr:ty) => {
        /// Sending to the connected peer, and receiving.
        impl $socket {
            /// Waits until there is something to receive.
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

            /// Waits until something can be sent: to the peer, if the socket is connected.
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

            /// As [`readable`](Self::readable), for hand-written futures. Only the task of the last
            /// call of a receiving `poll_` method is woken.
            ///
            /// # Errors
            ///
            /// As [`readable`](Self::readable).
            pub fn poll_recv_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.socket.poll_read_ready(cx)
            }

            /// As [`writable`](Self::writable), for hand-written futures. Only the task of the last
            /// call of a sending `poll_` method is woken.
            ///
            /// # Errors
            ///
            /// As [`writable`](Self::writable).
            pub fn poll_send_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.socket.poll_write_ready(cx)
            }

            /// Sends a datagram to the connected peer.
            ///
            /// # Errors
            ///
            /// The error of the operating system: for instance if the socket is not connected, if
            /// the datagram is too large, or if the peer is gone.
            /// [`io::ErrorKind::ConnectionRefused`] tells that a UDP peer rejected an earlier
            /// datagram.
            ///
            /// # Cancel safety
            ///
            /// Cancel safe: if the future is dropped before it is done, nothing was sent.
            pub async fn send(&self, buf: &[u8]) -> io::Result<usize> {
                self.socket
                    .call(Interest::WRITABLE, |socket| send(socket, buf))
                    .await
            }

            /// As [`send`](Self::send), for hand-written futures.
            ///
            /// # Errors
            ///
            /// As [`send`](Self::send).
            pub fn poll_send(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
                self.socket.poll_write_call(cx, |socket| send(socket, buf))
            }

            /// As [`send`](Self::send), without waiting.
            ///
            /// # Errors
            ///
            /// As [`send`](Self::send), and [`io::ErrorKind::WouldBlock`].
            pub fn try_send(&self, buf: &[u8]) -> io::Result<usize> {
                self.socket
                    .try_call(Interest::WRITABLE, |socket| send(socket, buf))
            }

            /// Receives one datagram and returns its length.
            ///
            /// What does not fit into `buf` is lost.
            ///
            /// # Errors
            ///
            /// The error of the operating system; [`io::ErrorKind::ConnectionRefused`] tells that a
            /// UDP peer rejected an earlier datagram.
            ///
            /// # Cancel safety
            ///
            /// Cancel safe: no datagram is lost if the future is dropped.
            pub async fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
                self.socket
                    .call(Interest::READABLE, |socket| socket.recv(buf))
                    .await
            }

            /// As [`recv`](Self::recv), without waiting.
            ///
            /// # Errors
            ///
            /// As [`recv`](Self::recv), and [`io::ErrorKind::WouldBlock`].
            pub fn try_recv(&self, buf: &mut [u8]) -> io::Result<usize> {
                self.socket
                    .try_call(Interest::READABLE, |socket| socket.recv(buf))
            }

            /// Receives one datagram, and returns its length and its sender. An unbound Unix socket
            /// has no name.
            ///
            /// What does not fit into `buf` is lost.
            ///
            /// # Errors
            ///
            /// The error of the operating system.
            ///
            /// # Cancel safety
            ///
            /// Cancel safe: no datagram is lost if the future is dropped.
            pub async fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, $addr)> {
                self.socket
                    .call(Interest::READABLE, |socket| socket.recv_from(buf))
                    .await
            }

            /// As [`recv_from`](Self::recv_from), without waiting.
            ///
            /// # Errors
            ///
            /// As [`recv_from`](Self::recv_from), and [`io::ErrorKind::WouldBlock`].
            pub fn try_recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, $addr)> {
                self.socket
                    .try_call(Interest::READABLE, |socket| socket.recv_from(buf))
            }
        }
    };
}

impl_datagrams!(UdpSocket, std::net::SocketAddr);
#[cfg(unix)]
impl_datagrams!(UnixDatagram, std::os::unix::net::SocketAddr);

fn send(socket: &impl MioSocket, buf: &[u8]) -> io::Result<usize> {
    socket.attempt(|socket| socket.send_with_flags(buf, NO_SIGNAL))
}
