//! Runs the cases, round by round.

use std::time::Duration;

use serde::Serialize;

use super::cases::{self, Case, Pinning};
use super::client::Latencies;
use super::session::Session;
use super::traffic::{Rate, Traffic};
use super::{CONNECTIONS, MixedOptions, WARM_UP, report};
use crate::child::Child;
use crate::machine::{Machine, Others, Watch};
use crate::progress::Progress;
use crate::spin::Spin;
use crate::{Failure, json_file, write_json};

/// What a case takes beside its window and warm-up, about: processes that start and end.
const OVERHEAD: Duration = Duration::from_millis(100);

/// One case, measured once.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Measured {
    #[serde(flatten)]
    pub(super) latencies: Latencies,
    /// `None` for a case without CPU jobs.
    pub(super) jobs_per_s: Option<f64>,
    /// CPU that the server used, in CPUs.
    pub(super) server_cpus: f64,
    pub(super) pinned: bool,
    pub(super) compute_priority: Option<String>,
    /// What the server had to say, such as a panic of a task; empty if all is well.
    pub(super) server_stderr: String,
    /// Who else was running meanwhile.
    pub(super) others: Others,
}

/// A case over all rounds; the rounds of two rows belong together by their index.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) case: &'static Case,
    pub(super) rounds: Vec<Result<Measured, String>>,
    /// Whether it was left out because the pinning `auto` came to the same.
    pub(super) same_as_auto: bool,
}

impl Row {
    pub(super) fn measured(&self) -> impl Iterator<Item = &Measured> {
        self.rounds.iter().flatten()
    }

    pub(super) fn failures(&self) -> impl Iterator<Item = &String> {
        self.rounds.iter().filter_map(|round| round.as_ref().err())
    }
}

/// Runs the main job.
pub(crate) fn run(options: &MixedOptions) -> Result<(), Failure> {
    let cases = cases::select(&options.only).map_err(Failure::Usage)?;
    // Now, so that a path that cannot be written costs no two minutes.
    let json = options.json.as_deref().map(json_file).transpose()?;
    let spin = Spin::calibrate().map_err(|error| Failure::Run(format!("calibration: {error}")))?;
    let watch = Watch::start();
    let rows = run_rounds(&cases, options, spin);
    let (machine, others) = (Machine::read(), watch.finish());
    let report = report::Report {
        machine,
        others,
        options,
        rows: &rows,
    };
    print!("{report}");
    if let Some(file) = json {
        write_json(file, &report.to_json())?;
    }
    match rows.iter().flat_map(Row::failures).count() {
        0 => Ok(()),
        failures => Err(Failure::Run(format!(
            "{failures} measurements failed, see above"
        ))),
    }
}

/// Every round takes each case once, so that a slow spell of the machine does not hit all
/// measurements of one case.
fn run_rounds(cases: &[&'static Case], options: &MixedOptions, spin: Spin) -> Vec<Row> {
    let mut rows: Vec<_> = cases
        .iter()
        .map(|case| Row {
            case,
            rounds: Vec::new(),
            same_as_auto: false,
        })
        .collect();
    let each = options.window + WARM_UP + OVERHEAD;
    let progress = Progress::new(rows.len() * options.rounds as usize, each);
    for _ in 0..options.rounds {
        for index in 0..rows.len() {
            let case = rows[index].case;
            if is_same_as_auto(case, &rows) {
                rows[index].same_as_auto = true;
                progress.end(&format!("{case}: the same as auto here, not run twice"));
                continue;
            }
            progress.begin(&case.to_string());
            let outcome = measure(case, options.window, spin);
            progress.end(&match &outcome {
                Ok(measured) => format!("{case}: {}", report::summary(measured)),
                Err(error) => format!("{case}: failed: {error}"),
            });
            rows[index].rounds.push(outcome);
        }
    }
    progress.finish();
    rows
}

/// Whether `auto` was measured on this workload, and has chosen the strategy that this case is
/// about.
fn is_same_as_auto(case: &Case, rows: &[Row]) -> bool {
    let auto = rows.iter().find(|row| {
        row.case.workload == case.workload
            && row.case.background == case.background
            && row.case.pinning() == Some(Pinning::Auto)
    });
    let chosen = auto
        .and_then(|row| row.measured().next())
        .map(chosen_pinning);
    case.pinning().is_some() && case.pinning() == chosen
}

/// The strategy that a case under `auto` turned out to use.
pub(super) fn chosen_pinning(auto: &Measured) -> Pinning {
    if auto.pinned {
        Pinning::PerCore
    } else {
        Pinning::None
    }
}

fn measure(case: &Case, window: Duration, spin: Spin) -> Result<Measured, String> {
    let watch = Watch::start();
    let iterations_per_us = spin.iterations_per_us().to_string();
    let arguments = [
        "--case",
        &case.to_string(),
        "--iterations-per-us",
        &iterations_per_us,
    ];
    let server = Child::start("serve", &arguments).map_err(|error| error.to_string())?;
    let workload = case.workload;
    let rate = Rate::per_s(workload.requests_per_s());
    let traffic = Traffic::even(CONNECTIONS, rate, workload.handler_us());
    let session = Session::run(server, &traffic, window, workload.counts_from_first_job())?;
    Ok(Measured {
        jobs_per_s: case.background.has_jobs().then(|| session.jobs_per_s()),
        server_cpus: session.server_cpus(),
        pinned: session.pinned(),
        compute_priority: session.compute_priority().map(str::to_owned),
        latencies: session.seen.latencies,
        server_stderr: session.server_stderr,
        others: watch.finish(),
    })
}
