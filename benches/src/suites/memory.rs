//! The suite `memory`: what tasks and connections take. It is resident memory of the process that
//! counts; what the kernel keeps for a socket does not.

use std::future::pending;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{fs, thread};

use crate::harness::{Bar, Case, Limit, Metric, Setup, Suite, Template, in_child};
use crate::runtimes::{self, On, Runtime, Workload};
use crate::sys;

pub(super) const SUITE: Suite = Suite::new(
    "memory",
    "resident bytes of what only waits, the kernel's not counted",
    |_| CASES,
);

const MEMORY: Template = Template {
    suite: "memory",
    measure: &in_child,
};

const BYTES: &[Metric] = &[Metric::new("size", "bytes")];

/// The cases, in the table's order.
const CASES: &[Case] = &[
    MEMORY.case(
        "task",
        "a task that never completes and its handle, beyond its future's own size",
        BYTES,
        On::<Tasks>::ALL,
        &[Bar::new("size", Limit::Absolute(96.0))],
    ),
    MEMORY.case(
        "connection",
        "an accepted TCP connection and its task, which waits for something to read",
        BYTES,
        On::<Connections>::ALL,
        &[],
    ),
];

/// How many are made before the first look, so that what a runtime makes once is not counted.
const WARM_UP: usize = 100;
/// A shorter window means a quick look at the harness, with fewer of everything.
const FULL_COUNT_WINDOW: Duration = Duration::from_millis(500);

const TASKS: usize = 1_000_000;
const TASKS_QUICK: usize = 50_000;
/// So many tasks are queued at a time: the queue is not what is measured.
const TASKS_AT_A_TIME: usize = 1000;

/// How many tasks have begun to wait.
static WAITING: AtomicUsize = AtomicUsize::new(0);

/// Never completes, and keeps some words meanwhile, as tasks do.
async fn never() {
    let kept = std::hint::black_box([1_u64; 7]);
    WAITING.fetch_add(1, Ordering::Release);
    pending::<()>().await;
    std::hint::black_box(&kept);
}

struct Tasks;

impl Workload for Tasks {
    fn run<R: Runtime>(setup: &Setup) -> Result<Vec<f64>, String> {
        let count = if setup.window < FULL_COUNT_WINDOW {
            TASKS_QUICK
        } else {
            TASKS
        };
        let runtime = runtimes::start::<R>(&setup.options)?;
        // A handle counts when it is written: before that, its part of the array is not resident.
        let mut handles: Vec<R::Handle<()>> = Vec::with_capacity(WARM_UP + count);
        spawn_never(runtime, &mut handles, WARM_UP)?;
        let before = resident_bytes()?;
        while handles.len() < WARM_UP + count {
            spawn_never(runtime, &mut handles, TASKS_AT_A_TIME)?;
        }
        let each = (resident_bytes()? - before) / count as f64;
        // The process ends with all of them.
        std::mem::forget(handles);
        Ok(vec![each - size_of_val(&never()) as f64])
    }
}

/// Spawns, and waits until every task is asleep.
fn spawn_never<R: Runtime>(
    runtime: &R,
    handles: &mut Vec<R::Handle<()>>,
    count: usize,
) -> Result<(), String> {
    for _ in 0..count {
        handles.push(runtime.spawn(never()));
    }
    wait_for_waiting(handles.len())
}

const CONNECTIONS: usize = 5000;
const CONNECTIONS_QUICK: usize = 500;
/// Files that are open besides the connections.
const OTHER_FILES: usize = 100;
/// How much a connection reads at once, on the stack, when there is something.
const READ_BYTES: usize = 64;

struct Connections;

impl Workload for Connections {
    fn run<R: Runtime>(setup: &Setup) -> Result<Vec<f64>, String> {
        let files = sys::raise_file_limit().map_err(|error| format!("the file limit: {error}"))?;
        // Both ends are in this process. A client is a mere number, that the kernel gives a
        // meaning.
        let most = files.saturating_sub(OTHER_FILES) / 2;
        let count = if setup.window < FULL_COUNT_WINDOW {
            CONNECTIONS_QUICK
        } else {
            CONNECTIONS
        };
        let count = count.min(most.saturating_sub(WARM_UP));
        if count == 0 {
            return Err(format!("{files} open files are too few"));
        }
        let runtime = runtimes::start::<R>(&setup.options)?;
        let port = runtimes::serve(runtime, |stream| async { drop(read::<R>(stream).await) })?;
        // All of it resident now, so that it does not count later.
        let mut clients: Vec<Option<TcpStream>> = (0..WARM_UP + count).map(|_| None).collect();
        let (warm_up, counted) = clients.split_at_mut(WARM_UP);
        connect(warm_up, port, 0)?;
        let before = resident_bytes()?;
        connect(counted, port, WARM_UP)?;
        let each = (resident_bytes()? - before) / count as f64;
        Ok(vec![each])
    }
}

/// Connects every client, and waits until its task on the other side is asleep.
fn connect(clients: &mut [Option<TcpStream>], port: u16, earlier: usize) -> Result<(), String> {
    for (index, client) in clients.iter_mut().enumerate() {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))
            .map_err(|error| format!("connect: {error}"))?;
        *client = Some(stream);
        // One by one, since the backlog is short.
        wait_for_waiting(earlier + index + 1)?;
    }
    Ok(())
}

/// What a server with many idle connections does: it has no buffer while nothing comes.
async fn read<R: Runtime>(stream: R::Stream) -> io::Result<()> {
    WAITING.fetch_add(1, Ordering::Release);
    loop {
        R::readable(&stream).await?;
        let mut buffer = [0; READ_BYTES];
        match R::try_read(&stream, &mut buffer) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// How long a batch may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until so many tasks wait.
fn wait_for_waiting(count: usize) -> Result<(), String> {
    let deadline = Instant::now() + PATIENCE;
    while WAITING.load(Ordering::Acquire) < count {
        if Instant::now() > deadline {
            return Err(format!("tasks that were not polled within {PATIENCE:?}"));
        }
        thread::yield_now();
    }
    Ok(())
}

/// By a walk over all pages where the kernel offers it: what it counts as it goes is short of up to
/// some hundred pages for each CPU.
fn resident_bytes() -> Result<f64, String> {
    let text = fs::read_to_string("/proc/self/smaps_rollup")
        .or_else(|_| fs::read_to_string("/proc/self/status"))
        .map_err(|error| format!("resident memory: {error}"))?;
    resident_kib(&text)
        .map(|kib| kib * 1024.0)
        .ok_or_else(|| "resident memory: no such line".to_owned())
}

fn resident_kib(text: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| {
        line.strip_prefix("Rss:")
            .or_else(|| line.strip_prefix("VmRSS:"))
    });
    line?.trim().strip_suffix(" kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_read_from_either_file() {
        let rollup = "55d0-7ffd ---p 00000000 00:00 0    [rollup]\nRss:     1804 kB\nPss: 491 kB\n";
        let status = "VmHWM:\t    2000 kB\nVmRSS:\t    1804 kB\nRssAnon:\t     96 kB\n";
        assert_eq!(resident_kib(rollup), Some(1804.0));
        assert_eq!(resident_kib(status), Some(1804.0));
        assert_eq!(resident_kib("VmSize:\t1 kB\n"), None);
    }

    #[test]
    fn memory_that_is_written_is_resident() {
        const BYTES: usize = 32 << 20;
        let before = resident_bytes().unwrap();
        let written = std::hint::black_box(vec![1_u8; BYTES]);
        let grown = resident_bytes().unwrap() - before;
        drop(written);
        assert!(grown > 0.5 * BYTES as f64, "{grown}");
    }
}
