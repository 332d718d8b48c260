//! The tasks that disturb, as careless programs have them.

use std::io::{self, Read, Write};
use std::marker::PhantomData;
use std::net::{Ipv4Addr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;

use crate::harness::Setup;
use crate::open_loop::{self, Background, CountedWork, inline_jobs, repeat};
use crate::runtimes::{self, Runtime, Workload};
use crate::sys;

/// What disturbs the neighbours, on any runtime.
pub(super) trait Disturbance {
    /// Begins, and returns at once; it never ends.
    fn begin<R: Runtime>(runtime: &'static R, work: CountedWork) -> Result<(), String>;
}

/// The server that is disturbed.
pub(super) struct Beside<D>(PhantomData<D>);

impl<D: Disturbance> Workload for Beside<D> {
    fn run<R: Runtime>(setup: &Setup) -> Result<Vec<f64>, String> {
        let disturbance = Background::counted(|runtime, work, _| D::begin::<R>(runtime, work));
        open_loop::serve(setup, R::new, disturbance)
    }
}

/// CPU time that a request of `heavy_handler` takes.
const HEAVY_MS: u64 = 200;

pub(super) struct HeavyHandler;

impl Disturbance for HeavyHandler {
    fn begin<R: Runtime>(runtime: &'static R, work: CountedWork) -> Result<(), String> {
        closed_loop(runtime, move || work.compute(HEAVY_MS))
    }
}

/// How long the lock of `held_lock` is held.
const HELD: Duration = Duration::from_millis(50);
/// And how long it is not.
const BREAK: Duration = Duration::from_millis(1);

pub(super) struct HeldLock;

impl Disturbance for HeldLock {
    fn begin<R: Runtime>(runtime: &'static R, work: CountedWork) -> Result<(), String> {
        let lock = Arc::new(Mutex::new(()));
        let holder = Arc::clone(&lock);
        thread::spawn(move || {
            loop {
                let held = holder.lock().expect("nobody panics");
                thread::sleep(HELD);
                drop(held);
                thread::sleep(BREAK);
            }
        });
        closed_loop(runtime, move || {
            drop(lock.lock().expect("nobody panics"));
            work.count();
        })
    }
}

/// Size of a request of [`closed_loop`], and of its answer.
const MESSAGE_BYTES: usize = 64;

/// A connection whose handler runs `handle` for each request, and a plain thread at its other end,
/// which asks again as soon as it has its answer.
fn closed_loop<R, H>(runtime: &'static R, handle: H) -> Result<(), String>
where
    R: Runtime,
    H: Fn() + Clone + Send + Sync + 'static,
{
    let port = runtimes::serve(runtime, move |stream| {
        let (mut stream, handle) = (R::io(stream), handle.clone());
        async move {
            let mut message = [0; MESSAGE_BYTES];
            while stream.read_exact(&mut message).await.is_ok() {
                handle();
                stream.write_all(&message).await.expect("an answer");
            }
        }
    })?;
    at_other_end(port, |mut stream| {
        stream.set_nodelay(true)?;
        let mut message = [0; MESSAGE_BYTES];
        loop {
            stream.write_all(&message)?;
            stream.read_exact(&mut message)?;
        }
    });
    Ok(())
}

/// A plain thread with a connection to the port.
fn at_other_end(port: u16, run: fn(TcpStream) -> io::Result<()>) {
    thread::spawn(move || {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port));
        stream.and_then(run).expect("the connection that disturbs");
    });
}

pub(super) struct WakingPair;

impl Disturbance for WakingPair {
    fn begin<R: Runtime>(runtime: &'static R, work: CountedWork) -> Result<(), String> {
        let (one, other) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        // One wake-up goes to and fro.
        one.notify_one();
        for (own, other) in [(Arc::clone(&one), Arc::clone(&other)), (other, one)] {
            R::detach(runtime.spawn(async move {
                loop {
                    own.notified().await;
                    work.count();
                    other.notify_one();
                }
            }));
        }
        Ok(())
    }
}

/// How much the task of `ready_socket` reads at a time: little, so that its socket fills faster
/// than it is emptied.
const READ_BYTES: usize = 1024;
/// How much is written to it at a time: much, so that the writer mostly sleeps.
const WRITE_BYTES: usize = 256 * 1024;

pub(super) struct ReadySocket;

impl Disturbance for ReadySocket {
    fn begin<R: Runtime>(runtime: &'static R, work: CountedWork) -> Result<(), String> {
        let port = runtimes::serve(runtime, move |stream| async move {
            let mut stream = R::io(stream);
            let mut buffer = [0; READ_BYTES];
            while stream.read(&mut buffer).await.expect("a read") > 0 {
                work.count();
            }
        })?;
        at_other_end(port, |mut stream| {
            // It is to fill the socket, and not itself to take CPU time from the neighbours.
            sys::lower_priority()?;
            loop {
                stream.write_all(&[0; WRITE_BYTES])?;
            }
        });
        Ok(())
    }
}

/// How many tasks of `spawn_storm` are alive at most, about: memory has its end.
const ALIVE_MAX: usize = 100_000;
/// How many it spawns between two looks at the count.
const BATCH: usize = 100;
/// CPU time of each, for each worker: however many there are, together they need longer than it
/// takes to spawn one.
const TASK_US: u64 = 2;

pub(super) struct SpawnStorm;

impl Disturbance for SpawnStorm {
    fn begin<R: Runtime>(runtime: &'static R, work: CountedWork) -> Result<(), String> {
        static ALIVE: AtomicUsize = AtomicUsize::new(0);

        let task_us = TASK_US * workers() as u64;
        R::detach(runtime.spawn(async move {
            loop {
                while ALIVE.load(Ordering::Relaxed) < ALIVE_MAX {
                    ALIVE.fetch_add(BATCH, Ordering::Relaxed);
                    for _ in 0..BATCH {
                        R::detach(runtime.spawn_in_task(async move {
                            work.compute_uncounted(task_us);
                            work.count();
                            ALIVE.fetch_sub(1, Ordering::Relaxed);
                        }));
                    }
                }
                R::yield_now().await;
            }
        }));
        Ok(())
    }
}

pub(super) struct AllStuck;

impl Disturbance for AllStuck {
    fn begin<R: Runtime>(runtime: &'static R, work: CountedWork) -> Result<(), String> {
        inline_jobs(runtime, work, workers() + 2)
    }
}

const BLOCKED_TASKS: usize = 1000;
/// How long each blocks in a poll.
const BLOCK: Duration = Duration::from_secs(1);

pub(super) struct Blocked1000;

impl Disturbance for Blocked1000 {
    fn begin<R: Runtime>(runtime: &'static R, work: CountedWork) -> Result<(), String> {
        repeat(runtime, BLOCKED_TASKS, move || async move {
            thread::sleep(BLOCK);
            work.count();
            R::yield_now().await;
        })
    }
}

/// How many workers the contenders have: one per CPU.
pub(super) fn workers() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}
