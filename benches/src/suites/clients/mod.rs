//! The suite `clients`: the load generators that people use, on servers as people write them. A
//! server on each runtime, in its own process, and the program beside it on the same CPUs.
//!
//! `redis-benchmark` asks a server that speaks RESP ([`resp`]), and `wrk` the hello of the suite
//! `http`. What the two say of the answers is taken at their word ([`program`]); what the server
//! used meanwhile is measured here.

mod program;
pub(super) mod resp;

use std::io;
use std::time::Duration;

pub(super) use self::program::{REDIS_BENCHMARK, Said};
use self::program::{redis_benchmark, wrk};
use crate::closed_loop::{self, Target};
use crate::harness::{Bar, Case, Limit, Metric, Setup, Suite, Template};
use crate::runtimes::On;
use crate::suites::http;
use crate::used::Used;

pub(super) const SUITE: Suite = Suite::new(
    "clients",
    "redis-benchmark and wrk on servers of a screen, on the same CPUs",
    |_| CASES,
);

const METRICS: &[Metric] = &[
    Metric::new("requests", "/s").higher_is_better(),
    Metric::new("server_cpu", "us/request"),
    Metric::new("p50", "us"),
    Metric::new("p99", "us"),
    // How often a thread of the server went to sleep.
    Metric::new("switches", "/request"),
];

const BARS: &[Bar] = &[
    Bar::new("requests", Limit::AtLeast(1.05, &["tokio"])),
    Bar::new("p99", Limit::AtMost(0.9, &["tokio"])),
];

/// What a server is asked before anything counts.
const WARM_UP_REQUESTS: u64 = 20_000;

const CLIENTS: Template = Template {
    suite: "clients",
    measure: &closed_loop::measure,
};

/// All there is to run, in this order.
const CASES: &[Case] = &[
    Case {
        program: Some(REDIS_BENCHMARK),
        load: Some(|setup| redis(setup, "set")),
        ..CLIENTS.case(
            "redis_set",
            "redis-benchmark -c 50 -t set on a server of one screen",
            METRICS,
            On::<resp::Server>::EVENKEEL_AND_TOKIO,
            BARS,
        )
    },
    Case {
        program: Some(REDIS_BENCHMARK),
        load: Some(|setup| redis(setup, "get")),
        ..CLIENTS.case(
            "redis_get",
            "redis-benchmark -c 50 -t get on the same",
            METRICS,
            On::<resp::Server>::EVENKEEL_AND_TOKIO,
            BARS,
        )
    },
    Case {
        program: Some(program::WRK),
        load: Some(|setup| load(|server| server.watched(|| wrk(server.port, setup.window)))),
        ..CLIENTS.case(
            "wrk_hello",
            "wrk -c64 -t1 on hyper's hello, as the suite http has it",
            METRICS,
            http::CONTENDERS,
            BARS,
        )
    },
];

fn redis(setup: &Setup, test: &str) -> Result<Vec<f64>, String> {
    load(|server| redis_for(setup.window, test, server))
}

/// As many requests of this test as take about the window. Those before it set what is asked for.
pub(super) fn redis_for(window: Duration, test: &str, server: Target) -> io::Result<(Said, Used)> {
    let first = redis_benchmark(server.port, "set", WARM_UP_REQUESTS)?;
    let requests = first.rate * window.as_secs_f64();
    let requests = (requests as u64).max(1);
    server.watched(|| redis_benchmark(server.port, test, requests))
}

/// The load's side, for a load that is a program.
fn load(run: impl FnOnce(Target) -> io::Result<(Said, Used)>) -> Result<Vec<f64>, String> {
    let found = Target::next().and_then(run);
    let (said, used) = found.map_err(|error| error.to_string())?;
    let requests = said.requests as f64;
    let [cpu, switches] = [used.cpu_us(requests), used.switches(requests)];
    Ok(vec![said.rate, cpu, said.p50_us, said.p99_us, switches])
}
