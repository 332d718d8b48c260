//! The cases as the suites have them: metrics, contenders and bars.

use std::sync::OnceLock;

use super::contenders::{
    Beside, OTHERS_WITH_JOBS, OTHERS_WITHOUT_JOBS, PEERS_WITH_JOBS, WITH_JOBS, WITHOUT_JOBS,
};
use super::grid::{self, Spec};
use super::pair;
use crate::suite::{Bar, Case, Form, Limit, Metric};

const P50: Metric = Metric::new("p50", "ms");
const P90: Metric = Metric::new("p90", "ms");
const P99: Metric = Metric::new("p99", "ms");
/// A request without an answer counts in the latencies with its age, which says how long the window
/// was rather than how slow the server is.
const ANSWERED: Metric = Metric::new("answered", "%");
const JOBS: Metric = Metric::new("jobs", "/s");

const ALONE: &[Metric] = &[P50, P90, P99, ANSWERED];
const BESIDE_JOBS: &[Metric] = &[P50, P90, P99, ANSWERED, JOBS];
const MIXTURE: &[Metric] = &[
    Metric::new("short_p50", "ms"),
    Metric::new("short_p99", "ms"),
    Metric::new("long_p50", "ms"),
    Metric::new("long_p99", "ms"),
    ANSWERED,
    JOBS,
];
const OVERLOAD: &[Metric] = &[P50, P99, Metric::new("backlog", "ms"), ANSWERED, JOBS];
const NO_COMPUTING: &[Metric] = &[P50, P99, ANSWERED, Metric::new("takeovers", "/s")];

const fn bar(metric: &'static str, limit: Limit) -> Bar {
    Bar { metric, limit }
}

const ALONE_BARS: &[Bar] = &[
    bar("p50", Limit::AtMost(1.05, OTHERS_WITHOUT_JOBS)),
    bar("p90", Limit::AtMost(1.05, OTHERS_WITHOUT_JOBS)),
    bar("p99", Limit::AtMost(1.1, OTHERS_WITHOUT_JOBS)),
];
const BESIDE_JOBS_BARS: &[Bar] = &[
    bar("p50", Limit::AtMost(1.05, OTHERS_WITH_JOBS)),
    bar("p90", Limit::AtMost(1.05, OTHERS_WITH_JOBS)),
    bar("p99", Limit::AtMost(1.1, OTHERS_WITH_JOBS)),
    bar("jobs", Limit::AtLeastOfBest(0.97, "p99", OTHERS_WITH_JOBS)),
];
const MIXTURE_BARS: &[Bar] = &[
    bar("short_p99", Limit::AtMost(0.3, PEERS_WITH_JOBS)),
    bar("long_p99", Limit::AtMost(1.2, PEERS_WITH_JOBS)),
];
const INLINE_BARS: &[Bar] = &[
    bar("p50", Limit::Absolute(2.2)),
    bar("p99", Limit::Absolute(3.0)),
];
const OVERLOAD_BARS: &[Bar] = &[
    bar("p99", Limit::AtMost(1.1, OTHERS_WITH_JOBS)),
    bar("backlog", Limit::AtMost(1.0, PEERS_WITH_JOBS)),
];

/// The cases, in the table's order.
pub(crate) fn cases(form: Form) -> &'static [Case] {
    static SHORT: OnceLock<Vec<Case>> = OnceLock::new();
    static LONG: OnceLock<Vec<Case>> = OnceLock::new();
    let cases = match form {
        Form::Short => &SHORT,
        Form::Long => &LONG,
    };
    cases.get_or_init(|| {
        let all = Spec::all(form).into_iter();
        all.map(|spec| case(spec, form)).collect()
    })
}

fn case(spec: Spec, form: Form) -> Case {
    let (metrics, bars): (&[Metric], &[Bar]) = match spec {
        Spec::Fixed { jobs: true, .. } => (BESIDE_JOBS, BESIDE_JOBS_BARS),
        Spec::Fixed { jobs: false, .. } => (ALONE, ALONE_BARS),
        Spec::Mixture { .. } => (MIXTURE, MIXTURE_BARS),
        Spec::Inline => (BESIDE_JOBS, INLINE_BARS),
        Spec::Overload => (OVERLOAD, OVERLOAD_BARS),
        Spec::Allocating | Spec::Logging => (NO_COMPUTING, &[]),
    };
    Case {
        suite: "handlers",
        // Made once, and needed to the end.
        name: spec.name().leak(),
        about: spec.about().leak(),
        metrics,
        contenders: match spec.beside() {
            Beside::Jobs => WITH_JOBS,
            Beside::Nothing | Beside::InlineJobs => WITHOUT_JOBS,
        },
        bars,
        window_min: spec.window_min(form, grid::cpus()),
        measure: pair::measure,
    }
}

#[cfg(test)]
mod tests {
    use super::super::contenders;
    use super::*;

    #[test]
    fn every_contender_has_its_part() {
        for case in cases(Form::Long) {
            let beside = Spec::named(case.name).unwrap().beside();
            for contender in case.contenders {
                let part = contenders::part(contender, beside);
                assert!(part.is_some(), "{case} on {contender}");
            }
        }
    }

    #[test]
    fn every_metric_has_its_value() {
        let metrics = cases(Form::Long).iter().flat_map(|case| case.metrics);
        for metric in metrics {
            assert!(pair::value_of(metric.name).is_some(), "{}", metric.name);
        }
    }

    #[test]
    fn the_short_form_is_part_of_the_long_one() {
        for case in cases(Form::Short) {
            let mut long = cases(Form::Long).iter();
            assert!(long.any(|other| other.name == case.name), "{case}");
        }
    }
}
