//! What a process that measures is told on its command line.

use std::num::NonZeroUsize;
use std::thread;
use std::time::Duration;

use evenkeel::runtime::{Pinning, Tuning};

/// How a contender is to be measured.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) window: Duration,
    pub(crate) options: Options,
}

/// What may be changed about a runtime, beside what a contender is about. All is Evenkeel's own but
/// for the number of workers, which its peers have as well, and their places, which tokio has.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Where that is part of the case; else as many as the runtime makes by itself.
    pub(crate) worker_threads: Option<NonZeroUsize>,
    /// Where the workers run; `Auto` is what the runtime does by itself.
    pub(crate) pinning: Pinning,
    /// Whether workers that are stuck are replaced.
    pub(crate) takeover: bool,
    pub(crate) tuning: Tuning,
}

impl Options {
    /// What the environment asks for (see the help text), which a child inherits.
    pub(crate) fn from_env() -> Self {
        let takeover = std::env::var_os("EVENKEEL_TAKEOVER");
        Self {
            worker_threads: None,
            pinning: Pinning::Auto,
            takeover: takeover.is_none_or(|takeover| takeover != "off"),
            tuning: Tuning::default(),
        }
    }

    /// How many workers a runtime has: one per CPU if nothing else is asked for.
    pub(crate) fn workers(&self) -> usize {
        let per_cpu = || thread::available_parallelism().map_or(1, usize::from);
        self.worker_threads.map_or_else(per_cpu, usize::from)
    }
}
