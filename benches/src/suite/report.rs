//! The tables, what surrounds them, and the same as JSON.

use std::fmt::{self, Write as _};

use serde_json::{Map, Value, json};

use super::bars::Verdict;
use super::run::{Measured, Row};
use super::{Bar, Case, Form, Limit, Metric, Suite, SuiteOptions, compact};
use crate::machine::{self, Machine, Others};
use crate::peers;
use crate::stats::{Spread, short};

/// A measurement in a line.
pub(super) fn summary(case: &Case, measured: &Measured) -> String {
    let metrics = case.metrics.iter().zip(&measured.values);
    let metrics: Vec<_> = metrics
        .map(|(metric, value)| {
            let text = format!("{} {} {}", metric.name, short(*value), metric.unit);
            text.trim_end().to_owned()
        })
        .collect();
    metrics.join(", ")
}

/// The text of `--list` after these suites.
pub(crate) fn list(suites: &[&Suite], form: Form) -> String {
    let mut text = String::new();
    for suite in suites {
        let _ = writeln!(text, "{}: {}", suite.name, suite.about);
        for case in (suite.cases)(form) {
            let (name, about) = (case.to_string(), case.about);
            let _ = writeln!(text, "  {name:<32} {about}");
        }
    }
    text
}

/// Everything that a run found.
pub(super) struct Report<'a> {
    pub(super) machine: Machine,
    pub(super) others: Others,
    pub(super) options: &'a SuiteOptions,
    pub(super) rows: &'a [Row],
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (about, fact) in self.facts() {
            writeln!(f, "{about:<11} {fact}")?;
        }
        for suite in &self.options.suites {
            let cases: Vec<_> = self
                .cases()
                .into_iter()
                .filter(|rows| rows[0].case.suite == suite.name)
                .collect();
            if !cases.is_empty() {
                writeln!(f, "\n{}: {}", suite.name, suite.about)?;
                write!(f, "{}", table(&cases, self.options.rounds))?;
                write_failures(f, &cases)?;
                if suite.compact {
                    write!(f, "{}", compact::table(&cases))?;
                }
            }
        }
        Ok(())
    }
}

impl Report<'_> {
    /// The rows of each case.
    fn cases(&self) -> Vec<&[Row]> {
        let same = |one: &Row, other: &Row| std::ptr::eq(one.case, other.case);
        self.rows.chunk_by(same).collect()
    }

    /// What a reader has to know before the numbers.
    fn facts(&self) -> Vec<(&'static str, String)> {
        let measured = self.rows.iter().flat_map(Row::measured);
        let mut facts = self.machine.facts();
        facts.extend(machine::facts_of_others(
            self.others,
            measured.map(|round| round.others),
        ));
        facts.push(("peers:", peers::versions()));
        let (window_s, rounds) = (self.options.window.as_secs_f64(), self.options.rounds);
        facts.push((
            "each:",
            format!("{window_s} s, or what the case needs, x {rounds}; the contenders in turn"),
        ));
        let ratios = "to the best of the bar's peers, each within its round";
        facts.push(("ratios:", ratios.to_owned()));
        if rounds > 1 {
            facts.push((
                "numbers:",
                "medians of the rounds, and their extremes".to_owned(),
            ));
        }
        facts
    }

    pub(super) fn to_json(&self) -> Value {
        let cases = self.cases().into_iter().map(|rows| {
            let case = rows[0].case;
            let metrics = case.metrics.iter();
            let metrics = metrics.map(|metric| json!({ "name": metric.name, "unit": metric.unit }));
            let contenders = rows
                .iter()
                .map(|row| (row.contender.to_owned(), contender_json(row)));
            let rows: Vec<_> = rows.iter().collect();
            let bars = case.bars.iter().map(|bar| {
                json!({
                    "metric": bar.metric,
                    "limit": bar.describe(case),
                    "result": bar.judge(&rows),
                })
            });
            json!({
                "suite": case.suite,
                "case": case.name,
                "window_s": self.options.window.max(case.window_min).as_secs_f64(),
                "metrics": metrics.collect::<Vec<_>>(),
                "contenders": contenders.collect::<Map<_, _>>(),
                "bars": bars.collect::<Vec<_>>(),
            })
        });
        json!({
            "machine": self.machine,
            "others": self.others,
            "peers": peers::versions(),
            "window_s": self.options.window.as_secs_f64(),
            "rounds": self.options.rounds,
            "cases": cases.collect::<Vec<_>>(),
        })
    }
}

fn contender_json(row: &Row) -> Value {
    let rounds = row.measured().map(|measured| {
        let metrics = row.case.metrics.iter().zip(&measured.values);
        let values = metrics.map(|(metric, value)| (metric.name.to_owned(), json!(value)));
        json!({ "values": values.collect::<Map<_, _>>(), "others": measured.others })
    });
    json!({
        "rounds": rounds.collect::<Vec<_>>(),
        "failures": row.failures().collect::<Vec<_>>(),
    })
}

