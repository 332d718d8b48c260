//! The cases, as data.

use std::fmt;

use serde::Serialize;

/// What the server has to do, and how fast requests come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Workload {
    Light,
    Busy,
    Inline,
    Blocked,
}

impl Workload {
    pub(crate) const ALL: [Self; 4] = [Self::Light, Self::Busy, Self::Inline, Self::Blocked];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Busy => "busy",
            Self::Inline => "inline",
            Self::Blocked => "blocked",
        }
    }

    /// One line for the report.
    pub(crate) fn description(self) -> &'static str {
        match self {
            Self::Light => {
                "2,000 requests/s with no work in the handler; 8 CPU jobs of 20 ms in flight"
            }
            Self::Busy => "8,000 requests/s with 100 us of CPU each; 8 CPU jobs of 20 ms in flight",
            Self::Inline => "as light, the jobs in plain tasks that never yield inside a job",
            Self::Blocked => "as light, 8 plain tasks that block in 100 ms sleeps instead of jobs",
        }
    }

    pub(crate) fn requests_per_s(self) -> u32 {
        match self {
            Self::Light | Self::Inline | Self::Blocked => 2_000,
            Self::Busy => 8_000,
        }
    }

    /// CPU work for a request, in its handler.
    pub(crate) fn handler_us(self) -> u32 {
        match self {
            Self::Light | Self::Inline | Self::Blocked => 0,
            Self::Busy => 100,
        }
    }

    /// Whether the background work starts with the window, so that what a runtime needs to adapt to
    /// it counts, or before the warm-up.
    pub(crate) fn counts_from_first_job(self) -> bool {
        matches!(self, Self::Inline | Self::Blocked)
    }
}

/// Whose runtime the server runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    Evenkeel(Pinning),
    /// With its defaults, but for the replacing of workers that are stuck.
    EvenkeelWithoutTakeover,
    Tokio,
    Smol,
}

/// Evenkeel's pinning strategies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pinning {
    Auto,
    PerCore,
    None,
}

impl Pinning {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::PerCore => "per-core",
            Self::None => "none",
        }
    }
}

/// What the server does beside its IO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Background {
    /// Nothing: the baseline.
    Nothing,
    /// CPU jobs by `evenkeel::spawn_compute`.
    SpawnCompute,
    /// CPU jobs as spawned tasks.
    Spawn,
    /// CPU jobs by `tokio::task::spawn_blocking`.
    SpawnBlocking,
    /// CPU jobs by rayon's `spawn`.
    Rayon,
    /// CPU jobs by rayon's `spawn`, on threads at nice 19.
    RayonNice19,
    /// CPU jobs as tasks of a second tokio runtime, on threads at nice 10.
    TokioNice10,
    /// CPU jobs as tasks of a second tokio runtime, on threads under `SCHED_IDLE`.
    TokioIdle,
    /// CPU jobs by `smol::unblock`.
    Unblock,
    /// Tasks that run job after job and yield only between them.
    InlineJobs,
    /// Tasks that sleep with `std::thread::sleep`.
    BlockingSleeps,
}

impl Background {
    /// Whether CPU jobs are part of it, to be counted.
    pub(crate) fn has_jobs(self) -> bool {
        !matches!(self, Self::Nothing | Self::BlockingSleeps)
    }
}

/// One measurement: a workload on a runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) workload: Workload,
    /// The runtime's name, unique in the workload.
    pub(crate) runtime: &'static str,
    pub(crate) engine: Engine,
    pub(crate) background: Background,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.workload.name(), self.runtime)
    }
}

impl Case {
    /// The case of this name.
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        CASES.iter().find(|case| case.to_string() == name)
    }

    /// The pinning strategy that it runs Evenkeel under.
    pub(crate) fn pinning(&self) -> Option<Pinning> {
        match self.engine {
            Engine::Evenkeel(pinning) => Some(pinning),
            Engine::EvenkeelWithoutTakeover | Engine::Tokio | Engine::Smol => None,
        }
    }
}

/// The cases that match one of the patterns, in the table's order; all of them for no patterns.
///
/// A pattern that is a case's whole name stands for that case alone, any other for every case whose
/// name contains it. One that matches nothing is an error.
pub(crate) fn select(patterns: &[String]) -> Result<Vec<&'static Case>, String> {
    for pattern in patterns {
        if !CASES.iter().any(|case| matches(case, pattern)) {
            return Err(format!(
                "no case matches '{pattern}'; `--list` shows them all"
            ));
        }
    }
    let selected =
        |case: &&Case| patterns.is_empty() || patterns.iter().any(|pattern| matches(case, pattern));
    Ok(CASES.iter().filter(selected).collect())
}

fn matches(case: &Case, pattern: &str) -> bool {
    match Case::named(pattern) {
        Some(named) => case == named,
        None => case.to_string().contains(pattern),
    }
}

const fn case(
    workload: Workload,
    runtime: &'static str,
    engine: Engine,
    background: Background,
) -> Case {
    Case {
        workload,
        runtime,
        engine,
        background,
    }
}

/// The name of Evenkeel as a user gets it, which all else is compared with.
pub(crate) const EVENKEEL: &str = "evenkeel";
/// Evenkeel without CPU jobs, which its bars are ratios to.
pub(crate) const EVENKEEL_ALONE: &str = "evenkeel-alone";

