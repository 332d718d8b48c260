//! What a case is, as data. Everything else in the harness is about these.

use std::fmt;
use std::num::NonZeroUsize;
use std::time::Duration;

use evenkeel::runtime::Pinning;
use serde_json::Value;

use super::setup::Setup;
use crate::cpus::Cpus;
use crate::stalls::Stalls;
use crate::stats::short;

/// The contender that all bars are about.
pub(crate) const EVENKEEL: &str = "evenkeel";

/// Something that is measured on several contenders.
pub(crate) struct Case {
    pub(crate) suite: &'static str,
    /// Unique in the suite.
    pub(crate) name: &'static str,
    /// One line.
    pub(crate) about: &'static str,
    pub(crate) metrics: &'static [Metric],
    /// Who is measured.
    pub(crate) contenders: &'static [Contender],
    pub(crate) bars: &'static [Bar],
    /// The shortest window that it makes sense in, whatever is asked for.
    pub(crate) window_min: Duration,
    /// A program that has to be installed. Where it is not, nobody is measured.
    pub(crate) program: Option<&'static str>,
    /// Why nobody can be measured on this machine, if so.
    pub(crate) obstacle: fn() -> Option<&'static str>,
    /// Where the number of workers is part of the case.
    pub(crate) scale: Option<Scale>,
    /// Where what else runs on the machine is part of the case.
    pub(crate) place: Option<Place>,
    pub(crate) measure: Measure,
    /// What the process does that loads the contender's, where the two are not the same.
    pub(crate) load: Option<InChild>,
}

/// The place of a case among those that differ only in the number of workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scale {
    /// What is measured with each number; the first metric of each of these cases is its rate.
    pub(crate) operation: &'static str,
    pub(crate) workers: NonZeroUsize,
}

/// The place of a case among those that differ only in what else runs on the machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// What is measured in each condition; contenders are judged by the first metric of its cases.
    pub(crate) workload: &'static str,
    pub(crate) condition: Condition,
}

/// What else runs on the machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Condition {
    /// Unique in the suite.
    pub(crate) name: &'static str,
    /// One line.
    pub(crate) about: &'static str,
}

/// Measures a contender once, in the parent process; most start a child.
pub(crate) type Measure =
    &'static (dyn Fn(&'static Case, Turn) -> Result<Measurement, String> + Sync);

/// Measures in this process, which is a child that was started for it, or serves until the parent
/// has measured. The values are in the order of the case's metrics.
pub(crate) type InChild = fn(&Setup) -> Result<Vec<f64>, String>;

/// Who is measured in a case.
#[derive(Debug)]
pub(crate) struct Contender {
    /// Unique in the case.
    pub(crate) name: &'static str,
    pub(crate) run: InChild,
    /// Where the workers of its runtime run.
    pub(crate) pinning: fn() -> Pinning,
    pub(crate) twin: Option<Twin>,
}

/// Another contender of the case that may turn out to be the same. This one is not measured then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Twin {
    pub(crate) name: &'static str,
    /// Whether it is, by the [details](Measurement::details) of its measurement.
    pub(crate) is_same: fn(&Value) -> bool,
}

/// One contender's turn in a round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    pub(crate) contender: &'static Contender,
    /// The heuristic of Evenkeel's that is off, if one is.
    pub(crate) without: Option<&'static str>,
    pub(crate) window: Duration,
    /// From 0. What is left to chance is the same for all contenders of a round.
    pub(crate) round: u32,
    /// Those of a server, and of its client.
    pub(crate) cpus: &'static Cpus,
}

/// What a measurement found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Measurement {
    /// In the order of the case's metrics; `None` where there is nothing to measure, such as the
    /// latency of requests that were never answered.
    pub(crate) values: Vec<Option<f64>>,
    /// How much of each value may be the lateness of the client that measured it, in the metric's
    /// unit. Empty where nothing is known, or can be.
    pub(crate) client_late: Vec<Option<f64>>,
    /// How often the machine stood still meanwhile, where that was watched.
    pub(crate) stalls: Option<Stalls>,
    /// What else is known, for the JSON and for who knows the case; null if nothing.
    pub(crate) details: Value,
    /// What a reader of the numbers has to know.
    pub(crate) remarks: Vec<String>,
}

/// What several cases of a suite have in common.
pub(crate) struct Template {
    pub(crate) suite: &'static str,
    pub(crate) measure: Measure,
}

