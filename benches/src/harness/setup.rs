//! What a process that measures is told on its command line.

use std::time::Duration;

use evenkeel::runtime::Tuning;

/// How a contender is to be measured.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) window: Duration,
    pub(crate) options: Options,
}

/// What may be changed about Evenkeel: all that its builder is told but for what a contender is
/// about. Its peers ignore them.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Whether workers that are stuck are replaced.
    pub(crate) takeover: bool,
    pub(crate) tuning: Tuning,
}

impl Options {
    /// What the environment asks for (see the help text), which a child inherits.
    pub(crate) fn from_env() -> Self {
        let takeover = std::env::var_os("EVENKEEL_TAKEOVER");
        Self {
            takeover: takeover.is_none_or(|takeover| takeover != "off"),
            tuning: Tuning::default(),
        }
    }
}
