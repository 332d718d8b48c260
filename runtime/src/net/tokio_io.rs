//! tokio's `AsyncRead` and `AsyncWrite`, and the methods whose tokio form takes its `ReadBuf`.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::socket::MioSocket;
use super::split::{AsStream, OwnedReadHalf, OwnedWriteHalf, ReadHalf, Stream, WriteHalf};
use super::{TcpStream, UdpSocket};

/// Lets `receive` fill what is unfilled of `buf`; it returns how many bytes it wrote at the start
/// of that.
///
/// Every `receive` in this file is one of socket2's receiving methods. They promise to write
/// nothing uninitialised, and to have initialised as many bytes as they return.
fn fill<E>(
    buf: &mut ReadBuf<'_>,
    receive: impl FnOnce(&mut [MaybeUninit<u8>]) -> Poll<io::Result<(usize, E)>>,
) -> Poll<io::Result<E>> {
    // SAFETY: nothing uninitialised is written to the slice, see above.
    let unfilled = unsafe { buf.unfilled_mut() };
    let (n, extra) = ready!(receive(unfilled))?;
    // SAFETY: the first `n` bytes were initialised by the system, see above.
    unsafe { buf.assume_init(n) };
    buf.advance(n);
    Poll::Ready(Ok(extra))
}

// Inlined, as are the methods that every program uses: after a system call a processor may
// mispredict each return (mitigations empty its return stack), and a call less is 8 ns of a read.
#[inline]
fn poll_read(
    half: &impl AsStream,
    cx: &mut Context<'_>,
    buf: &mut ReadBuf<'_>,
) -> Poll<io::Result<()>> {
    let socket = half.stream().socket();
    fill(buf, |buf| {
        socket.poll_read_uninit(cx, buf).map_ok(|n| (n, ()))
    })
}

// A generic impl would cover foreign types; the two streams and their halves are all there is.
macro_rules! impl_read {
    ($([$($param:tt)*] $half:ty),+ $(,)?) => {
        $(
            impl<$($param)*> AsyncRead for $half {
                #[inline]
                fn poll_read(
                    self: Pin<&mut Self>,
                    cx: &mut Context<'_>,
                    buf: &mut ReadBuf<'_>,
                ) -> Poll<io::Result<()>> {
                    poll_read(&*self, cx, buf)
                }
            }
        )+
    };
}

macro_rules! impl_write {
    ($([$($param:tt)*] $half:ty),+ $(,)?) => {
        $(
            impl<$($param)*> AsyncWrite for $half {
                #[inline]
                fn poll_write(
                    self: Pin<&mut Self>,
                    cx: &mut Context<'_>,
                    buf: &[u8],
                ) -> Poll<io::Result<usize>> {
                    self.stream().socket().poll_write(cx, buf)
                }

                fn poll_write_vectored(
                    self: Pin<&mut Self>,
                    cx: &mut Context<'_>,
                    bufs: &[IoSlice<'_>],
                ) -> Poll<io::Result<usize>> {
                    self.stream().socket().poll_write_vectored(cx, bufs)
                }

                fn is_write_vectored(&self) -> bool {
                    true
                }

                fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                    Poll::Ready(Ok(()))
                }

                fn poll_shutdown(
                    self: Pin<&mut Self>,
                    _: &mut Context<'_>,
                ) -> Poll<io::Result<()>> {
                    Poll::Ready(self.get_mut().close_write())
                }
            }
        )+
    };
}

