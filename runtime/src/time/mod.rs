//! Sleeping, timeouts and intervals, with tokio's names and meaning.
//!
//! Deadlines are kept to the nanosecond, and no timer fires early. A timer belongs to the thread
//! that polls it: the IO worker, or the thread in [`block_on`](crate::runtime::Runtime::block_on).
//! If it is polled elsewhere (on the compute lane, or under another executor), it belongs to the
//! driver thread. While its worker is stuck in a poll, a timer is late until another thread takes
//! the worker's place ([`TakeoverPolicy`](crate::runtime::TakeoverPolicy)), or by some 20 ms where
//! none can. On Linux the thread in `block_on` keeps the timer slack that it came with, 50 us by
//! default; the runtime's own threads have none.
//!
//! Timers use the monotonic clock, so setting the system's clock does not affect them. On Linux
//! that clock stands still while the machine is suspended, and so do the timers.

pub mod error;
mod instant;
mod interval;
mod sleep;
#[cfg(feature = "test-util")]
mod test_util;
mod timeout;

pub use instant::Instant;
pub use interval::{Interval, MissedTickBehavior, interval, interval_at};
pub use sleep::{Sleep, sleep, sleep_until};
pub use std::time::Duration;
#[cfg(feature = "test-util")]
pub use test_util::{advance, pause, resume};
pub use timeout::{Timeout, timeout, timeout_at};
