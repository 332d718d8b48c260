//! The engine of timers: who keeps them, in what order they fire, and what time it is.
//!
//! What users see of it is in [`time`](crate::time).

pub(crate) mod clock;
mod shard;
mod wheel;

pub(crate) use shard::{OwnTimers, RemoteId, ThreadTimers, TimerShard};
pub(crate) use wheel::{Key, NEVER};
