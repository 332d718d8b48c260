//! The services of the examples, as a library, so that the tests drive what the binaries run.
//!
//! - [`login`]: password hashes on the compute lane, files through the blocking pool;
//! - [`thumbnails`]: images scaled on the compute lane;
//! - [`kv`]: a key-value store for redis's clients;
//! - [`chat`]: rooms over WebSocket, searched on the compute lane;
//! - `api`, with the feature of that name: accounts, with axum, sqlx and reqwest;
//! - [`server`], [`http`], [`gate`] and [`signal`]: what these need around that.

#![forbid(unsafe_code)]

#[cfg(feature = "api")]
pub mod api;
pub mod chat;
pub mod gate;
pub mod http;
pub mod kv;
pub mod login;
pub mod server;
pub mod signal;
pub mod thumbnails;
