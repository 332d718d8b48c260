//! Readiness: what to wait for, what was found, and descriptors that no type of [`net`](crate::net)
//! covers.
//!
//! The IO traits are not defined here: sockets implement those of tokio, futures-io and hyper, see
//! [`net`](crate::net).

#[cfg(unix)]
mod async_fd;

#[cfg(unix)]
pub use async_fd::{AsyncFd, AsyncFdReadyGuard, AsyncFdReadyMutGuard, InRuntime};
#[cfg(unix)]
pub use evenkeel_io_driver::TryIoError;
pub use evenkeel_io_driver::{Interest, Ready};
