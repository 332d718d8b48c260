//! The two directions of a stream, to be used from different tasks.
//!
//! One implementation serves TCP and Unix streams; [`tcp`](super::tcp) and [`unix`](super::unix)
//! name its types.

use std::error::Error;
use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::Shutdown;
use std::sync::Arc;

use super::TcpStream;
use super::socket::{MioStream, Socket};
use crate::io::{Interest, Ready};

/// A stream that can be split. Sealed: these are [`TcpStream`] and `UnixStream`.
pub trait Stream: fmt::Debug + Send + Sync + Unpin + Sized + 'static {
    #[doc(hidden)]
    type Source: MioStream;
    /// The type of the stream's addresses.
    type Addr;

    #[doc(hidden)]
    fn socket(&self) -> &Socket<Self::Source>;
    #[doc(hidden)]
    fn local(&self) -> io::Result<Self::Addr>;
    #[doc(hidden)]
    fn peer(&self) -> io::Result<Self::Addr>;
}

/// The reading half of a stream, borrowed from it by `split`.
#[derive(Debug)]
pub struct ReadHalf<'a, S: Stream>(&'a S);

/// The writing half of a stream, borrowed from it by `split`.
///
/// Dropping it does not shut the direction down: the stream is still there.
#[derive(Debug)]
pub struct WriteHalf<'a, S: Stream>(&'a S);

/// The owned reading half of a stream, made by `into_split`.
#[derive(Debug)]
pub struct OwnedReadHalf<S: Stream>(Arc<S>);

/// The owned writing half of a stream, made by `into_split`.
///
/// Dropping it shuts down the writing direction, so that the peer sees the end of the stream even
/// while the reading half lives. [`forget`](Self::forget) drops it without that.
#[derive(Debug)]
pub struct OwnedWriteHalf<S: Stream> {
    stream: Arc<S>,
    shut_down_on_drop: bool,
}

/// Two halves that do not belong to the same stream; they can be taken out again.
#[derive(Debug)]
pub struct ReuniteError<S: Stream>(pub OwnedReadHalf<S>, pub OwnedWriteHalf<S>);

impl<S: Stream> fmt::Display for ReuniteError<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("these halves come from two different streams")
    }
}

impl<S: Stream> Error for ReuniteError<S> {}

pub(crate) fn split<S: Stream>(stream: &mut S) -> (ReadHalf<'_, S>, WriteHalf<'_, S>) {
    (ReadHalf(stream), WriteHalf(stream))
}

pub(crate) fn into_split<S: Stream>(stream: S) -> (OwnedReadHalf<S>, OwnedWriteHalf<S>) {
    let stream = Arc::new(stream);
    let write = OwnedWriteHalf {
        stream: stream.clone(),
        shut_down_on_drop: true,
    };
    (OwnedReadHalf(stream), write)
}

fn reunite<S: Stream>(
    read: OwnedReadHalf<S>,
    write: OwnedWriteHalf<S>,
) -> Result<S, ReuniteError<S>> {
    if !Arc::ptr_eq(&read.0, &write.stream) {
        return Err(ReuniteError(read, write));
    }
    write.forget();
    // Two handles exist per stream, and one of the two is gone.
    Ok(Arc::into_inner(read.0).expect("the halves were the only owners of their stream"))
}

// Inherent methods of two types each, which a trait would have to be imported for.
macro_rules! impl_half {
    ($($half:tt)+) => {
        impl<S: Stream> $($half)+ {
            /// Waits until the stream is ready for any of `interest`; see [`TcpStream::ready`].
            ///
            /// # Errors
            ///
            /// Fails if the runtime was shut down.
            ///
            /// # Cancel safety
            ///
            /// Cancel safe: readiness that was not used is still there for the next call.
            pub async fn ready(&self, interest: Interest) -> io::Result<Ready> {
                self.stream().socket().ready(interest).await
            }

            /// The address of the peer.
            ///
            /// # Errors
            ///
            /// The error of the operating system, for instance if the stream is no longer
            /// connected.
            pub fn peer_addr(&self) -> io::Result<S::Addr> {
                self.stream().peer()
            }

            /// The address of this end.
            ///
            /// # Errors
            ///
            /// The error of the operating system.
            pub fn local_addr(&self) -> io::Result<S::Addr> {
                self.stream().local()
            }
        }
    };
}

macro_rules! impl_read_half {
    ($($half:tt)+) => {
        impl_half!($($half)+);

        impl<S: Stream> $($half)+ {
            /// Waits until the stream can be read; see [`TcpStream::readable`].
            ///
            /// # Errors
            ///
            /// Fails if the runtime was shut down.
            ///
            /// # Cancel safety
            ///
            /// Cancel safe: readiness that was not used is still there for the next call.
            pub async fn readable(&self) -> io::Result<()> {
                self.stream().socket().readable().await
            }

            /// Reads what is there without waiting; see [`TcpStream::try_read`].
            ///
            /// # Errors
            ///
            /// [`io::ErrorKind::WouldBlock`] if nothing is known to be there, or the error of the
            /// read.
            pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
                self.stream().socket().try_read(buf)
            }

            /// As [`try_read`](Self::try_read), into several buffers.
            ///
            /// # Errors
            ///
            /// As [`try_read`](Self::try_read).
            pub fn try_read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                self.stream().socket().try_read_vectored(bufs)
            }
        }
    };
}

