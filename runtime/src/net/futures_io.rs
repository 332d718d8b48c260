//! `AsyncRead` and `AsyncWrite` of futures-io.

use std::io::{self, IoSlice, IoSliceMut};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};

use super::TcpStream;
use super::split::{AsStream, OwnedReadHalf, OwnedWriteHalf, ReadHalf, Stream, WriteHalf};

// A generic impl would cover foreign types; the two streams and their halves are all there is.
macro_rules! impl_read {
    ($([$($param:tt)*] $half:ty),+ $(,)?) => {
        $(
            impl<$($param)*> AsyncRead for $half {
                fn poll_read(
                    self: Pin<&mut Self>,
                    cx: &mut Context<'_>,
                    buf: &mut [u8],
                ) -> Poll<io::Result<usize>> {
                    self.stream().socket().poll_read(cx, buf)
                }

                fn poll_read_vectored(
                    self: Pin<&mut Self>,
                    cx: &mut Context<'_>,
                    bufs: &mut [IoSliceMut<'_>],
                ) -> Poll<io::Result<usize>> {
                    self.stream().socket().poll_read_vectored(cx, bufs)
                }
            }
        )+
    };
}

macro_rules! impl_write {
    ($([$($param:tt)*] $half:ty),+ $(,)?) => {
        $(
            impl<$($param)*> AsyncWrite for $half {
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

                fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                    Poll::Ready(Ok(()))
                }

                fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                    Poll::Ready(self.get_mut().close_write())
                }
            }
        )+
    };
}

impl_read! { [] TcpStream, [S: Stream] ReadHalf<'_, S>, [S: Stream] OwnedReadHalf<S> }
impl_write! { [] TcpStream, [S: Stream] WriteHalf<'_, S>, [S: Stream] OwnedWriteHalf<S> }

#[cfg(unix)]
impl_read! { [] super::UnixStream }
#[cfg(unix)]
impl_write! { [] super::UnixStream }
