//! The suite `quota`: a server under a CPU quota, as containers have it, with CPU jobs beside its
//! requests.
//!
//! A quota counts the CPU time of all threads. Jobs that use it up stop the requests too, until the
//! period is over, whatever the priorities. The server is in a control group that is made for each
//! measurement ([`cgroup`]), and its client is not.

use std::sync::OnceLock;
use std::time::Duration;

use crate::cgroup::{self, PERIOD, QuotaGroup, QuotaOf};
use crate::harness::{Bar, Case, Contender, EVENKEEL, Form, Layout, Limit, Metric, Row, Suite};
use crate::harness::{Measurement, Turn};
use crate::machine::Fact;
use crate::open_loop::{self, ANSWERED, Background, Column, Handler, Job, Outcome};
use crate::open_loop::{
    NET_P50, NET_P90, NET_P99, Plan, Rate, Traffic, connections, jobs_in_flight, metrics, serve,
};
use crate::runtimes::{Evenkeel, Runtime, Tokio};
use crate::stats;

pub(super) const SUITE: Suite = Suite {
    layout: Layout::Lines,
    window: Duration::from_secs(4),
    rounds: 1,
    facts,
    ..Suite::new(
        "quota",
        "a server under a CPU quota with CPU jobs beside its IO, open loop; latencies in ms",
        cases,
    )
};

/// In CPUs.
const QUOTAS: [f64; 5] = [0.2, 0.5, 1.0, 1.5, 2.0];
/// What of these is in the short form.
const SHORT_QUOTAS: [f64; 4] = [0.2, 0.5, 1.0, 1.5];
/// How long CPU jobs are.
const JOBS_MS: [u64; 2] = [1, 20];

/// For each CPU of the quota. With what a request costs beside its work, a sixth of the quota.
const REQUESTS_PER_S: f64 = 1_000.0;
/// CPU work of a request.
const HANDLER_US: u32 = 100;
/// Connections and jobs are those of two CPUs, which is the largest quota, on every machine.
const CPUS: usize = 2;

const COLUMNS: &[Column; 7] = &[NET_P50, NET_P90, NET_P99, ANSWERED, THROTTLED, IO, COMPUTE];
const METRICS: &[Metric] = &metrics(COLUMNS);

/// Periods in which the server stood still, since its quota was used up.
const THROTTLED: Column = percent("throttled", |seen| {
    let throttling = seen.throttling?;
    Some(100.0 * throttling.throttled as f64 / throttling.periods.max(1) as f64)
});

/// What all of the server but its jobs used of the quota.
const IO: Column = percent("io", |seen| {
    let jobs = seen.work_cpus.unwrap_or(0.0);
    Some(100.0 * (seen.server_cpus - jobs) / cpus(seen)?)
});

/// What its jobs used; without any, what is left for them.
const COMPUTE: Column = {
    let compute = percent("compute", |seen| {
        let cpus = cpus(seen)?;
        let used = seen.work_cpus.unwrap_or(cpus - seen.server_cpus);
        Some(100.0 * used / cpus)
    });
    Column {
        metric: compute.metric.higher_is_better(),
        ..compute
    }
};

/// The quota, which may be more than the client leaves of the CPUs.
fn cpus(seen: &Outcome) -> Option<f64> {
    let of_client = if seen.shares_cpus {
        seen.client_cpus
    } else {
        0.0
    };
    Some(seen.quota_cpus?.min(seen.cpus as f64 - of_client))
}

const fn percent(name: &'static str, of: fn(&Outcome) -> Option<f64>) -> Column {
    Column {
        metric: Metric {
            format: stats::one_decimal,
            ..Metric::new(name, "%")
        },
        of,
        late: None,
    }
}

/// Evenkeel without CPU jobs, which its bars are about.
const ALONE: &str = "evenkeel-alone";

const CONTENDERS: &[Contender] = &[
    Contender::new(ALONE, |setup| {
        serve(setup, Evenkeel::new, Background::NOTHING)
    }),
    Contender::new(EVENKEEL, |setup| {
        serve(setup, Evenkeel::new, Background::COMPUTE)
    }),
    Contender::new("tokio+rayon-nice19", |setup| {
        serve(setup, Tokio::new, Background::RAYON_NICE_19)
    }),
    Contender::new("tokio+tokioidle", |setup| {
        serve(setup, Tokio::new, Background::TOKIO_IDLE)
    }),
];

const BARS: &[Bar] = &[
    Bar::new("net_p50", Limit::AtMost(1.1, &[ALONE])),
    Bar::new("net_p90", Limit::AtMost(1.1, &[ALONE])),
    Bar::new("net_p99", Limit::AtMost(1.5, &[ALONE])),
    Bar::new("throttled", Limit::AtMostAbove(0.0, &[ALONE])),
    Bar::new("compute", Limit::AtLeast(0.9, &[ALONE])),
];

/// A case, as data.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Spec {
    quota_cpus: f64,
    of: QuotaOf,
    job_ms: u64,
}

impl Spec {
    /// All there is, in the table's order.
    fn all(form: Form) -> Vec<Self> {
        match form {
            Form::Short => Self::product(QuotaOf::Own, &SHORT_QUOTAS),
            Form::Long => {
                let of = [QuotaOf::Own, QuotaOf::Parent].into_iter();
                of.flat_map(|of| Self::product(of, &QUOTAS)).collect()
            }
        }
    }

