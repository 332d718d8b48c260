//! Reading and writing.
//!
//! - The traits, and the helpers on top of them, are tokio's own, by name (feature `tokio-io`, on
//!   by default). The streams of [`net`](crate::net) implement them, and those of futures-io and
//!   hyper where these are on.
//! - [`stdin`], [`stdout`] and [`stderr`] (feature `io-std`).
//! - [`Interest`] and [`Ready`]: what to wait for, and what was found. [`AsyncFd`] is for
//!   descriptors that no type of [`net`](crate::net) covers.

#[cfg(unix)]
mod async_fd;
#[cfg(any(feature = "fs", feature = "io-std"))]
pub(crate) mod inflow;
#[cfg(any(feature = "fs", feature = "io-std"))]
pub(crate) mod outbox;
#[cfg(feature = "io-std")]
mod stdin;
#[cfg(feature = "io-std")]
mod stdout;

#[cfg(unix)]
pub use async_fd::{AsyncFd, AsyncFdReadyGuard, AsyncFdReadyMutGuard, InRuntime};
#[cfg(unix)]
pub use evenkeel_io_driver::{AsyncFdRegisterError, TryIoError};
pub use evenkeel_io_driver::{Interest, Ready};
#[doc(no_inline)]
pub use std::io::{Error, ErrorKind, Result, SeekFrom};
#[cfg(feature = "io-std")]
pub use stdin::{Stdin, stdin};
#[cfg(feature = "io-std")]
pub use stdout::{Stderr, Stdout, stderr, stdout};
#[cfg(feature = "tokio-io")]
pub use tokio::io::{
    AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncSeek, AsyncSeekExt, AsyncWrite,
    AsyncWriteExt, BufReader, BufStream, BufWriter, Chain, DuplexStream, Empty, Join, Lines,
    ReadBuf, ReadHalf, Repeat, SimplexStream, Sink, Split, Take, WriteHalf, copy,
    copy_bidirectional, copy_bidirectional_with_sizes, copy_buf, duplex, empty, join, repeat,
    simplex, sink, split,
};

/// What only Unix has, where tokio has it.
#[cfg(unix)]
pub mod unix {
    pub use super::{
        AsyncFd, AsyncFdReadyGuard, AsyncFdReadyMutGuard, AsyncFdRegisterError, TryIoError,
    };

    /// What tokio called [`AsyncFdRegisterError`] before.
    #[doc(hidden)]
    pub type AsyncFdTryNewError<T> = AsyncFdRegisterError<T>;
}
