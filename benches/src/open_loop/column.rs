//! The numbers of an open loop: what each is called, and how it is found.

use super::session::Outcome;
use super::tally::Lateness;
use super::work::JOB_MS;
use crate::harness::Metric;
use crate::stats;

/// A metric of some cases.
#[derive(Clone, Copy)]
pub(crate) struct Column {
    pub(crate) metric: Metric,
    pub(crate) of: fn(&Outcome) -> Option<f64>,
    /// The client's own lateness in it, in the same unit, at the same quantile.
    pub(crate) late: Option<fn(&Lateness) -> f64>,
}

impl Column {
    pub(crate) const fn new(
        name: &'static str,
        unit: &'static str,
        of: fn(&Outcome) -> Option<f64>,
    ) -> Self {
        Self {
            metric: Metric::new(name, unit),
            of,
            late: None,
        }
    }

    /// For a latency, in ms.
    pub(crate) const fn with_late(self, late: fn(&Lateness) -> f64) -> Self {
        Self {
            late: Some(late),
            ..self
        }
    }
}

/// The client's lateness at the quantiles, in ms.
pub(crate) const LATE_P50: fn(&Lateness) -> f64 = |late| late.p50_us / 1e3;
pub(crate) const LATE_P90: fn(&Lateness) -> f64 = |late| late.p90_us / 1e3;
pub(crate) const LATE_P99: fn(&Lateness) -> f64 = |late| late.p99_us / 1e3;

/// Latencies from the due time. A request without an answer counts with its age.
pub(crate) const P50: Column =
    Column::new("p50", "ms", |seen| Some(seen.latencies.p50_us / 1e3)).with_late(LATE_P50);
pub(crate) const P90: Column =
    Column::new("p90", "ms", |seen| Some(seen.latencies.p90_us / 1e3)).with_late(LATE_P90);
pub(crate) const P99: Column =
    Column::new("p99", "ms", |seen| Some(seen.latencies.p99_us / 1e3)).with_late(LATE_P99);
/// The same without the client's part, for loads so light that it is large: to wake up takes longer
/// than an answer.
pub(crate) const NET_P50: Column = Column::new("net_p50", "ms", |seen| {
    Some(seen.latencies.net.p50_us / 1e3)
});
pub(crate) const NET_P90: Column = Column::new("net_p90", "ms", |seen| {
    Some(seen.latencies.net.p90_us / 1e3)
});
pub(crate) const NET_P99: Column = Column::new("net_p99", "ms", |seen| {
    Some(seen.latencies.net.p99_us / 1e3)
});
/// A request without an answer says in the latencies how long the window was rather than how slow
/// the server is.
pub(crate) const ANSWERED: Column = Column {
    metric: Metric {
        format: stats::one_decimal,
        ..Metric::new("answered", "%").higher_is_better()
    },
    of: |seen| {
        let latencies = &seen.latencies;
        Some(100.0 * latencies.answered as f64 / latencies.requests.max(1) as f64)
    },
    late: None,
};

/// CPU jobs done that compute, in fractions.
pub(crate) const JOBS: Column = Column {
    metric: Metric {
        format: stats::one_decimal,
        ..Metric::new("jobs", "/s").higher_is_better()
    },
    of: |seen| Some(seen.work_per_s? / JOB_MS as f64),
    late: None,
};

/// The metrics of a case with these columns.
pub(crate) const fn metrics<const N: usize>(columns: &[Column; N]) -> [Metric; N] {
    let mut metrics = [Metric::new("", ""); N];
    let mut index = 0;
    while index < N {
        metrics[index] = columns[index].metric;
        index += 1;
    }
    metrics
}

/// Their values.
pub(super) fn values(columns: &[Column], outcome: &Outcome) -> Vec<Option<f64>> {
    columns.iter().map(|column| (column.of)(outcome)).collect()
}

/// The client's own lateness in each of them.
pub(super) fn late(columns: &[Column], outcome: &Outcome) -> Vec<Option<f64>> {
    let late = |column: &Column| Some(column.late?(&outcome.latencies.client_late));
    columns.iter().map(late).collect()
}