    fn product(of: QuotaOf, quotas: &[f64]) -> Vec<Self> {
        let specs = quotas.iter().flat_map(|&quota_cpus| {
            JOBS_MS.map(|job_ms| Self {
                quota_cpus,
                of,
                job_ms,
            })
        });
        specs.collect()
    }

    fn name(self) -> String {
        let of = match self.of {
            QuotaOf::Own => "",
            QuotaOf::Parent => "_parent",
        };
        format!("{}_{}ms{of}", self.quota_cpus, self.job_ms)
    }

    /// One line.
    fn about(self) -> String {
        let of = match self.of {
            QuotaOf::Own => "",
            QuotaOf::Parent => ", set on the group above the server's",
        };
        let requests_per_s = REQUESTS_PER_S * self.quota_cpus;
        format!(
            "{} CPUs{of}; {requests_per_s} requests/s with {HANDLER_US} us of CPU each, jobs of \
             {} ms",
            self.quota_cpus, self.job_ms
        )
    }

    /// The same for every contender.
    fn plan(self) -> Plan {
        let rate = Rate::per_s((REQUESTS_PER_S * self.quota_cpus).round() as u32);
        Plan {
            traffic: Traffic::even(connections(CPUS), rate, HANDLER_US),
            handler: Handler::Compute,
            job: Job::Compute { ms: self.job_ms },
            tasks: jobs_in_flight(CPUS),
            late: false,
        }
    }

    fn measure(self, case: &Case, turn: Turn) -> Result<Measurement, String> {
        let group = QuotaGroup::new(self.of, self.quota_cpus);
        let group = group.map_err(|error| format!("a control group: {error}"))?;
        let outcome = open_loop::run_in(Some(&group), case, turn, &self.plan())?;
        outcome.checked()?.measurement(COLUMNS)
    }
}

/// The cases, in the table's order.
fn cases(form: Form) -> &'static [Case] {
    static SHORT: OnceLock<Vec<Case>> = OnceLock::new();
    static LONG: OnceLock<Vec<Case>> = OnceLock::new();
    let cases = match form {
        Form::Short => &SHORT,
        Form::Long => &LONG,
    };
    cases.get_or_init(|| Spec::all(form).into_iter().map(case).collect())
}

/// What is made here is made once, and needed to the end.
fn case(spec: Spec) -> Case {
    Case {
        suite: "quota",
        name: spec.name().leak(),
        about: spec.about().leak(),
        metrics: METRICS,
        contenders: CONTENDERS,
        bars: BARS,
        window_min: Duration::ZERO,
        program: None,
        obstacle: cgroup::obstacle,
        scale: None,
        place: None,
        measure: Box::leak(Box::new(move |case, turn| spec.measure(case, turn))),
        load: None,
    }
}

fn facts(_: &[Row]) -> Vec<Fact> {
    let load = format!(
        "a period has {} ms; {} connections, {} jobs in flight",
        PERIOD.as_millis(),
        connections(CPUS),
        jobs_in_flight(CPUS)
    );
    let columns = [
        "net: without the client's own lateness",
        "throttled: periods in which the server had used its quota up and stood still",
        "io, compute: CPU of all but the jobs, and of the jobs, as parts of the quota;",
        "compute of evenkeel-alone is what it leaves",
    ];
    let columns = columns.map(|column| ("", column.to_owned()));
    [("quota:", load)].into_iter().chain(columns).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_short_form_is_part_of_the_long_one() {
        let long = Spec::all(Form::Long);
        assert!(
            Spec::all(Form::Short)
                .iter()
                .all(|spec| long.contains(spec))
        );
        let names: Vec<_> = long.iter().map(|spec| spec.name()).collect();
        for name in ["0.2_1ms", "1.5_20ms", "2_20ms_parent"] {
            assert!(names.iter().any(|other| other == name), "{names:?}");
        }
    }

    #[test]
    fn the_load_goes_with_the_quota() {
        let spec = Spec {
            quota_cpus: 0.2,
            of: QuotaOf::Own,
            job_ms: 20,
        };
        let plan = spec.plan();
        assert_eq!(plan.traffic.rate, Rate::per_s(200));
        assert_eq!((plan.traffic.connections, plan.tasks), (64, 8));
        assert_eq!(plan.job, Job::COMPUTE);
    }

    /// The percentages of a server that used so many CPUs, its jobs among them.
    fn percentages(quota_cpus: f64, server_cpus: f64, work_cpus: Option<f64>) -> [Option<f64>; 3] {
        let outcome = Outcome::example(json!({
            "work_per_s": work_cpus,
            "work_cpus": work_cpus,
            "server_cpus": server_cpus,
            "quota_cpus": quota_cpus,
            "throttling": { "periods": 40, "throttled": 3 },
        }));
        [THROTTLED, IO, COMPUTE].map(|column| (column.of)(&outcome))
    }

    #[test]
    fn a_quota_is_shared_by_io_and_jobs() {
        let found = |quota_cpus, server_cpus, work_cpus| {
            percentages(quota_cpus, server_cpus, work_cpus).map(Option::unwrap)
        };
        assert_eq!(found(0.5, 0.5, Some(0.375)), [7.5, 25.0, 75.0]);
        // Of two CPUs, the client used half of one.
        assert_eq!(found(2.0, 1.5, Some(1.125)), [7.5, 25.0, 75.0]);
        // What a server without jobs leaves for some.
        assert_eq!(found(0.5, 0.125, None), [7.5, 25.0, 75.0]);
    }
}
