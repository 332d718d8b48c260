//! A server and its load, each in a fresh process.

use std::io;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::client::{Client, GRACE, WARM_UP};
use super::found::Found;
use super::protocol::Protocol;
use crate::harness::{Case, Measurement, Turn, process};
use crate::stalls::StallWatch;
use crate::used::{self, Used};
use crate::{child, proc};

/// How long a child may take for what should take it milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where the server is, as it says itself and the load is told.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Target {
    pub(crate) port: u16,
    process: u32,
}

/// The parent's side: one measurement, in the load's order of the values.
pub(crate) fn measure(case: &'static Case, turn: Turn) -> Result<Measurement, String> {
    let mut server = process::start_server(case, turn)?;
    let target: Target = server.expect_json(PATIENCE)?;
    let mut load = process::start_load(case, turn)?;
    load.tell_json(&target)?;
    let watch = StallWatch::start();
    let values = load.expect_json(WARM_UP + turn.window + GRACE + PATIENCE);
    let stalls = Some(watch.finish());
    // Unknown of a server that is gone, whose standard error then says more.
    let pinned = proc::has_pinned_thread(&server.id().to_string()).ok();
    let stderr = server.finish();
    match (values, stderr.is_empty()) {
        (values, true) => values.map(|values: Vec<f64>| Measurement {
            stalls,
            details: json!({ "pinned": pinned }),
            ..values.into()
        }),
        // A panic of a task, say: what was measured then is not the case.
        (Ok(_), false) => Err(format!("the server wrote: {stderr}")),
        (Err(error), false) => Err(format!("{error}; the server wrote: {stderr}")),
    }
}

/// The server's side, which serves at this port: runs until the parent closes its end. Returns only
/// for an error.
pub(crate) fn host(port: u16) -> Result<Vec<f64>, String> {
    let target = Target {
        port,
        process: std::process::id(),
    };
    let run = || -> io::Result<()> {
        child::say_json(&target)?;
        while child::next_command()?.is_some() {}
        Ok(())
    };
    run().map_err(|error| error.to_string())?;
    std::process::exit(0)
}

/// The load's side, for a case whose load is this client with so many connections.
pub(crate) fn generate_load(
    protocol: &impl Protocol,
    connections: usize,
    window: Duration,
) -> Result<Found, String> {
    let found = Target::next().and_then(|target| load(target, protocol, connections, window));
    found.map_err(|error| error.to_string())
}

/// [`generate_load`] with so many connections for each CPU of the server.
pub(crate) fn generate_load_per_cpu(
    protocol: &impl Protocol,
    connections: usize,
    window: Duration,
) -> Result<Found, String> {
    let found = Target::next().and_then(|target| {
        let cpus = proc::allowed_cpus(&target.process.to_string())?.len();
        load(target, protocol, connections * cpus, window)
    });
    found.map_err(|error| error.to_string())
}

fn load(
    target: Target,
    protocol: &impl Protocol,
    connections: usize,
    window: Duration,
) -> io::Result<Found> {
    let mut client = Client::connect(protocol, target.port, connections)?;
    client.warm_up()?;
    let measure = || client.measure(Instant::now() + window);
    let (answers, used) = target.watched(measure)?;
    let answer_bytes = client.answer_bytes();
    let latencies = client.finish()?;
    if answers == 0 {
        return Err(io::Error::other("no answer came in the whole window"));
    }
    Ok(Found {
        answers,
        answer_bytes,
        latencies,
        used,
    })
}

impl Target {
    /// The load's side: the server to load.
    pub(crate) fn next() -> io::Result<Self> {
        child::next_json()
    }

    /// Loads the server so, and returns what it used meanwhile. The load reads that itself, so that
    /// it belongs exactly to the answers of the window.
    pub(crate) fn watched<T>(self, load: impl FnOnce() -> io::Result<T>) -> io::Result<(T, Used)> {
        used::watched(self.process, load)
    }
}