const AUTO: Engine = Engine::Evenkeel(Pinning::Auto);
const PER_CORE: Engine = Engine::Evenkeel(Pinning::PerCore);
const UNPINNED: Engine = Engine::Evenkeel(Pinning::None);

/// All there is to run, in this order. `auto` comes before the strategies that it may turn out to
/// be.
#[rustfmt::skip]
pub(crate) const CASES: &[Case] = &[
    case(Workload::Light, EVENKEEL_ALONE, AUTO, Background::Nothing),
    case(Workload::Light, EVENKEEL, AUTO, Background::SpawnCompute),
    case(Workload::Light, "evenkeel:per-core", PER_CORE, Background::SpawnCompute),
    case(Workload::Light, "evenkeel:none", UNPINNED, Background::SpawnCompute),
    case(Workload::Light, "tokio-alone", Engine::Tokio, Background::Nothing),
    case(Workload::Light, "tokio+spawn", Engine::Tokio, Background::Spawn),
    case(Workload::Light, "tokio+spawn_blocking", Engine::Tokio, Background::SpawnBlocking),
    case(Workload::Light, "tokio+rayon", Engine::Tokio, Background::Rayon),
    case(Workload::Light, "tokio+rayon-nice19", Engine::Tokio, Background::RayonNice19),
    case(Workload::Light, "smol+unblock", Engine::Smol, Background::Unblock),

    case(Workload::Busy, EVENKEEL_ALONE, AUTO, Background::Nothing),
    case(Workload::Busy, EVENKEEL, AUTO, Background::SpawnCompute),
    case(Workload::Busy, "evenkeel:per-core", PER_CORE, Background::SpawnCompute),
    case(Workload::Busy, "evenkeel:none", UNPINNED, Background::SpawnCompute),
    case(Workload::Busy, "tokio-alone", Engine::Tokio, Background::Nothing),
    case(Workload::Busy, "tokio+spawn", Engine::Tokio, Background::Spawn),
    case(Workload::Busy, "tokio+spawn_blocking", Engine::Tokio, Background::SpawnBlocking),
    case(Workload::Busy, "tokio+rayon", Engine::Tokio, Background::Rayon),
    case(Workload::Busy, "tokio+rayon-nice19", Engine::Tokio, Background::RayonNice19),
    case(Workload::Busy, "smol+unblock", Engine::Smol, Background::Unblock),

    case(Workload::Inline, EVENKEEL, AUTO, Background::InlineJobs),
    case(Workload::Inline, "evenkeel:per-core", PER_CORE, Background::InlineJobs),
    case(Workload::Inline, "evenkeel:none", UNPINNED, Background::InlineJobs),
    case(Workload::Inline, "tokio", Engine::Tokio, Background::InlineJobs),
    case(Workload::Inline, "smol", Engine::Smol, Background::InlineJobs),

    case(Workload::Blocked, EVENKEEL, AUTO, Background::BlockingSleeps),
    case(Workload::Blocked, "evenkeel:per-core", PER_CORE, Background::BlockingSleeps),
    case(Workload::Blocked, "evenkeel:none", UNPINNED, Background::BlockingSleeps),
    case(Workload::Blocked, "tokio", Engine::Tokio, Background::BlockingSleeps),
    case(Workload::Blocked, "smol", Engine::Smol, Background::BlockingSleeps),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn names(patterns: &[&str]) -> Result<Vec<String>, String> {
        let patterns: Vec<_> = patterns.iter().map(ToString::to_string).collect();
        Ok(select(&patterns)?.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn names_are_unique() {
        for case in CASES {
            assert_eq!(Case::named(&case.to_string()), Some(case));
        }
    }

    #[test]
    fn no_pattern_selects_everything() {
        assert_eq!(names(&[]).unwrap().len(), CASES.len());
    }

    #[test]
    fn a_whole_name_selects_one_case() {
        assert_eq!(names(&["busy/tokio+rayon"]).unwrap(), ["busy/tokio+rayon"]);
        assert_eq!(names(&["light/evenkeel"]).unwrap(), ["light/evenkeel"]);
    }

    #[test]
    fn a_part_selects_all_that_contain_it() {
        assert_eq!(
            names(&["nice19"]).unwrap(),
            ["light/tokio+rayon-nice19", "busy/tokio+rayon-nice19"]
        );
        assert!(
            names(&["blocked/"])
                .unwrap()
                .iter()
                .all(|name| name.starts_with("blocked/"))
        );
    }

    #[test]
    fn patterns_add_up_in_the_order_of_the_table() {
        assert_eq!(
            names(&["inline/smol", "inline/tokio"]).unwrap(),
            ["inline/tokio", "inline/smol"]
        );
    }

    #[test]
    fn a_pattern_without_a_case_is_an_error() {
        assert!(names(&["light", "go"]).unwrap_err().contains("'go'"));
    }

    #[test]
    fn auto_comes_first_among_the_pinnings() {
        for workload in Workload::ALL {
            let pinnings: Vec<_> = CASES
                .iter()
                .filter(|case| case.workload == workload && case.background != Background::Nothing)
                .filter_map(Case::pinning)
                .collect();
            assert_eq!(pinnings, [Pinning::Auto, Pinning::PerCore, Pinning::None]);
        }
    }
}
