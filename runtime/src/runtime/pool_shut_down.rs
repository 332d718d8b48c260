//! The error of an operation that the blocking pool was to carry out.

use std::error::Error;
use std::fmt;
use std::io;

#[derive(Debug)]
struct ShutDown;

impl fmt::Display for ShutDown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the runtime was shut down before this was done")
    }
}

impl Error for ShutDown {}

pub(crate) fn error() -> io::Error {
    io::Error::other(ShutDown)
}

pub(super) fn is(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<ShutDown>())
}
