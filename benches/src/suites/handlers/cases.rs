//! The cases as the harness has them: metrics, contenders and bars.

use std::sync::OnceLock;

use super::contenders::{ALONE, BESIDE_JOBS, INLINE_JOBS};
use super::contenders::{BESIDE_OTHER_JOBS, OTHERS_WITH_JOBS, OTHERS_WITHOUT_JOBS};
use super::contenders::{PEERS_WITH_JOBS, WITHOUT_JOBS};
use super::grid::{Fixed, Spec};
use crate::cpus::Cpus;
use crate::harness::{Bar, Case, Contender, Form, Limit, Measurement, Turn};
use crate::open_loop::{self, ANSWERED, Column, JOBS, LATE_P50, LATE_P99, Lateness, Outcome};
use crate::open_loop::{NET_P99, P50, P90, P99, Plan, jobs_in_flight};

const SHORT_P50: Column = of_work(
    "short_p50",
    |seen| Some(seen.by_work[0].p50_us / 1e3),
    LATE_P50,
);
const SHORT_P99: Column = of_work(
    "short_p99",
    |seen| Some(seen.by_work[0].p99_us / 1e3),
    LATE_P99,
);
const LONG_P50: Column = of_work(
    "long_p50",
    |seen| Some(seen.by_work[1].p50_us / 1e3),
    LATE_P50,
);
const LONG_P99: Column = of_work(
    "long_p99",
    |seen| Some(seen.by_work[1].p99_us / 1e3),
    LATE_P99,
);
const BACKLOG: Column = Column::new("backlog", "ms", |seen| seen.backlog_ms);
/// Those that do not compute.
const OTHER_JOBS: Column = Column {
    of: |seen| seen.work_per_s,
    ..JOBS
};
const TAKEOVERS: Column = Column::new("takeovers", "/s", |seen| Some(seen.takeovers_per_s));

/// The client's lateness is that of all kinds of requests.
const fn of_work(
    name: &'static str,
    of: fn(&Outcome) -> Option<f64>,
    late: fn(&Lateness) -> f64,
) -> Column {
    Column::new(name, "ms", of).with_late(late)
}

const ALONE_BARS: &[Bar] = &[
    Bar::new("p50", Limit::AtMost(1.05, OTHERS_WITHOUT_JOBS)),
    Bar::new("p90", Limit::AtMost(1.05, OTHERS_WITHOUT_JOBS)),
    Bar::new("p99", Limit::AtMost(1.1, OTHERS_WITHOUT_JOBS)),
];
const BESIDE_JOBS_BARS: &[Bar] = &[
    Bar::new("p50", Limit::AtMost(1.05, OTHERS_WITH_JOBS)),
    Bar::new("p90", Limit::AtMost(1.05, OTHERS_WITH_JOBS)),
    Bar::new("p99", Limit::AtMost(1.1, OTHERS_WITH_JOBS)),
    Bar::new("jobs", Limit::AtLeastOfBest(0.97, "p99", OTHERS_WITH_JOBS)),
];
const MIXTURE_BARS: &[Bar] = &[
    Bar::new("short_p99", Limit::AtMost(0.3, PEERS_WITH_JOBS)),
    Bar::new("long_p99", Limit::AtMost(1.2, PEERS_WITH_JOBS)),
];
const INLINE_BARS: &[Bar] = &[
    Bar::new("p50", Limit::Absolute(2.2)),
    Bar::new("p99", Limit::Absolute(3.0)),
];
const OVERLOAD_BARS: &[Bar] = &[
    Bar::new("p99", Limit::AtMost(1.1, OTHERS_WITH_JOBS)),
    Bar::new("backlog", Limit::AtMost(1.0, PEERS_WITH_JOBS)),
];
const OTHER_JOBS_BARS: &[Bar] = &[
    Bar::new("p99", Limit::AtMost(1.5, &[WITHOUT_JOBS])),
    Bar::new("net_p99", Limit::AtMost(1.5, &[WITHOUT_JOBS])),
];

/// The cases, in the table's order.
pub(super) fn cases(form: Form) -> &'static [Case] {
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

/// What is made here is made once, and needed to the end.
fn case(spec: Spec, form: Form) -> Case {
    let (columns, contenders, bars) = parts(spec);
    let metrics: Vec<_> = columns.iter().map(|column| column.metric).collect();
    let measure = move |case, turn| measure(spec, columns, case, turn);
    Case {
        suite: "handlers",
        name: spec.name().leak(),
        about: spec.about().leak(),
        metrics: metrics.leak(),
        contenders,
        bars,
        window_min: spec.window_min(form, Cpus::usual().of_server),
        measure: Box::leak(Box::new(measure)),
        program: None,
        obstacle: || None,
        scale: None,
        place: None,
        load: None,
    }
}

type Parts = (&'static [Column], &'static [Contender], &'static [Bar]);

fn parts(spec: Spec) -> Parts {
    match spec {
        Spec::Fixed(Fixed { jobs: true, .. }) => (
            &[P50, P90, P99, ANSWERED, JOBS],
            BESIDE_JOBS,
            BESIDE_JOBS_BARS,
        ),
        Spec::Fixed(Fixed { jobs: false, .. }) => (&[P50, P90, P99, ANSWERED], ALONE, ALONE_BARS),
        Spec::Mixture { .. } => (
            &[SHORT_P50, SHORT_P99, LONG_P50, LONG_P99, ANSWERED, JOBS],
            BESIDE_JOBS,
            MIXTURE_BARS,
        ),
        Spec::Inline => (&[P50, P90, P99, ANSWERED, JOBS], INLINE_JOBS, INLINE_BARS),
        Spec::Overload => (
            &[P50, P99, BACKLOG, ANSWERED, JOBS],
            BESIDE_JOBS,
            OVERLOAD_BARS,
        ),
        Spec::Allocating { jobs: false } | Spec::Logging { jobs: false } => {
            (&[P50, P99, ANSWERED, TAKEOVERS], ALONE, &[])
        }
        Spec::Allocating { jobs: true } | Spec::Logging { jobs: true } => (
            &[P50, P90, P99, NET_P99, ANSWERED, OTHER_JOBS, TAKEOVERS],
            BESIDE_OTHER_JOBS,
            OTHER_JOBS_BARS,
        ),
    }
}

fn measure(spec: Spec, columns: &[Column], case: &Case, turn: Turn) -> Result<Measurement, String> {
    let cpus = turn.cpus.of_server;
    let plan = Plan {
        traffic: spec.traffic(cpus, turn.round),
        handler: spec.handler(),
        job: spec.job(),
        tasks: jobs_in_flight(cpus),
        // What a runtime needs to learn about tasks that compute counts.
        late: spec == Spec::Inline,
    };
    let outcome = open_loop::run(case, turn, &plan)?.checked()?;
    outcome.measurement(columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_form_is_part_of_the_long_one() {
        for case in cases(Form::Short) {
            let mut long = cases(Form::Long).iter();
            assert!(long.any(|other| other.name == case.name), "{case}");
        }
    }
}
