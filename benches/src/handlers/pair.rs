//! A server and its load: the main job's, with other parts.

use super::contenders::Beside;
use super::grid::{self, Spec};
use crate::mixed::{Handler, Role, Session, host};
use crate::spin::Spin;
use crate::suite::{self, Case, Turn};
use crate::sys;

/// The parent's side: one measurement.
pub(super) fn measure(case: &'static Case, turn: Turn) -> Result<Vec<f64>, String> {
    let spec = Spec::named(case.name).ok_or_else(|| suite::unknown(case.name, turn.contender))?;
    let server = suite::start_computing_child(case, turn)?;
    let traffic = spec.traffic(grid::cpus(), turn.round);
    // What a runtime needs to learn about tasks that compute counts.
    let late = spec.beside() == Beside::InlineJobs;
    let session = Session::run(server, &traffic, turn.window, late)?;
    // A panic of a task, say: what was measured then is not the case.
    if !session.server_stderr.is_empty() {
        return Err(format!("the server wrote: {}", session.server_stderr));
    }
    match session.seen.latencies.lost_connections {
        0 => {}
        lost => return Err(format!("the server closed {lost} connections")),
    }
    if session.seen.latencies.requests == 0 {
        return Err("no request was due, the window is too short".to_owned());
    }
    let metrics = case.metrics.iter();
    let values = metrics.map(|metric| value_of(metric.name).map(|value| value(&session)));
    let values: Option<Vec<f64>> = values.collect();
    values.ok_or_else(|| format!("{case} has a metric without a value"))
}

/// How the metric of this name is found.
pub(super) fn value_of(metric: &str) -> Option<fn(&Session) -> f64> {
    Some(match metric {
        "p50" => |session| session.seen.latencies.p50_us / 1e3,
        "p90" => |session| session.seen.latencies.p90_us / 1e3,
        "p99" => |session| session.seen.latencies.p99_us / 1e3,
        "short_p50" => |session| session.seen.by_work[0].p50_us / 1e3,
        "short_p99" => |session| session.seen.by_work[0].p99_us / 1e3,
        "long_p50" => |session| session.seen.by_work[1].p50_us / 1e3,
        "long_p99" => |session| session.seen.by_work[1].p99_us / 1e3,
        "answered" => |session| {
            let latencies = &session.seen.latencies;
            100.0 * latencies.answered as f64 / latencies.requests as f64
        },
        "backlog" => |session| session.seen.backlog_ms.unwrap_or(f64::NAN),
        "jobs" => Session::jobs_per_s,
        "takeovers" => Session::takeovers_per_s,
        _ => return None,
    })
}

/// The server's side: runs until the parent closes its end. Returns only for an error.
pub(super) fn serve(role: impl FnOnce(Spin) -> Role) -> Result<Vec<f64>, String> {
    let spin = suite::spin_of_parent().map_err(|error| error.to_string())?;
    let role = role(spin);
    if matches!(role.handler, Handler::Log) {
        // What the handlers write is no failure.
        sys::discard_stderr().map_err(|error| error.to_string())?;
    }
    host(&role).map(|()| Vec::new())
}
