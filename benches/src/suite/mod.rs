//! What the suites of small cases have in common (`evenkeel-bench micro`, and so on): what a case
//! is, how one is found and measured in a process of its own ([`in_child`]), the rounds over them
//! ([`mod@run`]), the verdicts ([`bars`]) and the tables ([`report`], [`compact`]).

mod bars;
mod compact;
mod report;
mod run;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

pub(crate) use self::report::list;
pub(crate) use self::run::run;
use crate::child::{self, Child};
use crate::spin::Spin;
use crate::{echo, handlers, http, idle, memory, micro, starve, timers};

/// The contender that all bars are about.
pub(crate) const EVENKEEL: &str = "evenkeel";

/// How long a child may take beside its window. Some cases have much to build before it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Cases that are run and shown together.
#[derive(Debug)]
pub(crate) struct Suite {
    pub(crate) name: &'static str,
    /// One line.
    pub(crate) about: &'static str,
    pub(crate) cases: fn(Form) -> &'static [Case],
    /// Whether the report has a line for each contender as well, since there are many of both.
    compact: bool,
    /// For how long each contender is measured in each case, if nothing else is asked for.
    pub(crate) window: Duration,
    /// How many times over.
    pub(crate) rounds: u32,
    /// Measures the case of this name in this process, for those that [`in_child`] starts.
    measure: fn(name: &str, contender: &str, window: Duration) -> Result<Vec<f64>, String>,
}

/// Which cases of a suite are meant. For most suites that is the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Form {
    #[default]
    Short,
    /// What `--long` asks for.
    Long,
}

/// Every suite, in the order of the help text.
pub(crate) const SUITES: &[Suite] = &[
    suite("micro", micro::ABOUT, |_| micro::CASES, micro::measure),
    suite("echo", echo::ABOUT, |_| echo::CASES, echo::measure),
    suite("timers", timers::ABOUT, |_| timers::CASES, timers::measure),
    suite("memory", memory::ABOUT, |_| memory::CASES, memory::measure),
    suite("idle", idle::ABOUT, |_| idle::CASES, idle::measure),
    suite("http", http::ABOUT, |_| http::CASES, http::measure),
    suite("starve", starve::ABOUT, |_| starve::CASES, starve::measure),
    Suite {
        compact: true,
        window: Duration::from_millis(1500),
        rounds: 1,
        ..suite(
            "handlers",
            handlers::ABOUT,
            handlers::cases,
            handlers::measure,
        )
    },
];

const fn suite(
    name: &'static str,
    about: &'static str,
    cases: fn(Form) -> &'static [Case],
    measure: fn(&str, &str, Duration) -> Result<Vec<f64>, String>,
) -> Suite {
    Suite {
        name,
        about,
        cases,
        compact: false,
        window: Duration::from_secs(1),
        rounds: 3,
        measure,
    }
}

impl Suite {
    /// The suite of this name.
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        SUITES.iter().find(|suite| suite.name == name)
    }

    /// Whether `--long` makes a difference.
    pub(crate) fn has_long_form(&self) -> bool {
        (self.cases)(Form::Short).len() < (self.cases)(Form::Long).len()
    }
}

/// Something that is measured on several contenders.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) suite: &'static str,
    /// Unique in the suite.
    pub(crate) name: &'static str,
    /// One line.
    pub(crate) about: &'static str,
    pub(crate) metrics: &'static [Metric],
    /// Who is measured; [`EVENKEEL`] is the first.
    pub(crate) contenders: &'static [&'static str],
    pub(crate) bars: &'static [Bar],
    /// The shortest window that it makes sense in, whatever is asked for.
    pub(crate) window_min: Duration,
    pub(crate) measure: Measure,
}

/// One contender's turn in a round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    pub(crate) contender: &'static str,
    pub(crate) window: Duration,
    /// From 0. What is left to chance is the same for all contenders of a round.
    pub(crate) round: u32,
}

/// Measures a case once, in the parent process; most start a child. The values are in the order of the
/// case's `metrics`.
pub(crate) type Measure = fn(&'static Case, Turn) -> Result<Vec<f64>, String>;

/// What several cases of a suite have in common.
pub(crate) struct Template {
    pub(crate) suite: &'static str,
    pub(crate) contenders: &'static [&'static str],
    pub(crate) measure: Measure,
}

impl Template {
    pub(crate) const fn case(
        &self,
        name: &'static str,
        about: &'static str,
        metrics: &'static [Metric],
        bars: &'static [Bar],
    ) -> Case {
        Case {
            suite: self.suite,
            name,
            about,
            metrics,
            contenders: self.contenders,
            bars,
            window_min: Duration::ZERO,
            measure: self.measure,
        }
    }
}