impl_read! { [] TcpStream, [S: Stream] ReadHalf<'_, S>, [S: Stream] OwnedReadHalf<S> }
impl_write! { [] TcpStream, [S: Stream] WriteHalf<'_, S>, [S: Stream] OwnedWriteHalf<S> }

impl TcpStream {
    /// As [`peek`](Self::peek), for hand-written futures. Only the task of the last call of a
    /// reading `poll_` method is woken.
    ///
    /// # Errors
    ///
    /// As [`peek`](Self::peek).
    pub fn poll_peek(
        &self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<usize>> {
        fill(buf, |buf| {
            let peek = |source: &mio::net::TcpStream| source.attempt(|socket| socket.peek(buf));
            self.socket.poll_read_call(cx, peek).map_ok(|n| (n, n))
        })
    }
}

impl ReadHalf<'_, TcpStream> {
    /// As [`peek`](Self::peek), for hand-written futures; see [`TcpStream::poll_peek`].
    ///
    /// # Errors
    ///
    /// As [`peek`](Self::peek).
    pub fn poll_peek(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_peek(cx, buf)
    }
}

impl OwnedReadHalf<TcpStream> {
    /// As [`peek`](Self::peek), for hand-written futures; see [`TcpStream::poll_peek`].
    ///
    /// # Errors
    ///
    /// As [`peek`](Self::peek).
    pub fn poll_peek(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_peek(cx, buf)
    }
}

impl UdpSocket {
    /// As [`recv`](Self::recv), for hand-written futures. Only the task of the last call of a
    /// receiving `poll_` method is woken.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    pub fn poll_recv(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.poll_into(cx, buf, |socket, buf| Ok((socket.recv(buf)?, ())))
    }

    /// As [`recv_from`](Self::recv_from), for hand-written futures. Only the task of the last call
    /// of a receiving `poll_` method is woken.
    ///
    /// # Errors
    ///
    /// As [`recv_from`](Self::recv_from).
    pub fn poll_recv_from(
        &self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<SocketAddr>> {
        self.poll_into(cx, buf, |socket, buf| with_ip(socket.recv_from(buf)?))
    }

    /// As [`peek`](Self::peek), for hand-written futures. Only the task of the last call of a
    /// receiving `poll_` method is woken.
    ///
    /// # Errors
    ///
    /// As [`peek`](Self::peek).
    pub fn poll_peek(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.poll_into(cx, buf, |socket, buf| Ok((socket.peek(buf)?, ())))
    }

    /// As [`peek_from`](Self::peek_from), for hand-written futures. Only the task of the last call
    /// of a receiving `poll_` method is woken.
    ///
    /// # Errors
    ///
    /// As [`peek_from`](Self::peek_from).
    pub fn poll_peek_from(
        &self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<SocketAddr>> {
        self.poll_into(cx, buf, |socket, buf| with_ip(socket.peek_from(buf)?))
    }

    fn poll_into<E>(
        &self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
        mut receive: impl FnMut(SockRef<'_>, &mut [MaybeUninit<u8>]) -> io::Result<(usize, E)>,
    ) -> Poll<io::Result<E>> {
        fill(buf, |buf| {
            self.socket
                .poll_read_call(cx, |source| source.attempt(|socket| receive(socket, buf)))
        })
    }
}

pub(super) fn with_ip((n, sender): (usize, socket2::SockAddr)) -> io::Result<(usize, SocketAddr)> {
    let sender = sender
        .as_socket()
        .ok_or_else(|| io::Error::other("the sender has no IP address"))?;
    Ok((n, sender))
}

#[cfg(unix)]
mod unix {
    use std::os::unix::net::SocketAddr;

    use super::super::{UnixDatagram, UnixStream};
    use super::*;

    impl_read! { [] UnixStream }
    impl_write! { [] UnixStream }

    impl UnixDatagram {
        /// As [`recv`](Self::recv), for hand-written futures. Only the task of the last call of a
        /// receiving `poll_` method is woken.
        ///
        /// # Errors
        ///
        /// As [`recv`](Self::recv).
        pub fn poll_recv(
            &self,
            cx: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            fill(buf, |buf| {
                self.socket.poll_read_call(cx, |source| {
                    source.attempt(|socket| Ok((socket.recv(buf)?, ())))
                })
            })
        }

        /// As [`recv_from`](Self::recv_from), for hand-written futures. Only the task of the last
        /// call of a receiving `poll_` method is woken.
        ///
        /// # Errors
        ///
        /// As [`recv_from`](Self::recv_from).
        pub fn poll_recv_from(
            &self,
            cx: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<SocketAddr>> {
            let received = self
                .socket
                .poll_read_call(cx, |source| source.recv_from(buf.initialize_unfilled()));
            let (n, sender) = ready!(received)?;
            buf.advance(n);
            Poll::Ready(Ok(sender))
        }
    }
}
