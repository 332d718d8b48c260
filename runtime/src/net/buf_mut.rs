//! The methods of sockets that take a `BufMut` of the crate bytes, and put what they receive behind
//! what is there.

use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;

use bytes::BufMut;
use socket2::SockRef;

use super::socket::{MioSocket, MioStream, Socket};
use super::split::{AsStream, OwnedReadHalf, ReadHalf, Stream};
use super::tokio_io::with_ip;
use super::{TcpStream, UdpSocket};
use crate::io::Interest;

/// Lets `receive` fill the next piece of `buf`; it returns how many bytes it wrote at the start of
/// that.
///
/// Every `receive` in this file is one of socket2's receiving methods, or `read` of rustix, which
/// promise to write nothing uninitialised, and to have initialised as many bytes as they return; or
/// it initialises all before.
fn fill<B: BufMut, E>(
    buf: &mut B,
    receive: impl FnOnce(&mut [MaybeUninit<u8>]) -> io::Result<(usize, E)>,
) -> io::Result<(usize, E)> {
    // SAFETY: nothing uninitialised is written to the slice, see above.
    let piece = unsafe { buf.chunk_mut().as_uninit_slice_mut() };
    let (n, extra) = receive(piece)?;
    // SAFETY: the first `n` bytes were initialised by the system, see above.
    unsafe { buf.advance_mut(n) };
    Ok((n, extra))
}

fn recv(socket: SockRef<'_>, buf: &mut [MaybeUninit<u8>]) -> io::Result<(usize, ())> {
    Ok((socket.recv(buf)?, ()))
}

fn recv_from(socket: SockRef<'_>, buf: &mut [MaybeUninit<u8>]) -> io::Result<(usize, SocketAddr)> {
    with_ip(socket.recv_from(buf)?)
}

fn try_read_buf<S: MioStream>(socket: &Socket<S>, buf: &mut impl BufMut) -> io::Result<usize> {
    let read = socket.try_call(Interest::READABLE, |source| {
        source.attempt(|socket| fill(buf, |buf| recv(socket, buf)))
    });
    Ok(read?.0)
}

// The streams and their halves have this in common, but no trait that users see.
macro_rules! impl_stream {
    ([$($param:tt)*] $stream:ty) => {
        impl<$($param)*> $stream {
            /// As [`try_read`](Self::try_read), behind what is in `buf`; it grows by what is read.
            ///
            /// # Errors
            ///
            /// As [`try_read`](Self::try_read).
            pub fn try_read_buf<B: BufMut>(&self, buf: &mut B) -> io::Result<usize> {
                try_read_buf(self.stream().socket(), buf)
            }
        }
    };
}

