//! What the absence of each heuristic does, as ratios.

use std::fmt;

use super::super::ablation::{Effect, effect, split};
use super::super::case::Metric;
use super::super::row::{Row, by_case};
use super::columns::write_missing;
use super::lines::heading;
use super::table::Table;
use crate::stats::{Spread, short};

/// No line is longer.
const WIDTH_MAX: usize = 120;

/// What its ratios are.
pub(super) const RATIOS: &str = "without the heuristic to all on, each within its round; \
                                 * worse than 1 by more than the extremes are apart";

/// Writes the rows of a suite, and what failed.
pub(super) fn write(f: &mut fmt::Formatter<'_>, rows: &[Row], heuristics: &[&str]) -> fmt::Result {
    for (index, table) in table(rows, heuristics).fit(WIDTH_MAX).iter().enumerate() {
        let gap = if index > 0 { "\n" } else { "" };
        write!(f, "{gap}{table}")?;
    }
    write_missing(f, rows)
}

/// The columns before those of the heuristics: case, metric, unit, median with everything on.
const FIRST_COLUMNS: usize = 4;

/// A line for each metric of each case, and a column for each heuristic.
fn table(rows: &[Row], heuristics: &[&str]) -> Table {
    let mut header = vec![String::new(); FIRST_COLUMNS - 1];
    header.push("all on".to_owned());
    header.extend(heuristics.iter().map(ToString::to_string));
    let numbers = FIRST_COLUMNS - 1..header.len();
    let mut lines = vec![header];
    for of_case in by_case(rows) {
        let (with, without) = split(of_case);
        for metric in with.case.metrics {
            let names = [with.case.name, metric.name, metric.unit];
            let mut line = names.map(str::to_owned).to_vec();
            line.push(median(with, metric).unwrap_or_else(|| metric.absent.to_owned()));
            line.extend(without.iter().map(|row| cell(row, with, metric)));
            lines.push(line);
        }
    }
    Table { lines, numbers }
}

fn median(row: &Row, metric: &Metric) -> Option<String> {
    let spread = row.spread(metric)?;
    Some((metric.format)(spread.median))
}

/// The ratio; or where there is none, such as to 0, what is measured without the heuristic.
fn cell(without: &Row, with: &Row, metric: &Metric) -> String {
    let Some(effect) = effect(without, with, metric) else {
        let median = median(without, metric);
        return median.map_or_else(|| metric.absent.to_owned(), |median| format!("at {median}"));
    };
    let Spread { median, min, max } = effect.ratio;
    let [median, min, max] = [median, min, max].map(short);
    match without.rounds.len() {
        1 => median,
        _ => format!("{}{median} ({min}-{max})", mark(&effect)),
    }
}

fn mark(effect: &Effect) -> &'static str {
    if effect.is_clear { "*" } else { "" }
}

/// Writes for each heuristic where its absence costs most, those that are marked first.
pub(super) fn write_costs(
    f: &mut fmt::Formatter<'_>,
    rows: &[Row],
    heuristics: &[&str],
) -> fmt::Result {
    writeln!(f, "\nwhere the absence costs most")?;
    for heuristic in heuristics {
        writeln!(f, "{}", costs(rows, heuristic))?;
    }
    Ok(())
}

/// As many as fit in a line.
fn costs(rows: &[Row], heuristic: &str) -> String {
    let mut costs = Vec::new();
    for (with, without) in by_case(rows).map(split) {
        let without = without.iter().find(|row| row.without == Some(heuristic));
        let metrics = without
            .into_iter()
            .flat_map(|row| row.case.metrics.iter().map(move |metric| (row, metric)));
        costs.extend(metrics.filter_map(|(row, metric)| {
            let effect = effect(row, with, metric)?;
            (effect.cost > 1.0).then_some((row.case, metric, effect))
        }));
    }
    costs.sort_by(|(.., one), (.., other)| {
        let by_cost = one.cost.total_cmp(&other.cost);
        one.is_clear.cmp(&other.is_clear).then(by_cost).reverse()
    });
    let mut line = format!("{heuristic}:");
    for (case, metric, effect) in costs {
        let (mark, ratio) = (mark(&effect), short(effect.ratio.median));
        let text = format!(" {case} {} {mark}{ratio},", heading(metric));
        if line.len() + text.len() > WIDTH_MAX {
            break;
        }
        line.push_str(&text);
    }
    match line.strip_suffix(',') {
        Some(line) => line.to_owned(),
        None => format!("{line} nothing"),
    }
}
