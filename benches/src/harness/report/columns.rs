//! A table with a line for each metric, and a column for each contender.

use std::fmt;

use super::super::case::{Bar, Case, Limit, Metric};
use super::super::row::{Row, by_case};
use super::super::verdict::{Verdict, describe, judge};
use super::table::Table;
use crate::stalls::Stalls;
use crate::stats::{Spread, short};

/// Writes the rows of a suite, and what is missing in them.
pub(super) fn write(f: &mut fmt::Formatter<'_>, rows: &[Row], rounds: u32) -> fmt::Result {
    write!(f, "{}", table(rows, rounds))?;
    write_missing(f, rows)
}

/// The columns before those of the contenders: case, metric, unit.
const NAME_COLUMNS: usize = 3;

/// A line for each metric of each case, more where there are extremes or several bars to show.
fn table(rows: &[Row], rounds: u32) -> Table {
    let mut contenders: Vec<&str> = Vec::new();
    for row in rows {
        if !contenders.contains(&row.contender.name) {
            contenders.push(row.contender.name);
        }
    }
    let numbers = NAME_COLUMNS..NAME_COLUMNS + contenders.len();
    let mut header = vec![String::new(); NAME_COLUMNS];
    header.extend(contenders.iter().map(ToString::to_string));
    header.extend(["found", "bar", ""].map(str::to_owned));
    let mut lines = vec![header];
    for of_case in by_case(rows) {
        let case = of_case[0].case;
        let first = lines.len();
        for metric in case.metrics {
            let judged = |bar: &Bar| judgement(bar, case, rows, rounds);
            lines.extend(metric_lines(metric, of_case, &contenders, rounds, judged));
        }
        lines[first][0] = case.name.to_owned();
    }
    Table { lines, numbers }
}

fn metric_lines(
    metric: &Metric,
    rows: &[Row],
    contenders: &[&str],
    rounds: u32,
    judged: impl Fn(&Bar) -> [String; 3],
) -> Vec<Vec<String>> {
    let spreads = contenders.iter().map(|contender| {
        let row = rows.iter().find(|row| row.contender.name == *contender)?;
        row.spread(metric)
    });
    let spreads: Vec<Option<Spread>> = spreads.collect();
    let cells = |cell: &dyn Fn(Spread) -> String, none: &str| {
        let cells = spreads
            .iter()
            .map(|spread| spread.map_or_else(|| none.to_owned(), cell));
        cells.collect::<Vec<_>>()
    };
    let mut bars = rows[0]
        .case
        .bars
        .iter()
        .filter(|bar| bar.metric == metric.name);
    let judged = |bar: Option<&Bar>| bar.map(&judged).unwrap_or_default();

    let mut line = vec![
        String::new(),
        metric.name.to_owned(),
        metric.unit.to_owned(),
    ];
    line.extend(cells(
        &|spread| (metric.format)(spread.median),
        metric.absent,
    ));
    line.extend(judged(bars.next()));
    let mut lines = vec![line];
    if rounds > 1 {
        let mut line = vec![String::new(); NAME_COLUMNS];
        let range = |spread: Spread| {
            let [min, max] = [spread.min, spread.max].map(metric.format);
            format!("{min}-{max}")
        };
        line.extend(cells(&range, ""));
        line.extend(judged(bars.next()));
        lines.push(line);
    }
    for bar in bars {
        let mut line = vec![String::new(); NAME_COLUMNS + contenders.len()];
        line.extend(judged(Some(bar)));
        lines.push(line);
    }
    lines
}

