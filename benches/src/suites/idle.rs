//! The suite `idle`: what a runtime costs that has nothing, or next to nothing, to do.

use std::collections::HashMap;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};
use std::{io, thread};

use crate::harness::{Bar, Case, Limit, Metric, Setup, Suite, Template, in_child};
use crate::runtimes::{self, On, Runtime, Workload};
use crate::{proc, stats, sys};

pub(super) const SUITE: Suite = Suite::new(
    "idle",
    "wake-ups and CPU without work, start and stop, a job now and then",
    |_| CASES,
);

const IDLE: Template = Template {
    suite: "idle",
    measure: &in_child,
};

/// The cases, in the table's order.
const CASES: &[Case] = &[
    Case {
        window_min: IDLE_WINDOW_MIN,
        ..IDLE.case(
            "idle",
            "a runtime that was used and left alone for 1 s, watched for 2 s or --secs",
            &[Metric::new("wake-ups", "/s"), Metric::new("cpu", "us/s")],
            On::<Idle>::ALL,
            &[
                Bar::new("wake-ups", Limit::Absolute(0.0)),
                Bar::new("cpu", Limit::Absolute(0.0)),
            ],
        )
    },
    IDLE.case(
        "startup",
        "Runtime::new() and its drop",
        &[Metric::new("p50", "us")],
        On::<Startup>::EVENKEEL_AND_TOKIO,
        &[Bar::new("p50", Limit::AtMost(1.5, &["tokio"]))],
    ),
    IDLE.case(
        "job_per_ms",
        "an empty task spawned every 1 ms by a plain thread: CPU with that thread's, and \
         context switches without, per task",
        &[Metric::new("cpu", "us"), Metric::new("switches", "")],
        On::<JobPerMs>::ALL,
        &[],
    ),
];

/// The shortest time in which a periodic wake-up shows.
const IDLE_WINDOW_MIN: Duration = Duration::from_secs(2);

/// How long the runtime is left alone before it is watched.
const REST: Duration = Duration::from_secs(1);
/// A timer that does not fire meanwhile, so that there is one.
const FAR: Duration = Duration::from_secs(86_400);
const TASKS: usize = 100;

struct Idle;

impl Workload for Idle {
    fn run<R: Runtime>(setup: &Setup) -> Result<Vec<f64>, String> {
        let runtime = runtimes::start::<R>(&setup.options)?;
        let connection = connection().map_err(|error| format!("connection: {error}"))?;
        use_it(runtime, connection)?;
        thread::sleep(REST);

        let before = Threads::read()?;
        let begin = Instant::now();
        thread::sleep(setup.window);
        let elapsed_s = begin.elapsed().as_secs_f64();
        let used = Threads::read()?.since(&before);
        Ok(vec![
            used.switches as f64 / elapsed_s,
            used.cpu_ns as f64 / 1e3 / elapsed_s,
        ])
    }
}

/// Uses every part of the runtime once, and leaves a task that waits for a socket and one that
/// waits for a timer.
fn use_it<R: Runtime>(
    runtime: &'static R,
    (listener, client): (TcpListener, TcpStream),
) -> Result<(), String> {
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            runtimes::spawn_for(runtime, async {
                R::sleep(Duration::from_millis(1)).await;
                R::join(R::spawn_blocking(|| ())).await;
                R::compute(|| ()).await;
            })
        })
        .collect();
    let accepted = runtimes::spawn_for(runtime, async move {
        let listener = R::listen(listener)?;
        let stream = R::accept(&listener).await?;
        R::detach(runtime.spawn(async move {
            let gone = R::readable(&stream).await;
            drop((client, gone));
        }));
        R::detach(runtime.spawn(async {
            R::sleep(FAR).await;
        }));
        Ok(())
    });
    tasks.iter().try_for_each(runtimes::wait)?;
    runtimes::wait(&accepted)?.map_err(|error: io::Error| error.to_string())
}

/// A listener with one client that waits to be accepted.
fn connection() -> io::Result<(TcpListener, TcpStream)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let client = TcpStream::connect(listener.local_addr()?)?;
    Ok((listener, client))
}

/// So many runtimes come and go before the first that counts.
const WARM_UP: usize = 3;

struct Startup;

