//! The suite `micro`: what the scheduler takes for its elementary operations.
//!
//! The cases are those of tokio's own `benches/rt_multi_threaded.rs`, and others in their manner. Each
//! is written once, for any [`Scheduler`]; the channels are tokio's on all of them, since they run on
//! any executor.

mod blocking;
mod laps;
mod scheduler;
mod spawn;
mod wake;

use std::time::Duration;

use self::laps::Laps;
pub(crate) use self::scheduler::Scheduler;
use crate::runtimes::{Evenkeel, Runtime, Smol, Tokio, spawn_for, start, wait};
use crate::suite::{self, Bar, Case, Limit, Metric, Template};

/// One line for the report.
pub(crate) const ABOUT: &str =
    "the scheduler, time per operation (median of the repetitions in a measurement)";

const NS: &[Metric] = &[Metric {
    name: "time",
    unit: "ns",
}];
const US: &[Metric] = &[Metric {
    name: "time",
    unit: "us",
}];

const PEERS: &[&str] = &["tokio", "smol"];

const fn at_most(times: f64, peers: &'static [&'static str]) -> Bar {
    Bar {
        metric: "time",
        limit: Limit::AtMost(times, peers),
    }
}

const ON_ALL: Template = Template {
    suite: "micro",
    contenders: &["evenkeel", "tokio", "smol"],
    measure: suite::in_child,
};

/// The cases, in the table's order.
pub(crate) const CASES: &[Case] = &[
    ON_ALL.case(
        "spawn_many_local",
        "a task spawns 10,000 tasks, and waits until all have run",
        NS,
        &[at_most(0.8, PEERS)],
    ),
    ON_ALL.case(
        "spawn_many_remote",
        "a thread that is not the runtime's spawns 10,000 tasks, and waits until all have run",
        NS,
        &[at_most(0.8, PEERS)],
    ),
    ON_ALL.case(
        "spawn_join",
        "a task spawns 10,000 tasks, and awaits each handle",
        NS,
        &[at_most(0.8, PEERS)],
    ),
    ON_ALL.case(
        "yield_many",
        "200 tasks yield 1,000 times each",
        NS,
        &[at_most(0.9, PEERS)],
    ),
    ON_ALL.case(
        "ping_pong",
        "1,000 tasks, each with a partner that it spawns and exchanges two oneshots with",
        NS,
        &[at_most(0.8, PEERS)],
    ),
    ON_ALL.case(
        "chained_spawn",
        "each task spawns the next, 1,000 of them",
        NS,
        &[at_most(0.6, PEERS)],
    ),
    ON_ALL.case(
        "channel_pair",
        "two tasks send to and fro over a bounded(1) channel each way; a round trip",
        NS,
        &[at_most(0.9, PEERS)],
    ),
    ON_ALL.case(
        "wake_remote",
        "a thread that is not the runtime's wakes a task, and waits for its answer",
        US,
        &[at_most(0.8, PEERS)],
    ),
    ON_ALL.case(
        "blocking_roundtrip",
        "a task awaits blocking calls that do nothing, one after another",
        US,
        &[at_most(0.6, PEERS)],
    ),
    ON_ALL.case(
        "blocking_burst",
        "a task starts 2,000 blocking calls that do nothing, and awaits each handle",
        US,
        &[at_most(0.5, &["tokio"])],
    ),
    Case {
        contenders: &["evenkeel", "rayon"],
        ..ON_ALL.case(
            "compute_roundtrip",
            "a task awaits CPU jobs that do nothing, one after another (rayon: spawn and a oneshot)",
            US,
            &[at_most(0.7, &["rayon"])],
        )
    },
];

/// Measures a case in this process.
pub(crate) fn measure(name: &str, contender: &str, window: Duration) -> Result<Vec<f64>, String> {
    let case = CASES.iter().find(|case| case.name == name);
    let case = case.ok_or_else(|| suite::unknown(name, contender))?;
    let laps = match (name, contender) {
        ("compute_roundtrip", "evenkeel") => {
            in_task(start::<Evenkeel>()?, blocking::compute_roundtrip(window))
        }
        ("compute_roundtrip", "rayon") => {
            in_task(start::<Tokio>()?, blocking::rayon_roundtrip(window))
        }
        (_, "evenkeel") => on(start::<Evenkeel>()?, name, window),
        (_, "tokio") => on(start::<Tokio>()?, name, window),
        (_, "smol") => on(start::<Smol>()?, name, window),
        _ => Err(suite::unknown(name, contender)),
    }?;
    Ok(vec![match case.metrics[0].unit {
        "us" => laps.median_ns() / 1e3,
        _ => laps.median_ns(),
    }])
}

/// The cases that every runtime has.
fn on<R: Scheduler>(runtime: &'static R, name: &str, window: Duration) -> Result<Laps, String> {
    match name {
        "spawn_many_local" => in_task(runtime, spawn::many_local(runtime, window)),
        "spawn_many_remote" => Ok(spawn::many_remote(runtime, window)),
        "spawn_join" => in_task(runtime, spawn::join(runtime, window)),
        "yield_many" => in_task(runtime, spawn::yield_many(runtime, window)),
        "chained_spawn" => in_task(runtime, spawn::chained(runtime, window)),
        "ping_pong" => in_task(runtime, wake::ping_pong(runtime, window)),
        "channel_pair" => in_task(runtime, wake::channel_pair(runtime, window)),
        "wake_remote" => Ok(wake::remote(runtime, window)),
        "blocking_roundtrip" => in_task(runtime, blocking::roundtrip::<R>(window)),
        "blocking_burst" => in_task(runtime, blocking::burst::<R>(window)),
        _ => Err(suite::unknown(name, "this runtime")),
    }
}

/// Runs a case as a task of the runtime, where programs spend their time, and not on the thread that
/// waits for it.
fn in_task<R: Runtime>(
    runtime: &'static R,
    case: impl Future<Output = Laps> + Send + 'static,
) -> Result<Laps, String> {
    wait(&spawn_for(runtime, case))
}
