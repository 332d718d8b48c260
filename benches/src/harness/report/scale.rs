//! A table for each operation, with a line for each number of workers: throughput, efficiency
//! against one worker as a number and as a bar, and the same of the peers. The bars below one
//! another are the curve.

use std::fmt;

use super::super::case::{Case, EVENKEEL};
use super::super::row::{Row, by_case};
use super::super::scaling::{efficiency, operation};
use super::columns::write_missing;
use super::lines::write_bars;
use super::table::Table;
use crate::stats::{Spread, short};

/// The length of the bar of efficiency 1. One above that looks the same: the number tells.
const BAR_WIDTH: usize = 20;

/// Writes the rows of a suite, what is missing in them, and the bars of all of its cases.
pub(super) fn write(
    f: &mut fmt::Formatter<'_>,
    cases: &[Case],
    rows: &[Row],
    rounds: u32,
) -> fmt::Result {
    for alike in rows.chunk_by(|one, other| operation(one.case) == operation(other.case)) {
        let case = alike[0].case;
        let name = case.scale.map_or(case.name, |scale| scale.operation);
        write!(f, "\n{name}: {}\n{}", case.about, table(alike, rounds))?;
    }
    write_missing(f, rows)?;
    write_bars(f, cases, rows, rounds)
}

/// A line for each number of workers, and another for the extremes of several rounds.
fn table(rows: &[Row], rounds: u32) -> Table {
    let mut peers: Vec<&str> = Vec::new();
    for row in rows {
        let name = row.contender.name;
        if name != EVENKEEL && !peers.contains(&name) {
            peers.push(name);
        }
    }
    let header = header(rows[0].case, &peers);
    let numbers = 0..header.len();
    let mut lines = vec![header];
    for of_case in by_case(rows) {
        let (medians, extremes) = cells(of_case, rows, &peers).into_iter().unzip();
        lines.push(medians);
        if rounds > 1 {
            lines.push(extremes);
        }
    }
    Table { lines, numbers }
}

fn header(case: &Case, peers: &[&str]) -> Vec<String> {
    let unit = case.metrics.first().map_or("", |metric| metric.unit);
    let own = format!("{EVENKEEL} {unit}");
    let mut header: Vec<_> = ["workers", &own, "per worker", "efficiency", ""]
        .map(str::to_owned)
        .into();
    for peer in peers {
        header.extend([
            format!("{peer} {unit}"),
            "efficiency".to_owned(),
            format!("{EVENKEEL}/{peer}"),
        ]);
    }
    header
}

/// What stands in a column, and what below it.
type Cell = (String, String);

/// A line of the table, and the one below it.
fn cells(of_case: &[Row], rows: &[Row], peers: &[&str]) -> Vec<Cell> {
    let case = of_case[0].case;
    let metric = &case.metrics[0];
    let workers = case.scale.map_or(1, |scale| scale.workers.get());
    let find = |name: &str| of_case.iter().find(|row| row.contender.name == name);
    let rate_of = |row: Option<&Row>| row.and_then(|row| row.spread(metric));
    let efficiency_of = |row: Option<&Row>| row.and_then(|row| efficiency(row, rows));

    let own = find(EVENKEEL);
    let (rate, efficiency) = (rate_of(own), efficiency_of(own));
    let per_worker = |rate: f64| (metric.format)(rate / workers as f64);
    let mut cells = vec![
        (workers.to_string(), String::new()),
        cell(rate, metric.format),
        cell(rate, per_worker),
        cell(efficiency, two_decimals),
        (efficiency.map(bar).unwrap_or_default(), String::new()),
    ];
    for peer in peers {
        let peer = find(peer);
        let ratio = own
            .zip(peer)
            .and_then(|(own, peer)| own.ratio_to(peer, metric));
        cells.extend([
            cell(rate_of(peer), metric.format),
            cell(efficiency_of(peer), two_decimals),
            cell(ratio, |ratio| format!("{}x", short(ratio))),
        ]);
    }
    cells
}

