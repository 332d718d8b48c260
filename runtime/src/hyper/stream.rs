//! hyper's IO traits for the sockets.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBufCursor, Write};

use crate::net::split::{AsStream, Stream};

fn poll_read(
    stream: &impl Stream,
    cx: &mut Context<'_>,
    mut buf: ReadBufCursor<'_>,
) -> Poll<io::Result<()>> {
    // SAFETY: the slice is only given to `poll_read_uninit`, which writes nothing uninitialised to
    // it.
    let unfilled = unsafe { buf.as_mut() };
    let n = ready!(stream.socket().poll_read_uninit(cx, unfilled))?;
    // SAFETY: `poll_read_uninit` has initialised the first `n` bytes.
    unsafe { buf.advance(n) };
    Poll::Ready(Ok(()))
}

// A generic impl would cover foreign types; the two streams are all there is.
macro_rules! impl_io {
    ($stream:ty) => {
        impl Read for $stream {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: ReadBufCursor<'_>,
            ) -> Poll<io::Result<()>> {
                poll_read(&*self, cx, buf)
            }
        }

        impl Write for $stream {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                self.socket().poll_write(cx, buf)
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                self.socket().poll_write_vectored(cx, bufs)
            }

            fn is_write_vectored(&self) -> bool {
                true
            }

            fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }

            fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(self.get_mut().close_write())
            }
        }
    };
}

impl_io!(crate::net::TcpStream);
#[cfg(unix)]
impl_io!(crate::net::UnixStream);
