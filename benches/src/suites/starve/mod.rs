//! The suite `starve`: what the neighbours of a task that misbehaves get to feel.
//!
//! A case is a disturbance ([`disturbance`]) in the runtime of a server with honest connections, or
//! beside sleeping tasks ([`timers`]). The load is that of the main job's `light`: for two CPUs, 64
//! connections and 2,000 requests/s in an open loop, latencies from the due time. A disturbance
//! begins with the window, so that what a runtime needs to notice it counts. How much of its own
//! work it gets done is measured as well, since a runtime could keep everybody else happy by
//! starving it.

mod disturbance;
mod timers;

use std::time::Duration;

use self::disturbance::{AllStuck, Beside, Blocked1000, HeavyHandler, HeldLock, ReadySocket};
use self::disturbance::{SpawnStorm, WakingPair};
use self::timers::Sleepers;
use crate::harness::in_computing_child;
use crate::harness::{Bar, Case, Limit, Measurement, Metric, Suite, Template, Turn};
use crate::open_loop::{self, ANSWERED, Column, P50, P99, Plan};
use crate::runtimes::On;

pub(super) const SUITE: Suite = Suite::new(
    "starve",
    "64 connections at 2,000 requests/s for two CPUs, open loop, and sleeping tasks, beside tasks \
     that hog or block their workers",
    |_| CASES,
);

/// The latencies, and what the disturbance gets done, in a unit of the case's.
const fn columns(unit: &'static str) -> [Column; 4] {
    [
        P50,
        P99,
        ANSWERED,
        Column {
            metric: Metric::new("work", unit).higher_is_better(),
            of: |seen| seen.work_per_s,
            late: None,
        },
    ]
}

const fn metrics(unit: &'static str) -> [Metric; 4] {
    open_loop::metrics(&columns(unit))
}

/// The promise: a stuck worker costs its neighbours a millisecond.
const PROMISE: &[Bar] = &[
    Bar::new("p50", Limit::Absolute(0.2)),
    Bar::new("p99", Limit::Absolute(1.0)),
];

const NOTHING_PROMISED: &[Bar] = &[];

const BESIDE: Template = Template {
    suite: "starve",
    measure: &measure,
};

/// The cases, in the table's order. `work` is what the disturbance gets done.
const CASES: &[Case] = &[
    BESIDE.case(
        "heavy_handler",
        "one more connection, whose handler computes 200 ms for each request; work in ms of CPU",
        &metrics("ms/s"),
        On::<Beside<HeavyHandler>>::EVENKEEL_AND_TOKIO,
        PROMISE,
    ),
    BESIDE.case(
        "held_lock",
        "one more connection, whose handler takes a std Mutex that a sleeping thread holds 50 of \
         51 ms",
        &metrics("locks/s"),
        On::<Beside<HeldLock>>::EVENKEEL_AND_TOKIO,
        PROMISE,
    ),
    BESIDE.case(
        "waking_pair",
        "two tasks that wake each other for ever",
        &metrics("wakes/s"),
        On::<Beside<WakingPair>>::EVENKEEL_AND_TOKIO,
        PROMISE,
    ),
    BESIDE.case(
        "ready_socket",
        "a task that reads, 1 KiB at a time, from a socket that is never empty",
        &metrics("reads/s"),
        On::<Beside<ReadySocket>>::EVENKEEL_AND_TOKIO,
        PROMISE,
    ),
    BESIDE.case(
        "spawn_storm",
        "a task that spawns faster than can be run, and yields only when 100,000 tasks are alive",
        &metrics("tasks/s"),
        On::<Beside<SpawnStorm>>::EVENKEEL_AND_TOKIO,
        NOTHING_PROMISED,
    ),
    BESIDE.case(
        "all_stuck",
        "two tasks more than workers, which compute 20 ms between yields; work in ms of CPU",
        &metrics("ms/s"),
        On::<Beside<AllStuck>>::EVENKEEL_AND_TOKIO,
        PROMISE,
    ),
    Case {
        window_min: BLOCKED_WINDOW_MIN,
        ..BESIDE.case(
            "blocked_1000",
            "1,000 tasks that sleep 1 s in std::thread::sleep between yields; 3 s or --secs",
            &metrics("sleeps/s"),
            On::<Beside<Blocked1000>>::EVENKEEL_AND_TOKIO,
            NOTHING_PROMISED,
        )
    },
    Case {
        measure: &in_computing_child,
        ..BESIDE.case(
            "timers",
            "lateness of sleep(1 ms) to sleep(10 ms) in 16 tasks, beside two tasks per worker that \
             compute 20 ms between yields; work in ms of CPU",
            &[
                P50.metric,
                P99.metric,
                Metric::new("work", "ms/s").higher_is_better(),
            ],
            On::<Sleepers>::EVENKEEL_AND_TOKIO,
            &[Bar::new("p99", Limit::Absolute(3.0))],
        )
    },
];

/// The shortest window in which tasks that sleep for 1 s show what they do.
const BLOCKED_WINDOW_MIN: Duration = Duration::from_secs(3);

/// For each CPU.
const REQUESTS_PER_S: u32 = 1_000;

/// One measurement of a server and its load.
fn measure(case: &'static Case, turn: Turn) -> Result<Measurement, String> {
    let plan = Plan {
        tasks: 0,
        late: true,
        ..Plan::per_cpu(turn.cpus.of_server, REQUESTS_PER_S, 0)
    };
    let outcome = open_loop::run(case, turn, &plan)?.checked()?;
    outcome.measurement(&columns(""))
}
