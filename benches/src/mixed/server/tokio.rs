//! The server on tokio, as a tokio user would write it: the multi-threaded runtime with its
//! defaults.

use std::io;
use std::net;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;
use tokio::task;

use super::{BLOCKING_SLEEP, Handler, Job, Server, echo};
use crate::mixed::cases::Background;
use crate::sys;

pub(super) struct Tokio {
    runtime: Runtime,
}

impl Tokio {
    pub(super) fn new() -> io::Result<Self> {
        let runtime = Builder::new_multi_thread().enable_all().build()?;
        Ok(Self { runtime })
    }
}

impl Server for Tokio {
    fn serve(&self, listener: net::TcpListener, handler: Handler) -> io::Result<()> {
        let _in_runtime = self.runtime.enter();
        let listener = TcpListener::from_std(listener)?;
        self.runtime.spawn(accept(listener, handler));
        Ok(())
    }

    fn start(&self, background: Background, job: &Job, in_flight: usize) -> io::Result<()> {
        let (pool, second) = (pool_for(background)?, second_runtime_for(background)?);
        for _ in 0..in_flight {
            let job = job.clone();
            match background {
                Background::Nothing => {}
                Background::Spawn => drop(self.runtime.spawn(spawn(job))),
                Background::SpawnBlocking => drop(self.runtime.spawn(spawn_blocking(job))),
                Background::Rayon | Background::RayonNice19 => {
                    let pool = pool.clone().expect("made above");
                    drop(self.runtime.spawn(rayon_spawn(pool, job)));
                }
                Background::TokioNice10 | Background::TokioIdle => {
                    let second = second.clone().expect("made above");
                    drop(self.runtime.spawn(spawn_on(second, job)));
                }
                Background::InlineJobs => drop(self.runtime.spawn(inline_jobs(job))),
                Background::BlockingSleeps => drop(self.runtime.spawn(blocking_sleeps())),
                _ => return Err(io::ErrorKind::Unsupported.into()),
            }
        }
        Ok(())
    }
}

async fn accept(listener: TcpListener, handler: Handler) {
    loop {
        let (stream, _) = listener.accept().await.expect("accept");
        stream.set_nodelay(true).expect("set_nodelay");
        task::spawn(echo(stream, handler));
    }
}

/// Keeps one job in flight, each in a task of its own.
async fn spawn(job: Job) {
    loop {
        let job = job.clone();
        task::spawn(async move { job.run() }).await.expect("job");
    }
}

/// As [`spawn`], onto another runtime.
async fn spawn_on(other: Handle, job: Job) {
    loop {
        let job = job.clone();
        other.spawn(async move { job.run() }).await.expect("job");
    }
}

async fn spawn_blocking(job: Job) {
    loop {
        let job = job.clone();
        task::spawn_blocking(move || job.run()).await.expect("job");
    }
}

async fn rayon_spawn(pool: Arc<rayon::ThreadPool>, job: Job) {
    loop {
        let job = job.clone();
        let (done, result) = oneshot::channel();
        pool.spawn(move || {
            job.run();
            let _ = done.send(());
        });
        result.await.expect("job");
    }
}

async fn inline_jobs(job: Job) {
    loop {
        job.run();
        task::yield_now().await;
    }
}

async fn blocking_sleeps() {
    loop {
        std::thread::sleep(BLOCKING_SLEEP);
        task::yield_now().await;
    }
}

/// The pool that the jobs need: its own, since the global one cannot be told to lower its threads;
/// both have a thread per CPU.
fn pool_for(background: Background) -> io::Result<Option<Arc<rayon::ThreadPool>>> {
    let on_start: fn() = match background {
        Background::Rayon => || {},
        Background::RayonNice19 => || sys::lower_priority().expect(MAY_LOWER),
        _ => return Ok(None),
    };
    let pool = rayon::ThreadPoolBuilder::new()
        .start_handler(move |_| on_start())
        .build();
    pool.map(|pool| Some(Arc::new(pool)))
        .map_err(io::Error::other)
}

/// The runtime that the jobs need, for them alone, with a worker per CPU.
fn second_runtime_for(background: Background) -> io::Result<Option<Handle>> {
    let on_start: fn() = match background {
        Background::TokioNice10 => || sys::set_nice(10).expect(MAY_LOWER),
        Background::TokioIdle => || sys::schedule_as_idle().expect(MAY_LOWER),
        _ => return Ok(None),
    };
    let runtime = Builder::new_multi_thread()
        .on_thread_start(on_start)
        .build()?;
    // It works until the process ends.
    let runtime: &'static Runtime = Box::leak(Box::new(runtime));
    Ok(Some(runtime.handle().clone()))
}

const MAY_LOWER: &str = "a thread may always lower itself";