macro_rules! impl_write_half {
    ($($half:tt)+) => {
        impl_half!($($half)+);

        impl<S: Stream> $($half)+ {
            /// Waits until the stream can be written; see [`TcpStream::writable`].
            ///
            /// # Errors
            ///
            /// Fails if the runtime was shut down.
            ///
            /// # Cancel safety
            ///
            /// Cancel safe: readiness that was not used is still there for the next call.
            pub async fn writable(&self) -> io::Result<()> {
                self.stream().socket().writable().await
            }

            /// Writes what fits without waiting; see [`TcpStream::try_write`].
            ///
            /// # Errors
            ///
            /// [`io::ErrorKind::WouldBlock`] if nothing is known to fit, or the error of the write.
            pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
                self.stream().socket().try_write(buf)
            }

            /// As [`try_write`](Self::try_write), from several buffers.
            ///
            /// # Errors
            ///
            /// As [`try_write`](Self::try_write).
            pub fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
                self.stream().socket().try_write_vectored(bufs)
            }
        }
    };
}

impl_read_half!(ReadHalf<'_, S>);
impl_read_half!(OwnedReadHalf<S>);
impl_write_half!(WriteHalf<'_, S>);
impl_write_half!(OwnedWriteHalf<S>);

impl<S: Stream> OwnedReadHalf<S> {
    /// Puts the stream together again.
    ///
    /// # Errors
    ///
    /// [`ReuniteError`], with both halves inside, if they are not of the same stream.
    pub fn reunite(self, other: OwnedWriteHalf<S>) -> Result<S, ReuniteError<S>> {
        reunite(self, other)
    }
}

impl<S: Stream> OwnedWriteHalf<S> {
    /// Puts the stream together again.
    ///
    /// # Errors
    ///
    /// [`ReuniteError`], with both halves inside, if they are not of the same stream.
    pub fn reunite(self, other: OwnedReadHalf<S>) -> Result<S, ReuniteError<S>> {
        reunite(other, self)
    }

    /// Drops this half without shutting the writing direction down.
    pub fn forget(mut self) {
        self.shut_down_on_drop = false;
    }
}

impl<S: Stream> Drop for OwnedWriteHalf<S> {
    fn drop(&mut self) {
        if self.shut_down_on_drop {
            // Nobody is left to tell about an error, and the stream is given up in this direction
            // anyway.
            let _ = self.stream.socket().shutdown(Shutdown::Write);
        }
    }
}

impl ReadHalf<'_, TcpStream> {
    /// Receives without taking the bytes out of the stream; see [`TcpStream::peek`].
    ///
    /// # Errors
    ///
    /// The error of the read.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: nothing is taken out of the stream.
    pub async fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.peek(buf).await
    }
}

impl OwnedReadHalf<TcpStream> {
    /// Receives without taking the bytes out of the stream; see [`TcpStream::peek`].
    ///
    /// # Errors
    ///
    /// The error of the read.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: nothing is taken out of the stream.
    pub async fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.peek(buf).await
    }
}

impl<S: Stream> AsRef<S> for ReadHalf<'_, S> {
    fn as_ref(&self) -> &S {
        self.0
    }
}

impl<S: Stream> AsRef<S> for WriteHalf<'_, S> {
    fn as_ref(&self) -> &S {
        self.0
    }
}

impl<S: Stream> AsRef<S> for OwnedReadHalf<S> {
    fn as_ref(&self) -> &S {
        &self.0
    }
}

impl<S: Stream> AsRef<S> for OwnedWriteHalf<S> {
    fn as_ref(&self) -> &S {
        &self.stream
    }
}

/// What the IO traits of tokio, futures-io and hyper are implemented for: a stream or a half of
/// one.
#[allow(dead_code, reason = "the features select the traits")]
pub(crate) trait AsStream {
    type Stream: Stream;

    fn stream(&self) -> &Self::Stream;

    /// Shuts the writing direction down.
    fn close_write(&mut self) -> io::Result<()> {
        self.stream().socket().shutdown(Shutdown::Write)
    }
}

impl<S: Stream> AsStream for S {
    type Stream = S;

    fn stream(&self) -> &S {
        self
    }
}

impl<S: Stream> AsStream for ReadHalf<'_, S> {
    type Stream = S;

    fn stream(&self) -> &S {
        self.0
    }
}

impl<S: Stream> AsStream for WriteHalf<'_, S> {
    type Stream = S;

    fn stream(&self) -> &S {
        self.0
    }
}

impl<S: Stream> AsStream for OwnedReadHalf<S> {
    type Stream = S;

    fn stream(&self) -> &S {
        &self.0
    }
}

impl<S: Stream> AsStream for OwnedWriteHalf<S> {
    type Stream = S;

    fn stream(&self) -> &S {
        &self.stream
    }

    fn close_write(&mut self) -> io::Result<()> {
        self.stream.socket().shutdown(Shutdown::Write)?;
        self.shut_down_on_drop = false;
        Ok(())
    }
}
