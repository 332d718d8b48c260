//! Bugs that other runtimes have had, each named after where it happened. The comment on top of
//! each file says what went wrong there.

#![allow(
    clippy::async_yields_async,
    reason = "handles are given out of a future on purpose, to be awaited elsewhere"
)]

#[path = "../support/mod.rs"]
mod support;

mod async_executor_104;
mod async_executor_163;
mod async_rs_11;
mod crossbeam_1146;
mod crossbeam_726;
mod glommio_404;
mod golang_38860;
mod golang_45867;
mod rayon_343;
mod rayon_449;
mod rayon_592;
mod rayon_739;
mod rayon_992;
mod rayon_997;
mod seastar_1488;
mod tokio_1923;
mod tokio_2119;
mod tokio_3869;
mod tokio_4129;
mod tokio_4730;
mod tokio_4941;
mod tokio_5041;
mod tokio_5686;
mod tokio_5756;
mod tokio_593;
mod tokio_6682;
mod tokio_7877;
mod tokio_8054;
mod tokio_8056;
mod tokio_8212;
mod tokio_8334;
