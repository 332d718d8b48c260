//! What Evenkeel has to reach on these workloads, and whether it did.
//!
//! The bars are ratios where a machine's speed would matter, and never loosened: one that is not
//! met is reported so.

use serde::Serialize;

use super::cases::{EVENKEEL, EVENKEEL_ALONE, Workload};
use super::metric::Metric;
use super::run::Row;
use crate::stats::Spread;

/// One requirement on the workload's `evenkeel` row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bar {
    workload: Workload,
    metric: Metric,
    limit: Limit,
}

#[derive(Clone, Copy, Debug)]
enum Limit {
    /// Milliseconds, at most.
    Ms(f64),
    /// A ratio to this case, at most.
    AtMost(f64, Workload, &'static str),
    /// A ratio to this case, at least.
    AtLeast(f64, Workload, &'static str),
}

/// How a bar was found.
#[derive(Debug, PartialEq, Serialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub(super) enum Verdict {
    Met {
        measured: Spread,
    },
    NotMet {
        measured: Spread,
    },
    /// Evenkeel gave nothing to compare in some round: no answer at all, or the case failed. As bad
    /// as can be.
    NoResult,
    /// A case that it needs was not selected, or the peer's failed.
    NotMeasured,
}

const fn bar(workload: Workload, metric: Metric, limit: Limit) -> Bar {
    Bar {
        workload,
        metric,
        limit,
    }
}

/// Every bar of the mixed workloads.
pub(super) const BARS: &[Bar] = {
    use Limit::{AtLeast, AtMost, Ms};
    use Workload::{Blocked, Busy, Inline, Light};
    &[
        bar(Light, Metric::P50, AtMost(1.1, Light, EVENKEEL_ALONE)),
        bar(Light, Metric::P90, AtMost(1.1, Light, EVENKEEL_ALONE)),
        bar(Light, Metric::P99, AtMost(1.5, Light, EVENKEEL_ALONE)),
        bar(Light, Metric::JobsPerS, AtLeast(0.97, Light, "tokio+rayon")),
        bar(Busy, Metric::P50, AtMost(1.1, Busy, EVENKEEL_ALONE)),
        bar(Busy, Metric::P90, AtMost(1.1, Busy, EVENKEEL_ALONE)),
        bar(Busy, Metric::P99, AtMost(1.5, Busy, EVENKEEL_ALONE)),
        bar(
            Busy,
            Metric::JobsPerS,
            AtLeast(1.05, Busy, "tokio+rayon-nice19"),
        ),
        bar(Inline, Metric::P50, Ms(0.2)),
        bar(Inline, Metric::P99, Ms(1.0)),
        bar(Inline, Metric::JobsPerS, AtLeast(0.9, Light, EVENKEEL)),
        bar(Blocked, Metric::P50, Ms(0.2)),
        bar(Blocked, Metric::P99, Ms(1.0)),
    ]
};

impl Bar {
    /// What is compared, with what, and the limit.
    pub(super) fn describe(&self) -> String {
        let (workload, metric) = (self.workload.name(), self.metric.name());
        let other = |limit: Workload, runtime: &str| match runtime {
            EVENKEEL_ALONE => "its own without CPU jobs".to_owned(),
            _ => format!("{}/{runtime}", limit.name()),
        };
        match self.limit {
            Limit::Ms(ms) => format!("{workload} {metric}: at most {ms} ms"),
            Limit::AtMost(times, on, runtime) => {
                format!(
                    "{workload} {metric}: at most {times} x {}",
                    other(on, runtime)
                )
            }
            Limit::AtLeast(times, on, runtime) => {
                format!(
                    "{workload} {metric}: at least {times} x {}",
                    other(on, runtime)
                )
            }
        }
    }

    /// The unit of what was measured.
    pub(super) fn unit(&self) -> &'static str {
        match self.limit {
            Limit::Ms(_) => "ms",
            Limit::AtMost(..) | Limit::AtLeast(..) => "x",
        }
    }