/// Cells, to be written in columns as wide as they need.
#[derive(Default)]
struct Table {
    lines: Vec<Vec<String>>,
    /// Which columns hold numbers.
    numbers: std::ops::Range<usize>,
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.lines.first().map_or(0, Vec::len);
        let width = |column: usize| {
            let widths = self.lines.iter().map(|line| line[column].chars().count());
            widths.max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for line in &self.lines {
            let mut text = String::new();
            for (column, (cell, &width)) in line.iter().zip(&widths).enumerate() {
                if self.numbers.contains(&column) {
                    write!(text, "{cell:>width$}  ")?;
                } else {
                    write!(text, "{cell:<width$}  ")?;
                }
            }
            writeln!(f, "{}", text.trim_end())?;
        }
        Ok(())
    }
}

/// The columns before those of the contenders: case, metric, unit.
const NAME_COLUMNS: usize = 3;

/// A line for each metric of each case, more where there are extremes or several bars to show.
fn table(cases: &[&[Row]], rounds: u32) -> Table {
    let mut contenders: Vec<&str> = Vec::new();
    for row in cases.iter().copied().flatten() {
        if !contenders.contains(&row.contender) {
            contenders.push(row.contender);
        }
    }
    let numbers = NAME_COLUMNS..NAME_COLUMNS + contenders.len();
    let mut header = vec![String::new(); NAME_COLUMNS];
    header.extend(contenders.iter().map(ToString::to_string));
    header.extend(["found", "bar", ""].map(str::to_owned));
    let mut lines = vec![header];
    for rows in cases {
        let case = rows[0].case;
        let rows: Vec<_> = rows.iter().collect();
        for (index, metric) in case.metrics.iter().enumerate() {
            let name = if index == 0 { case.name } else { "" };
            lines.extend(metric_lines(name, metric, &rows, &contenders, rounds));
        }
    }
    Table { lines, numbers }
}

