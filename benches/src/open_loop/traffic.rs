//! What a load generator is to send: how fast, how regularly, and how much work each request asks
//! for. The parent describes it, and the client draws it, from a seed, so that every contender of a
//! round gets the same.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How many connections a case has for each CPU of the server, so that all of them have work.
const CONNECTIONS_PER_CPU: usize = 32;

/// Requests of an open loop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Traffic {
    pub(crate) connections: usize,
    pub(crate) arrivals: Arrivals,
    pub(crate) rate: Rate,
    /// Another rate at the start of the window.
    pub(crate) burst: Option<Burst>,
    /// What a request asks for, one of these.
    pub(crate) works: Vec<Work>,
    /// Of what is left to chance.
    pub(crate) seed: u64,
    /// Only requests that are due so long before the end of the window count, if not all.
    pub(crate) counted: Option<Duration>,
}

impl Traffic {
    /// Evenly spaced requests that are all the same, as most cases have them, for a server with so
    /// many CPUs: so many a second for each.
    pub(crate) fn even_per_cpu(cpus: usize, requests_per_s: u32, work_us: u32) -> Self {
        let rate = Rate::per_s(requests_per_s * cpus as u32);
        Self::even(connections(cpus), rate, work_us)
    }

    /// Evenly spaced requests that are all the same.
    pub(crate) fn even(connections: usize, rate: Rate, work_us: u32) -> Self {
        Self {
            connections,
            arrivals: Arrivals::Even,
            rate,
            burst: None,
            works: vec![Work {
                us: work_us,
                share: 1.0,
            }],
            seed: 0,
            counted: None,
        }
    }
}

impl Traffic {
    /// How many requests a second there are at the most.
    pub(super) fn per_s_max(&self) -> u64 {
        let burst = self.burst.map(|burst| burst.rate.per_1000_s);
        self.rate.per_1000_s.max(burst.unwrap_or(0)).div_ceil(1000)
    }
}

/// How many connections there are to a server with so many CPUs.
pub(crate) fn connections(cpus: usize) -> usize {
    CONNECTIONS_PER_CPU * cpus
}

/// When requests are due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Arrivals {
    /// Evenly spaced.
    Even,
    /// As independent clients would send them: the time to the next has no memory.
    Poisson,
}

/// How fast requests come. An integer, so that evenly spaced ones do not drift.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rate {
    per_1000_s: u64,
}

/// A thousand seconds, in nanoseconds.
const NS_IN_1000_S: u64 = 1_000_000_000_000;

impl Rate {
    pub(crate) const fn per_s(requests: u32) -> Self {
        Self {
            per_1000_s: 1000 * requests as u64,
        }
    }

    /// The rate at which requests of `mean_us` each take up so many CPUs.
    pub(crate) fn of_cpus(cpus: f64, mean_us: f64) -> Self {
        Self {
            per_1000_s: (cpus / mean_us * 1e9).round().max(1.0) as u64,
        }
    }

    /// The time in which so many requests come.
    pub(crate) fn time_of(self, requests: u64) -> Duration {
        Duration::from_nanos(self.nanos_of(requests))
    }

    pub(super) fn nanos_of(self, requests: u64) -> u64 {
        (u128::from(requests) * u128::from(NS_IN_1000_S) / u128::from(self.per_1000_s)) as u64
    }

    /// From one request to the next, in the mean.
    pub(super) fn mean_ns(self) -> f64 {
        NS_IN_1000_S as f64 / self.per_1000_s as f64
    }
}

/// More requests than the server can answer, for a while.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Burst {
    pub(crate) rate: Rate,
    pub(crate) length: Duration,
    /// How few requests wait for their answers when the server has recovered from it.
    pub(crate) backlog_gone: u64,
}

/// The CPU time that a request asks for, and how many of all requests do.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Work {
    pub(crate) us: u32,
    pub(crate) share: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_takes_up_its_cpus() {
        assert_eq!(Rate::of_cpus(1.6, 100.0), Rate::per_s(16_000));
        assert_eq!(Rate::of_cpus(0.9, 50_000.0), Rate::per_s(18));
        // 2,666.667 requests/s: to the thousandth.
        let rate = Rate::of_cpus(0.8, 300.0);
        assert_eq!(rate.per_1000_s, 2_666_667);
        assert_eq!(rate.time_of(2_666_667), Duration::from_secs(1000));
    }

    #[test]
    fn every_cpu_has_its_share_of_an_even_load() {
        for (cpus, connections, per_s) in [
            (1, 32, 1_000),
            (2, 64, 2_000),
            (3, 96, 3_000),
            (6, 192, 6_000),
            (16, 512, 16_000),
            (64, 2_048, 64_000),
        ] {
            let expected = Traffic::even(connections, Rate::per_s(per_s), 100);
            assert_eq!(Traffic::even_per_cpu(cpus, 1_000, 100), expected);
        }
    }

    #[test]
    fn the_client_reads_what_the_parent_writes() {
        let traffic = Traffic {
            arrivals: Arrivals::Poisson,
            burst: Some(Burst {
                rate: Rate::per_s(1_300),
                length: Duration::from_secs(2),
                backlog_gone: 4,
            }),
            counted: Some(Duration::from_millis(1_500)),
            seed: u64::MAX,
            ..Traffic::even(64, Rate::per_s(600), 2_000)
        };
        let json = serde_json::to_string(&traffic).unwrap();
        assert_eq!(serde_json::from_str::<Traffic>(&json).unwrap(), traffic);
    }
}
