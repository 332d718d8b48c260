//! What a server does beside its requests, on any runtime.

use std::sync::Arc;
use std::time::Duration;
use std::{io, thread};

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use super::work::CountedWork;
use crate::runtimes::Runtime;
use crate::sys;

/// How many CPU jobs, or tasks in their place, are in flight for each CPU of the server, so that
/// all of them have work.
const JOBS_PER_CPU: usize = 4;
/// How long a task of [`Background::BLOCKING_SLEEPS`] sleeps at a time.
const BLOCKING_SLEEP: Duration = Duration::from_millis(100);

/// How many CPU jobs are in flight, always, on a server with so many CPUs.
pub(crate) fn jobs_in_flight(cpus: usize) -> usize {
    JOBS_PER_CPU * cpus
}

/// Work that begins when the parent says so, and never ends.
pub(crate) struct Background<R: 'static> {
    pub(super) begin: Begin<R>,
    /// Whether its work is counted.
    pub(super) counts: bool,
}

/// Begins it, with a number of tasks where that is left to the case, and returns at once.
type Begin<R> = fn(&'static R, CountedWork, usize) -> Result<(), String>;

impl<R: Runtime> Background<R> {
    /// The baseline.
    pub(crate) const NOTHING: Self = Self {
        begin: |_, _, _| Ok(()),
        counts: false,
    };
    /// CPU jobs, in the runtime's own place for them.
    pub(crate) const COMPUTE: Self = Self::counted(compute);
    /// CPU jobs as spawned tasks.
    pub(crate) const SPAWN: Self = Self::counted(spawn);
    /// CPU jobs by rayon's `spawn`.
    pub(crate) const RAYON: Self =
        Self::counted(|runtime, work, jobs| rayon_spawn(runtime, work, jobs, || Ok(())));
    /// CPU jobs by rayon's `spawn`, on threads at nice 19.
    pub(crate) const RAYON_NICE_19: Self =
        Self::counted(|runtime, work, jobs| rayon_spawn(runtime, work, jobs, sys::lower_priority));
    /// CPU jobs as tasks of another tokio runtime, on threads at nice 10.
    pub(crate) const TOKIO_NICE_10: Self = Self::counted(|runtime, work, jobs| {
        spawn_on_tokio(runtime, work, jobs, || sys::set_nice(10))
    });
    /// CPU jobs as tasks of another tokio runtime, on threads under `SCHED_IDLE`.
    pub(crate) const TOKIO_IDLE: Self = Self::counted(|runtime, work, jobs| {
        spawn_on_tokio(runtime, work, jobs, sys::schedule_as_idle)
    });
    /// CPU jobs in plain tasks ([`inline_jobs`]).
    pub(crate) const INLINE_JOBS: Self = Self::counted(inline_jobs);
    /// Tasks that sleep with `std::thread::sleep`.
    pub(crate) const BLOCKING_SLEEPS: Self = Self {
        begin: blocking_sleeps,
        counts: false,
    };

    /// One whose work is counted.
    pub(crate) const fn counted(begin: Begin<R>) -> Self {
        Self {
            begin,
            counts: true,
        }
    }
}

/// Spawns tasks that do this over and over, and returns at once.
pub(crate) fn repeat<R, F>(
    runtime: &'static R,
    tasks: usize,
    once: impl Fn() -> F + Clone + Send + 'static,
) -> Result<(), String>
where
    R: Runtime,
    F: Future<Output = ()> + Send + 'static,
{
    for _ in 0..tasks {
        let once = once.clone();
        R::detach(runtime.spawn(async move {
            loop {
                once().await;
            }
        }));
    }
    Ok(())
}

fn compute<R: Runtime>(runtime: &'static R, work: CountedWork, jobs: usize) -> Result<(), String> {
    repeat(runtime, jobs, move || R::compute(move || work.run_job()))
}

fn spawn<R: Runtime>(runtime: &'static R, work: CountedWork, jobs: usize) -> Result<(), String> {
    repeat(runtime, jobs, move || {
        R::join(runtime.spawn_in_task(async move { work.run_job() }))
    })
}

/// Tasks that run job after job and yield only between them.
pub(crate) fn inline_jobs<R: Runtime>(
    runtime: &'static R,
    work: CountedWork,
    jobs: usize,
) -> Result<(), String> {
    repeat(runtime, jobs, move || async move {
        work.run_job();
        R::yield_now().await;
    })
}

fn blocking_sleeps<R: Runtime>(
    runtime: &'static R,
    _: CountedWork,
    tasks: usize,
) -> Result<(), String> {
    repeat(runtime, tasks, || async {
        thread::sleep(BLOCKING_SLEEP);
        R::yield_now().await;
    })
}

const MAY_LOWER: &str = "a thread may always lower itself";

/// On a pool of its own, since the global one cannot be told to lower its threads; both have a
/// thread per CPU.
fn rayon_spawn<R: Runtime>(
    runtime: &'static R,
    work: CountedWork,
    jobs: usize,
    lower: fn() -> io::Result<()>,
) -> Result<(), String> {
    let pool = rayon::ThreadPoolBuilder::new()
        .start_handler(move |_| lower().expect(MAY_LOWER))
        .build();
    let pool = Arc::new(pool.map_err(|error| error.to_string())?);
    repeat(runtime, jobs, move || {
        let (done, result) = oneshot::channel();
        pool.spawn(move || {
            work.run_job();
            let _ = done.send(());
        });
        async { result.await.expect("job") }
    })
}

/// On a runtime for the jobs alone, with a worker per CPU.
fn spawn_on_tokio<R: Runtime>(
    runtime: &'static R,
    work: CountedWork,
    jobs: usize,
    lower: fn() -> io::Result<()>,
) -> Result<(), String> {
    let other = Builder::new_multi_thread()
        .on_thread_start(move || lower().expect(MAY_LOWER))
        .build();
    // It works until the process ends.
    let other = Box::leak(Box::new(other.map_err(|error| error.to_string())?));
    let other: Handle = other.handle().clone();
    repeat(runtime, jobs, move || {
        let job = other.spawn(async move { work.run_job() });
        async { job.await.expect("job") }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cpu_has_jobs() {
        let jobs = [1, 2, 3, 6, 16, 64].map(jobs_in_flight);
        assert_eq!(jobs, [4, 8, 12, 24, 64, 256]);
    }
}
