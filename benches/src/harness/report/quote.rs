//! A suite's medians once more, a line for each contender, as a Markdown table to be quoted.

use std::fmt::Write as _;

use super::super::case::{Case, Metric};
use super::super::row::Row;

/// A line for each row. Cases with the same metrics share a heading.
pub(super) fn table(rows: &[Row]) -> String {
    let mut text = String::new();
    for alike in rows.chunk_by(|one, other| names(one.case).eq(names(other.case))) {
        heading(&mut text, alike[0].case.metrics);
        for row in alike {
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
    let _ = write!(text, "| {} | {} |", row.case.name, row.contender.name);
    for metric in row.case.metrics {
        let median = row
            .spread(metric)
            .map(|spread| (metric.format)(spread.median));
        let _ = write!(text, " {} |", median.as_deref().unwrap_or(metric.absent));
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::super::super::row::tests::{CASE, failed, row};
    use super::*;

    #[test]
    fn a_line_has_the_medians_of_a_contender() {
        let mut smol = row("smol", &[]);
        smol.rounds.push(failed());
        let rows = [row("evenkeel", &[50.0, 90.0, 70.0]), smol];
        let table = table(&rows);
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
        static OTHER: Case = Case {
            name: "other",
            ..CASE
        };
        let mut other = row("evenkeel", &[2.0]);
        other.case = &OTHER;
        let table = table(&[row("evenkeel", &[1.0]), other]);
        assert_eq!(table.matches("time ns").count(), 1, "{table}");
    }
}
