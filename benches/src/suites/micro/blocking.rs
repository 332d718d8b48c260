//! Cases of calls that are made elsewhere: on the blocking pool, or where CPU work is done.

use std::time::Duration;

use tokio::sync::oneshot;

use crate::harness::{Contender, Setup};
use crate::laps::{Laps, in_task};
use crate::runtimes::{Evenkeel, Runtime, Tokio, Workload};

/// Calls one after another, in a repetition.
const ROUND_TRIPS: usize = 100;
/// Calls at once.
const BURST: usize = 2_000;

pub(super) struct BlockingRoundtrip;

impl Workload for BlockingRoundtrip {
    fn run<R: Runtime>(setup: &Setup) -> Result<Vec<f64>, String> {
        in_task(setup, roundtrip::<R>).map(Laps::us)
    }
}

async fn roundtrip<R: Runtime>(_: &'static R, window: Duration) -> Laps {
    let mut laps = Laps::new(window, ROUND_TRIPS);
    while laps.running() {
        for _ in 0..ROUND_TRIPS {
            R::join(R::spawn_blocking(|| ())).await;
        }
        laps.lap();
    }
    laps
}

pub(super) struct BlockingBurst;

impl Workload for BlockingBurst {
    fn run<R: Runtime>(setup: &Setup) -> Result<Vec<f64>, String> {
        in_task(setup, burst::<R>).map(Laps::us)
    }
}

async fn burst<R: Runtime>(_: &'static R, window: Duration) -> Laps {
    let mut laps = Laps::new(window, BURST);
    let mut handles = Vec::with_capacity(BURST);
    while laps.running() {
        handles.extend((0..BURST).map(|_| R::spawn_blocking(|| ())));
        for handle in handles.drain(..) {
            R::join(handle).await;
        }
        laps.lap();
    }
    laps
}

/// CPU jobs, one after another.
async fn compute_roundtrip<F>(job: fn() -> F, window: Duration) -> Laps
where
    F: Future<Output = ()>,
{
    let mut laps = Laps::new(window, ROUND_TRIPS);
    while laps.running() {
        for _ in 0..ROUND_TRIPS {
            job().await;
        }
        laps.lap();
    }
    laps
}

/// On Evenkeel's compute lane, and on rayon, which takes its place on another runtime.
pub(super) const COMPUTE_ROUNDTRIP: &[Contender] = &[
    Contender::new(Evenkeel::NAME, |setup| {
        let case = |_, window| compute_roundtrip(|| Evenkeel::compute(|| ()), window);
        in_task::<Evenkeel, _>(setup, case).map(Laps::us)
    }),
    Contender::new("rayon", |setup| {
        let case = |_, window| compute_roundtrip(rayon_job, window);
        in_task::<Tokio, _>(setup, case).map(Laps::us)
    }),
];

async fn rayon_job() {
    let (done, result) = oneshot::channel();
    rayon::spawn(move || done.send(()).expect("the task waits"));
    result.await.expect("a job");
}
