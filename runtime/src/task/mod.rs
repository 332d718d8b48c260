//! Tasks: spawned pieces of work, and the handles of their results.
//!
//! A task is a future on the IO lane ([`spawn`](crate::spawn())), a future or a closure on the compute lane
//! ([`compute::spawn`](crate::compute::spawn), [`spawn_compute`](crate::spawn_compute)), or a blocking
//! closure ([`spawn_blocking`]). All four give a [`JoinHandle`].

mod cell;
mod class;
pub mod coop;
mod error;
mod header;
mod id;
mod inbox;
mod join_waker;
mod meta;
mod owners;
mod registry;
mod schedule;
mod slot;
mod state;

#[cfg(not(evenkeel_loom))]
mod join;
#[cfg(not(evenkeel_loom))]
mod join_set;
#[cfg(not(evenkeel_loom))]
mod yield_now;

pub(crate) use cell::new;
pub(crate) use class::{Length, Place, Polled, TaskClass};
pub use coop::{Unconstrained, consume_budget, unconstrained};
pub use error::JoinError;
pub(crate) use header::{Completed, Task, id_of};
pub use id::Id;
pub(crate) use inbox::Inbox;
pub(crate) use meta::Shard;
#[cfg(evenkeel_loom)]
pub(crate) use owners::JoinRef;
pub(crate) use registry::{Registered, Registry};
pub(crate) use schedule::Schedule;
pub(crate) use slot::{Slot, SlotOwner};

#[cfg(not(evenkeel_loom))]
pub use crate::runtime::takeover::in_place::block_in_place;
#[cfg(not(evenkeel_loom))]
pub use crate::spawn::{spawn, spawn_blocking};
#[cfg(not(evenkeel_loom))]
pub use join::{AbortHandle, JoinHandle};
#[cfg(not(evenkeel_loom))]
pub use join_set::JoinSet;
#[cfg(not(evenkeel_loom))]
pub use yield_now::yield_now;