/// What was found, the limit, and the verdict.
fn judgement(bar: &Bar, case: &Case, rows: &[Row], rounds: u32) -> [String; 3] {
    let times = match bar.limit {
        Limit::AtMost(..) | Limit::AtLeast(..) | Limit::AtLeastOfBest(..) => "x",
        Limit::AtMostAbove(..) | Limit::Absolute(_) => "",
    };
    let found = |spread: Spread| {
        let median = format!("{}{times}", short(spread.median));
        match rounds {
            1 => median,
            _ => format!("{median} ({} to {})", short(spread.min), short(spread.max)),
        }
    };
    let (found, verdict) = match judge(bar, case, rows) {
        Verdict::Met { measured } => (found(measured), "met"),
        Verdict::NotMet { measured } => (found(measured), "NOT MET"),
        Verdict::ClientLimited { measured } => (found(measured), CLIENT_LIMITED),
        Verdict::NoResult => ("failed".to_owned(), "NOT MET"),
        Verdict::NotMeasured => (String::new(), "not measured"),
    };
    [found, describe(bar, case), verdict.to_owned()]
}

/// Said of what is more than a tenth the client's own lateness.
pub(super) const CLIENT_LIMITED: &str = "client-limited";

/// The metrics of a row that are client-limited, each with the client's part; `None` if none is.
pub(super) fn client_limited(row: &Row) -> Option<String> {
    let metrics = row.client_limited().filter_map(|metric| {
        let late = (metric.format)(row.client_late(metric.name)?);
        Some(format!("{} ({late} of it)", metric.name))
    });
    let metrics: Vec<_> = metrics.collect();
    (!metrics.is_empty()).then(|| metrics.join(", "))
}

/// How often the machine stood still, if it did.
pub(super) fn stalls(row: &Row) -> Option<String> {
    row.stalls().map(described)
}

fn described(stalls: Stalls) -> String {
    let Stalls {
        count,
        longest_ms,
        real_time,
    } = stalls;
    let who = match real_time {
        true => "the machine",
        false => "the machine, or of a watch that is no real-time thread",
    };
    let longest = short(longest_ms);
    format!("stalls of {who}: {count} seen, longest {longest} ms")
}

/// What failed, what was left out, and what says little of the contender.
pub(super) fn write_missing(f: &mut fmt::Formatter<'_>, rows: &[Row]) -> fmt::Result {
    for row in rows {
        write_about(f, row)?;
        if let Some(stalls) = stalls(row) {
            writeln!(f, "{} on {}: {stalls}", row.case.name, row.who())?;
        }
    }
    Ok(())
}

/// What there is to say of a row but for the stalls.
pub(super) fn write_about(f: &mut fmt::Formatter<'_>, row: &Row) -> fmt::Result {
    let (name, who, rounds) = (row.case.name, row.who(), row.rounds.len());
    let failures = row.failures().count();
    if let Some(reason) = row.left_out {
        writeln!(f, "{name} on {who}: {reason}")?;
    }
    if let Some(failure) = row.failures().next() {
        writeln!(
            f,
            "{name} on {who} failed in {failures} of {rounds} rounds: {failure}"
        )?;
    }
    if let Some(metrics) = client_limited(row) {
        writeln!(f, "{name} on {who}: {CLIENT_LIMITED} in {metrics}")?;
    }
    Ok(())
}

/// The stalls in all rows together, and who had the longest.
pub(super) fn write_stalls(f: &mut fmt::Formatter<'_>, rows: &[Row]) -> fmt::Result {
    let with_stalls = rows.iter().filter_map(|row| Some((row, row.stalls()?)));
    let with_stalls: Vec<_> = with_stalls.collect();
    let longest = with_stalls
        .iter()
        .max_by(|(_, one), (_, other)| one.longest_ms.total_cmp(&other.longest_ms));
    let all = with_stalls.iter().map(|(_, stalls)| *stalls);
    if let (Some((row, _)), Some(all)) = (longest, all.reduce(Stalls::and)) {
        let (who, case) = (row.who(), row.case.name);
        let (some, of) = (with_stalls.len(), rows.len());
        let all = described(all);
        writeln!(f, "{all}, on {who} in {case}; in {some} of {of} rows")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::super::row::tests::row;
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [row("evenkeel", &[5.0]), row("tokio", &[123_456.0])];
        let table = table(&rows, 1).to_string();
        let lines: Vec<_> = table.lines().collect();
        let end = lines[0].find("tokio").unwrap() + "tokio".len();
        assert_eq!(&lines[1][end - "123456".len()..end], "123456");
    }
}
