//! A suite's medians once more, a line for each contender, as a Markdown table to be quoted.

use std::fmt::Write as _;

use super::run::Row;
use super::{Case, Metric};
use crate::stats::{median, short};

/// The rows of these cases. Cases with the same metrics share a heading.
pub(super) fn table(cases: &[&[Row]]) -> String {
    let mut text = String::new();
    for alike in cases.chunk_by(|one, other| names(one[0].case).eq(names(other[0].case))) {
        heading(&mut text, alike[0][0].case.metrics);
        for row in alike.iter().copied().flatten() {
            line(&mut text, row);
        }
    }
    text
}

fn names(case: &Case) -> impl Iterator<Item = &str> {
    case.metrics.iter().map(|metric| metric.name)
}

fn heading(text: &mut String, metrics: &[Metric]) {
    let titles = metrics
        .iter()
        .map(|metric| format!(" {} {} |", metric.name, metric.unit));
    let _ = writeln!(text, "\n| | |{}", titles.collect::<String>());
    let _ = writeln!(text, "|---|---|{}", "---|".repeat(metrics.len()));
}

fn line(text: &mut String, row: &Row) {
    let _ = write!(text, "| {} | {} |", row.case.name, row.contender);
    for metric in row.case.metrics {
        let rounds = (0..row.rounds.len()).filter_map(|round| row.value(metric.name, round));
        let cell = median(&rounds.collect::<Vec<_>>());
        let _ = write!(text, " {} |", cell.map_or_else(|| "-".to_owned(), short));
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::{failed, row};
    use super::*;

    #[test]
    fn a_line_has_the_medians_of_a_contender() {
        let mut smol = row("smol", &[]);
        smol.rounds.push(failed());
        let rows = [row("evenkeel", &[50.0, 90.0, 70.0]), smol];
        let table = table(&[&rows[..]]);
        let lines: Vec<_> = table.trim().lines().collect();
        assert_eq!(
            lines,
            [
                "| | | time ns | rate /s |",
                "|---|---|---|---|",
                "| nap | evenkeel | 70.0 | 140 |",
                "| nap | smol | - | - |",
            ]
        );
    }

    #[test]
    fn cases_with_the_same_metrics_share_a_heading() {
        let one = [row("evenkeel", &[1.0])];
        let other = [row("evenkeel", &[2.0])];
        let table = table(&[&one[..], &other[..]]);
        assert_eq!(table.matches("time ns").count(), 1, "{table}");
    }
}
