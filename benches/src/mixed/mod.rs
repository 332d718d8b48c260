//! The main job: an echo server with 64 connections and CPU work beside them, under an open-loop
//! load.
//!
//! A case is a workload on a runtime ([`cases`]). Each runs in two fresh processes, so that cases
//! do not disturb each other: the server ([`server`], one file per runtime) and the load generator
//! ([`mod@client`]). The parent ([`mod@run`], [`session`], [`load`]) tells both when to begin and
//! collects what they measured ([`report`], [`bars`]). The suites `starve` and `handlers` use the load
//! too, and the latter the server.

mod bars;
mod cases;
mod client;
mod load;
mod message;
mod metric;
mod report;
mod run;
mod schedule;
mod server;
mod session;
mod traffic;

use std::path::PathBuf;
use std::time::Duration;

pub(crate) use self::cases::{Background, Engine, Pinning};
pub(crate) use self::client::{ClientOptions, client};
pub(crate) use self::load::Load;
pub(crate) use self::report::list;
pub(crate) use self::run::run;
pub(crate) use self::server::{Handler, Role, ServeOptions, host, serve};
pub(crate) use self::session::Session;
pub(crate) use self::traffic::{Arrivals, Burst, Rate, Traffic, Work};

/// Connections that the client opens.
const CONNECTIONS: usize = 64;
/// Size of a request, and of its answer.
const MESSAGE_BYTES: usize = 64;
/// CPU jobs in flight, always.
const JOBS_IN_FLIGHT: usize = 8;
/// CPU work in a job.
const JOB_US: u64 = 20_000;
/// Requests before the window, which do not count.
const WARM_UP: Duration = Duration::from_millis(300);
/// How long the client waits after the window for answers that are still missing.
const GRACE: Duration = Duration::from_secs(1);
/// How long a child may take for what should take it milliseconds. Starved servers are slow, but
/// their control thread is not part of the runtime.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the command line asks of the main job.
#[derive(Debug)]
pub(crate) struct MixedOptions {
    /// Patterns of case names; empty for all.
    pub(crate) only: Vec<String>,
    /// For how long each case is measured.
    pub(crate) window: Duration,
    /// How many times over.
    pub(crate) rounds: u32,
    /// Where everything measured goes.
    pub(crate) json: Option<PathBuf>,
}

impl Default for MixedOptions {
    fn default() -> Self {
        Self {
            only: Vec::new(),
            window: Duration::from_millis(3500),
            rounds: 1,
            json: None,
        }
    }
}
