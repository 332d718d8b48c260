//! What is measured, each written once for any runtime. What `micro`, `timers` and `echo` measure
//! with a worker per CPU is theirs.

use std::time::Duration;

use tokio::sync::mpsc::{self, Receiver, Sender};

use crate::child;
use crate::closed_loop::{Echo, generate_load};
use crate::harness::Setup;
use crate::laps::{Laps, in_task, in_task_per_worker};
use crate::runtimes::{Runtime, Workload};
use crate::spin::Spin;
use crate::suites::micro::{spawn, wake};
use crate::suites::{echo, timers};

/// Tasks that are there to be stolen, in a repetition.
const STOLEN: usize = 1_000;
/// What each computes.
const STOLEN_US: u64 = 5;
/// Tasks at the side of a fan that has many.
const MANY: usize = 64;
/// Messages to or from each of them, in a repetition.
const MESSAGES: usize = 100;
/// What the many compute for each message. Without that there is nothing to share: the one task at
/// the other side would be all there is to measure.
const MESSAGE_US: u64 = 1;
/// Messages that a channel has room for.
const CAPACITY: usize = 16;
/// How deep the tree is below its root.
const DEPTH: u32 = 14;
/// All tasks of the tree.
const TREE_TASKS: usize = (1 << (DEPTH + 1)) - 1;
/// Connections for each worker.
const CONNECTIONS: usize = 32;

pub(super) struct Spawn;

impl Workload for Spawn {
    fn run<R: Runtime>(setup: &Setup) -> Result<Vec<f64>, String> {
        per_s(in_task_per_worker(setup, spawn::join::<R>)?)
    }
}

pub(super) struct Steal;

impl Workload for Steal {
    fn run<R: Runtime>(setup: &Setup) -> Result<Vec<f64>, String> {
        let spin = told_spin()?;
        let work = move || spin.run(STOLEN_US);
        let case = |runtime: &'static R, window| spawn::spawn_many(runtime, window, STOLEN, work);
        per_s(vec![in_task(setup, case)?])
    }
}

pub(super) struct Wake;

impl Workload for Wake {
    fn run<R: Runtime>(setup: &Setup) -> Result<Vec<f64>, String> {
        per_s(in_task_per_worker(setup, wake::channel_pair::<R>)?)
    }
}

pub(super) struct Timers;

impl Workload for Timers {
    fn run<R: Runtime>(setup: &Setup) -> Result<Vec<f64>, String> {
        Ok(vec![timers::set_and_cancelled_per_s::<R>(setup)?])
    }
}

/// The load of the servers of `echo`.
pub(super) fn load_echo(setup: &Setup) -> Result<Vec<f64>, String> {
    let connections = CONNECTIONS * setup.options.workers();
    let found = generate_load(&Echo::of(echo::MESSAGE_BYTES), connections, setup.window)?;
    Ok(vec![found.requests_per_s()])
}

pub(super) struct FanOut;

impl Workload for FanOut {
    fn run<R: Runtime>(setup: &Setup) -> Result<Vec<f64>, String> {
        let spin = told_spin()?;
        let case = |runtime: &'static R, window| fan_out(runtime, window, spin);
        per_s(vec![in_task(setup, case)?])
    }
}

pub(in crate::suites) async fn fan_out<R: Runtime>(
    runtime: &'static R,
    window: Duration,
    spin: Spin,
) -> Laps {
    let mut laps = Laps::new(window, MANY * MESSAGES);
    while laps.running() {
        let (senders, receivers): (Vec<_>, Vec<_>) =
            (0..MANY).map(|_| mpsc::channel(CAPACITY)).unzip();
        let receivers = receivers.into_iter();
        let receivers = receivers.map(|channel| runtime.spawn_in_task(receive(channel, spin)));
        let receivers: Vec<_> = receivers.collect();
        for _ in 0..MESSAGES {
            for channel in &senders {
                channel.send(()).await.expect("a task receives");
            }
        }
        drop(senders);
        for receiver in receivers {
            assert_eq!(R::join(receiver).await, MESSAGES);
        }
        laps.lap();
    }
    laps
}

/// Returns how many messages there were.
async fn receive(mut channel: Receiver<()>, spin: Spin) -> usize {
    let mut messages = 0;
    while channel.recv().await.is_some() {
        spin.run(MESSAGE_US);
        messages += 1;
    }
    messages
}

pub(super) struct FanIn;

impl Workload for FanIn {
    fn run<R: Runtime>(setup: &Setup) -> Result<Vec<f64>, String> {
        let spin = told_spin()?;
        let case = |runtime: &'static R, window| fan_in(runtime, window, spin);
        per_s(vec![in_task(setup, case)?])
    }
}

async fn fan_in<R: Runtime>(runtime: &'static R, window: Duration, spin: Spin) -> Laps {
    let mut laps = Laps::new(window, MANY * MESSAGES);
    while laps.running() {
        let (sender, mut channel) = mpsc::channel(CAPACITY);
        for _ in 0..MANY {
            R::detach(runtime.spawn_in_task(send(sender.clone(), spin)));
        }
        drop(sender);
        let mut messages = 0;
        while channel.recv().await.is_some() {
            messages += 1;
        }
        assert_eq!(messages, MANY * MESSAGES);
        laps.lap();
    }
    laps
}

async fn send(channel: Sender<()>, spin: Spin) {
    for _ in 0..MESSAGES {
        spin.run(MESSAGE_US);
        channel.send(()).await.expect("the one task receives");
    }
}

pub(super) struct JoinTree;

impl Workload for JoinTree {
    fn run<R: Runtime>(setup: &Setup) -> Result<Vec<f64>, String> {
        per_s(vec![in_task(setup, join_tree::<R>)?])
    }
}

async fn join_tree<R: Runtime>(runtime: &'static R, window: Duration) -> Laps {
    let mut laps = Laps::new(window, TREE_TASKS);
    while laps.running() {
        assert_eq!(R::join(tree(runtime, DEPTH)).await, TREE_TASKS);
        laps.lap();
    }
    laps
}

/// Spawns a task that spawns two such trees, less deep. It returns how many tasks there were.
fn tree<R: Runtime>(runtime: &'static R, depth: u32) -> R::Handle<usize> {
    runtime.spawn_in_task(async move {
        let mut tasks = 1;
        if depth > 0 {
            for child in [tree(runtime, depth - 1), tree(runtime, depth - 1)] {
                tasks += R::join(child).await;
            }
        }
        tasks
    })
}

/// The only value of a case.
fn per_s(laps: Vec<Laps>) -> Result<Vec<f64>, String> {
    Ok(vec![Laps::per_s(&laps)])
}

/// What the parent has measured of this machine.
pub(in crate::suites) fn told_spin() -> Result<Spin, String> {
    child::next_json().map_err(|error| error.to_string())
}
