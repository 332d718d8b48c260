//! The parent's side of a measurement: a server process and its load, from the start of both to
//! what they have seen.

use serde::{Deserialize, Serialize};

use super::background::jobs_in_flight;
use super::column::{self, Column};
use super::load::{Load, PATIENCE};
use super::server::{self, Handler, Mark, Orders, Ready};
use super::tally::{Latencies, Quantiles};
use super::traffic::Traffic;
use super::work::Job;
use crate::cgroup::{QuotaGroup, Throttling};
use crate::child::Child;
use crate::harness::process;
use crate::harness::{Case, Measurement, Turn};
use crate::proc::{Switches, ThreadSwitches};
use crate::spin::Spin;
use crate::stalls::{StallWatch, Stalls};

/// What a case does to every contender.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) traffic: Traffic,
    pub(crate) handler: Handler,
    /// What CPU jobs do.
    pub(crate) job: Job,
    /// How many tasks the background work has, where it has no number of its own.
    pub(crate) tasks: usize,
    /// Whether the background work begins with the window, so that what a runtime needs to adapt to
    /// it counts, or before the warm-up.
    pub(crate) late: bool,
}

impl Plan {
    /// So many requests for each CPU, each of which computes for so long, and CPU jobs that begin
    /// before the warm-up.
    pub(crate) fn per_cpu(cpus: usize, requests_per_s: u32, handler_us: u32) -> Self {
        Self {
            traffic: Traffic::even_per_cpu(cpus, requests_per_s, handler_us),
            handler: Handler::Compute,
            job: Job::COMPUTE,
            tasks: jobs_in_flight(cpus),
            late: false,
        }
    }
}

/// What came of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// How many CPUs of the server the load was made for.
    pub(crate) cpus: usize,
    pub(crate) connections: usize,
    #[serde(flatten)]
    pub(crate) latencies: Latencies,
    /// In the order of the traffic's works.
    pub(crate) by_work: Vec<Quantiles>,
    /// From the end of a burst to the moment at which its backlog was gone, or the client gave up.
    pub(crate) backlog_ms: Option<f64>,
    /// What the background work got done, where that is counted.
    pub(crate) work_per_s: Option<f64>,
    /// CPU that it used, in CPUs, where that is counted.
    pub(crate) work_cpus: Option<f64>,
    pub(crate) takeovers_per_s: f64,
    /// CPU that the server used, in CPUs.
    pub(crate) server_cpus: f64,
    /// CPU that the client used, in CPUs.
    pub(crate) client_cpus: f64,
    /// Whether that was of the server's CPUs.
    pub(crate) shares_cpus: bool,
    /// The quota of the server's group, where it has one of its own.
    pub(crate) quota_cpus: Option<f64>,
    /// How often that was used up.
    pub(crate) throttling: Option<Throttling>,
    /// How often threads of the server, those of its background work included, were taken off
    /// their CPU.
    pub(crate) switches: Switches,
    /// The CPUs that the server may use.
    pub(crate) allowed_cpus: String,
    /// Whether any thread of the server is pinned.
    pub(crate) pinned: bool,
    /// The priority of the server's compute lane, where there is one.
    pub(crate) compute_priority: Option<String>,
    /// How often the machine stood still in the window.
    #[serde(skip)]
    pub(crate) stalls: Option<Stalls>,
    /// What the server had to say, such as a panic of a task; empty if all is well.
    pub(crate) server_stderr: String,
}

/// Measures a contender once.
pub(crate) fn run(case: &Case, turn: Turn, plan: &Plan) -> Result<Outcome, String> {
    run_in(None, case, turn, plan)
}

