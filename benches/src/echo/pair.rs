//! A server and its load, each in a fresh process.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::client::{Client, GRACE, Protocol, WARM_UP};
use crate::runtimes::{self, Runtime};
use crate::suite::{self, Case, Metric, Turn};
use crate::{child, sys};

/// What is measured on each contender.
pub(crate) const METRICS: &[Metric] = &[
    Metric {
        name: "requests",
        unit: "/s",
    },
    Metric {
        name: "server_cpu",
        unit: "us/request",
    },
    Metric {
        name: "p50",
        unit: "us",
    },
    Metric {
        name: "p99",
        unit: "us",
    },
    Metric {
        name: "p99.9",
        unit: "us",
    },
    // How often a thread of the server went to sleep.
    Metric {
        name: "switches",
        unit: "/request",
    },
];

/// The word that makes a child process the load of a case, in the place of a contender.
pub(crate) const LOAD: &str = "load";

/// How long a child may take for what should take it milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where the server is, as it says itself and the load is told.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Target {
    port: u16,
    process: u32,
}

/// The parent's side: one measurement, in the order of [`METRICS`].
pub(crate) fn measure_pair(case: &'static Case, turn: Turn) -> Result<Vec<f64>, String> {
    let window = turn.window;
    let mut server = suite::start_child(case, turn.contender, window)?;
    let target: Target = server.expect_json(PATIENCE)?;
    let mut load = suite::start_child(case, LOAD, window)?;
    load.tell(&serde_json::to_string(&target).map_err(|error| error.to_string())?)?;
    let values = load.expect_json(WARM_UP + window + GRACE + PATIENCE);
    let stderr = server.finish();
    match (values, stderr.is_empty()) {
        (values, true) => values,
        // A panic of a task, say: what was measured then is not the case.
        (Ok(_), false) => Err(format!("the server wrote: {stderr}")),
        (Err(error), false) => Err(format!("{error}; the server wrote: {stderr}")),
    }
}

/// The server's side: starts what returns the port that it serves, and runs until the parent closes
/// its end. Returns only for an error.
pub(crate) fn host(serve: fn() -> Result<u16, String>) -> Result<Vec<f64>, String> {
    let target = Target {
        port: serve()?,
        process: std::process::id(),
    };
    let run = || -> io::Result<()> {
        child::say(&serde_json::to_string(&target)?)?;
        while child::next_command()?.is_some() {}
        Ok(())
    };
    run().map_err(|error| error.to_string())?;
    std::process::exit(0)
}

/// Starts a runtime that serves with a task for each connection until the process ends, and returns
/// the port.
pub(crate) fn serve<R, F>(
    connection: impl Fn(R::Stream) -> F + Send + 'static,
) -> Result<u16, String>
where
    R: Runtime,
    F: Future<Output = ()> + Send + 'static,
{
    serve_on(runtimes::start::<R>()?, connection)
}

/// [`serve`] on a runtime that does other things as well.
pub(crate) fn serve_on<R, F>(
    runtime: &'static R,
    connection: impl Fn(R::Stream) -> F + Send + 'static,
) -> Result<u16, String>
where
    R: Runtime,
    F: Future<Output = ()> + Send + 'static,
{
    let (listener, port) = listen().map_err(|error| error.to_string())?;
    R::detach(runtime.spawn(async move {
        let listener = R::listen(listener).expect("listen");
        loop {
            let stream = R::accept(&listener).await.expect("accept");
            R::detach(runtime.spawn(connection(stream)));
        }
    }));
    Ok(port)
}

/// A non-blocking listener on a free port, and that port.
fn listen() -> io::Result<(TcpListener, u16)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let port = listener.local_addr()?.port();
    Ok((listener, port))
}

/// The load's side. The values are in the order of [`METRICS`].
pub(crate) fn generate_load(
    protocol: &'static Protocol,
    connections: usize,
    window: Duration,
) -> Result<Vec<f64>, String> {
    let run = || -> io::Result<Vec<f64>> {
        let target = child::next_command()?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let target: Target = serde_json::from_str(&target)?;
        let mut client = Client::connect(protocol, target.port, connections)?;
        client.warm_up()?;
        let begin = Mark::of(target.process)?;
        let answers = client.measure(begin.at + window)?;
        let end = Mark::of(target.process)?;
        let latencies = client.finish()?;
        if answers == 0 {
            return Err(io::Error::other("no answer came in the whole window"));
        }
        let answers = answers as f64;
        let us = |quantile| latencies.value_at_quantile(quantile) as f64 / 1e3;
        Ok(vec![
            answers / (end.at - begin.at).as_secs_f64(),
            end.cpu.saturating_sub(begin.cpu).as_secs_f64() * 1e6 / answers,
            us(0.5),
            us(0.99),
            us(0.999),
            end.switches.saturating_sub(begin.switches) as f64 / answers,
        ])
    };
    run().map_err(|error| error.to_string())
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
    let mut sum = 0;
    for task in fs::read_dir(format!("/proc/{process}/task"))? {
        // A thread may end while the folder is read.
        let Ok(status) = fs::read_to_string(task?.path().join("status")) else {
            continue;
        };
        sum += switches_in(&status).ok_or(io::ErrorKind::InvalidData)?;
    }
    Ok(sum)
}

fn switches_in(status: &str) -> Option<u64> {
    let count = status
        .lines()
        .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
    count.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_switches_of_a_thread_are_read() {
        let status = "Threads:\t4\nvoluntary_ctxt_switches:\t150\nnonvoluntary_ctxt_switches:\t7\n";
        assert_eq!(switches_in(status), Some(150));
        assert_eq!(switches_in("Threads:\t4\n"), None);
    }

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
