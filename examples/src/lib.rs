//! The services of the examples, as a library, so that the tests drive what the binaries run.
//!
//! - [`login`]: password hashes on the compute lane, files through the blocking pool;
//! - [`thumbnails`]: images scaled on the compute lane;
//! - [`server`], [`http`], [`gate`] and [`signal`]: what both need around that.

#![forbid(unsafe_code)]

pub mod gate;
pub mod http;
pub mod login;
pub mod server;
pub mod signal;
pub mod thumbnails;