impl_stream!([] TcpStream);
#[cfg(unix)]
impl_stream!([] super::UnixStream);
impl_stream!([S: Stream] ReadHalf<'_, S>);
impl_stream!([S: Stream] OwnedReadHalf<S>);

#[cfg(unix)]
impl super::unix::pipe::Receiver {
    /// As [`try_read`](Self::try_read), behind what is in `buf`; it grows by what is read.
    ///
    /// # Errors
    ///
    /// As [`try_read`](Self::try_read).
    pub fn try_read_buf<B: BufMut>(&self, buf: &mut B) -> io::Result<usize> {
        let read = self.pipe.try_call(Interest::READABLE, |pipe| {
            let read = |buf: &mut [MaybeUninit<u8>]| {
                let (filled, _) = rustix::io::read(pipe, buf)?;
                Ok((filled.len(), ()))
            };
            pipe.try_io(|| fill(buf, read))
        });
        Ok(read?.0)
    }
}

macro_rules! impl_datagrams {
    ($socket:ty) => {
        impl $socket {
            /// As [`recv`](Self::recv), behind what is in `buf`, whose room for that is all that a
            /// datagram may have.
            ///
            /// # Errors
            ///
            /// As [`recv`](Self::recv).
            ///
            /// # Cancel safety
            ///
            /// Cancel safe: if the future is dropped before it is done, nothing was received.
            pub async fn recv_buf<B: BufMut>(&self, buf: &mut B) -> io::Result<usize> {
                let received = self.socket.call(Interest::READABLE, |source| {
                    source.attempt(|socket| fill(buf, |buf| recv(socket, buf)))
                });
                Ok(received.await?.0)
            }

            /// As [`try_recv`](Self::try_recv), behind what is in `buf`.
            ///
            /// # Errors
            ///
            /// As [`try_recv`](Self::try_recv).
            pub fn try_recv_buf<B: BufMut>(&self, buf: &mut B) -> io::Result<usize> {
                let received = self.socket.try_call(Interest::READABLE, |source| {
                    source.attempt(|socket| fill(buf, |buf| recv(socket, buf)))
                });
                Ok(received?.0)
            }
        }
    };
}

impl_datagrams!(UdpSocket);
#[cfg(unix)]
impl_datagrams!(super::UnixDatagram);

impl UdpSocket {
    /// As [`recv_from`](Self::recv_from), behind what is in `buf`.
    ///
    /// # Errors
    ///
    /// As [`recv_from`](Self::recv_from).
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: if the future is dropped before it is done, nothing was received.
    pub async fn recv_buf_from<B: BufMut>(&self, buf: &mut B) -> io::Result<(usize, SocketAddr)> {
        let received = self.socket.call(Interest::READABLE, |source| {
            source.attempt(|socket| fill(buf, |buf| recv_from(socket, buf)))
        });
        received.await
    }

    /// As [`try_recv_from`](Self::try_recv_from), behind what is in `buf`.
    ///
    /// # Errors
    ///
    /// As [`try_recv_from`](Self::try_recv_from).
    pub fn try_recv_buf_from<B: BufMut>(&self, buf: &mut B) -> io::Result<(usize, SocketAddr)> {
        self.socket.try_call(Interest::READABLE, |source| {
            source.attempt(|socket| fill(buf, |buf| recv_from(socket, buf)))
        })
    }
}

#[cfg(unix)]
mod unix {
    use std::io;
    use std::mem::MaybeUninit;
    use std::os::unix::net::SocketAddr;
    use std::ptr;

    use bytes::BufMut;

    use super::super::UnixDatagram;
    use super::fill;
    use crate::io::Interest;

    impl UnixDatagram {
        /// As [`recv_from`](Self::recv_from), behind what is in `buf`.
        ///
        /// # Errors
        ///
        /// As [`recv_from`](Self::recv_from).
        ///
        /// # Cancel safety
        ///
        /// Cancel safe: if the future is dropped before it is done, nothing was received.
        pub async fn recv_buf_from<B: BufMut>(
            &self,
            buf: &mut B,
        ) -> io::Result<(usize, SocketAddr)> {
            let received = self
                .socket
                .call(Interest::READABLE, |socket| recv_buf_from(socket, buf));
            received.await
        }

        /// As [`try_recv_from`](Self::try_recv_from), behind what is in `buf`.
        ///
        /// # Errors
        ///
        /// As [`try_recv_from`](Self::try_recv_from).
        pub fn try_recv_buf_from<B: BufMut>(&self, buf: &mut B) -> io::Result<(usize, SocketAddr)> {
            self.socket
                .try_call(Interest::READABLE, |socket| recv_buf_from(socket, buf))
        }
    }

    /// Only the standard library makes an address of any name that a sender may have, and it wants
    /// initialised memory.
    fn recv_buf_from(
        socket: &mio::net::UnixDatagram,
        buf: &mut impl BufMut,
    ) -> io::Result<(usize, SocketAddr)> {
        fill(buf, |piece| {
            piece.fill(MaybeUninit::new(0));
            // SAFETY: all of it was just initialised, and `u8` has the layout of its `MaybeUninit`.
            let piece = unsafe { &mut *(ptr::from_mut(piece) as *mut [u8]) };
            socket.recv_from(piece)
        })
    }
}