/// One number of a measurement.
#[derive(Debug)]
pub(crate) struct Metric {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
}

impl Metric {
    pub(crate) const fn new(name: &'static str, unit: &'static str) -> Self {
        Metric { name, unit }
    }
}

/// A requirement on what Evenkeel reaches in a case.
#[derive(Debug)]
pub(crate) struct Bar {
    /// The name of the metric.
    pub(crate) metric: &'static str,
    pub(crate) limit: Limit,
}

#[derive(Debug)]
pub(crate) enum Limit {
    /// At most so many times the best (lowest) of these contenders.
    AtMost(f64, &'static [&'static str]),
    /// At least so many times the best (highest) of these contenders.
    AtLeast(f64, &'static [&'static str]),
    /// At least so many times the value of that one of these contenders which is the best (lowest) by
    /// another metric.
    AtLeastOfBest(f64, &'static str, &'static [&'static str]),
    /// At most this, in the metric's unit.
    Absolute(f64),
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.suite, self.name)
    }
}

/// What the command line asks of the suites.
#[derive(Debug)]
pub(crate) struct SuiteOptions {
    /// In this order.
    pub(crate) suites: Vec<&'static Suite>,
    pub(crate) form: Form,
    /// Patterns of case names; empty for all.
    pub(crate) only: Vec<String>,
    /// For how long each contender is measured in each case.
    pub(crate) window: Duration,
    /// How many times over.
    pub(crate) rounds: u32,
    /// Where everything measured goes.
    pub(crate) json: Option<PathBuf>,
}

impl Default for SuiteOptions {
    fn default() -> Self {
        Self {
            suites: Vec::new(),
            form: Form::Short,
            only: Vec::new(),
            window: Duration::from_secs(1),
            rounds: 3,
            json: None,
        }
    }
}

/// The cases of these suites that match one of the patterns; all of them for no patterns.
///
/// A pattern that is a case's name, with or without its suite's, stands for cases of that name
/// alone, any other for every case whose name contains it. One that matches nothing is an error.
fn select(
    suites: &[&'static Suite],
    form: Form,
    patterns: &[String],
) -> Result<Vec<&'static Case>, String> {
    let all: Vec<&Case> = suites
        .iter()
        .flat_map(|suite| (suite.cases)(form))
        .collect();
    let is_name = |case: &Case, pattern: &str| case.name == pattern || case.to_string() == pattern;
    let matches = |case: &Case, pattern: &str| {
        if all.iter().any(|case| is_name(case, pattern)) {
            is_name(case, pattern)
        } else {
            case.to_string().contains(pattern)
        }
    };
    for pattern in patterns {
        if !all.iter().any(|case| matches(case, pattern)) {
            return Err(format!(
                "no case matches '{pattern}'; `--list` shows them all"
            ));
        }
    }
    let selected =
        |case: &&Case| patterns.is_empty() || patterns.iter().any(|pattern| matches(case, pattern));
    Ok(all.iter().copied().filter(selected).collect())
}

/// What the harness tells a process that measures.
#[derive(Debug)]
pub(crate) struct MeasureOptions {
    /// `suite/name`.
    pub(crate) case: String,
    pub(crate) contender: String,
    pub(crate) window: Duration,
}

/// Runs the suite's `measure` in a fresh process, and returns what it measured.
pub(crate) fn in_child(case: &'static Case, turn: Turn) -> Result<Vec<f64>, String> {
    let mut child = start_child(case, turn.contender, turn.window)?;
    let values = child.expect_json(turn.window + PATIENCE)?;
    match child.finish() {
        stderr if stderr.is_empty() => Ok(values),
        // A panic of a task, say: what was measured then is not the case.
        stderr => Err(format!("the measure process wrote: {stderr}")),
    }
}

/// Starts a fresh process that runs the suite's `measure` with this contender, which may be any
/// word that it knows. For cases whose parent has more to do than wait: until the line with the
/// values, parent and child may talk as they like.
pub(crate) fn start_child(case: &Case, contender: &str, window: Duration) -> Result<Child, String> {
    let (case, secs) = (case.to_string(), window.as_secs_f64().to_string());
    let arguments = ["--case", &case, "--on", contender, "--secs", &secs];
    Child::start("measure", &arguments).map_err(|error| error.to_string())
}

/// [`start_child`] for one that computes in units of this machine. They are measured once, so that
/// every contender does the same work.
pub(crate) fn start_computing_child(case: &Case, turn: Turn) -> Result<Child, String> {
    static SPIN: OnceLock<Result<Spin, String>> = OnceLock::new();
    let spin = SPIN.get_or_init(|| Spin::calibrate().map_err(|error| error.to_string()));
    let spin = spin
        .as_ref()
        .map_err(|error| format!("calibration: {error}"))?;
    let mut child = start_child(case, turn.contender, turn.window)?;
    child.tell(&spin.iterations_per_us().to_string())?;
    Ok(child)
}