fn cell(spread: Option<Spread>, format: impl Fn(f64) -> String) -> Cell {
    let Some(spread) = spread else {
        return ("-".to_owned(), String::new());
    };
    let [median, min, max] = [spread.median, spread.min, spread.max].map(format);
    (median, format!("{min}-{max}"))
}

fn two_decimals(value: f64) -> String {
    format!("{value:.2}")
}

fn bar(efficiency: Spread) -> String {
    let filled = (efficiency.median * BAR_WIDTH as f64).round() as usize;
    let filled = filled.min(BAR_WIDTH);
    "#".repeat(filled) + &"-".repeat(BAR_WIDTH - filled)
}

#[cfg(test)]
mod tests {
    use super::super::super::row::tests::failed;
    use super::super::super::scaling::tests::step;
    use super::*;

    /// What would be printed, with single spaces.
    fn lines(rows: &[Row], rounds: u32) -> Vec<String> {
        let table = table(rows, rounds).to_string();
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        table.lines().map(words).collect()
    }

    #[test]
    fn a_line_shows_what_the_workers_are_worth() {
        let rows = [
            step(1, "evenkeel", &[100.0]),
            step(1, "tokio", &[50.0]),
            step(2, "evenkeel", &[150.0]),
            step(2, "tokio", &[100.0]),
            step(4, "evenkeel", &[100.0]),
            step(4, "tokio", &[400.0]),
        ];
        let expected = [
            "workers evenkeel ns per worker efficiency tokio ns efficiency evenkeel/tokio",
            "1 100 100 1.00 #################### 50.0 1.00 2.00x",
            "2 150 75.0 0.75 ###############----- 100 1.00 1.50x",
            "4 100 25.0 0.25 #####--------------- 400 2.00 0.250x",
        ];
        assert_eq!(lines(&rows, 1), expected);
    }

    #[test]
    fn columns_line_up() {
        let rows = [
            step(1, "evenkeel", &[5.0]),
            step(2, "evenkeel", &[123_456.0]),
        ];
        let table = table(&rows, 1).to_string();
        let lines: Vec<_> = table.lines().collect();
        let end = lines[0].find("evenkeel ns").unwrap() + "evenkeel ns".len();
        assert_eq!(&lines[1][end - "5.00".len()..end], "5.00");
        assert_eq!(&lines[2][end - "123456".len()..end], "123456");
        // The curve is beside its numbers.
        assert_eq!(lines[1].find('#'), lines[2].find('#'));
    }

    #[test]
    fn rounds_show_their_extremes() {
        let rows = [
            step(1, "evenkeel", &[100.0, 100.0, 200.0]),
            step(2, "evenkeel", &[100.0, 200.0, 400.0]),
            step(2, "tokio", &[100.0, 100.0, 100.0]),
        ];
        let expected = [
            "2 200 100 1.00 #################### 100 - 2.00x",
            "100-400 50.0-200 0.50-1.00 100-100 1.00x-4.00x",
        ];
        assert_eq!(lines(&rows, 3)[3..], expected);
    }

    #[test]
    fn what_is_missing_leaves_its_place() {
        let mut tokio = step(2, "tokio", &[]);
        tokio.rounds.push(failed());
        let rows = [step(2, "evenkeel", &[100.0]), tokio];
        assert_eq!(lines(&rows, 1)[1], "2 100 50.0 - - - -");
        let alone = lines(&[step(1, "tokio", &[9.0])], 1);
        assert_eq!(alone[1], "1 - - - 9.00 1.00 -");
    }

    #[test]
    fn a_bar_is_as_long_as_the_efficiency() {
        let bar = |efficiency| bar(Spread::of(&[efficiency]).unwrap());
        assert_eq!(bar(0.0), "-".repeat(20));
        assert_eq!(bar(0.526), "###########---------");
        assert_eq!(bar(1.0), "#".repeat(20));
        assert_eq!(bar(1.7), "#".repeat(20));
    }
}
