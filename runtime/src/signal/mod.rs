//! Signals of the operating system, as futures.
//!
//! [`ctrl_c`] is what most programs need; [`unix`] has the others. Any number of tasks may wait for
//! the same signal, in any number of runtimes: each [`Signal`](unix::Signal) hears of it.
//!
//! As long as nobody has ever waited for a signal, it does what the system has it do by default,
//! which mostly ends the process. From the first time on it does nothing else than being heard of,
//! also once nobody waits any more.
//!
//! # Examples
//!
//! ```no_run
//! # async fn serve() {}
//! #[evenkeel::main]
//! async fn main() -> std::io::Result<()> {
//!     evenkeel::select! {
//!         () = serve() => {}
//!         interrupted = evenkeel::signal::ctrl_c() => interrupted?,
//!     }
//!     Ok(())
//! }
//! ```

pub mod unix;

use std::io;
use unix::{SignalKind, signal};

/// Waits for the next Ctrl-C (`SIGINT`).
///
/// The signal is listened for from the first poll on. In a loop, use a
/// [`Signal`](unix::Signal) in place of this, or what comes between two calls is not heard of.
///
/// # Errors
///
/// As [`signal`](unix::signal()); and if the runtime in which it was polled first is dropped.
///
/// # Panics
///
/// Outside a runtime.
///
/// # Cancel safety
///
/// A signal that comes after the future is dropped is not heard of by a later call.
pub async fn ctrl_c() -> io::Result<()> {
    let heard = signal(SignalKind::interrupt())?.recv().await;
    heard.ok_or_else(|| io::Error::other("the runtime in which this waited was dropped"))
}
