//! Registering a descriptor with the current runtime.

use std::io;
use std::os::fd::AsRawFd;

use crate::async_fd::{AsyncFd, CurrentRuntime};
use crate::interest::Interest;
use crate::register_error::AsyncFdRegisterError;

impl<T: AsRawFd, C: CurrentRuntime> AsyncFd<T, C> {
    /// Registers the descriptor of `inner` for reading and writing, with the current runtime.
    ///
    /// # Errors
    /// The error of the operating system, for instance if the descriptor is a regular file or is
    /// registered already; `inner` is dropped.
    ///
    /// # Panics
    /// Panics outside a runtime.
    #[track_caller]
    pub fn new(inner: T) -> io::Result<Self> {
        Self::with_interest(inner, Interest::READABLE | Interest::WRITABLE)
    }

    /// Registers the descriptor of `inner` for `interest`, with the current runtime. Waiting for
    /// anything else may be for ever.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    ///
    /// # Panics
    /// Panics outside a runtime.
    #[track_caller]
    pub fn with_interest(inner: T, interest: Interest) -> io::Result<Self> {
        Ok(Self::try_register(inner, interest, &C::handle())?)
    }

    /// As [`new`](Self::new), but gives `inner` back with the error.
    ///
    /// The descriptor has to stay open and the same while this lives: else its end may deregister
    /// another's, which then waits for ever.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    ///
    /// # Panics
    /// Panics outside a runtime.
    #[track_caller]
    pub fn register(inner: T) -> Result<Self, AsyncFdRegisterError<T>> {
        Self::register_with_interest(inner, Interest::READABLE | Interest::WRITABLE)
    }

    /// As [`with_interest`](Self::with_interest), but gives `inner` back with the error.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    ///
    /// # Panics
    /// Panics outside a runtime.
    #[track_caller]
    pub fn register_with_interest(
        inner: T,
        interest: Interest,
    ) -> Result<Self, AsyncFdRegisterError<T>> {
        Self::try_register(inner, interest, &C::handle())
    }

    /// What tokio called [`register`](Self::register) before.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    ///
    /// # Panics
    /// Panics outside a runtime.
    #[doc(hidden)]
    #[track_caller]
    pub fn try_new(inner: T) -> Result<Self, AsyncFdRegisterError<T>> {
        Self::register(inner)
    }

    /// What tokio called [`register_with_interest`](Self::register_with_interest) before.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    ///
    /// # Panics
    /// Panics outside a runtime.
    #[doc(hidden)]
    #[track_caller]
    pub fn try_with_interest(
        inner: T,
        interest: Interest,
    ) -> Result<Self, AsyncFdRegisterError<T>> {
        Self::register_with_interest(inner, interest)
    }
}
