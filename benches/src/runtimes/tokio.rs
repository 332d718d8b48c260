//! tokio's multi-threaded runtime.

use std::io;
use std::net;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::time::Duration;

use evenkeel::runtime::Pinning;
use evenkeel_topology::{Plan, Topology, parallelism, pin_current_thread};
use tokio::net::{TcpListener, TcpStream};
use tokio::{runtime, task, time};

use super::runtime::Runtime;
use crate::harness::Options;

pub(crate) struct Tokio(runtime::Runtime);

/// Its workers as a plan has them, pinned in the hook that runs in each new thread. The threads of
/// its blocking pool run the hook as well, and are left alone.
fn build_by_plan(mut builder: runtime::Builder, plan: Plan) -> io::Result<runtime::Runtime> {
    let workers = plan.workers();
    let started = AtomicUsize::new(0);
    let (placed, all_placed) = mpsc::channel();
    builder.on_thread_start(move || {
        let worker = started.fetch_add(1, Ordering::Relaxed);
        if worker < workers {
            let is_there = plan.cpu(worker).is_none_or(pin_current_thread);
            // Nobody waits any more if the runtime was not made.
            let _ = placed.send(is_there);
        }
    });
    let runtime = builder.build()?;
    // Until then, no other thread of the runtime starts: the first ones are its workers.
    let mut placed = all_placed.iter().take(workers);
    if !placed.all(|is_there| is_there) {
        return Err(io::Error::other("the system refuses to pin a worker"));
    }
    wait_for_workers(&runtime, workers);
    Ok(runtime)
}

/// Until all workers work. Each is a job of the blocking pool, and a job that comes earlier might
/// be taken by the thread that was pinned, and the worker by another.
fn wait_for_workers(runtime: &runtime::Runtime, workers: usize) {
    let barrier = Arc::new(Barrier::new(workers + 1));
    for _ in 0..workers {
        let barrier = Arc::clone(&barrier);
        runtime.spawn(async move { barrier.wait() });
    }
    barrier.wait();
}

impl Runtime for Tokio {
    const NAME: &'static str = "tokio";

    type Handle<T: Send + 'static> = task::JoinHandle<T>;
    type Sleep = time::Sleep;
    type Listener = TcpListener;
    type Stream = TcpStream;
    type Io = TcpStream;

    fn new(options: &Options) -> io::Result<Self> {
        let mut builder = runtime::Builder::new_multi_thread();
        if let Some(workers) = options.worker_threads {
            builder.worker_threads(workers.get());
        }
        builder.enable_all();
        if options.pinning == Pinning::Auto {
            return builder.build().map(Self);
        }
        let workers = options.workers();
        let plan = Plan::new(
            &Topology::detect(),
            parallelism(),
            workers,
            &options.pinning,
        )?;
        build_by_plan(builder, plan).map(Self)
    }

    fn spawn<F>(&self, future: F) -> Self::Handle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.0.spawn(future)
    }

    fn spawn_in_task<F>(&self, future: F) -> Self::Handle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        task::spawn(future)
    }

    fn detach<T: Send + 'static>(handle: Self::Handle<T>) {
        drop(handle);
    }

    async fn join<T: Send + 'static>(handle: Self::Handle<T>) -> T {
        handle.await.expect("a task")
    }

    fn yield_now() -> impl Future<Output = ()> + Send {
        task::yield_now()
    }

    fn sleep(duration: Duration) -> Self::Sleep {
        time::sleep(duration)
    }

    fn spawn_blocking<T, C>(call: C) -> Self::Handle<T>
    where
        T: Send + 'static,
        C: FnOnce() -> T + Send + 'static,
    {
        task::spawn_blocking(call)
    }

    async fn compute(job: impl FnOnce() + Send + 'static) {
        task::spawn_blocking(job).await.expect("job");
    }

    fn listen(listener: net::TcpListener) -> io::Result<Self::Listener> {
        TcpListener::from_std(listener)
    }

    async fn accept(listener: &Self::Listener) -> io::Result<Self::Stream> {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    fn readable(stream: &Self::Stream) -> impl Future<Output = io::Result<()>> + Send {
        stream.readable()
    }

    fn try_read(stream: &Self::Stream, buffer: &mut [u8]) -> io::Result<usize> {
        stream.try_read(buffer)
    }

    fn io(stream: Self::Stream) -> Self::Io {
        stream
    }
}

#[cfg(test)]
mod tests {
    use evenkeel_topology::allowed_cpus;

    use super::*;

    #[test]
    fn workers_are_pinned_where_that_is_asked_for_and_blocking_threads_never() {
        let all = allowed_cpus();
        let mut options = Options::from_env();
        for (pinning, of_worker) in [(Pinning::Auto, all.len()), (Pinning::PerCore, 1)] {
            options.pinning = pinning;
            let Tokio(runtime) = Tokio::new(&options).unwrap();
            let cpus = || async { allowed_cpus() };
            let worker = runtime.block_on(runtime.spawn(cpus())).unwrap();
            assert_eq!(worker.len(), of_worker);
            let blocking = runtime.block_on(runtime.spawn_blocking(allowed_cpus));
            assert_eq!(blocking.unwrap(), all);
        }
    }

    #[test]
    fn there_are_as_many_workers_as_are_asked_for() {
        let mut options = Options::from_env();
        for workers in [1, 3] {
            options.worker_threads = Some(workers.try_into().unwrap());
            let runtime = Tokio::new(&options).unwrap();
            assert_eq!(runtime.0.metrics().num_workers(), workers);
        }
    }
}
