//! Tasks: spawned pieces of work, and the handles of their results.
//!
//! A task is a future on the IO lane ([`spawn`](crate::spawn())), a future or a closure on the compute lane
//! ([`compute::spawn`](crate::compute::spawn), [`spawn_compute`](crate::spawn_compute)), or a blocking
//! closure ([`spawn_blocking`]). All four give a [`JoinHandle`].

mod cell;
mod class;
pub mod coop;
mod error;
mod inbox;
mod join_waker;
mod label;
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

pub(crate) use cell::{TaskRef, new};
pub(crate) use class::{Length, Place, Polled, TaskClass};
pub use coop::{Unconstrained, consume_budget, unconstrained};
pub use error::JoinError;
pub(crate) use inbox::Inbox;
#[cfg(evenkeel_loom)]
pub(crate) use owners::Handle;
pub(crate) use owners::{Task, id_of};
pub(crate) use registry::Registry;
pub(crate) use schedule::{Schedule, Shard};
pub(crate) use slot::Slot;

#[cfg(not(evenkeel_loom))]
pub use crate::runtime::block_in_place::block_in_place;
#[cfg(not(evenkeel_loom))]
pub use crate::spawn::{spawn, spawn_blocking};
#[cfg(not(evenkeel_loom))]
pub use join::{AbortHandle, JoinHandle};
#[cfg(not(evenkeel_loom))]
pub use join_set::JoinSet;
#[cfg(not(evenkeel_loom))]
pub use yield_now::yield_now;

use std::cell::Cell;
use std::fmt;
use std::num::NonZeroU64;

/// The number of a task, unique among the tasks of this process.
///
/// Numbers are handed out to threads in blocks, so they tell nothing about the order of spawning. They begin
/// again after 2^45 of them, which is ten million tasks a second for forty days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Id(NonZeroU64);

impl Id {
    /// The cell of a task has so many for it.
    const BITS: u32 = 45;
    const MASK: u64 = (1 << Id::BITS) - 1;

    /// A block is large enough that the shared counter is hardly ever touched.
    const BLOCK: u64 = 1 << 12;

    pub(crate) fn next() -> Id {
        // A plain atomic, not a modelled one: no protocol depends on it.
        static BLOCKS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        thread_local! {
            static NEXT: Cell<u64> = const { Cell::new(0) };
        }
        NEXT.with(|next| {
            let mut id = next.get();
            if id % Id::BLOCK == 0 {
                let block = BLOCKS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                id = block * Id::BLOCK;
            }
            next.set(id + 1);
            // All of the bits are zero once in 2^45.
            Id::from_u64((id + 1) & Id::MASK)
        })
        .unwrap_or_else(Id::next)
    }

    fn from_u64(id: u64) -> Option<Id> {
        NonZeroU64::new(id).map(Id)
    }
}

impl Id {
    pub(crate) fn as_u64(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
