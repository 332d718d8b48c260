//! Tasks: spawned pieces of work, and the handles of their results.
//!
//! A task is a future on the IO lane ([`spawn`](crate::spawn())), a future or a closure on the
//! compute lane ([`compute::spawn`](crate::compute::spawn),
//! [`spawn_compute`](crate::spawn_compute)), a blocking closure ([`spawn_blocking`]), or a future
//! that stays on its thread ([`spawn_local`]). All of them give a [`JoinHandle`].

pub mod coop;
mod id;
mod join_set;
pub(crate) mod local;
mod yield_now;

pub use crate::join::{AbortHandle, JoinError, JoinHandle};
pub use crate::runtime::block_in_place::block_in_place;
pub use crate::spawn::{spawn, spawn_blocking};
pub use crate::tasks::Id;
pub use coop::{Unconstrained, consume_budget, unconstrained};
pub use id::{id, try_id};
pub use join_set::JoinSet;
pub use local::{LocalEnterGuard, LocalSet, spawn_local};
#[cfg(feature = "rt")]
pub use tokio::task::LocalKey;
pub use yield_now::yield_now;

/// The futures of this module that have names.
#[cfg(feature = "rt")]
pub mod futures {
    pub use tokio::task::futures::TaskLocalFuture;
}
