//! What a client has seen of its requests: in each of its threads, and then in all.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::histogram::Times;

/// What was seen in the window.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Seen {
    pub(super) latencies: Latencies,
    /// In the order of the traffic's works.
    pub(super) by_work: Vec<Quantiles>,
    /// From the end of a burst to the moment at which its backlog was gone, or the client gave up.
    pub(super) backlog_ms: Option<f64>,
}

/// The latencies of requests of one kind.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Quantiles {
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
}

/// How late the client itself was with its requests: in sending them, and then in reading answers
/// that had come, as far as the kernel has noted when.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Lateness {
    pub(crate) p50_us: f64,
    pub(crate) p90_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p999_us: f64,
    pub(crate) max_us: f64,
}

/// Latencies without what the client itself was late: from the moment at which a request was sent
/// to the arrival of its answer, as far as the kernel has noted that.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Net {
    pub(crate) p50_us: f64,
    pub(crate) p90_us: f64,
    pub(crate) p99_us: f64,
}

/// All requests that count. Latencies are from the due time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Latencies {
    pub(crate) requests: u64,
    pub(crate) answered: u64,
    pub(crate) p50_us: f64,
    pub(crate) p90_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p999_us: f64,
    pub(crate) max_us: f64,
    /// How late the client itself was in sending.
    pub(crate) sent_late_p50_us: f64,
    pub(crate) sent_late_p99_us: f64,
    /// The part that the client has in the latencies.
    pub(crate) client_late: Lateness,
    /// The latencies without that.
    pub(crate) net: Net,
    pub(crate) lost_connections: usize,
    /// How many threads the client had.
    pub(crate) client_threads: usize,
    /// The client's scheduling, as far as it was permitted.
    pub(crate) priority: String,
}

/// What one thread has seen, or several.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) threads: usize,
    pub(super) requests: u64,
    pub(super) answered: u64,
    /// For each kind of requests.
    pub(super) latencies: Vec<Times>,
    pub(super) sent_late: Times,
    /// For each request, in sending it and in reading its answer.
    pub(super) late: Times,
    /// The latency of each request without that.
    pub(super) net: Times,
    pub(super) lost_connections: usize,
    /// From the end of a burst to the moment at which its backlog was gone, or the client gave up.
    pub(super) backlog: Option<Duration>,
}

impl Tally {
    /// Nothing yet, for one thread and so many kinds of requests.
    pub(super) fn new(kinds: usize) -> Self {
        Self {
            threads: 1,
            requests: 0,
            answered: 0,
            latencies: vec![Times::new(); kinds],
            sent_late: Times::new(),
            late: Times::new(),
            net: Times::new(),
            lost_connections: 0,
            backlog: None,
        }
    }

    /// Adds what other threads have seen of the same traffic.
    pub(super) fn add(&mut self, others: &Self) {
        self.threads += others.threads;
        self.requests += others.requests;
        self.answered += others.answered;
        for (own, other) in self.latencies.iter_mut().zip(&others.latencies) {
            own.add(other);
        }
        self.sent_late.add(&others.sent_late);
        self.late.add(&others.late);
        self.net.add(&others.net);
        self.lost_connections += others.lost_connections;
        // Whoever looked first has seen it first; the backlog is that of all.
        self.backlog = self.backlog.into_iter().chain(others.backlog).min();
    }

    /// Counts a request: what kind it is, its latency, and the part of the client's own lateness.
    pub(super) fn record(&mut self, kind: usize, latency: Duration, late: Duration) {
        self.latencies[kind].record(latency);
        self.late.record(late);
        self.net.record(latency.saturating_sub(late));
    }

    pub(super) fn seen(&self, priority: String) -> Seen {
        let by_work = self.latencies.iter().map(|kind| Quantiles {
            p50_us: kind.us(0.5),
            p99_us: kind.us(0.99),
        });
        let mut all = Times::new();
        for kind in &self.latencies {
            all.add(kind);
        }
        Seen {
            latencies: Latencies {
                requests: self.requests,
                answered: self.answered,
                p50_us: all.us(0.5),
                p90_us: all.us(0.9),
                p99_us: all.us(0.99),
                p999_us: all.us(0.999),
                max_us: all.us(1.0),
                sent_late_p50_us: self.sent_late.us(0.5),
                sent_late_p99_us: self.sent_late.us(0.99),
                client_late: Lateness {
                    p50_us: self.late.us(0.5),
                    p90_us: self.late.us(0.9),
                    p99_us: self.late.us(0.99),
                    p999_us: self.late.us(0.999),
                    max_us: self.late.us(1.0),
                },
                net: Net {
                    p50_us: self.net.us(0.5),
                    p90_us: self.net.us(0.9),
                    p99_us: self.net.us(0.99),
                },
                lost_connections: self.lost_connections,
                client_threads: self.threads,
                priority,
            },
            by_work: by_work.collect(),
            backlog_ms: self.backlog.map(|time| 1e3 * time.as_secs_f64()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(latency_us: u64, backlog_ms: u64) -> Tally {
        let mut tally = Tally::new(1);
        tally.requests = 2;
        tally.answered = 1;
        tally.record(
            0,
            Duration::from_micros(latency_us),
            Duration::from_micros(latency_us / 5),
        );
        tally
            .sent_late
            .record(Duration::from_micros(latency_us / 10));
        tally.lost_connections = 1;
        tally.backlog = Some(Duration::from_millis(backlog_ms));
        tally
    }

    #[test]
    fn threads_add_up() {
        let mut all = tally(100, 30);
        all.add(&tally(2_000, 10));
        let seen = all.seen(String::new());
        let latencies = seen.latencies;
        assert_eq!((latencies.requests, latencies.answered), (4, 2));
        assert_eq!(
            (latencies.client_threads, latencies.lost_connections),
            (2, 2)
        );
        assert!((99.0..101.0).contains(&latencies.p50_us), "{latencies:?}");
        assert!((1_990.0..2_010.0).contains(&latencies.max_us));
        assert!(latencies.sent_late_p99_us > 190.0);
        let late = latencies.client_late;
        assert!(
            (19.0..21.0).contains(&late.p50_us) && late.p99_us > 390.0,
            "{late:?}"
        );
        let net = latencies.net;
        assert!(
            (79.0..81.0).contains(&net.p50_us) && net.p99_us > 1_590.0,
            "{net:?}"
        );
        assert_eq!(seen.backlog_ms, Some(10.0));
    }
}
