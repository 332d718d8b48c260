//! A value whose registration has failed.

use std::error::Error;
use std::fmt;
use std::io;

/// A value that could not be registered, from [`AsyncFd::register`](crate::AsyncFd::register), and
/// why.
pub struct AsyncFdRegisterError<T> {
    pub(crate) inner: T,
    pub(crate) cause: io::Error,
}

impl<T> AsyncFdRegisterError<T> {
    /// The value and the system's error.
    pub fn into_parts(self) -> (T, io::Error) {
        (self.inner, self.cause)
    }
}

impl<T> fmt::Display for AsyncFdRegisterError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.fmt(f)
    }
}

impl<T> fmt::Debug for AsyncFdRegisterError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.fmt(f)
    }
}

impl<T> Error for AsyncFdRegisterError<T> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.cause)
    }
}

impl<T> From<AsyncFdRegisterError<T>> for io::Error {
    fn from(error: AsyncFdRegisterError<T>) -> io::Error {
        error.cause
    }
}
