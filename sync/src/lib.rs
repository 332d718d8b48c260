//! What Evenkeel's crates share below their protocols between threads.
//!
//! - *The loom shim*: atomics, locks, cells and threads, in one of two implementations. With
//!   `--cfg evenkeel_loom` they are those of [loom], so that the models run the real code. A crate
//!   imports whatever takes part in a modelled protocol from here.
//! - *Lock-free cells*: [`Stack`], [`AtomicBox`], [`AtomicArc`], and
//!   [`Exclusive`](exclusive::Exclusive), on none of which anybody waits.
//! - [`SpinBackoff`]: whether it is worth spinning before going to sleep.
//! - [`panics`]: keeping the panics of foreign code from the threads of a runtime.
//! - [`join_all`] and [`run_until`]: joining threads, the second with a deadline.
//!
//! This crate is an implementation detail of the others, and has no stable API.
//!
//! [loom]: https://docs.rs/loom

#![deny(unsafe_code)]

mod atomic_box;
pub mod exclusive;
mod join;
pub mod panics;
mod spin_backoff;
mod stack;

#[cfg(evenkeel_loom)]
mod modelled;
#[cfg(all(test, evenkeel_loom))]
mod models;
#[cfg(not(evenkeel_loom))]
mod native;

#[cfg(evenkeel_loom)]
pub use modelled::*;
#[cfg(not(evenkeel_loom))]
pub use native::*;

pub use atomic_box::AtomicBox;
pub use join::{join_all, run_until};
pub use spin_backoff::{SpinBackoff, WAKE_UP, spin_pause};
pub use stack::{Stack, Taken};
