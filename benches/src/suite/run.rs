//! Runs the cases, round by round.

use std::time::Duration;

use super::{Case, SuiteOptions, Turn, report, select};
use crate::machine::{Machine, Others, Watch};
use crate::progress::Progress;
use crate::{Failure, json_file, write_json};

/// What a measurement takes beside its window, about: processes that start and end.
const OVERHEAD: Duration = Duration::from_millis(50);

/// One contender in one case, measured once.
#[derive(Clone, Debug)]
pub(super) struct Measured {
    /// In the order of the case's metrics.
    pub(super) values: Vec<f64>,
    /// Who else was running meanwhile.
    pub(super) others: Others,
}

/// One contender in one case over all rounds; the rounds of two rows belong together by their
/// index.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) case: &'static Case,
    pub(super) contender: &'static str,
    pub(super) rounds: Vec<Result<Measured, String>>,
}

impl Row {
    pub(super) fn measured(&self) -> impl Iterator<Item = &Measured> {
        self.rounds.iter().flatten()
    }

    pub(super) fn failures(&self) -> impl Iterator<Item = &String> {
        self.rounds.iter().filter_map(|round| round.as_ref().err())
    }

    /// The metric's value in a round, if that did not fail.
    pub(super) fn value(&self, metric: &str, round: usize) -> Option<f64> {
        let mut metrics = self.case.metrics.iter();
        let index = metrics.position(|candidate| candidate.name == metric)?;
        let measured = self.rounds.get(round)?.as_ref().ok()?;
        measured.values.get(index).copied()
    }
}

/// Runs the suites.
pub(crate) fn run(options: &SuiteOptions) -> Result<(), Failure> {
    let cases = select(&options.suites, options.form, &options.only).map_err(Failure::Usage)?;
    // Now, so that a path that cannot be written costs no measurement.
    let json = options.json.as_deref().map(json_file).transpose()?;
    let watch = Watch::start();
    let rows = run_rounds(&cases, options);
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

/// Every round takes each contender of each case once, so that a slow spell of the machine does not
/// hit all measurements of one. What is compared is measured in succession.
fn run_rounds(cases: &[&'static Case], options: &SuiteOptions) -> Vec<Row> {
    let mut rows = Vec::new();
    for case in cases {
        rows.extend(case.contenders.iter().map(|contender| Row {
            case,
            contender,
            rounds: Vec::new(),
        }));
    }
    let progress = Progress::new(rows.len() * options.rounds as usize, each(&rows, options));
    for round in 0..options.rounds {
        for of_case in rows.chunk_by_mut(|one, other| std::ptr::eq(one.case, other.case)) {
            for index in rotation(of_case.len(), round as usize) {
                measure(&mut of_case[index], options.window, round, &progress);
            }
        }
    }
    progress.finish();
    rows
}

/// What a measurement takes, about, in the mean.
fn each(rows: &[Row], options: &SuiteOptions) -> Duration {
    let windows = rows
        .iter()
        .map(|row| options.window.max(row.case.window_min));
    windows.sum::<Duration>() / rows.len().max(1) as u32 + OVERHEAD
}

/// The order of the contenders in a round: nobody is always the first, nor always after the same.
fn rotation(contenders: usize, round: usize) -> impl Iterator<Item = usize> {
    (0..contenders).map(move |index| (index + round) % contenders)
}

fn measure(row: &mut Row, window: Duration, round: u32, progress: &Progress) {
    let name = format!("{} on {}", row.case, row.contender);
    progress.begin(&name);
    let watch = Watch::start();
    let turn = Turn {
        contender: row.contender,
        window: window.max(row.case.window_min),
        round,
    };
    let values = (row.case.measure)(row.case, turn);
    let outcome = values
        .and_then(|values| checked(row.case, values))
        .map(|values| Measured {
            values,
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
fn checked(case: &Case, values: Vec<f64>) -> Result<Vec<f64>, String> {
    let finite = values.iter().all(|value| value.is_finite());
    if finite && values.len() == case.metrics.len() {
        return Ok(values);
    }
    Err(format!(
        "{} values are asked for, and these came: {values:?}",
        case.metrics.len()
    ))
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::CASE;
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
        assert!(checked(&CASE, vec![1.0, 2.0]).is_ok());
        assert!(checked(&CASE, vec![1.0]).is_err());
        assert!(checked(&CASE, vec![1.0, f64::NAN]).is_err());
    }
}
