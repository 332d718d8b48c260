//! The suite `starve`: what the neighbours of a task that misbehaves get to feel.
//!
//! A case is a disturbance ([`disturbance`]) in the runtime of an echo server with 64 honest
//! connections ([`pair`]), or beside sleeping tasks ([`timers`]). The load is that of the main job's
//! `light`: 2,000 requests/s in an open loop, latencies from the due time. A disturbance begins with
//! the window, so that what a runtime needs to notice it counts. How much of its own work it gets
//! done is measured as well, since a runtime could keep everybody else happy by starving it.

mod disturbance;
mod pair;
mod timers;

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ::tokio::io::{AsyncRead, AsyncWrite};

use crate::micro::Scheduler;
use crate::runtimes::{Evenkeel, Tokio};
use crate::spin::Spin;
use crate::suite::{self, Bar, Case, EVENKEEL, Limit, Metric, Template};

/// One line for the help text and the report.
pub(crate) const ABOUT: &str = "64 connections at 2,000 requests/s, open loop, and sleeping tasks, \
                                beside tasks that hog or block their workers";

const P50: Metric = Metric::new("p50", "ms");
const P99: Metric = Metric::new("p99", "ms");
/// A request without an answer counts in the latencies with its age, which says how long the window
/// was rather than how slow the server is.
const ANSWERED: Metric = Metric::new("answered", "%");

/// The promise: a stuck worker costs its neighbours a millisecond.
const PROMISE: &[Bar] = &[
    Bar {
        metric: "p50",
        limit: Limit::Absolute(0.2),
    },
    Bar {
        metric: "p99",
        limit: Limit::Absolute(1.0),
    },
];

const NOTHING_PROMISED: &[Bar] = &[];

const BESIDE: Template = Template {
    suite: "starve",
    contenders: &[EVENKEEL, "tokio"],
    measure: pair::measure,
};

/// The cases, in the table's order. `work` is what the disturbance gets done.
pub(crate) const CASES: &[Case] = &[
    BESIDE.case(
        "heavy_handler",
        "one more connection, whose handler computes 200 ms for each request; work in ms of CPU",
        &[P50, P99, ANSWERED, Metric::new("work", "ms/s")],
        PROMISE,
    ),
    BESIDE.case(
        "held_lock",
        "one more connection, whose handler takes a std Mutex that a sleeping thread holds 50 of 51 ms",
        &[P50, P99, ANSWERED, Metric::new("work", "locks/s")],
        PROMISE,
    ),
    BESIDE.case(
        "waking_pair",
        "two tasks that wake each other for ever",
        &[P50, P99, ANSWERED, Metric::new("work", "wakes/s")],
        PROMISE,
    ),
    BESIDE.case(
        "ready_socket",
        "a task that reads, 1 KiB at a time, from a socket that is never empty",
        &[P50, P99, ANSWERED, Metric::new("work", "reads/s")],
        PROMISE,
    ),
    BESIDE.case(
        "spawn_storm",
        "a task that spawns faster than can be run, and yields only when 100,000 tasks are alive",
        &[P50, P99, ANSWERED, Metric::new("work", "tasks/s")],
        NOTHING_PROMISED,
    ),
    BESIDE.case(
        "all_stuck",
        "two tasks more than workers, which compute 20 ms between yields; work in ms of CPU",
        &[P50, P99, ANSWERED, Metric::new("work", "ms/s")],
        PROMISE,
    ),
    Case {
        window_min: BLOCKED_WINDOW_MIN,
        ..BESIDE.case(
            "blocked_1000",
            "1,000 tasks that sleep 1 s in std::thread::sleep between yields; 3 s or --secs",
            &[P50, P99, ANSWERED, Metric::new("work", "sleeps/s")],
            NOTHING_PROMISED,
        )
    },
    Case {
        measure: timers::measure,
        ..BESIDE.case(
            timers::NAME,
            "lateness of sleep(1 ms) to sleep(10 ms) in 16 tasks, beside two tasks per worker that \
             compute 20 ms between yields; work in ms of CPU",
            &[P50, P99, Metric::new("work", "ms/s")],
            &[Bar {
                metric: "p99",
                limit: Limit::Absolute(3.0),
            }],
        )
    },
];

/// The shortest window in which tasks that sleep for 1 s show what they do.
const BLOCKED_WINDOW_MIN: Duration = Duration::from_secs(3);

/// The child's side: the server of a case, or the sleeping tasks.
pub(crate) fn measure(name: &str, contender: &str, window: Duration) -> Result<Vec<f64>, String> {
    let measured = match contender {
        EVENKEEL => measure_on::<Evenkeel>(name, window),
        "tokio" => measure_on::<Tokio>(name, window),
        _ => None,
    };
    measured.unwrap_or_else(|| Err(suite::unknown(name, contender)))
}

fn measure_on<R: Contender>(name: &str, window: Duration) -> Option<Result<Vec<f64>, String>> {
    if name == timers::NAME {
        return Some(timers::run::<R>(window));
    }
    disturbance::named::<R>(name).map(pair::serve)
}

/// A runtime whose streams have tokio's IO traits, with their budget for a poll.
trait Contender: Scheduler<Stream: AsyncRead + AsyncWrite + Unpin> {
    fn set_nodelay(stream: &Self::Stream) -> io::Result<()>;
}

impl Contender for Evenkeel {
    fn set_nodelay(stream: &Self::Stream) -> io::Result<()> {
        stream.set_nodelay(true)
    }
}

impl Contender for Tokio {
    fn set_nodelay(stream: &Self::Stream) -> io::Result<()> {
        stream.set_nodelay(true)
    }
}

/// What a disturbance has got done, in the unit of its case.
#[derive(Clone, Copy, Debug)]
struct Work(&'static AtomicU64);

impl Work {
    /// None yet. For processes that end with their measurement: it is never freed.
    fn none() -> Self {
        Self(Box::leak(Box::default()))
    }

    fn count(self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn done(self) -> f64 {
        self.0.load(Ordering::Relaxed) as f64
    }

    /// Computes, and counts each millisecond of it, so that a long computation which straddles the
    /// edge of the window counts with its part.
    fn compute(self, spin: Spin, ms: u64) {
        for _ in 0..ms {
            spin.run(1000);
            self.count();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_has_its_child() {
        for case in CASES {
            let is_pair = disturbance::named::<Tokio>(case.name).is_some();
            assert!(is_pair != (case.name == timers::NAME), "{case}");
        }
    }

    #[test]
    fn computing_counts_its_milliseconds() {
        let work = Work::none();
        work.compute(Spin::new(0.0), 200);
        work.count();
        assert_eq!(work.done(), 201.0);
    }
}
