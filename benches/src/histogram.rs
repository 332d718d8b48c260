//! Latencies and latenesses, by their quantiles.

use std::time::Duration;

use hdrhistogram::Histogram;

/// The longest time that is told apart, in nanoseconds: over an hour.
const LONGEST_NS: u64 = 1 << 42;

/// Many durations, to three digits.
#[derive(Clone, Debug)]
pub(crate) struct Times(Histogram<u64>);

impl Times {
    /// None yet.
    pub(crate) fn new() -> Self {
        Self(Histogram::new_with_max(LONGEST_NS, 3).expect("the bounds are valid"))
    }

    pub(crate) fn record(&mut self, time: Duration) {
        let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.0.saturating_record(ns);
    }

    pub(crate) fn add(&mut self, others: &Self) {
        self.0 += &others.0;
    }

    pub(crate) fn clear(&mut self) {
        self.0.reset();
    }

    pub(crate) fn us(&self, quantile: f64) -> f64 {
        self.0.value_at_quantile(quantile) as f64 / 1e3
    }

    pub(crate) fn ms(&self, quantile: f64) -> f64 {
        self.us(quantile) / 1e3
    }

    /// How many were recorded.
    #[cfg(test)]
    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }
}