/// One number of a measurement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Metric {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) format: fn(f64) -> String,
    /// What is shown where there is no number.
    pub(crate) absent: &'static str,
    /// Lower is, if this is not so.
    pub(crate) higher_is_better: bool,
}

/// A requirement on what Evenkeel reaches in a case. Bars are never loosened: one that is not met
/// is reported so.
#[derive(Debug)]
pub(crate) struct Bar {
    /// The name of the metric.
    pub(crate) metric: &'static str,
    pub(crate) limit: Limit,
}

/// Peers are contenders of the same case, or `case/contender` in another one of the suite.
#[derive(Debug)]
pub(crate) enum Limit {
    /// At most the given multiple of the best (lowest) of these peers.
    AtMost(f64, &'static [&'static str]),
    /// At least the given multiple of the best (highest) of these peers.
    AtLeast(f64, &'static [&'static str]),
    /// At least the given multiple of the value of that one of these peers which is the best
    /// (lowest) by another metric.
    AtLeastOfBest(f64, &'static str, &'static [&'static str]),
    /// At most so much above the best (lowest) of these peers, in the metric's unit.
    AtMostAbove(f64, &'static [&'static str]),
    /// At most this, in the metric's unit.
    Absolute(f64),
}

impl Case {
    pub(crate) fn contender(&self, name: &str) -> Option<&'static Contender> {
        let mut contenders = self.contenders.iter();
        contenders.find(|contender| contender.name == name)
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.suite, self.name)
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Template {
    pub(crate) const fn case(
        &self,
        name: &'static str,
        about: &'static str,
        metrics: &'static [Metric],
        contenders: &'static [Contender],
        bars: &'static [Bar],
    ) -> Case {
        Case {
            suite: self.suite,
            name,
            about,
            metrics,
            contenders,
            bars,
            window_min: Duration::ZERO,
            program: None,
            obstacle: || None,
            scale: None,
            place: None,
            measure: self.measure,
            load: None,
        }
    }
}

impl Contender {
    pub(crate) const fn new(name: &'static str, run: InChild) -> Self {
        Self {
            name,
            run,
            pinning: Pinning::default,
            twin: None,
        }
    }
}

impl Metric {
    pub(crate) const fn new(name: &'static str, unit: &'static str) -> Self {
        Metric {
            name,
            unit,
            format: short,
            absent: "-",
            higher_is_better: false,
        }
    }

    pub(crate) const fn higher_is_better(self) -> Self {
        Metric {
            higher_is_better: true,
            ..self
        }
    }
}

impl Bar {
    pub(crate) const fn new(metric: &'static str, limit: Limit) -> Self {
        Bar { metric, limit }
    }

    /// The unit of what it is about: a ratio's, or else the metric's.
    pub(crate) fn unit(&self, case: &Case) -> &'static str {
        match self.limit {
            Limit::AtMost(..) | Limit::AtLeast(..) | Limit::AtLeastOfBest(..) => "x",
            Limit::AtMostAbove(..) | Limit::Absolute(_) => {
                let mut metrics = case.metrics.iter();
                let metric = metrics.find(|metric| metric.name == self.metric);
                metric.map_or("", |metric| metric.unit)
            }
        }
    }
}

impl Limit {
    /// Who Evenkeel is compared with.
    pub(crate) fn peers(&self) -> &'static [&'static str] {
        match self {
            Self::AtMost(_, peers)
            | Self::AtLeast(_, peers)
            | Self::AtLeastOfBest(_, _, peers)
            | Self::AtMostAbove(_, peers) => peers,
            Self::Absolute(_) => &[],
        }
    }

    pub(crate) fn number(&self) -> f64 {
        match *self {
            Self::AtMost(number, _)
            | Self::AtLeast(number, _)
            | Self::AtLeastOfBest(number, ..)
            | Self::AtMostAbove(number, _)
            | Self::Absolute(number) => number,
        }
    }

    pub(crate) fn is_met_by(&self, value: f64) -> bool {
        if self.asks_for_more() {
            value >= self.number()
        } else {
            value <= self.number()
        }
    }

    /// Whether it is a lower limit, for a metric whose higher values are better.
    pub(crate) fn asks_for_more(&self) -> bool {
        matches!(self, Self::AtLeast(..) | Self::AtLeastOfBest(..))
    }
}

impl From<Vec<f64>> for Measurement {
    fn from(values: Vec<f64>) -> Self {
        Self {
            values: values.into_iter().map(Some).collect(),
            ..Self::default()
        }
    }
}
