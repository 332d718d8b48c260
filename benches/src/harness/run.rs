//! Runs the cases, round by round.

use std::env;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use super::ablation;
use super::case::{Case, Measurement, Turn};
use super::options::RunOptions;
use super::report::{self, Report};
use super::row::{LeftOut, Measured, Row};
use super::select::select;
use crate::failure::Failure;
use crate::machine::{Machine, Watch};
use crate::progress::Progress;

/// What a measurement takes beside its window, about: processes that start and end, and what some
/// of them do before it.
const OVERHEAD: Duration = Duration::from_millis(300);

/// Runs the suites.
pub(crate) fn run(options: &RunOptions) -> Result<(), Failure> {
    let selected = select(&options.suites, options.form, &options.only);
    let mut rows = selected.map_err(Failure::Usage)?;
    if options.is_ablation() {
        rows = ablation::variants(rows, &options.without).map_err(Failure::Usage)?;
    }
    // Now, so that a path that cannot be written costs no measurement.
    let json = options.json.as_deref().map(json_file).transpose()?;
    let watch = Watch::start();
    run_rounds(&mut rows, options);
    let report = Report {
        machine: Machine::read(),
        others: watch.finish(),
        options,
        rows: &rows,
    };
    print!("{report}");
    if let Some(mut file) = json {
        let written = writeln!(file, "{:#}", report.to_json());
        written.map_err(|error| Failure::Run(format!("--json: {error}")))?;
    }
    match rows.iter().flat_map(Row::failures).count() {
        0 => Ok(()),
        failures => Err(Failure::Run(format!(
            "{failures} measurements failed, see above"
        ))),
    }
}

/// Creates the file of `--json`.
fn json_file(path: &Path) -> Result<File, Failure> {
    let file = File::create(path);
    file.map_err(|error| Failure::Usage(format!("--json {}: {error}", path.display())))
}

/// Every round takes each contender of each case once, so that a slow spell of the machine does not
/// hit all measurements of one. What is compared is measured in succession.
fn run_rounds(rows: &mut [Row], options: &RunOptions) {
    let progress = Progress::new(rows.len() * options.rounds as usize, each(rows, options));
    for round in 0..options.rounds {
        for of_case in rows.chunk_by_mut(|one, other| std::ptr::eq(one.case, other.case)) {
            for index in rotation(of_case.len(), round as usize) {
                of_case[index].left_out = left_out(&of_case[index], of_case);
                measure(&mut of_case[index], options, round, &progress);
            }
        }
    }
    progress.finish();
}

/// What a measurement takes, about, in the mean.
fn each(rows: &[Row], options: &RunOptions) -> Duration {
    let windows = rows
        .iter()
        .map(|row| options.window.max(row.case.window_min));
    windows.sum::<Duration>() / rows.len().max(1) as u32 + OVERHEAD
}

/// The order of the contenders in a round: nobody is always the first, nor always after the same.
fn rotation(contenders: usize, round: usize) -> impl Iterator<Item = usize> {
    (0..contenders).map(move |index| (index + round) % contenders)
}

/// Whether there is no point in measuring the row, and why.
fn left_out(row: &Row, of_case: &[Row]) -> Option<LeftOut> {
    let missing = row.case.program.filter(|program| !is_installed(program));
    let obstacle = || (row.case.obstacle)().map(LeftOut::Obstacle);
    let twin = || twin_of(row, of_case).map(LeftOut::SameAs);
    let missing = missing.map(LeftOut::NotInstalled);
    missing.or_else(obstacle).or_else(twin)
}

/// Whether a folder of the search path has this program.
fn is_installed(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// The contender that was measured already and has turned out to be the same as the row's.
fn twin_of(row: &Row, of_case: &[Row]) -> Option<&'static str> {
    let twin = row.contender.twin?;
    let other = of_case.iter().find(|row| row.contender.name == twin.name)?;
    let measured = other.measured().next()?;
    (twin.is_same)(&measured.found.details).then_some(twin.name)
}

