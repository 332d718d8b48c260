//! Between tokio's IO traits and hyper's.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pin_project! {
    /// Gives a stream of tokio's IO traits those of hyper, and the other way round.
    ///
    /// # Examples
    ///
    /// ```
    /// use evenkeel::hyper::Io;
    /// use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    ///
    /// # evenkeel::runtime::Runtime::new().unwrap().block_on(async {
    /// let (left, mut right) = duplex(64);
    /// // A tokio stream as one of hyper's, and that as a tokio stream again.
    /// let mut left = Io::new(Io::new(left));
    /// left.write_all(b"through both").await?;
    /// let mut buf = [0; 12];
    /// right.read_exact(&mut buf).await?;
    /// assert_eq!(&buf, b"through both");
    /// # std::io::Result::Ok(()) }).unwrap();
    /// ```
    #[derive(Debug)]
    pub struct Io<T> {
        #[pin]
        inner: T,
    }
}

impl<T> Io<T> {
    /// Wraps a stream.
    pub fn new(inner: T) -> Self {
        Self { inner }
    }

    /// The stream.
    pub fn inner(&self) -> &T {
        &self.inner
    }

    /// The stream.
    pub fn inner_mut(&mut self) -> &mut T {
        &mut self.inner
    }

    /// Takes the stream out.
    pub fn into_inner(self) -> T {
        self.inner
    }
}

impl<T: AsyncRead> hyper::rt::Read for Io<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        // SAFETY: the slice is only given to a `ReadBuf`, which lets nobody write uninitialised
        // bytes to it without an unsafe block of their own.
        let unfilled = unsafe { buf.as_mut() };
        let start = unfilled.as_ptr();
        let mut unfilled = ReadBuf::uninit(unfilled);
        ready!(self.project().inner.poll_read(cx, &mut unfilled))?;
        // A reader could have put another buffer in the place of this one, and then its bytes are
        // elsewhere.
        assert_eq!(
            unfilled.filled().as_ptr(),
            start.cast(),
            "the stream exchanged its buffer"
        );
        let n = unfilled.filled().len();
        // SAFETY: the first `n` bytes of the slice are filled, as the `ReadBuf` around it says.
        unsafe { buf.advance(n) };
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite> hyper::rt::Write for Io<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.project().inner.poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.project().inner.poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().inner.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().inner.poll_shutdown(cx)
    }
}

impl<T: hyper::rt::Read> AsyncRead for Io<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let n = {
            let mut unfilled = hyper::rt::ReadBuf::new(buf.initialize_unfilled());
            ready!(self.project().inner.poll_read(cx, unfilled.unfilled()))?;
            unfilled.filled().len()
        };
        buf.advance(n);
        Poll::Ready(Ok(()))
    }
}

impl<T: hyper::rt::Write> AsyncWrite for Io<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.project().inner.poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.project().inner.poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().inner.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().inner.poll_shutdown(cx)
    }
}