    pub(super) fn judge(&self, rows: &[Row]) -> Verdict {
        let Some(own) = find(rows, self.workload, EVENKEEL) else {
            return Verdict::NotMeasured;
        };
        let failed = own.rounds.iter().any(Result::is_err);
        let Some(value) = self.metric.spread(own).filter(|_| !failed) else {
            return Verdict::NoResult;
        };
        let (measured, met): (_, fn(f64, f64) -> bool) = match self.limit {
            Limit::Ms(_) => (Some(value), |value, limit| value <= limit),
            Limit::AtMost(_, on, runtime) => (
                self.metric.ratio_to(own, find(rows, on, runtime)),
                |value, limit| value <= limit,
            ),
            Limit::AtLeast(_, on, runtime) => (
                self.metric.ratio_to(own, find(rows, on, runtime)),
                |value, limit| value >= limit,
            ),
        };
        let (Limit::Ms(limit) | Limit::AtMost(limit, ..) | Limit::AtLeast(limit, ..)) = self.limit;
        match measured {
            None => Verdict::NotMeasured,
            Some(measured) if met(measured.median, limit) => Verdict::Met { measured },
            Some(measured) => Verdict::NotMet { measured },
        }
    }
}

fn find<'a>(rows: &'a [Row], workload: Workload, runtime: &str) -> Option<&'a Row> {
    rows.iter()
        .find(|row| row.case.workload == workload && row.case.runtime == runtime)
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::row;
    use super::*;

    const P50: Bar = bar(
        Workload::Light,
        Metric::P50,
        Limit::AtMost(1.1, Workload::Light, EVENKEEL_ALONE),
    );
    const JOBS: Bar = bar(
        Workload::Light,
        Metric::JobsPerS,
        Limit::AtLeast(0.97, Workload::Light, "tokio+rayon"),
    );

    #[test]
    fn a_limit_is_met_exactly_and_not_beyond() {
        let alone = || row("light/evenkeel-alone", &[(100.0, 1, None)]);
        let at = |us| P50.judge(&[row("light/evenkeel", &[(us, 1, Some(1.0))]), alone()]);
        assert!(matches!(at(110.0), Verdict::Met { .. }));
        assert!(matches!(at(110.2), Verdict::NotMet { .. }));
    }

    #[test]
    fn jobs_have_to_reach_the_peers() {
        let peer = || row("light/tokio+rayon", &[(100.0, 1, Some(100.0))]);
        let at = |jobs| JOBS.judge(&[row("light/evenkeel", &[(50.0, 1, Some(jobs))]), peer()]);
        assert!(matches!(at(97.0), Verdict::Met { .. }));
        assert!(matches!(at(96.9), Verdict::NotMet { .. }));
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        let own = row(
            "light/evenkeel",
            &[(100.0, 1, None), (1000.0, 1, None), (50.0, 1, None)],
        );
        let alone = row(
            "light/evenkeel-alone",
            &[(100.0, 1, None), (1000.0, 1, None), (100.0, 1, None)],
        );
        let Verdict::Met { measured } = P50.judge(&[own, alone]) else {
            panic!("met")
        };
        assert_eq!(
            (measured.median, measured.min, measured.max),
            (1.0, 0.5, 1.0)
        );
    }

    #[test]
    fn no_answer_is_no_result_rather_than_unmeasured() {
        let rows = [
            row("light/evenkeel", &[(5.0, 0, None)]),
            row("light/evenkeel-alone", &[(100.0, 1, None)]),
        ];
        assert_eq!(P50.judge(&rows), Verdict::NoResult);
    }

    #[test]
    fn a_missing_case_is_not_measured() {
        assert_eq!(
            P50.judge(&[row("light/evenkeel", &[(5.0, 1, None)])]),
            Verdict::NotMeasured
        );
        assert_eq!(
            P50.judge(&[row("light/evenkeel-alone", &[(5.0, 1, None)])]),
            Verdict::NotMeasured
        );
    }

    #[test]
    fn every_bar_names_cases_that_exist() {
        for bar in BARS {
            let own = (bar.workload, EVENKEEL);
            let other = match bar.limit {
                Limit::Ms(_) => own,
                Limit::AtMost(_, on, runtime) | Limit::AtLeast(_, on, runtime) => (on, runtime),
            };
            for (workload, runtime) in [own, other] {
                let name = format!("{}/{runtime}", workload.name());
                assert!(super::super::cases::Case::named(&name).is_some(), "{name}");
            }
        }
    }
}
