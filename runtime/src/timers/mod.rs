//! The engine of timers: who keeps them, in what order they fire, and what time it is.
//!
//! What users see of it is in [`time`](crate::time).

pub(crate) mod clock;
mod shard;
#[cfg(any(evenkeel_loom, not(feature = "test-util")))]
#[path = "no_test_clock.rs"]
mod test_clock;
#[cfg(all(feature = "test-util", not(evenkeel_loom)))]
mod test_clock;
mod wheel;

pub(crate) use shard::{OwnTimers, RemoteId, ThreadTimers, TimerShard};
pub(crate) use test_clock::{Clock, InFlight, Sleeper, Sleeps};
#[cfg(all(feature = "test-util", not(evenkeel_loom)))]
pub(crate) use test_clock::{Keeper, Refused, was_ever_paused};
pub(crate) use wheel::{Key, NEVER};
