//! The engine of tasks: their cells, the rights to them, and the places where they wait.
//!
//! What users see of it is in [`task`](crate::task) and [`join`](crate::join). It knows nothing of
//! lanes: what a task asks of whoever schedules it is the trait [`Schedule`].

pub(crate) mod budget;
mod cell;
mod class;
mod header;
mod id;
mod inbox;
mod meta;
mod owners;
mod registry;
mod schedule;
mod slot;
mod state;

pub(crate) use cell::{new, new_local};
pub(crate) use class::{Length, Place, Polled, TaskClass};
pub(crate) use header::{Completed, Task};
pub use id::Id;
pub(crate) use id::current as current_id;
pub(crate) use inbox::Inbox;
pub(crate) use meta::Shard;
pub(crate) use owners::{AbortRef, DeferredWake, Failure, JoinRef};
pub(crate) use registry::{Registered, Registry};
pub(crate) use schedule::Schedule;
pub(crate) use slot::{Slot, SlotOwner};
