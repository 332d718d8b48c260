//! The numbers of the cases. The first is the one by which strategies are judged.
//!
//! The last of each is how often a thread was moved, which not every kernel tells: a case then does
//! without it ([`known`]).

use crate::harness::Metric;
use crate::open_loop::{self, ANSWERED, Column, JOBS, Outcome, P50, P99};
use crate::proc::knows_migrations;
use crate::stats::{fine, shorter};

/// Of an open loop beside CPU jobs. What the requests alone need of the CPUs cannot be told.
pub(super) const COLUMNS: &[Column; 7] = &[
    P99,
    P50,
    ANSWERED,
    JOBS,
    switches("voluntary", |seen| {
        per_request(seen, Some(seen.switches.voluntary))
    }),
    switches("involuntary", |seen| {
        per_request(seen, Some(seen.switches.involuntary))
    }),
    switches("migrations", |seen| {
        per_request(seen, seen.switches.migrations)
    }),
];
pub(super) const OPEN: &[Metric] = &open_loop::metrics(COLUMNS);

/// Of a closed loop, in the order of [`closed`].
pub(super) const CLOSED: &[Metric] = &[
    RATE_OF_REQUESTS,
    Metric::new("p50", "us"),
    Metric::new("p99", "us"),
    Metric::new("cpu", "us/request"),
    per("voluntary", "/request"),
    per("involuntary", "/request"),
    per("migrations", "/request"),
];

/// Of tasks without a client, in the order of [`operations`].
pub(super) const OPERATIONS: &[Metric] = &[
    Metric {
        format: shorter,
        ..Metric::new("operations", "/s").higher_is_better()
    },
    per("cpu", "us/operation"),
    per("voluntary", "/operation"),
    per("involuntary", "/operation"),
    per("migrations", "/operation"),
];

const RATE_OF_REQUESTS: Metric = Metric {
    format: shorter,
    ..Metric::new("requests", "/s").higher_is_better()
};

const fn per(name: &'static str, unit: &'static str) -> Metric {
    Metric {
        format: fine,
        ..Metric::new(name, unit)
    }
}

const fn switches(name: &'static str, of: fn(&Outcome) -> Option<f64>) -> Column {
    Column {
        metric: per(name, "/request"),
        of,
        late: None,
    }
}

fn per_request(seen: &Outcome, count: Option<u64>) -> Option<f64> {
    Some(count? as f64 / seen.latencies.requests.max(1) as f64)
}

/// All of these, or all but the last where the kernel does not tell about migrations.
pub(super) fn known<T>(all: &'static [T]) -> &'static [T] {
    &all[..all.len() - usize::from(!knows_migrations())]
}

/// Latencies in microseconds, and what was used for each request.
pub(super) fn closed(rate: f64, [p50, p99]: [f64; 2], used: &[f64]) -> Vec<f64> {
    [&[rate, p50, p99], used].concat()
}

/// With what was used for each operation.
pub(super) fn operations(rate: f64, used: &[f64]) -> Vec<f64> {
    [&[rate], used].concat()
}
