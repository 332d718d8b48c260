//! Cases of spawning and yielding.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::harness::Setup;
use crate::laps::{Laps, in_task, outside};
use crate::runtimes::{Runtime, Workload};

/// Tasks that one spawns.
const SPAWNED: usize = 10_000;
/// Tasks that yield.
const YIELDING: usize = 200;
/// How often each of them does.
const YIELDS: usize = 1_000;
/// Tasks of which each spawns the next.
const CHAINED: usize = 1_000;

/// Tells one waiter when so many tasks are done.
pub(super) struct Countdown {
    left: AtomicUsize,
    done: mpsc::Sender<()>,
}

impl Countdown {
    pub(super) fn new(tasks: usize) -> (Arc<Self>, mpsc::Receiver<()>) {
        let (done, waiter) = mpsc::channel(1);
        let left = AtomicUsize::new(tasks);
        (Arc::new(Self { left, done }), waiter)
    }

    /// A task is done.
    pub(super) fn count(&self) {
        if self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.done.try_send(()).expect("one waits, and is told once");
        }
    }
}

pub(super) struct SpawnManyLocal;

impl Workload for SpawnManyLocal {
    fn run<R: Runtime>(setup: &Setup) -> Result<Vec<f64>, String> {
        in_task(setup, many_local::<R>).map(Laps::ns)
    }
}

async fn many_local<R: Runtime>(runtime: &'static R, window: Duration) -> Laps {
    spawn_many(runtime, window, SPAWNED, || ()).await
}

/// Spawns so many tasks that each do this, and waits until all have.
pub(in crate::suites) async fn spawn_many<R: Runtime>(
    runtime: &'static R,
    window: Duration,
    tasks: usize,
    work: impl Fn() + Copy + Send + 'static,
) -> Laps {
    let mut laps = Laps::new(window, tasks);
    while laps.running() {
        let (countdown, mut done) = Countdown::new(tasks);
        for _ in 0..tasks {
            let countdown = Arc::clone(&countdown);
            R::detach(runtime.spawn_in_task(async move {
                work();
                countdown.count();
            }));
        }
        done.recv().await.expect("the last task tells");
        laps.lap();
    }
    laps
}

pub(super) struct SpawnManyRemote;

impl Workload for SpawnManyRemote {
    fn run<R: Runtime>(setup: &Setup) -> Result<Vec<f64>, String> {
        outside(setup, many_remote::<R>).map(Laps::ns)
    }
}

fn many_remote<R: Runtime>(runtime: &'static R, window: Duration) -> Laps {
    let mut laps = Laps::new(window, SPAWNED);
    while laps.running() {
        let (countdown, mut done) = Countdown::new(SPAWNED);
        for _ in 0..SPAWNED {
            let countdown = Arc::clone(&countdown);
            R::detach(runtime.spawn(async move { countdown.count() }));
        }
        done.blocking_recv().expect("the last task tells");
        laps.lap();
    }
    laps
}

pub(super) struct SpawnJoin;

impl Workload for SpawnJoin {
    fn run<R: Runtime>(setup: &Setup) -> Result<Vec<f64>, String> {
        in_task(setup, join::<R>).map(Laps::ns)
    }
}

/// Spawns tasks, and awaits the handle of each.
pub(in crate::suites) async fn join<R: Runtime>(runtime: &'static R, window: Duration) -> Laps {
    let mut laps = Laps::new(window, SPAWNED);
    let mut handles = Vec::with_capacity(SPAWNED);
    while laps.running() {
        handles.extend((0..SPAWNED).map(|_| runtime.spawn_in_task(async {})));
        for handle in handles.drain(..) {
            R::join(handle).await;
        }
        laps.lap();
    }
    laps
}

pub(super) struct YieldMany;

impl Workload for YieldMany {
    fn run<R: Runtime>(setup: &Setup) -> Result<Vec<f64>, String> {
        in_task(setup, yield_many::<R>).map(Laps::ns)
    }
}

async fn yield_many<R: Runtime>(runtime: &'static R, window: Duration) -> Laps {
    let mut laps = Laps::new(window, YIELDING * YIELDS);
    while laps.running() {
        let (countdown, mut done) = Countdown::new(YIELDING);
        for _ in 0..YIELDING {
            let countdown = Arc::clone(&countdown);
            R::detach(runtime.spawn_in_task(async move {
                for _ in 0..YIELDS {
                    R::yield_now().await;
                }
                countdown.count();
            }));
        }
        done.recv().await.expect("the last task tells");
        laps.lap();
    }
    laps
}

pub(super) struct ChainedSpawn;

impl Workload for ChainedSpawn {
    fn run<R: Runtime>(setup: &Setup) -> Result<Vec<f64>, String> {
        in_task(setup, chained::<R>).map(Laps::ns)
    }
}

async fn chained<R: Runtime>(runtime: &'static R, window: Duration) -> Laps {
    let mut laps = Laps::new(window, CHAINED);
    while laps.running() {
        let (last, mut done) = mpsc::channel(1);
        spawn_next(runtime, last, CHAINED);
        done.recv().await.expect("the last task tells");
        laps.lap();
    }
    laps
}

fn spawn_next<R: Runtime>(runtime: &'static R, last: mpsc::Sender<()>, left: usize) {
    if left == 0 {
        last.try_send(()).expect("one waits, and is told once");
        return;
    }
    R::detach(runtime.spawn_in_task(async move { spawn_next(runtime, last, left - 1) }));
}
