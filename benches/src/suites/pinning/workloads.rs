//! What is measured in each condition: what other suites have, and what only places make a
//! difference to.

use std::hint::black_box;
use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc::{self, Receiver, Sender};

use super::metrics;
use crate::closed_loop::{Echo, Target, generate_load_per_cpu, host};
use crate::cpus::Cpus;
use crate::harness::{Case, Measurement, Setup, Turn, process};
use crate::laps::{Laps, in_task, in_task_per_worker};
use crate::open_loop::{self, Background, Plan};
use crate::runtimes::{self, Runtime, Workload, spawn_for, wait};
use crate::spin::Spin;
use crate::suites::clients::redis_for;
use crate::suites::scale::operations::{fan_out, told_spin};
use crate::suites::{echo, micro::wake};
use crate::{child, proc, used};

/// Connections of an echo server for each CPU, as the suite `echo` has them on two.
const ECHO_CONNECTIONS: usize = 32;
/// What each task of the cache-sensitive server owns.
const OWN_BYTES: usize = 256 * 1024;
/// How far apart are the bytes of that which it touches: a cache line.
const LINE_BYTES: usize = 64;
/// Connections of that server for each CPU: what their tasks own fits together into most caches
/// that belong to one core.
const CACHE_CONNECTIONS: usize = 4;
/// Round trips of two strangers in a repetition.
const ROUND_TRIPS: usize = 10_000;

/// How long a child may take beside its window.
const PATIENCE: Duration = Duration::from_secs(60);

/// CPU jobs in the runtime's own place for them, beside the requests.
pub(super) struct BesideJobs;

impl Workload for BesideJobs {
    fn run<R: Runtime>(setup: &Setup) -> Result<Vec<f64>, String> {
        open_loop::serve(setup, R::new, Background::COMPUTE)
    }
}

/// The cases of the suite `mixed`: so many requests for each CPU.
pub(super) fn measure_open(
    case: &'static Case,
    turn: Turn,
    requests_per_s: u32,
    handler_us: u32,
) -> Result<Measurement, String> {
    let plan = Plan::per_cpu(turn.cpus.of_server, requests_per_s, handler_us);
    let outcome = open_loop::run(case, turn, &plan)?.checked()?;
    outcome.measurement(metrics::known(metrics::COLUMNS))
}

/// The load of the servers of `echo`.
pub(super) fn load_echo(setup: &Setup) -> Result<Vec<f64>, String> {
    load(setup, ECHO_CONNECTIONS)
}

/// The load of [`Cache`].
pub(super) fn load_cache(setup: &Setup) -> Result<Vec<f64>, String> {
    load(setup, CACHE_CONNECTIONS)
}

fn load(setup: &Setup, per_cpu: usize) -> Result<Vec<f64>, String> {
    let found = generate_load_per_cpu(&Echo::of(echo::MESSAGE_BYTES), per_cpu, setup.window)?;
    let latencies = [0.5, 0.99].map(|quantile| found.latency_us(quantile));
    let (rate, used) = (found.requests_per_s(), found.used_each());
    Ok(metrics::closed(rate, latencies, &used))
}

/// redis-benchmark, whose word is taken for the answers.
pub(super) fn load_redis(setup: &Setup) -> Result<Vec<f64>, String> {
    let found = Target::next().and_then(|server| redis_for(setup.window, "get", server));
    let (said, used) = found.map_err(|error| error.to_string())?;
    let used = used.each(said.requests as f64);
    Ok(metrics::closed(
        said.rate,
        [said.p50_us, said.p99_us],
        &used,
    ))
}

/// A server whose tasks each own memory, all of which they need for a request.
pub(super) struct Cache;

impl Workload for Cache {
    fn run<R: Runtime>(setup: &Setup) -> Result<Vec<f64>, String> {
        let runtime = runtimes::start::<R>(&setup.options)?;
        host(runtimes::serve(runtime, |stream| {
            converse(R::io(stream), vec![0; OWN_BYTES])
        })?)
    }
}

async fn converse<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, mut own: Vec<u8>) {
    let mut message = [0; echo::MESSAGE_BYTES];
    while stream.read_exact(&mut message).await.is_ok() {
        touch(&mut own);
        if stream.write_all(&message).await.is_err() {
            return;
        }
    }
}

