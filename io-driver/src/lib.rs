#![cfg_attr(not(evenkeel_loom), doc = include_str!("../README.md"))]
#![cfg_attr(evenkeel_loom, doc = "The protocols, for loom.")]
#![forbid(unsafe_code)]
// Under loom only the protocols are built, not what uses them.
#![cfg_attr(evenkeel_loom, allow(dead_code))]

mod bell;
mod half;
mod interest;
#[cfg(all(test, evenkeel_loom))]
mod loom_tests;
mod ready;
mod slots;
mod waiters;

#[cfg(all(unix, not(evenkeel_loom)))]
mod async_fd;
#[cfg(all(unix, not(evenkeel_loom)))]
mod async_fd_new;
#[cfg(not(evenkeel_loom))]
mod driver;
#[cfg(not(evenkeel_loom))]
mod io;
#[cfg(all(unix, not(evenkeel_loom)))]
mod register_error;
#[cfg(not(evenkeel_loom))]
mod registration;
#[cfg(not(evenkeel_loom))]
mod shared;
#[cfg(not(evenkeel_loom))]
mod system;
#[cfg(not(evenkeel_loom))]
mod thread;

pub use half::is_shutdown_error;
pub use interest::Interest;
pub use ready::{Ready, ReadyEvent};

#[cfg(not(evenkeel_loom))]
pub use crate::{
    driver::Driver,
    io::Io,
    registration::{Direction, Registration},
    shared::Handle,
    thread::DriverThread,
};
#[cfg(all(unix, not(evenkeel_loom)))]
pub use async_fd::{
    AsyncFd, AsyncFdReadyGuard, AsyncFdReadyMutGuard, CurrentRuntime, NoRuntime, Runtime,
    TryIoError,
};
#[cfg(not(evenkeel_loom))]
pub use mio::event::Source;
#[cfg(all(unix, not(evenkeel_loom)))]
pub use register_error::AsyncFdRegisterError;
