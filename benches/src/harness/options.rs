//! What the command line asks of the suites.

use std::path::PathBuf;
use std::time::Duration;

use super::suite::{Form, Suite};
use crate::cpus::Cpus;

#[derive(Debug)]
pub(crate) struct RunOptions {
    /// In this order.
    pub(crate) suites: Vec<&'static Suite>,
    pub(crate) form: Form,
    /// Patterns of names; empty for all.
    pub(crate) only: Vec<String>,
    /// Evenkeel's heuristics whose absence is measured, instead of its peers.
    pub(crate) without: Vec<&'static str>,
    /// For how long each contender is measured in each case.
    pub(crate) window: Duration,
    /// How many times over.
    pub(crate) rounds: u32,
    /// Those of a server, and of its client.
    pub(crate) cpus: &'static Cpus,
    /// Where everything measured goes.
    pub(crate) json: Option<PathBuf>,
}

impl RunOptions {
    /// Whether Evenkeel is compared with itself without parts of it, and with nobody else.
    pub(crate) fn is_ablation(&self) -> bool {
        !self.without.is_empty()
    }
}
