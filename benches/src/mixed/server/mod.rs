//! The server of one case, in its own process. What is common to all runtimes is here; each has a
//! file of its own.

mod evenkeel;
mod smol;
mod tokio;

use std::fs;
use std::hint::black_box;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ::tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use serde::{Deserialize, Serialize};

use super::cases::{Background, Case, Engine};
use super::message::{self, Message};
use super::{JOB_US, JOBS_IN_FLIGHT, MESSAGE_BYTES};
use crate::spin::Spin;
use crate::{child, sys};

/// What the harness tells its server.
#[derive(Debug)]
pub(crate) struct ServeOptions {
    pub(crate) case: String,
    pub(crate) iterations_per_us: f64,
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
    /// CPU jobs done, in fractions.
    pub(super) jobs: f64,
    /// How many workers were replaced, where the runtime does that.
    pub(super) takeovers: u64,
    /// Whether any thread is pinned.
    pub(super) pinned: bool,
    /// The priority of the compute lane, where there is one.
    pub(super) compute_priority: Option<String>,
}

/// A runtime under test.
trait Server {
    /// Accepts connections on `listener` and echoes their messages, with this work before each
    /// answer. Returns at once.
    fn serve(&self, listener: TcpListener, handler: Handler) -> io::Result<()>;

    /// Begins the background work, so many at a time, and returns at once.
    fn start(&self, background: Background, job: &Job, in_flight: usize) -> io::Result<()>;

    /// How many workers were replaced.
    fn takeovers(&self) -> u64 {
        0
    }

    /// The priority in force of a compute lane.
    fn compute_priority(&self) -> Option<String> {
        None
    }
}

/// What is done for a request.
#[derive(Clone, Copy)]
pub(crate) enum Handler {
    /// The CPU work that it asks for.
    Compute(Spin),
    /// A buffer is allocated, and every page of it touched.
    Allocate,
    /// A line is written to standard error.
    Log,
}

/// Size of the buffer of [`Handler::Allocate`].
const ALLOCATED_BYTES: usize = 256 * 1024;
/// How far apart its touched bytes are: no page is larger, on most machines.
const PAGE_BYTES: usize = 4096;

impl Handler {
    fn run(self, message: &Message) {
        match self {
            Self::Compute(spin) => spin.run(message::work_us(message)),
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

/// A CPU job. It counts itself in steps, so that a job which straddles the edge of the window
/// counts with its part.
#[derive(Clone)]
struct Job {
    spin: Spin,
    steps_done: Arc<AtomicU64>,
}

impl Job {
    const STEPS: u64 = 20;

    fn new(spin: Spin) -> Self {
        Self {
            spin,
            steps_done: Arc::default(),
        }
    }

    fn run(&self) {
        for _ in 0..Self::STEPS {
            self.spin.run(JOB_US / Self::STEPS);
            self.steps_done.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn done(&self) -> f64 {
        self.steps_done.load(Ordering::Relaxed) as f64 / Self::STEPS as f64
    }
}

/// How long a task of `blocked` sleeps at a time.
const BLOCKING_SLEEP: Duration = Duration::from_millis(100);

/// The connection handler of every runtime with tokio's IO traits; smol's is the same over
/// futures-io's.
async fn echo<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, handler: Handler) {
    let mut message = [0; MESSAGE_BYTES];
    while stream.read_exact(&mut message).await.is_ok() {
        handler.run(&message);
        if stream.write_all(&message).await.is_err() {
            return;
        }
    }
}

/// Runs the server of one case until the parent closes its end.
pub(crate) fn serve(options: &ServeOptions) -> Result<(), String> {
    let case = Case::named(&options.case).ok_or_else(|| format!("no case '{}'", options.case))?;
    child::tie_to_parent().map_err(|error| format!("server: {error}"))?;
    let spin = Spin::new(options.iterations_per_us);
    host(&Role {
        engine: case.engine,
        handler: Handler::Compute(spin),
        background: case.background,
        in_flight: JOBS_IN_FLIGHT,
        spin,
    })
}

/// What a server is.
pub(crate) struct Role {
    pub(crate) engine: Engine,
    pub(crate) handler: Handler,
    pub(crate) background: Background,
    /// How much of the background work at a time.
    pub(crate) in_flight: usize,
    /// For the jobs.
    pub(crate) spin: Spin,
}

/// Is this server until the parent closes its end. Returns only for an error.
pub(crate) fn host(role: &Role) -> Result<(), String> {
    let run = || -> io::Result<()> {
        let server = runtime(role.engine)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        listener.set_nonblocking(true)?;
        server.serve(listener, role.handler)?;
        child::say(&serde_json::to_string(&Ready { port })?)?;
        obey(server.as_ref(), role)
    };
    run().map_err(|error| format!("server: {error}"))?;
    // Not a return: the background work never ends, so a runtime that waits for it in its drop
    // would not either.
    std::process::exit(0)
}

fn runtime(engine: Engine) -> io::Result<Box<dyn Server>> {
    Ok(match engine {
        Engine::Evenkeel(pinning) => Box::new(evenkeel::Evenkeel::new(pinning)?),
        Engine::EvenkeelWithoutTakeover => Box::new(evenkeel::Evenkeel::without_takeover()?),
        Engine::Tokio => Box::new(tokio::Tokio::new()?),
        Engine::Smol => Box::new(smol::Smol::new()?),
    })
}

/// Follows the parent's commands, on a thread that is not the runtime's.
fn obey(server: &dyn Server, role: &Role) -> io::Result<()> {
    let (start, job) = (Instant::now(), Job::new(role.spin));
    while let Some(command) = child::next_command()? {
        match command.as_str() {
            START_BACKGROUND => server.start(role.background, &job, role.in_flight)?,
            MARK => {
                let mark = Mark {
                    elapsed_s: start.elapsed().as_secs_f64(),
                    cpu_s: sys::process_cpu_time().as_secs_f64(),
                    jobs: job.done(),
                    takeovers: server.takeovers(),
                    pinned: has_pinned_thread()?,
                    compute_priority: server.compute_priority(),
                };
                child::say(&serde_json::to_string(&mark)?)?;
            }
            other => return Err(io::Error::other(format!("unknown command {other:?}"))),
        }
    }
    Ok(())
}

/// Whether a thread may use fewer CPUs than the main one, which no runtime pins.
fn has_pinned_thread() -> io::Result<bool> {
    let main = allowed_cpus(&fs::read_to_string("/proc/self/status")?);
    let mut pinned = false;
    for task in fs::read_dir("/proc/self/task")? {
        // A thread may end while the folder is read.
        let Ok(status) = fs::read_to_string(task?.path().join("status")) else {
            continue;
        };
        pinned |= allowed_cpus(&status) != main;
    }
    Ok(pinned)
}

fn allowed_cpus(status: &str) -> Option<String> {
    let list = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    Some(list.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_counts_itself_once_and_in_parts() {
        let job = Job::new(Spin::new(0.0));
        job.run();
        job.clone().run();
        assert_eq!(job.done(), 2.0);
        job.steps_done.fetch_add(Job::STEPS / 2, Ordering::Relaxed);
        assert_eq!(job.done(), 2.5);
    }

    #[test]
    fn the_allowed_cpus_are_read() {
        let status = "Name:\tserver\nCpus_allowed:\t3\nCpus_allowed_list:\t0-1\nThreads:\t4\n";
        assert_eq!(allowed_cpus(status).as_deref(), Some("0-1"));
    }
}