/// Reads and writes a byte of each cache line.
fn touch(own: &mut [u8]) {
    for byte in own.iter_mut().step_by(LINE_BYTES) {
        *byte = byte.wrapping_add(1);
    }
    black_box(own);
}

/// Pairs of which one task has spawned the other, one for each worker.
pub(super) struct Neighbours;

impl Workload for Neighbours {
    fn run<R: Runtime>(setup: &Setup) -> Result<Vec<f64>, String> {
        inside(|_| in_task_per_worker(setup, wake::channel_pair::<R>))
    }
}

/// Pairs of tasks that were spawned apart, from a thread that is not the runtime's; one for each
/// worker.
pub(super) struct Strangers;

impl Workload for Strangers {
    fn run<R: Runtime>(setup: &Setup) -> Result<Vec<f64>, String> {
        inside(|_| {
            let runtime = runtimes::start::<R>(&setup.options)?;
            let (mut callers, mut others) = (Vec::new(), Vec::new());
            for _ in 0..setup.options.workers() {
                let (there, arriving) = mpsc::channel(1);
                let (back, returning) = mpsc::channel(1);
                callers.push(spawn_for(runtime, call(there, returning, setup.window)));
                others.push(answer(arriving, back));
            }
            // Only now, so that nobody's partner is the next in the queue.
            for other in others {
                R::detach(runtime.spawn(other));
            }
            callers.iter().map(wait).collect()
        })
    }
}

async fn call(there: Sender<usize>, mut returning: Receiver<usize>, window: Duration) -> Laps {
    let mut laps = Laps::new(window, ROUND_TRIPS);
    while laps.running() {
        for number in 0..ROUND_TRIPS {
            there.send(number).await.expect("the stranger listens");
            assert_eq!(returning.recv().await, Some(number));
        }
        laps.lap();
    }
    laps
}

async fn answer(mut arriving: Receiver<usize>, back: Sender<usize>) {
    while let Some(number) = arriving.recv().await {
        back.send(number).await.expect("the caller waits");
    }
}

/// One task that sends to many, which compute.
pub(super) struct FanOut;

impl Workload for FanOut {
    fn run<R: Runtime>(setup: &Setup) -> Result<Vec<f64>, String> {
        inside(|spin| {
            let case = |runtime: &'static R, window| fan_out(runtime, window, spin);
            Ok(vec![in_task(setup, case)?])
        })
    }
}

/// Said by a process that measures itself, before its values.
#[derive(Debug, Serialize, Deserialize)]
struct Seen {
    /// Whether any thread is pinned.
    pinned: bool,
}

/// The child's side of [`measure_inside`]. What is used for an operation is that of the whole
/// process, from before the runtime was made, for all operations.
fn inside(run: impl FnOnce(Spin) -> Result<Vec<Laps>, String>) -> Result<Vec<f64>, String> {
    let spin = told_spin()?;
    let watched = || -> io::Result<_> {
        let run = || run(spin).map_err(io::Error::other);
        let found = used::watched(std::process::id(), run)?;
        let pinned = proc::has_pinned_thread("self")?;
        child::say_json(&Seen { pinned })?;
        Ok(found)
    };
    let (laps, used) = watched().map_err(|error| error.to_string())?;
    let used = used.each(Laps::operations(&laps));
    Ok(metrics::operations(Laps::per_s(&laps), &used))
}

/// Measures tasks that have no client, on all CPUs.
pub(super) fn measure_inside(case: &'static Case, turn: Turn) -> Result<Measurement, String> {
    let spin = Spin::of_machine()?;
    let cpus = Cpus::all_shared();
    let mut child = process::start_server(case, Turn { cpus, ..turn })?;
    child.tell_json(&spin)?;
    let seen: Seen = child.expect_json(turn.window + PATIENCE)?;
    let values: Vec<f64> = child.expect_json(PATIENCE)?;
    child.finish_silent()?;
    Ok(Measurement {
        details: json!(seen),
        ..values.into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_touch_is_of_every_line_and_of_nothing_else() {
        let mut own = vec![0; 3 * LINE_BYTES];
        touch(&mut own);
        touch(&mut own);
        for (index, byte) in own.iter().enumerate() {
            let expected = if index % LINE_BYTES == 0 { 2 } else { 0 };
            assert_eq!(*byte, expected, "{index}");
        }
    }
}