/// [`run`] with the server, and nothing else, in this group.
pub(crate) fn run_in(
    group: Option<&QuotaGroup>,
    case: &Case,
    turn: Turn,
    plan: &Plan,
) -> Result<Outcome, String> {
    let spin = Spin::of_machine()?;
    let mut server = process::start_server(case, turn)?;
    if let Some(group) = group {
        // It makes its runtime, which looks for its quota, when it has its orders.
        let added = group.add(server.id());
        added.map_err(|error| format!("a server for the control group: {error}"))?;
    }
    server.tell_json(&Orders {
        spin,
        handler: plan.handler,
        job: plan.job,
        tasks: plan.tasks,
    })?;
    let ready: Ready = server.expect_json(PATIENCE)?;
    let mut load = Load::connect(ready.port, &plan.traffic, turn)?;
    if !plan.late {
        server.tell(server::START_BACKGROUND)?;
    }
    load.begin()?;
    if plan.late {
        server.tell(server::START_BACKGROUND)?;
    }
    let (begin, throttled_before) = (mark(&mut server)?, throttling(group)?);
    let switches_before = switches(&server)?;
    let client_before = load.cpu_time()?;
    let watch = StallWatch::start();
    load.end()?;
    let (end, throttled) = (mark(&mut server)?, throttling(group)?);
    let switches = switches(&server)?.since(&switches_before);
    let client = load.cpu_time()?;
    let stalls = watch.finish();
    let seen = load.finish()?;
    let elapsed_s = end.elapsed_s - begin.elapsed_s;
    let rate = |(begin, end): (f64, f64)| (end - begin) / elapsed_s;
    Ok(Outcome {
        cpus: turn.cpus.of_server,
        connections: plan.traffic.connections,
        latencies: seen.latencies,
        by_work: seen.by_work,
        backlog_ms: seen.backlog_ms,
        work_per_s: begin.work.zip(end.work).map(rate),
        work_cpus: begin.work_cpu_s.zip(end.work_cpu_s).map(rate),
        takeovers_per_s: (end.takeovers - begin.takeovers) as f64 / elapsed_s,
        server_cpus: rate((begin.cpu_s, end.cpu_s)),
        client_cpus: rate((client_before.as_secs_f64(), client.as_secs_f64())),
        shares_cpus: turn.cpus.client().is_none(),
        quota_cpus: group.map(QuotaGroup::cpus),
        throttling: throttled
            .zip(throttled_before)
            .map(|(end, begin)| end.since(begin)),
        switches,
        allowed_cpus: end.allowed_cpus,
        pinned: end.pinned,
        compute_priority: end.compute_priority,
        stalls: Some(stalls),
        // Only now: its CPU time is known once it has been waited for.
        server_stderr: server.finish(),
    })
}

fn mark(server: &mut Child) -> Result<Mark, String> {
    server.tell(server::MARK)?;
    server.expect_json(PATIENCE)
}

fn throttling(group: Option<&QuotaGroup>) -> Result<Option<Throttling>, String> {
    let throttling = group.map(QuotaGroup::throttling).transpose();
    throttling.map_err(|error| format!("cpu.stat: {error}"))
}

/// By this process, since a server that is overloaded answers late.
fn switches(server: &Child) -> Result<ThreadSwitches, String> {
    let switches = ThreadSwitches::of(&server.id().to_string());
    switches.map_err(|error| format!("switches of the server: {error}"))
}

impl Outcome {
    /// An error where what was measured is not the case.
    pub(crate) fn checked(self) -> Result<Self, String> {
        if !self.server_stderr.is_empty() {
            // A panic of a task, say.
            return Err(format!("the server wrote: {}", self.server_stderr));
        }
        match self.latencies.lost_connections {
            0 => {}
            lost => return Err(format!("the server closed {lost} connections")),
        }
        if self.latencies.requests == 0 {
            return Err("no request was due, the window is too short".to_owned());
        }
        Ok(self)
    }

    /// With the values of these columns.
    pub(crate) fn measurement(&self, columns: &[Column]) -> Result<Measurement, String> {
        let mut remarks = Vec::new();
        match self.latencies.lost_connections {
            0 => {}
            lost => remarks.push(format!("{lost} connections lost")),
        }
        if !self.server_stderr.is_empty() {
            remarks.push(format!("its server wrote: {}", self.server_stderr));
        }
        Ok(Measurement {
            values: column::values(columns, self),
            stalls: self.stalls,
            client_late: column::late(columns, self),
            details: serde_json::to_value(self).map_err(|error| error.to_string())?,
            remarks,
        })
    }
}

#[cfg(test)]
impl Outcome {
    /// What a server came to that was measured, but for what `differs`, an object of fields.
    pub(crate) fn example(differs: serde_json::Value) -> Self {
        let mut outcome = serde_json::json!({
            "requests": 2,
            "answered": 2,
            "p50_us": 100.0,
            "p90_us": 200.0,
            "p99_us": 300.0,
            "p999_us": 400.0,
            "max_us": 500.0,
            "sent_late_p50_us": 5.0,
            "sent_late_p99_us": 10.0,
            "client_late":
                { "p50_us": 1.0, "p90_us": 2.0, "p99_us": 3.0, "p999_us": 4.0, "max_us": 5.0 },
            "net": { "p50_us": 99.0, "p90_us": 198.0, "p99_us": 297.0 },
            "lost_connections": 0,
            "client_threads": 1,
            "priority": "SCHED_FIFO 10",
            "cpus": 2,
            "connections": 64,
            "by_work": [],
            "backlog_ms": null,
            "work_per_s": null,
            "takeovers_per_s": 0.0,
            "server_cpus": 1.0,
            "client_cpus": 0.5,
            "shares_cpus": true,
            "switches": { "voluntary": 1, "involuntary": 1, "migrations": null },
            "allowed_cpus": "0-1",
            "pinned": true,
            "compute_priority": "Idle",
            "server_stderr": "",
        });
        for (name, value) in differs.as_object().expect("an object of fields") {
            outcome[name.as_str()] = value.clone();
        }
        serde_json::from_value(outcome).expect("an outcome")
    }
}
