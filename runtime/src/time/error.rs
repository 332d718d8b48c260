//! The errors of this module.

use std::fmt;

/// An error of tokio's timers. The timers of this module have none: the type is here for programs
/// that name it.
#[cfg(feature = "time")]
pub use tokio::time::error::Error;

/// The future of a [`timeout`](super::timeout()) did not complete in time.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub struct Elapsed(pub(super) ());

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("deadline has elapsed")
    }
}

impl std::error::Error for Elapsed {}

impl From<Elapsed> for std::io::Error {
    fn from(elapsed: Elapsed) -> Self {
        std::io::Error::new(std::io::ErrorKind::TimedOut, elapsed)
    }
}
