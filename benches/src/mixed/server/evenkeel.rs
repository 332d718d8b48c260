//! The server on Evenkeel: the runtime with its defaults, but for the pinning strategy that the
//! case is about, and `spawn_compute` for CPU jobs.

use std::io;
use std::net;

use evenkeel::net::TcpListener;
use evenkeel::runtime::{self, Runtime};
use evenkeel::task;

use super::{BLOCKING_SLEEP, Handler, Job, Server, echo};
use crate::mixed::cases::{Background, Pinning};
use crate::runtimes::evenkeel_builder;

pub(super) struct Evenkeel {
    runtime: Runtime,
}

impl Evenkeel {
    pub(super) fn new(pinning: Pinning) -> io::Result<Self> {
        let pinning = match pinning {
            Pinning::Auto => runtime::Pinning::Auto,
            Pinning::PerCore => runtime::Pinning::PerCore,
            Pinning::None => runtime::Pinning::None,
        };
        let runtime = evenkeel_builder().pinning(pinning).build()?;
        Ok(Self { runtime })
    }

    pub(super) fn without_takeover() -> io::Result<Self> {
        let off = runtime::TakeoverPolicy::disabled();
        let runtime = evenkeel_builder().takeover(off).build()?;
        Ok(Self { runtime })
    }
}

impl Server for Evenkeel {
    fn serve(&self, listener: net::TcpListener, handler: Handler) -> io::Result<()> {
        let _in_runtime = self.runtime.enter();
        let listener = TcpListener::from_std(listener)?;
        self.runtime.spawn(accept(listener, handler));
        Ok(())
    }

    fn start(&self, background: Background, job: &Job, in_flight: usize) -> io::Result<()> {
        for _ in 0..in_flight {
            let job = job.clone();
            match background {
                Background::Nothing => {}
                Background::SpawnCompute => drop(self.runtime.spawn(spawn_compute(job))),
                Background::InlineJobs => drop(self.runtime.spawn(inline_jobs(job))),
                Background::BlockingSleeps => drop(self.runtime.spawn(blocking_sleeps())),
                _ => return Err(io::ErrorKind::Unsupported.into()),
            }
        }
        Ok(())
    }

    fn takeovers(&self) -> u64 {
        self.runtime.metrics().takeovers()
    }

    fn compute_priority(&self) -> Option<String> {
        Some(format!("{:?}", self.runtime.handle().compute_priority()))
    }
}

async fn accept(listener: TcpListener, handler: Handler) {
    loop {
        let (stream, _) = listener.accept().await.expect("accept");
        stream.set_nodelay(true).expect("set_nodelay");
        evenkeel::spawn(echo(stream, handler));
    }
}

/// Keeps one job in flight.
async fn spawn_compute(job: Job) {
    loop {
        let job = job.clone();
        evenkeel::spawn_compute(move || job.run())
            .await
            .expect("job");
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
