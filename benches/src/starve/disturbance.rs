//! The tasks that disturb, as careless programs have them.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use ::tokio::io::{AsyncReadExt, AsyncWriteExt};
use ::tokio::sync::Notify;

use super::{Contender, Work};
use crate::echo;
use crate::spin::Spin;
use crate::sys;

/// Begins a disturbance that never ends, and returns at once.
pub(super) type Disturbance<R> = fn(&'static R, Spin, Work) -> Result<(), String>;

/// The disturbance of the case of this name.
pub(super) fn named<R: Contender>(name: &str) -> Option<Disturbance<R>> {
    Some(match name {
        "heavy_handler" => heavy_handler,
        "held_lock" => held_lock,
        "waking_pair" => waking_pair,
        "ready_socket" => ready_socket,
        "spawn_storm" => spawn_storm,
        "all_stuck" => all_stuck,
        "blocked_1000" => blocked_1000,
        _ => return None,
    })
}

/// CPU time that a request of `heavy_handler` takes.
const HEAVY_MS: u64 = 200;

fn heavy_handler<R: Contender>(runtime: &'static R, spin: Spin, work: Work) -> Result<(), String> {
    closed_loop(runtime, move || work.compute(spin, HEAVY_MS))
}

/// How long the lock of `held_lock` is held.
const HELD: Duration = Duration::from_millis(50);
/// And how long it is not.
const BREAK: Duration = Duration::from_millis(1);

fn held_lock<R: Contender>(runtime: &'static R, _spin: Spin, work: Work) -> Result<(), String> {
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

/// Size of a request of [`closed_loop`], and of its answer.
const MESSAGE_BYTES: usize = 64;

/// A connection whose handler runs `handle` for each request, and a plain thread at its other end,
/// which asks again as soon as it has its answer.
fn closed_loop<R, H>(runtime: &'static R, handle: H) -> Result<(), String>
where
    R: Contender,
    H: Fn() + Clone + Send + Sync + 'static,
{
    let port = echo::serve_on(runtime, move |mut stream: R::Stream| {
        let handle = handle.clone();
        async move {
            R::set_nodelay(&stream).expect("set_nodelay");
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

fn waking_pair<R: Contender>(runtime: &'static R, _spin: Spin, work: Work) -> Result<(), String> {
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

/// How much the task of `ready_socket` reads at a time: little, so that its socket fills faster than
/// it is emptied.
const READ_BYTES: usize = 1024;
/// How much is written to it at a time: much, so that the writer mostly sleeps.
const WRITE_BYTES: usize = 256 * 1024;

fn ready_socket<R: Contender>(runtime: &'static R, _spin: Spin, work: Work) -> Result<(), String> {
    let port = echo::serve_on(runtime, move |mut stream: R::Stream| async move {
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

/// How many tasks of `spawn_storm` are alive at most, about: memory has its end.
const ALIVE_MAX: usize = 100_000;
/// How many it spawns between two looks at the count.
const BATCH: usize = 100;
/// CPU time of each, for each worker: however many there are, together they need longer than it
/// takes to spawn one.
const TASK_US: u64 = 2;

fn spawn_storm<R: Contender>(runtime: &'static R, spin: Spin, work: Work) -> Result<(), String> {
    static ALIVE: AtomicUsize = AtomicUsize::new(0);

    let task_us = TASK_US * workers() as u64;
    R::detach(runtime.spawn(async move {
        loop {
            while ALIVE.load(Ordering::Relaxed) < ALIVE_MAX {
                ALIVE.fetch_add(BATCH, Ordering::Relaxed);
                for _ in 0..BATCH {
                    R::detach(runtime.spawn_in_task(async move {
                        spin.run(task_us);
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

fn all_stuck<R: Contender>(runtime: &'static R, spin: Spin, work: Work) -> Result<(), String> {
    compute_in_tasks(runtime, workers() + 2, spin, work);
    Ok(())
}

/// How long the tasks of [`compute_in_tasks`] compute in a poll.
const POLL_MS: u64 = 20;

/// Spawns tasks that compute for ever, and yield now and then.
pub(super) fn compute_in_tasks<R: Contender>(
    runtime: &'static R,
    tasks: usize,
    spin: Spin,
    work: Work,
) {
    for _ in 0..tasks {
        R::detach(runtime.spawn(async move {
            loop {
                work.compute(spin, POLL_MS);
                R::yield_now().await;
            }
        }));
    }
}

const BLOCKED_TASKS: usize = 1000;
/// How long each blocks in a poll.
const BLOCK: Duration = Duration::from_secs(1);

fn blocked_1000<R: Contender>(runtime: &'static R, _spin: Spin, work: Work) -> Result<(), String> {
    for _ in 0..BLOCKED_TASKS {
        R::detach(runtime.spawn(async move {
            loop {
                thread::sleep(BLOCK);
                work.count();
                R::yield_now().await;
            }
        }));
    }
    Ok(())
}

/// How many workers the contenders have: one per CPU.
pub(super) fn workers() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}
