//! The runtimes behind one trait ([`Runtime`]), so that a measurement is written once and has the
//! same shape on all of them ([`workload`]). Each runs with its defaults, on a worker thread per
//! CPU if the case asks for no other number, and has a file of its own.

mod evenkeel;
mod runtime;
mod serve;
mod smol;
mod tokio;
mod workload;

pub(crate) use self::evenkeel::Evenkeel;
pub(crate) use self::runtime::{Runtime, spawn_for, start, start_by, wait};
#[cfg(feature = "ecosystem")]
pub(crate) use self::serve::listen;
pub(crate) use self::serve::{echo, serve};
pub(crate) use self::smol::Smol;
pub(crate) use self::tokio::Tokio;
pub(crate) use self::workload::{On, Workload};
