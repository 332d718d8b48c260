//! The suite `micro`: what the scheduler takes for its elementary operations.
//!
//! The cases are those of tokio's own `benches/rt_multi_threaded.rs`, and others in their manner.
//! Each is written once, for any runtime; the channels are tokio's on all of them, since they run
//! on any executor.

mod blocking;
pub(super) mod spawn;
pub(super) mod wake;

use self::blocking::{BlockingBurst, BlockingRoundtrip, COMPUTE_ROUNDTRIP};
use self::spawn::{ChainedSpawn, SpawnJoin, SpawnManyLocal, SpawnManyRemote, YieldMany};
use self::wake::{ChannelPair, PingPong, WakeRemote};
use crate::harness::{Bar, Case, Limit, Metric, Suite, Template, in_child};
use crate::runtimes::On;

pub(super) const SUITE: Suite = Suite::new(
    "micro",
    "the scheduler, time per operation (median of the repetitions in a measurement)",
    |_| CASES,
);

const NS: &[Metric] = &[Metric::new("time", "ns")];
const US: &[Metric] = &[Metric::new("time", "us")];

const PEERS: &[&str] = &["tokio", "smol"];

const fn at_most(times: f64, peers: &'static [&'static str]) -> Bar {
    Bar::new("time", Limit::AtMost(times, peers))
}

const MICRO: Template = Template {
    suite: "micro",
    measure: &in_child,
};

/// The cases, in the table's order.
const CASES: &[Case] = &[
    MICRO.case(
        "spawn_many_local",
        "a task spawns 10,000 tasks, and waits until all have run",
        NS,
        On::<SpawnManyLocal>::ALL,
        &[at_most(0.8, PEERS)],
    ),
    MICRO.case(
        "spawn_many_remote",
        "a thread that is not the runtime's spawns 10,000 tasks, and waits until all have run",
        NS,
        On::<SpawnManyRemote>::ALL,
        &[at_most(0.8, PEERS)],
    ),
    MICRO.case(
        "spawn_join",
        "a task spawns 10,000 tasks, and awaits each handle",
        NS,
        On::<SpawnJoin>::ALL,
        &[at_most(0.8, PEERS)],
    ),
    MICRO.case(
        "yield_many",
        "200 tasks yield 1,000 times each",
        NS,
        On::<YieldMany>::ALL,
        &[at_most(0.9, PEERS)],
    ),
    MICRO.case(
        "ping_pong",
        "1,000 tasks, each with a partner that it spawns and exchanges two oneshots with",
        NS,
        On::<PingPong>::ALL,
        &[at_most(0.8, PEERS)],
    ),
    MICRO.case(
        "chained_spawn",
        "each task spawns the next, 1,000 of them",
        NS,
        On::<ChainedSpawn>::ALL,
        &[at_most(0.6, PEERS)],
    ),
    MICRO.case(
        "channel_pair",
        "two tasks send to and fro over a bounded(1) channel each way; a round trip",
        NS,
        On::<ChannelPair>::ALL,
        &[at_most(0.9, PEERS)],
    ),
    MICRO.case(
        "wake_remote",
        "a thread that is not the runtime's wakes a task, and waits for its answer",
        US,
        On::<WakeRemote>::ALL,
        &[at_most(0.8, PEERS)],
    ),
    MICRO.case(
        "blocking_roundtrip",
        "a task awaits blocking calls that do nothing, one after another",
        US,
        On::<BlockingRoundtrip>::ALL,
        &[at_most(0.6, PEERS)],
    ),
    MICRO.case(
        "blocking_burst",
        "a task starts 2,000 blocking calls that do nothing, and awaits each handle",
        US,
        On::<BlockingBurst>::ALL,
        &[at_most(0.5, &["tokio"])],
    ),
    MICRO.case(
        "compute_roundtrip",
        "a task awaits CPU jobs that do nothing, one after another (rayon: spawn and a oneshot)",
        US,
        COMPUTE_ROUNDTRIP,
        &[at_most(0.7, &["rayon"])],
    ),
];
