//! The echo server that is disturbed, and the parent that brings it together with its load.

use std::io;
use std::time::{Duration, Instant};

use super::disturbance::Disturbance;
use super::{Contender, Work};
use crate::mixed::{Load, Rate, Traffic};
use crate::suite::{self, Case, Turn};
use crate::{child, echo, runtimes};

/// How many honest connections there are.
const CONNECTIONS: usize = 64;
/// How fast the honest requests come, over all connections.
const RATE: Rate = Rate::per_s(2_000);

/// Told to the server: begin the disturbance.
const DISTURB: &str = "disturb";
/// Told to the server: say how much the disturbance has got done in a second.
const MARK: &str = "mark";

/// How long a child may take for what should take it milliseconds. The thread that answers is not
/// the runtime's.
const PATIENCE: Duration = Duration::from_secs(10);

/// The parent's side: one measurement.
pub(super) fn measure(case: &'static Case, turn: Turn) -> Result<Vec<f64>, String> {
    let mut server = suite::start_computing_child(case, turn)?;
    let port = server.expect_json(PATIENCE)?;
    let mut load = Load::connect(port, &Traffic::even(CONNECTIONS, RATE, 0), turn.window)?;
    load.begin()?;
    server.tell(DISTURB)?;
    load.end()?;
    server.tell(MARK)?;
    let work_per_s: f64 = server.expect_json(PATIENCE)?;
    let latencies = load.finish()?.latencies;

    // A panic of a task, say: what was measured then is not the case.
    let stderr = server.finish();
    if !stderr.is_empty() {
        return Err(format!("the server wrote: {stderr}"));
    }
    if latencies.lost_connections > 0 {
        let lost = latencies.lost_connections;
        return Err(format!("the server closed {lost} connections"));
    }
    let answered = latencies.answered as f64 / latencies.requests as f64;
    Ok(vec![
        latencies.p50_us / 1e3,
        latencies.p99_us / 1e3,
        100.0 * answered,
        work_per_s,
    ])
}

/// The server's side: runs until the parent closes its end. Returns only for an error.
pub(super) fn serve<R: Contender>(disturb: Disturbance<R>) -> Result<Vec<f64>, String> {
    let run = || -> Result<(), String> {
        let spin = suite::spin_of_parent().map_err(|error| error.to_string())?;
        let runtime = runtimes::start::<R>()?;
        let port = echo::serve_on(runtime, |stream| {
            R::set_nodelay(&stream).expect("set_nodelay");
            echo::echo(stream)
        })?;
        let work = Work::none();
        obey(port, work, || disturb(runtime, spin, work)).map_err(|error| error.to_string())
    };
    run()?;
    // Not a return: the load may still wait for answers when the last number has been said.
    std::process::exit(0)
}

/// Follows the parent's commands, on a thread that is not the runtime's.
fn obey(port: u16, work: Work, disturb: impl Fn() -> Result<(), String>) -> io::Result<()> {
    child::say(&port.to_string())?;
    let mut begin = Instant::now();
    while let Some(command) = child::next_command()? {
        match command.as_str() {
            DISTURB => {
                begin = Instant::now();
                disturb().map_err(io::Error::other)?;
            }
            MARK => {
                let work_per_s = work.done() / begin.elapsed().as_secs_f64();
                child::say(&work_per_s.to_string())?;
            }
            other => return Err(io::Error::other(format!("unknown command {other:?}"))),
        }
    }
    Ok(())
}