fn measure(row: &mut Row, options: &RunOptions, round: u32, progress: &Progress) {
    let name = row.name();
    if let Some(reason) = row.left_out {
        return progress.end(&format!("{name}: {reason}"));
    }
    progress.begin(&name);
    let watch = Watch::start();
    let turn = Turn {
        contender: row.contender,
        without: row.without,
        window: options.window.max(row.case.window_min),
        round,
        cpus: options.cpus,
    };
    let found = (row.case.measure)(row.case, turn);
    let outcome = found
        .and_then(|found| checked(row.case, found))
        .map(|found| Measured {
            found,
            others: watch.finish(),
        });
    let text = match &outcome {
        Ok(measured) => report::summary(row.case, measured),
        Err(error) => format!("failed: {error}"),
    };
    progress.end(&format!("{name}: {text}"));
    row.rounds.push(outcome);
}

/// A value for each metric, and numbers at that.
fn checked(case: &Case, found: Measurement) -> Result<Measurement, String> {
    let finite = found.values.iter().flatten().all(|value| value.is_finite());
    if finite && found.values.len() == case.metrics.len() {
        return Ok(found);
    }
    Err(format!(
        "{} values are asked for, and these came: {:?}",
        case.metrics.len(),
        found.values
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::case::{Contender, Twin};
    use super::super::row::tests::{CASE, NAP, row};
    use super::*;

    #[test]
    fn every_contender_is_first_in_its_turn() {
        let order = |round| rotation(3, round).collect::<Vec<_>>();
        assert_eq!(order(0), [0, 1, 2]);
        assert_eq!(order(1), [1, 2, 0]);
        assert_eq!(order(2), [2, 0, 1]);
        assert_eq!(order(3), order(0));
    }

    #[test]
    fn a_measurement_has_a_number_for_each_metric() {
        assert!(checked(&NAP, vec![1.0, 2.0].into()).is_ok());
        assert!(checked(&NAP, vec![1.0].into()).is_err());
        assert!(checked(&NAP, vec![1.0, f64::NAN].into()).is_err());
    }

    #[test]
    fn a_program_is_installed_if_it_is_in_the_search_path() {
        assert!(is_installed("sh"));
        assert!(!is_installed("evenkeel-no-such-program"));
    }

    #[test]
    fn a_case_is_left_out_without_its_program() {
        static NEEDY: Case = Case {
            program: Some("evenkeel-no-such-program"),
            ..CASE
        };
        let needy = Row::new(&NEEDY, &NEEDY.contenders[0]);
        let reason = left_out(&needy, &[]).map(|reason| reason.to_string());
        let expected = "evenkeel-no-such-program is not installed";
        assert_eq!(reason.as_deref(), Some(expected));
        assert_eq!(left_out(&row("evenkeel", &[]), &[]), None);
    }

    #[test]
    fn a_case_is_left_out_where_it_cannot_be() {
        static HINDERED: Case = Case {
            obstacle: || Some("it is too dark"),
            ..CASE
        };
        let hindered = Row::new(&HINDERED, &HINDERED.contenders[0]);
        let reason = left_out(&hindered, &[]).map(|reason| reason.to_string());
        assert_eq!(reason.as_deref(), Some("it is too dark"));
    }

    #[test]
    fn a_twin_is_known_by_what_was_measured() {
        static TWINS: Case = Case {
            contenders: &[
                Contender {
                    twin: Some(Twin {
                        name: "evenkeel",
                        is_same: |details| details["pinned"] == true,
                    }),
                    ..Contender::new("pinned", |_| Ok(Vec::new()))
                },
                Contender::new("evenkeel", |_| Ok(Vec::new())),
            ],
            ..CASE
        };
        let pinned = Row::new(&TWINS, &TWINS.contenders[0]);
        let with = |details| {
            let mut evenkeel = row("evenkeel", &[1.0]);
            evenkeel.rounds[0].as_mut().unwrap().found.details = details;
            twin_of(&pinned, &[evenkeel])
        };
        assert_eq!(with(json!({ "pinned": true })), Some("evenkeel"));
        assert_eq!(with(json!({ "pinned": false })), None);
        assert_eq!(twin_of(&pinned, &[]), None);
    }
}
