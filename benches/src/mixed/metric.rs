//! The numbers of a case: the table's columns, and what the bars are about.

use super::run::{Measured, Row};
use crate::stats::{Spread, short};

/// A column of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Metric {
    P50,
    P90,
    P99,
    P999,
    Max,
    Answered,
    JobsPerS,
}

impl Metric {
    pub(super) const ALL: [Self; 7] = [
        Self::P50,
        Self::P90,
        Self::P99,
        Self::P999,
        Self::Max,
        Self::Answered,
        Self::JobsPerS,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::P50 => "p50",
            Self::P90 => "p90",
            Self::P99 => "p99",
            Self::P999 => "p99.9",
            Self::Max => "max",
            Self::Answered => "answered",
            Self::JobsPerS => "jobs/s",
        }
    }

    /// Milliseconds, percent, or jobs per second. A latency is `None` where nothing was answered:
    /// there is none then.
    pub(super) fn of(self, measured: &Measured) -> Option<f64> {
        let latencies = &measured.latencies;
        let ms = |us: f64| (latencies.answered > 0).then_some(us / 1e3);
        match self {
            Self::P50 => ms(latencies.p50_us),
            Self::P90 => ms(latencies.p90_us),
            Self::P99 => ms(latencies.p99_us),
            Self::P999 => ms(latencies.p999_us),
            Self::Max => ms(latencies.max_us),
            Self::Answered => {
                Some(100.0 * latencies.answered as f64 / latencies.requests.max(1) as f64)
            }
            Self::JobsPerS => measured.jobs_per_s,
        }
    }

    /// Over the rounds that did not fail; `None` if one of them has no value, which would make the
    /// others look good.
    pub(super) fn spread(self, row: &Row) -> Option<Spread> {
        let values: Option<Vec<_>> = row.measured().map(|measured| self.of(measured)).collect();
        Spread::of(&values?)
    }

    /// Of one row to another over the rounds in which neither failed, each ratio within its round.
    pub(super) fn ratio_to(self, row: &Row, base: Option<&Row>) -> Option<Spread> {
        let rounds = row.rounds.iter().zip(&base?.rounds);
        let measured =
            rounds.filter_map(|(own, base)| Some((own.as_ref().ok()?, base.as_ref().ok()?)));
        let ratios: Option<Vec<_>> = measured
            .map(|(own, base)| {
                let (own, base) = (self.of(own)?, self.of(base)?);
                (base > 0.0).then(|| own / base)
            })
            .collect();
        Spread::of(&ratios?)
    }

    pub(super) fn format(self, value: f64) -> String {
        match self {
            Self::Answered => format!("{value:.1}%"),
            Self::JobsPerS => format!("{value:.1}"),
            _ => short(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::row;
    use super::*;

    #[test]
    fn a_silent_round_spoils_the_median() {
        let rows = row(
            "light/evenkeel",
            &[(9.0, 1, None), (9.0, 0, None), (9.0, 1, None)],
        );
        assert_eq!(Metric::P50.spread(&rows), None);
        assert_eq!(Metric::Answered.spread(&rows).unwrap().median, 100.0);
    }
}
