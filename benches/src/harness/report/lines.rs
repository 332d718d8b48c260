//! A table for each case, with a line for each contender and a column for each metric; and after
//! them the bars.

use std::fmt;

use super::super::case::{Case, EVENKEEL, Metric};
use super::super::row::{Row, by_case};
use super::super::verdict::{Verdict, describe, judge};
use super::columns::{CLIENT_LIMITED, client_limited, stalls};
use crate::machine::QUIET_PERCENT;
use crate::stats::{Spread, short};

const NAME_WIDTH: usize = 22;
const CELL_WIDTH: usize = 10;

/// Writes the rows of a suite, and the bars of all of its cases.
pub(super) fn write(
    f: &mut fmt::Formatter<'_>,
    cases: &[Case],
    rows: &[Row],
    rounds: u32,
) -> fmt::Result {
    for of_case in by_case(rows) {
        write_case(f, of_case, rounds)?;
    }
    write_bars(f, cases, rows, rounds)
}

fn write_case(f: &mut fmt::Formatter<'_>, rows: &[Row], rounds: u32) -> fmt::Result {
    let case = rows[0].case;
    writeln!(f, "\n{}: {}", case.name, case.about)?;
    write_line(f, "", case, heading)?;
    let base = rows.iter().find(|row| row.contender.name == EVENKEEL);
    for row in rows {
        write_row(f, row, rounds)?;
        if let Some(base) = base.filter(|base| !std::ptr::eq(*base, row))
            && row.measured().next().is_some()
        {
            write_line(f, "  / evenkeel", case, |metric| {
                let ratio = row.ratio_to(base, metric);
                ratio.map_or_else(String::new, |ratio| format!("{}x", short(ratio.median)))
            })?;
        }
    }
    Ok(())
}

fn write_row(f: &mut fmt::Formatter<'_>, row: &Row, rounds: u32) -> fmt::Result {
    let (case, name) = (row.case, row.contender.name);
    if let Some(reason) = row.left_out {
        return writeln!(f, "{name:<NAME_WIDTH$} {reason}");
    }
    if let Some(failure) = row.failures().next() {
        writeln!(f, "{name:<NAME_WIDTH$} failed: {failure}")?;
    }
    if row.measured().next().is_none() {
        return Ok(());
    }
    let spread = |metric: &Metric, of: fn(Spread) -> f64, none: &str| {
        let spread = row.spread(metric);
        spread.map_or_else(|| none.to_owned(), |spread| cell(metric, of(spread)))
    };
    write_line(f, name, case, |metric| {
        spread(metric, |spread| spread.median, metric.absent)
    })?;
    let others = row.measured().map(|one| one.others.total_percent());
    let others = others.fold(0.0, f64::max);
    if others > QUIET_PERCENT {
        writeln!(f, "  NOT QUIET: others took {others:.0}% of all CPU time")?;
    }
    let remarkable = row.measured().find(|one| !one.found.remarks.is_empty());
    for remark in remarkable.iter().flat_map(|one| &one.found.remarks) {
        writeln!(f, "  {remark}")?;
    }
    if let Some(stalls) = stalls(row) {
        writeln!(f, "  {stalls}")?;
    }
    if let Some(metrics) = client_limited(row) {
        writeln!(f, "  {CLIENT_LIMITED} in {metrics}")?;
    }
    if rounds > 1 {
        write_line(f, "  from", case, |metric| {
            spread(metric, |spread| spread.min, "")
        })?;
        write_line(f, "  to", case, |metric| {
            spread(metric, |spread| spread.max, "")
        })?;
    }
    Ok(())
}

fn write_line(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    case: &Case,
    cell: impl Fn(&Metric) -> String,
) -> fmt::Result {
    write!(f, "{name:<NAME_WIDTH$}")?;
    for metric in case.metrics {
        write!(f, "{:>CELL_WIDTH$}", cell(metric))?;
    }
    writeln!(f)
}

/// A rate is known by its name and unit; most others are times in one unit, which the suite names.
pub(super) fn heading(metric: &Metric) -> String {
    match metric.unit {
        unit if unit.starts_with('/') => format!("{}{unit}", metric.name),
        _ => metric.name.to_owned(),
    }
}

fn cell(metric: &Metric, value: f64) -> String {
    let percent = if metric.unit == "%" { "%" } else { "" };
    format!("{}{percent}", (metric.format)(value))
}

/// Writes the bars of these cases, and what was found of each.
pub(super) fn write_bars(
    f: &mut fmt::Formatter<'_>,
    cases: &[Case],
    rows: &[Row],
    rounds: u32,
) -> fmt::Result {
    writeln!(f, "\nbars for evenkeel")?;
    for case in cases {
        for bar in case.bars {
            let unit = bar.unit(case);
            let found = |spread: Spread| match rounds {
                1 => format!("{:.3} {unit}", spread.median),
                _ => format!(
                    "{:.3} {unit} ({:.3} to {:.3})",
                    spread.median, spread.min, spread.max
                ),
            };
            let (verdict, measured) = match judge(bar, case, rows) {
                Verdict::Met { measured } => ("met", found(measured)),
                Verdict::NotMet { measured } => ("NOT MET", found(measured)),
                Verdict::ClientLimited { measured } => (CLIENT_LIMITED, found(measured)),
                Verdict::NoResult => ("NOT MET", "no answer, or failed".to_owned()),
                Verdict::NotMeasured => ("not measured", String::new()),
            };
            let metric = case.metrics.iter().find(|metric| metric.name == bar.metric);
            let metric = metric.map(heading).unwrap_or_default();
            let bar = format!("{} {metric}: {}", case.name, describe(bar, case));
            let line = format!("  {bar:<46} {verdict:<14} {measured}");
            writeln!(f, "{}", line.trim_end())?;
        }
    }
    Ok(())
}