/// The child's side of [`start_computing_child`].
pub(crate) fn spin_of_parent() -> io::Result<Spin> {
    let told = child::next_command()?.ok_or(io::ErrorKind::UnexpectedEof)?;
    told.parse().map(Spin::new).map_err(io::Error::other)
}

/// The child's side of [`start_child`].
pub(crate) fn measure(options: &MeasureOptions) -> Result<(), String> {
    child::tie_to_parent().map_err(|error| error.to_string())?;
    let (suite, name) = options.case.split_once('/').unwrap_or_default();
    let suite = Suite::named(suite).ok_or_else(|| format!("no case '{}'", options.case))?;
    let values = (suite.measure)(name, &options.contender, options.window)?;
    let values = serde_json::to_string(&values).map_err(|error| error.to_string())?;
    child::say(&values).map_err(|error| error.to_string())
}

/// The error of a suite's `measure` for what it does not know.
pub(crate) fn unknown(name: &str, contender: &str) -> String {
    format!("no case '{name}' on {contender} is measured in a child process")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(suites: &[&str], patterns: &[&str]) -> Result<Vec<String>, String> {
        let suites: Vec<_> = suites
            .iter()
            .map(|name| Suite::named(name).unwrap())
            .collect();
        let patterns: Vec<_> = patterns.iter().map(ToString::to_string).collect();
        let cases = select(&suites, Form::Short, &patterns)?;
        Ok(cases.iter().map(ToString::to_string).collect())
    }

    fn suites_and_forms() -> impl Iterator<Item = (&'static Suite, Form)> {
        let forms = |suite| [Form::Short, Form::Long].map(|form| (suite, form));
        SUITES.iter().flat_map(forms)
    }

    #[test]
    fn cases_are_well_formed() {
        for (suite, form) in suites_and_forms() {
            let cases = (suite.cases)(form);
            for case in cases {
                assert_eq!(case.suite, suite.name, "{case}");
                let namesakes = cases.iter().filter(|other| other.name == case.name);
                assert_eq!(namesakes.count(), 1, "{case}");
                assert_eq!(case.contenders.first(), Some(&EVENKEEL), "{case}");
                assert!(!case.metrics.is_empty(), "{case}");
            }
        }
    }

    #[test]
    fn bars_name_what_is_measured() {
        let cases = suites_and_forms().flat_map(|(suite, form)| (suite.cases)(form));
        for case in cases {
            let is_measured = |name| case.metrics.iter().any(|metric| metric.name == name);
            for bar in case.bars {
                assert!(is_measured(bar.metric), "{case}");
                if let Limit::AtLeastOfBest(_, by, _) = bar.limit {
                    assert!(is_measured(by), "{case}");
                }
                if let Limit::AtMost(_, peers)
                | Limit::AtLeast(_, peers)
                | Limit::AtLeastOfBest(_, _, peers) = bar.limit
                {
                    assert!(!peers.is_empty(), "{case}");
                    for peer in peers {
                        assert!(case.contenders.contains(peer), "{case}: {peer}");
                    }
                }
            }
        }
    }

    #[test]
    fn no_pattern_selects_everything() {
        let all = names(&["micro", "echo"], &[]).unwrap();
        let cases = micro::CASES.len() + echo::CASES.len();
        assert_eq!(all.len(), cases);
    }

    #[test]
    fn a_name_selects_one_case_with_or_without_its_suite() {
        for pattern in ["micro/spawn_join", "spawn_join"] {
            assert_eq!(names(&["micro"], &[pattern]).unwrap(), ["micro/spawn_join"]);
        }
    }

    #[test]
    fn a_part_selects_all_that_contain_it() {
        let selected = names(&["micro"], &["spawn_many"]).unwrap();
        assert_eq!(
            selected,
            ["micro/spawn_many_local", "micro/spawn_many_remote"]
        );
    }

    #[test]
    fn a_pattern_without_a_case_is_an_error() {
        let error = names(&["micro"], &["spawn_join", "fibers"]).unwrap_err();
        assert!(error.contains("'fibers'"));
    }

    #[test]
    fn a_child_refuses_what_its_suite_does_not_have() {
        for (name, contender) in [("fibers", "tokio"), ("yield_many", "go")] {
            for suite in SUITES {
                let error = (suite.measure)(name, contender, Duration::ZERO).unwrap_err();
                assert!(error.contains(name), "{}: {error}", suite.name);
            }
        }
    }
}