impl Workload for Startup {
    fn run<R: Runtime>(setup: &Setup) -> Result<Vec<f64>, String> {
        let begin = Instant::now();
        let mut times_us = Vec::new();
        while times_us.len() <= WARM_UP || begin.elapsed() < setup.window {
            let start = Instant::now();
            drop(
                R::new(&setup.options)
                    .map_err(|error| format!("a runtime that does not start: {error}"))?,
            );
            times_us.push(start.elapsed().as_secs_f64() * 1e6);
        }
        let median = stats::median(&times_us[WARM_UP..]);
        Ok(median.into_iter().collect())
    }
}

/// The time between two jobs.
const PERIOD: Duration = Duration::from_millis(1);
/// How long jobs are spawned before the first that counts.
const SETTLE: Duration = Duration::from_millis(100);

struct JobPerMs;

impl Workload for JobPerMs {
    fn run<R: Runtime>(setup: &Setup) -> Result<Vec<f64>, String> {
        let runtime = runtimes::start::<R>(&setup.options)?;
        spawn_every_ms(runtime, SETTLE);
        let (before, cpu) = (Threads::read()?, sys::process_cpu_time());
        let jobs = spawn_every_ms(runtime, setup.window);
        let cpu = sys::process_cpu_time() - cpu;
        let used = Threads::read()?.since(&before);
        Ok(vec![
            cpu.as_secs_f64() * 1e6 / jobs,
            used.switches as f64 / jobs,
        ])
    }
}

/// Returns how many jobs there were.
fn spawn_every_ms<R: Runtime>(runtime: &R, window: Duration) -> f64 {
    let begin = Instant::now();
    let mut jobs = 0;
    while begin.elapsed() < window {
        R::detach(runtime.spawn(async {}));
        jobs += 1;
        let next = begin + PERIOD * jobs;
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    f64::from(jobs)
}

/// What every thread of this process but the calling one has used so far, by the thread's id.
struct Threads(HashMap<libc::pid_t, Used>);

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Used {
    /// Context switches away from it: at least one for every time that it woke up.
    switches: u64,
    cpu_ns: u64,
}

impl Threads {
    fn read() -> Result<Self, String> {
        Self::try_read().map_err(|error| format!("/proc/self/task: {error}"))
    }

    fn try_read() -> io::Result<Self> {
        let own = std::fs::read_link("/proc/thread-self")?;
        let own = own.file_name().map(|id| id.to_string_lossy().into_owned());
        let mut threads = HashMap::new();
        for (id, status) in proc::threads("self")? {
            // A thread may have ended since.
            let Ok(cpu_time) = sys::cpu_time_of_thread(id) else {
                continue;
            };
            let (own_will, made) = proc::switches(&status).ok_or(io::ErrorKind::Unsupported)?;
            let used = Used {
                switches: own_will + made,
                cpu_ns: cpu_time.as_nanos() as u64,
            };
            if own != Some(id.to_string()) {
                threads.insert(id, used);
            }
        }
        Ok(Self(threads))
    }

    /// What was used since `before`.
    fn since(&self, before: &Self) -> Used {
        let mut sum = Used::default();
        for (id, now) in &self.0 {
            let then = before.0.get(id).copied().unwrap_or_default();
            sum.switches += now.switches.saturating_sub(then.switches);
            sum.cpu_ns += now.cpu_ns.saturating_sub(then.cpu_ns);
        }
        // A thread that has ended since woke up to do so. Its CPU time went with it.
        let ended = before.0.keys().filter(|id| !self.0.contains_key(id));
        sum.switches += ended.count() as u64;
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn threads_that_came_and_went_count() {
        let threads = |list: &[(libc::pid_t, u64, u64)]| {
            let used = |&(id, switches, cpu_ns)| (id, Used { switches, cpu_ns });
            Threads(list.iter().map(used).collect())
        };
        let before = threads(&[(1, 10, 1000), (2, 5, 500)]);
        let after = threads(&[(1, 12, 1100), (3, 1, 50)]);
        let expected = Used {
            switches: 4,
            cpu_ns: 150,
        };
        assert_eq!(after.since(&before), expected);
    }

    #[test]
    fn another_thread_that_wakes_up_is_seen() {
        let (ask, asked) = mpsc::channel();
        let (answer, answered) = mpsc::channel();
        let thread = thread::spawn(move || {
            asked.iter().try_for_each(|()| {
                thread::sleep(Duration::from_millis(1));
                answer.send(())
            })
        });
        let before = Threads::read().unwrap();
        ask.send(()).unwrap();
        answered.recv().unwrap();
        assert!(Threads::read().unwrap().since(&before).switches > 0);
        drop(ask);
        thread.join().unwrap().unwrap();
    }
}
