//! The server of one measurement, in its own process, on any runtime.

use std::hint::black_box;
use std::io;
use std::time::Instant;

use evenkeel_topology::allowed_cpus;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::background::Background;
use super::message::{self, MESSAGE_BYTES, Message};
use super::work::{CountedWork, Job};
use crate::harness::{Options, Setup};
use crate::runtimes::{self, Runtime};
use crate::spin::Spin;
use crate::{child, proc, sys};

/// Told to the server first.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Orders {
    pub(super) spin: Spin,
    pub(super) handler: Handler,
    /// What CPU jobs do.
    pub(super) job: Job,
    /// How many tasks the background work has, where it has no number of its own.
    pub(super) tasks: usize,
}

/// What is done for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Handler {
    /// The CPU work that it asks for.
    Compute,
    /// A fresh buffer is allocated, and every page of it touched.
    Allocate,
    /// A line is written to standard error.
    Log,
}

/// Told to the server: begin the background work.
pub(super) const START_BACKGROUND: &str = "background";
/// Told to the server: say where you are. It answers with a [`Mark`].
pub(super) const MARK: &str = "mark";

/// Said when the server listens.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Ready {
    pub(super) port: u16,
}

/// Where the server is. Rates come from the difference of two.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Mark {
    /// Time since the process began.
    pub(super) elapsed_s: f64,
    /// CPU time that the process has used.
    pub(super) cpu_s: f64,
    /// What the background work has got done; `None` where that is not counted.
    pub(super) work: Option<f64>,
    /// CPU time that it has used; `None` where that is not counted.
    pub(super) work_cpu_s: Option<f64>,
    /// How many workers were replaced, where the runtime does that.
    pub(super) takeovers: u64,
    /// The CPUs that the process may use.
    pub(super) allowed_cpus: String,
    /// Whether any thread is pinned.
    pub(super) pinned: bool,
    /// The priority of the compute lane, where there is one.
    pub(super) compute_priority: Option<String>,
}

/// Size of the buffer of [`Handler::Allocate`].
const ALLOCATED_BYTES: usize = 256 * 1024;
/// How far apart its touched bytes are: no page is larger, on most machines.
const PAGE_BYTES: usize = 4096;

impl Handler {
    fn run(self, spin: Spin, message: &Message) {
        match self {
            Self::Compute => spin.run(message::work_us(message)),
            Self::Allocate => {
                let mut buffer = black_box(vec![0_u8; ALLOCATED_BYTES]);
                for byte in buffer.iter_mut().step_by(PAGE_BYTES) {
                    *byte = message[0];
                }
                black_box(buffer);
            }
            Self::Log => eprintln!("request {} was answered", message[0]),
        }
    }
}

/// Serves on the runtime that `new` makes until the parent closes its end. Returns only for an
/// error.
pub(crate) fn serve<R: Runtime>(
    setup: &Setup,
    new: fn(&Options) -> io::Result<R>,
    background: Background<R>,
) -> Result<Vec<f64>, String> {
    let orders: Orders = child::next_json().map_err(|error| error.to_string())?;
    if orders.handler == Handler::Log || orders.job == Job::Log {
        // What these write is no failure.
        sys::discard_stderr().map_err(|error| error.to_string())?;
    }
    if orders.handler == Handler::Allocate || orders.job == Job::Fill {
        sys::keep_no_large_buffers();
    }
    sys::raise_file_limit().map_err(|error| error.to_string())?;
    let runtime = runtimes::start_by(new, &setup.options)?;
    let port = runtimes::serve(runtime, move |stream| {
        converse(R::io(stream), orders.spin, orders.handler)
    })?;
    let obeyed = child::say_json(&Ready { port }).and_then(|()| obey(runtime, orders, background));
    obeyed.map_err(|error| error.to_string())?;
    // Not a return: the background work never ends, so a runtime that waits for it in its drop
    // would not either.
    std::process::exit(0)
}

/// A connection whose requests are answered after what they ask for.
async fn converse<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, spin: Spin, handler: Handler) {
    let mut message = [0; MESSAGE_BYTES];
    while stream.read_exact(&mut message).await.is_ok() {
        handler.run(spin, &message);
        if stream.write_all(&message).await.is_err() {
            return;
        }
    }
}

/// Follows the parent's commands, on a thread that is not the runtime's.
fn obey<R: Runtime>(
    runtime: &'static R,
    orders: Orders,
    background: Background<R>,
) -> io::Result<()> {
    let (start, work) = (Instant::now(), CountedWork::none(orders.spin, orders.job));
    while let Some(command) = child::next_command()? {
        match command.as_str() {
            START_BACKGROUND => {
                (background.begin)(runtime, work, orders.tasks).map_err(io::Error::other)?;
            }
            MARK => child::say_json(&Mark {
                elapsed_s: start.elapsed().as_secs_f64(),
                cpu_s: sys::process_cpu_time().as_secs_f64(),
                work: background.counts.then(|| work.done()),
                work_cpu_s: background.counts.then(|| work.cpu_time().as_secs_f64()),
                takeovers: runtime.takeovers(),
                allowed_cpus: allowed_cpus().to_string(),
                pinned: proc::has_pinned_thread("self")?,
                compute_priority: runtime.compute_priority(),
            })?,
            other => return Err(io::Error::other(format!("unknown command {other:?}"))),
        }
    }
    Ok(())
}
