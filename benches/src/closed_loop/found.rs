//! What a load has found.

use crate::harness::Metric;
use crate::histogram::Times;
use crate::used::Used;

/// What is measured on each contender, where what counts are requests.
pub(crate) const BY_REQUEST: &[Metric] = &[
    Metric::new("requests", "/s").higher_is_better(),
    Metric::new("server_cpu", "us/request"),
    Metric::new("p50", "us"),
    Metric::new("p99", "us"),
    Metric::new("p99.9", "us"),
    // How often a thread of the server went to sleep.
    Metric::new("switches", "/request"),
];

/// The same, where what counts are the bytes of the answers.
pub(crate) const BY_MIB: &[Metric] = &[
    Metric::new("answers", "MiB/s").higher_is_better(),
    Metric::new("server_cpu", "us/MiB"),
    Metric::new("p50", "us"),
    Metric::new("p99", "us"),
    Metric::new("p99.9", "us"),
    Metric::new("switches", "/MiB"),
];

/// All of a window.
pub(crate) struct Found {
    /// At least one.
    pub(crate) answers: u64,
    /// The length of each.
    pub(crate) answer_bytes: usize,
    pub(crate) latencies: Times,
    /// What the server used meanwhile.
    pub(crate) used: Used,
}

impl Found {
    pub(crate) fn requests_per_s(&self) -> f64 {
        self.answers as f64 / self.used.elapsed.as_secs_f64()
    }

    /// Microseconds.
    pub(crate) fn latency_us(&self, quantile: f64) -> f64 {
        self.latencies.us(quantile)
    }

    /// What the server used for each answer, as [`Used::each`] has it.
    pub(crate) fn used_each(&self) -> Vec<f64> {
        self.used.each(self.answers as f64)
    }

    /// In the order of [`BY_REQUEST`].
    pub(crate) fn by_request(&self) -> Vec<f64> {
        self.by(self.answers as f64)
    }

    /// In the order of [`BY_MIB`].
    pub(crate) fn by_mib(&self) -> Vec<f64> {
        let bytes = self.answers as f64 * self.answer_bytes as f64;
        self.by(bytes / f64::from(1 << 20))
    }

    fn by(&self, units: f64) -> Vec<f64> {
        vec![
            units / self.used.elapsed.as_secs_f64(),
            self.used.cpu_us(units),
            self.latencies.us(0.5),
            self.latencies.us(0.99),
            self.latencies.us(0.999),
            self.used.switches(units),
        ]
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::proc::Switches;

    #[test]
    fn what_is_found_is_by_request_or_by_size() {
        let mut latencies = Times::new();
        latencies.record(Duration::from_micros(7));
        let found = Found {
            answers: 32,
            answer_bytes: 1 << 18,
            latencies,
            used: Used {
                elapsed: Duration::from_secs(2),
                cpu: Duration::from_micros(1600),
                switches: Switches {
                    voluntary: 64,
                    ..Switches::default()
                },
            },
        };
        for (values, expected) in [
            (found.by_request(), [16.0, 50.0, 2.0]),
            (found.by_mib(), [4.0, 200.0, 8.0]),
        ] {
            assert_eq!([values[0], values[1], values[5]], expected);
            assert_eq!((values.len(), values[2]), (BY_REQUEST.len(), values[4]));
        }
    }
}
