//! An elastic pool of threads for calls that block, whose results are futures under any executor.
//!
//! ```
//! use evenkeel_blocking_pool::Builder;
//! use futures_lite::future::block_on;
//!
//! # fn main() -> std::io::Result<()> {
//! let pool = Builder::new().build()?;
//! let lines = block_on(async {
//!     let text = pool.spawn(|| std::fs::read_to_string("Cargo.toml")).await;
//!     text.expect("the job did not panic").map(|text| text.lines().count())
//! })?;
//! assert!(lines > 0);
//! assert!(pool.shutdown(None));
//! # Ok(())
//! # }
//! ```
//!
//! The pool is meant for threads that mostly sleep in system calls. It grows by a thread whenever a
//! job has none to run it, up to a cap ([`Builder::max_threads`]), queues beyond that, and shrinks
//! again: the thread that became idle last is woken first, so the surplus stays idle and ends
//! ([`Builder::keep_alive`]).
//!
//! A thread inherits priority and CPU affinity of its creator, which is the caller of
//! [`Pool::spawn`] unless [`Builder::thread_maker`] arranges otherwise. With such a hook set,
//! submitting a job takes no lock and waits for no other thread, whatever their priorities.
#![forbid(unsafe_code)]

mod builder;
mod config;
mod end;
mod error;
mod growth;
mod panics;
mod parker;
mod pool;
mod shared;
mod task;
mod thread;
mod unjoined;
mod worker;

pub use builder::Builder;
pub use error::{ExecuteError, JobError};
pub use pool::Pool;
pub use task::BlockingTask;
