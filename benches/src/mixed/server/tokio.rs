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
        // Its own pool, since the global one cannot be told to lower its threads; both have a
        // thread per CPU.
        let rayon = match background {
            Background::Rayon => Some(rayon_pool(|| {})?),
            Background::RayonNice19 => Some(rayon_pool(|| {
                sys::lower_priority().expect("a thread may always lower itself");
            })?),
            _ => None,
        };
        let second = match background {
            Background::TokioNice10 => Some(second_runtime(|| {
                sys::set_nice(10).expect("a thread may always lower itself");
            })?),
            Background::TokioIdle => Some(second_runtime(|| {
                sys::schedule_as_idle().expect("a thread may always lower itself");
            })?),
            _ => None,
        };
        for _ in 0..in_flight {
            let job = job.clone();
            match background {
                Background::Nothing => {}
                Background::Spawn => drop(self.runtime.spawn(spawn(job))),
                Background::SpawnBlocking => drop(self.runtime.spawn(spawn_blocking(job))),
                Background::Rayon | Background::RayonNice19 => {
                    let pool = rayon.clone().expect("made above");
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

fn rayon_pool(on_start: fn()) -> io::Result<Arc<rayon::ThreadPool>> {
    let pool = rayon::ThreadPoolBuilder::new()
        .start_handler(move |_| on_start())
        .build();
    pool.map(Arc::new).map_err(io::Error::other)
}

/// A runtime for the jobs alone, with a worker per CPU.
fn second_runtime(on_start: fn()) -> io::Result<Handle> {
    let runtime = Builder::new_multi_thread()
        .on_thread_start(on_start)
        .build()?;
    // It works until the process ends.
    Ok(Box::leak(Box::new(runtime)).handle().clone())
}
