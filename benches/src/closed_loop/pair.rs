//! A server and its load, each in a fresh process.

use std::io;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::client::{Client, GRACE, WARM_UP};
use super::found::{Found, Used};
use super::protocol::Protocol;
use crate::harness::{Case, Measurement, Turn, process};
use crate::stalls::StallWatch;
use crate::{child, proc, sys};

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
    let stderr = server.finish();
    match (values, stderr.is_empty()) {
        (values, true) => values.map(|values: Vec<f64>| Measurement {
            stalls,
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
    let run = || -> io::Result<Found> {
        let target = Target::next()?;
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
    };
    run().map_err(|error| error.to_string())
}

impl Target {
    /// The load's side: the server to load.
    pub(crate) fn next() -> io::Result<Self> {
        child::next_json()
    }

    /// Loads the server so, and returns what it used meanwhile.
    pub(crate) fn watched<T>(self, load: impl FnOnce() -> io::Result<T>) -> io::Result<(T, Used)> {
        let begin = Mark::of(self.process)?;
        let found = load()?;
        let end = Mark::of(self.process)?;
        let used = Used {
            elapsed: end.at - begin.at,
            cpu: end.cpu.saturating_sub(begin.cpu),
            switches: end.switches.saturating_sub(begin.switches),
        };
        Ok((found, used))
    }
}

/// What the server had used at a time. The load reads it itself, so that it belongs exactly to the
/// answers of the window.
struct Mark {
    at: Instant,
    cpu: Duration,
    switches: u64,
}

impl Mark {
    fn of(process: u32) -> io::Result<Self> {
        Ok(Self {
            at: Instant::now(),
            cpu: sys::cpu_time_of(process)?,
            switches: voluntary_switches(process)?,
        })
    }
}

/// How often the threads of a process have gone to sleep.
fn voluntary_switches(process: u32) -> io::Result<u64> {
    let threads = proc::threads(&process.to_string())?;
    let mut switches = threads.iter().map(|(_, status)| proc::switches(status));
    let sum = switches.try_fold(0, |sum, switches| Some(sum + switches?.0));
    sum.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_of_this_process_grows() {
        let process = std::process::id();
        let begin = Mark::of(process).unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        // The clock of a running thread is brought up to date now and then.
        while Mark::of(process).unwrap().cpu <= begin.cpu {
            assert!(Instant::now() < deadline, "the clock stands still");
        }
    }

    #[test]
    fn a_process_that_is_gone_has_no_mark() {
        let mut process = std::process::Command::new("true").spawn().unwrap();
        let id = process.id();
        process.wait().unwrap();
        assert!(Mark::of(id).is_err());
    }
}
