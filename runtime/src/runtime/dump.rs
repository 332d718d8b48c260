use super::shared::Shared;
use super::supervisor::takeover::DisplacedReport;
use crate::scheduler::lane::{Lane, SeatReport};
use crate::scheduler::latency::LatencyHistogram;
use crate::scheduler::wake_ups::WakeToRun;
use evenkeel_topology::CpuSet;
use std::fmt;

/// What every thread of a runtime was doing at a moment, as [`Handle::dump`](super::Handle::dump)
/// found it. Made to be printed.
#[derive(Debug)]
pub struct Dump {
    /// What was chosen, and why.
    pinning: String,
    io: LaneDump,
    compute: LaneDump,
    wake_to_run: [(&'static str, LatencyHistogram); 2],
    wake_up_kicks: u64,
    blocking: BlockingDump,
    /// `None` if somebody else was at the list.
    displaced: Option<Vec<DisplacedReport>>,
    registrations: usize,
    driver_timers: usize,
    /// Tasks of the runtime of tokio's beside this one, if there is one.
    tokio_tasks: Option<usize>,
    shut_down: bool,
}

#[derive(Debug)]
struct LaneDump {
    injected: bool,
    /// How many tasks wait for a core that is free of long polls, and how many are in such a poll.
    long: (usize, usize),
    workers: Vec<SeatReport>,
    /// What each worker is kept to, if it is.
    cpus: Vec<Option<CpuSet>>,
}

#[derive(Debug)]
struct BlockingDump {
    threads: usize,
    idle: usize,
    queued: usize,
}

impl Dump {
    pub(super) fn of(shared: &Shared) -> Dump {
        let WakeToRun {
            alone,
            beside_compute,
        } = shared.io.wake_to_run();
        Dump {
            pinning: shared.cpus.to_string(),
            io: LaneDump::of(shared, &shared.io),
            compute: LaneDump::of(shared, &shared.compute),
            wake_to_run: [("alone", alone), ("beside compute", beside_compute)],
            wake_up_kicks: shared.io.kick.count(),
            blocking: BlockingDump {
                threads: shared.blocking.threads(),
                idle: shared.blocking.idle_threads(),
                queued: shared.blocking.queued(),
            },
            displaced: shared.takeover.report(),
            registrations: shared.io_driver.registrations(),
            driver_timers: shared.driver_timers.len(),
            tokio_tasks: shared.tokio.tasks(),
            shut_down: shared.is_shut_down(),
        }
    }
}

impl LaneDump {
    fn of(shared: &Shared, lane: &Lane) -> LaneDump {
        let allowed = shared.cpus.allowed();
        let cpus = |worker| {
            let cpus = &shared.cpus;
            cpus.of_worker_within(lane.kind, worker, allowed.as_ref())
        };
        LaneDump {
            injected: lane.has_injected(),
            long: lane.long_polls(),
            workers: lane.report(),
            cpus: (0..lane.workers()).map(cpus).collect(),
        }
    }

    fn fmt(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let injected = if self.injected {
            "tasks wait in its inbox"
        } else {
            "inbox empty"
        };
        write!(f, "{name} lane: {injected}")?;
        match self.long {
            (0, 0) => writeln!(f)?,
            (waiting, running) => {
                writeln!(f, "; {running} in long polls, {waiting} wait for one")?;
            }
        }
        for (index, (worker, cpus)) in self.workers.iter().zip(&self.cpus).enumerate() {
            write!(f, "  worker {index}")?;
            if let Some(cpus) = cpus {
                write!(f, " (CPU {cpus})")?;
            }
            f.write_str(": ")?;
            match (worker.task, worker.asleep) {
                (Some((id, spawned_at)), _) => {
                    write!(f, "polls task {id}, spawned at {spawned_at}")?;
                }
                (None, _) if !worker.started => f.write_str("has no thread yet")?,
                (None, true) => f.write_str("sleeps")?,
                (None, false) => f.write_str("looks for work")?,
            }
            writeln!(
                f,
                "; {} polls so far, {} tasks queued, {} waiting, {} timers",
                worker.polls, worker.queued, worker.waiting, worker.timers
            )?;
        }
        Ok(())
    }
}

fn fmt_wake_to_run(
    name: &str,
    latencies: &LatencyHistogram,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    let count = latencies.count();
    write!(f, "IO workers woken {name}: {count}")?;
    match [0.5, 0.99].map(|part| latencies.quantile(part)) {
        [Some(p50), Some(p99)] => writeln!(f, "; ran within {p50:.3?} (p50), {p99:.3?} (p99)"),
        _ => writeln!(f),
    }
}

impl fmt::Display for Dump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.shut_down {
            writeln!(f, "the runtime has been shut down")?;
        }
        writeln!(f, "{}", self.pinning)?;
        self.io.fmt("IO", f)?;
        self.compute.fmt("compute", f)?;
        for (name, latencies) in &self.wake_to_run {
            fmt_wake_to_run(name, latencies, f)?;
        }
        if self.wake_up_kicks > 0 {
            writeln!(
                f,
                "CPUs kicked after a wake-up: {} times",
                self.wake_up_kicks
            )?;
        }
        let BlockingDump {
            threads,
            idle,
            queued,
        } = self.blocking;
        writeln!(
            f,
            "blocking pool: {threads} threads, {idle} of them idle, {queued} jobs queued"
        )?;
        for displaced in self.displaced.iter().flatten() {
            let state = match displaced.asleep {
                Some(true) => "asleep",
                Some(false) => "computing",
                None => "computing or asleep",
            };
            writeln!(
                f,
                "displaced from IO worker {}: a thread that polls task {}, spawned at {}, for {:?} now; {state}",
                displaced.worker, displaced.task, displaced.spawned_at, displaced.age
            )?;
        }
        write!(
            f,
            "driver: {} IO sources, {} timers of threads that are not IO workers",
            self.registrations, self.driver_timers
        )?;
        match self.tokio_tasks {
            Some(tasks) => write!(f, "\ntokio's runtime: {tasks} tasks"),
            None => Ok(()),
        }
    }
}
