//! Child processes whose ends and pipes are futures.
//!
//! The types carry the names and the meaning of tokio's. Beside that, a child gets the CPUs, the
//! priority and the timer slack that the program has, wherever it is started: in a task on a pinned
//! worker, or in a closure on the compute lane, whose threads have the lowest priority
//! ([`unpinned`](crate::runtime::unpinned)). For a child of [`std::process::Command`] the same call
//! does that:
//!
//! ```
//! use evenkeel::runtime::unpinned;
//!
//! # evenkeel::runtime::Runtime::new().unwrap().block_on(async {
//! let mut command = std::process::Command::new("echo");
//! let mut child = unpinned(|| command.arg("hello").spawn())?;
//! # child.wait()?;
//! # std::io::Result::Ok(()) }).unwrap();
//! ```
//!
//! # What waits, and what blocks
//!
//! [`Command::spawn`] blocks its thread until the program is there, about a millisecond, as tokio's
//! does. The end of a child is an event of the IO driver on Linux 5.3 and later (a *pidfd*), and
//! what a thread waits for elsewhere, one for each child. Reading and writing its pipes never
//! blocks.
//!
//! A child whose [`Child`] is dropped goes on, unless [`kill_on_drop`](Command::kill_on_drop) is
//! set. Either way it is reaped once it has ended, so no zombie is left.
//!
//! # Examples
//!
//! ```
//! use evenkeel::process::Command;
//!
//! # evenkeel::runtime::Runtime::new().unwrap().block_on(async {
//! let output = Command::new("echo").arg("hello").output().await?;
//! assert!(output.status.success());
//! assert_eq!(output.stdout, b"hello\n");
//! # std::io::Result::Ok(()) }).unwrap();
//! ```

mod child;
mod command;
mod exit;
mod stdio;

pub use child::Child;
pub use command::Command;
pub use stdio::{ChildStderr, ChildStdin, ChildStdout};