fn metric_lines(
    name: &str,
    metric: &Metric,
    rows: &[&Row],
    contenders: &[&str],
    rounds: u32,
) -> Vec<Vec<String>> {
    let spreads = contenders.iter().map(|contender| {
        let row = rows.iter().find(|row| row.contender == *contender)?;
        let rounds = (0..row.rounds.len()).filter_map(|round| row.value(metric.name, round));
        Spread::of(&rounds.collect::<Vec<_>>())
    });
    let spreads: Vec<Option<Spread>> = spreads.collect();
    let cells = |cell: fn(Spread) -> String, none: &str| {
        let cells = spreads
            .iter()
            .map(move |spread| spread.map_or_else(|| none.to_owned(), cell));
        cells.collect::<Vec<_>>()
    };
    let mut bars = rows[0]
        .case
        .bars
        .iter()
        .filter(|bar| bar.metric == metric.name);
    let judged = |bar: Option<&Bar>| match bar {
        Some(bar) => judgement(bar, rows, rounds),
        None => Default::default(),
    };

    let mut line = vec![
        name.to_owned(),
        metric.name.to_owned(),
        metric.unit.to_owned(),
    ];
    line.extend(cells(|spread| short(spread.median), "-"));
    line.extend(judged(bars.next()));
    let mut lines = vec![line];
    if rounds > 1 {
        let mut line = vec![String::new(); NAME_COLUMNS];
        line.extend(cells(
            |spread| format!("{}-{}", short(spread.min), short(spread.max)),
            "",
        ));
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
fn judgement(bar: &Bar, rows: &[&Row], rounds: u32) -> [String; 3] {
    let times = match bar.limit {
        Limit::AtMost(..) | Limit::AtLeast(..) | Limit::AtLeastOfBest(..) => "x",
        Limit::Absolute(_) => "",
    };
    let found = |spread: Spread| {
        let median = format!("{}{times}", short(spread.median));
        match rounds {
            1 => median,
            _ => format!("{median} ({} to {})", short(spread.min), short(spread.max)),
        }
    };
    let (found, verdict) = match bar.judge(rows) {
        Verdict::Met { measured } => (found(measured), "met"),
        Verdict::NotMet { measured } => (found(measured), "NOT MET"),
        Verdict::NoResult => ("failed".to_owned(), "NOT MET"),
        Verdict::NotMeasured => (String::new(), "not measured"),
    };
    [found, bar.describe(rows[0].case), verdict.to_owned()]
}

fn write_failures(f: &mut fmt::Formatter<'_>, cases: &[&[Row]]) -> fmt::Result {
    for row in cases.iter().copied().flatten() {
        let failures = row.failures().count();
        if let Some(failure) = row.failures().next() {
            let (name, contender, rounds) = (row.case.name, row.contender, row.rounds.len());
            writeln!(
                f,
                "{name} on {contender} failed in {failures} of {rounds} rounds: {failure}"
            )?;
        }
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::super::in_child;
    use super::*;

    const QUIET: Others = Others {
        steal_percent: 0.25,
        processes_percent: 1.0,
    };

    pub(in crate::suite) static CASE: Case = Case {
        suite: "micro",
        name: "nap",
        about: "sleeps",
        metrics: &[
            Metric {
                name: "time",
                unit: "ns",
            },
            Metric {
                name: "rate",
                unit: "/s",
            },
        ],
        contenders: &["evenkeel", "tokio", "smol"],
        bars: &[
            Bar {
                metric: "time",
                limit: Limit::AtMost(0.8, &["tokio", "smol"]),
            },
            Bar {
                metric: "rate",
                limit: Limit::AtLeast(1.2, &["tokio"]),
            },
            Bar {
                metric: "rate",
                limit: Limit::Absolute(7.0),
            },
        ],
        window_min: Duration::ZERO,
        measure: in_child,
    };

    /// A row from the time in each round; the rate is twice the number.
    pub(in crate::suite) fn row(contender: &'static str, times: &[f64]) -> Row {
        let rounds = times.iter().map(|time| {
            Ok(Measured {
                values: vec![*time, 2.0 * time],
                others: QUIET,
            })
        });
        Row {
            case: &CASE,
            contender,
            rounds: rounds.collect(),
        }
    }

    pub(in crate::suite) fn failed() -> Result<Measured, String> {
        Err("it went away".to_owned())
    }

    fn report(rows: &[Row], rounds: u32) -> (String, Value) {
        let options = SuiteOptions {
            suites: vec![Suite::named("micro").unwrap()],
            window: Duration::from_secs(4),
            rounds,
            ..SuiteOptions::default()
        };
        let report = Report {
            machine: Machine::read(),
            others: QUIET,
            options: &options,
            rows,
        };
        (report.to_string(), report.to_json())
    }

    fn lines_from<'a>(text: &'a str, start: &str) -> Vec<Vec<&'a str>> {
        let lines = text.lines().skip_while(|line| !line.starts_with(start));
        lines
            .map(|line| line.split_whitespace().collect())
            .collect()
    }

    #[test]
    fn a_line_shows_every_contender_and_the_bar() {
        let rows = [
            row("evenkeel", &[50.0]),
            row("tokio", &[100.0]),
            row("smol", &[200.0]),
        ];
        let (text, _) = report(&rows, 1);
        let lines = lines_from(&text, "nap");
        assert_eq!(
            lines[0].join(" "),
            "nap time ns 50.0 100 200 0.500x <= 0.8 x tokio|smol met"
        );
        assert_eq!(
            lines[1].join(" "),
            "rate /s 100 200 400 0.500x >= 1.2 x tokio NOT MET"
        );
        assert_eq!(lines[2].join(" "), "100 <= 7 NOT MET");
    }

    #[test]
    fn rounds_show_their_median_and_extremes() {
        let rows = [
            row("evenkeel", &[50.0, 90.0, 70.0]),
            row("tokio", &[100.0; 3]),
            row("smol", &[200.0; 3]),
        ];
        let (text, _) = report(&rows, 3);
        let lines = lines_from(&text, "nap");
        assert!(
            lines[0]
                .join(" ")
                .contains("70.0 100 200 0.700x (0.500 to 0.900)")
        );
        assert_eq!(lines[1][..2], ["50.0-90.0", "100-100"]);
    }

    #[test]
    fn a_failure_is_shown_and_loses_no_other_row() {
        let mut tokio = row("tokio", &[]);
        tokio.rounds.push(failed());
        let (text, json) = report(&[row("evenkeel", &[50.0]), tokio], 1);
        assert!(text.contains("nap on tokio failed in 1 of 1 rounds: it went away"));
        let lines = lines_from(&text, "nap");
        assert!(lines[0].join(" ").starts_with("nap time ns 50.0 - "));
        assert!(lines[0].join(" ").ends_with("not measured"));
        let contenders = &json["cases"][0]["contenders"];
        assert_eq!(contenders["tokio"]["failures"][0], "it went away");
        assert_eq!(contenders["evenkeel"]["rounds"][0]["values"]["time"], 50.0);
    }

    #[test]
    fn columns_line_up() {
        let rows = [row("evenkeel", &[5.0]), row("tokio", &[123_456.0])];
        let table = table(&[&rows[..]], 1).to_string();
        let lines: Vec<_> = table.lines().collect();
        let end = lines[0].find("tokio").unwrap() + "tokio".len();
        assert_eq!(&lines[1][end - "123456".len()..end], "123456");
    }

    #[test]
    fn the_list_names_every_case() {
        let suite = Suite::named("micro").unwrap();
        let list = list(&[suite], Form::Short);
        let named = |case: &Case| list.contains(&case.to_string());
        assert!((suite.cases)(Form::Short).iter().all(named));
    }
}
