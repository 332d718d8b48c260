//! Cases of tasks that wake one another, or are woken from outside.

use std::sync::Arc;
use std::sync::mpsc as std_mpsc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::spawn::Countdown;
use crate::harness::Setup;
use crate::laps::{Laps, in_task, outside};
use crate::runtimes::{Runtime, Workload};

/// Pairs of tasks.
const PAIRS: usize = 1_000;
/// Round trips of the two tasks with channels, in a repetition.
const ROUND_TRIPS: usize = 10_000;
/// Round trips from a thread and back, in a repetition.
const REMOTE_ROUND_TRIPS: usize = 100;

pub(super) struct PingPong;

impl Workload for PingPong {
    fn run<R: Runtime>(setup: &Setup) -> Result<Vec<f64>, String> {
        in_task(setup, ping_pong::<R>).map(Laps::ns)
    }
}

async fn ping_pong<R: Runtime>(runtime: &'static R, window: Duration) -> Laps {
    let mut laps = Laps::new(window, PAIRS);
    while laps.running() {
        let (countdown, mut done) = Countdown::new(PAIRS);
        for _ in 0..PAIRS {
            let countdown = Arc::clone(&countdown);
            R::detach(runtime.spawn_in_task(async move {
                ping(runtime).await;
                countdown.count();
            }));
        }
        done.recv().await.expect("the last task tells");
        laps.lap();
    }
    laps
}

async fn ping<R: Runtime>(runtime: &'static R) {
    let (ping, pinged) = oneshot::channel();
    let (pong, ponged) = oneshot::channel();
    R::detach(runtime.spawn_in_task(async move {
        pinged.await.expect("a ping");
        pong.send(()).expect("the first task waits");
    }));
    ping.send(()).expect("the partner waits");
    ponged.await.expect("a pong");
}

pub(super) struct ChannelPair;

impl Workload for ChannelPair {
    fn run<R: Runtime>(setup: &Setup) -> Result<Vec<f64>, String> {
        in_task(setup, channel_pair::<R>).map(Laps::ns)
    }
}

/// Two tasks send to and fro; an operation is a round trip.
pub(in crate::suites) async fn channel_pair<R: Runtime>(
    runtime: &'static R,
    window: Duration,
) -> Laps {
    let mut laps = Laps::new(window, ROUND_TRIPS);
    while laps.running() {
        let (there, mut arriving) = mpsc::channel(1);
        let (back, mut returning) = mpsc::channel(1);
        R::detach(runtime.spawn_in_task(async move {
            while let Some(number) = arriving.recv().await {
                back.send(number).await.expect("the other task waits");
            }
        }));
        let other = runtime.spawn_in_task(async move {
            for number in 0..ROUND_TRIPS {
                there.send(number).await.expect("the other task waits");
                assert_eq!(returning.recv().await, Some(number));
            }
        });
        R::join(other).await;
        laps.lap();
    }
    laps
}

pub(super) struct WakeRemote;

impl Workload for WakeRemote {
    fn run<R: Runtime>(setup: &Setup) -> Result<Vec<f64>, String> {
        outside(setup, remote::<R>).map(Laps::us)
    }
}

fn remote<R: Runtime>(runtime: &'static R, window: Duration) -> Laps {
    let (call, mut called) = mpsc::channel::<()>(1);
    let (answer, answered) = std_mpsc::channel();
    R::detach(runtime.spawn(async move {
        while called.recv().await.is_some() {
            answer.send(()).expect("the thread waits");
        }
    }));
    let mut laps = Laps::new(window, REMOTE_ROUND_TRIPS);
    while laps.running() {
        for _ in 0..REMOTE_ROUND_TRIPS {
            call.try_send(()).expect("the task has taken the last one");
            answered.recv().expect("the task answers");
        }
        laps.lap();
    }
    laps
}
