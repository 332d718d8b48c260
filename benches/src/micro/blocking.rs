//! Cases of calls that are made elsewhere: on the blocking pool, or where CPU work is done.

use std::time::Duration;

use tokio::sync::oneshot;

use super::laps::Laps;
use super::scheduler::Scheduler;

/// Calls one after another, in a repetition.
const ROUND_TRIPS: usize = 100;
/// Calls at once.
const BURST: usize = 2_000;

pub(super) async fn roundtrip<R: Scheduler>(window: Duration) -> Laps {
    let mut laps = Laps::new(window, ROUND_TRIPS);
    while laps.running() {
        for _ in 0..ROUND_TRIPS {
            R::join(R::spawn_blocking(|| ())).await;
        }
        laps.lap();
    }
    laps
}

pub(super) async fn burst<R: Scheduler>(window: Duration) -> Laps {
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

/// Evenkeel's compute lane.
pub(super) async fn compute_roundtrip(window: Duration) -> Laps {
    let mut laps = Laps::new(window, ROUND_TRIPS);
    while laps.running() {
        for _ in 0..ROUND_TRIPS {
            evenkeel::spawn_compute(|| ()).await.expect("a job");
        }
        laps.lap();
    }
    laps
}

/// What takes its place on another runtime.
pub(super) async fn rayon_roundtrip(window: Duration) -> Laps {
    let mut laps = Laps::new(window, ROUND_TRIPS);
    while laps.running() {
        for _ in 0..ROUND_TRIPS {
            let (done, result) = oneshot::channel();
            rayon::spawn(move || done.send(()).expect("the task waits"));
            result.await.expect("a job");
        }
        laps.lap();
    }
    laps
}
