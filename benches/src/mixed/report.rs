//! The table, what surrounds it, and the same as JSON.

use std::fmt::{self, Write as _};

use serde_json::{Value, json};

use super::bars::{BARS, Verdict};
use super::cases::{CASES, EVENKEEL, Pinning, Workload};
use super::metric::Metric;
use super::run::{Measured, Row, chosen_pinning};
use super::{CONNECTIONS, GRACE, MESSAGE_BYTES, MixedOptions};
use crate::machine::{self, Machine, Others, QUIET_PERCENT};
use crate::peers;
use crate::stats::{Spread, short};

/// A measurement in a line.
pub(super) fn summary(measured: &Measured) -> String {
    let mut line = String::new();
    for metric in Metric::ALL {
        let Some(value) = metric.of(measured) else {
            continue;
        };
        let separator = if line.is_empty() { "" } else { ", " };
        let _ = write!(
            line,
            "{separator}{} {}",
            metric.name(),
            metric.format(value)
        );
    }
    match measured.latencies.lost_connections {
        0 => {}
        lost => line.push_str(&format!(", {lost} connections lost")),
    }
    if measured.latencies.answered == 0 {
        line.insert_str(0, "no answer; ");
    }
    line
}

/// The text of `--list`.
pub(crate) fn list() -> String {
    let mut text = String::new();
    for workload in Workload::ALL {
        let _ = writeln!(text, "{}: {}", workload.name(), workload.description());
        for case in CASES.iter().filter(|case| case.workload == workload) {
            let note = match case.pinning() {
                Some(Pinning::Auto) => "  (pinning: auto)",
                Some(_) => "  (not run where it is what auto chooses)",
                None => "",
            };
            let _ = writeln!(text, "  {case}{note}");
        }
    }
    text
}

/// Everything that a run found.
pub(super) struct Report<'a> {
    pub(super) machine: Machine,
    pub(super) others: Others,
    pub(super) options: &'a MixedOptions,
    pub(super) rows: &'a [Row],
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (about, fact) in self.facts() {
            writeln!(f, "{about:<11} {fact}")?;
        }
        for workload in Workload::ALL {
            let rows = self.rows.iter().filter(|row| row.case.workload == workload);
            let rows: Vec<_> = rows.collect();
            if !rows.is_empty() {
                write_table(f, workload, &rows, self.options.rounds)?;
            }
        }
        self.write_bars(f)
    }
}

impl Report<'_> {
    /// What a reader has to know before the numbers.
    fn facts(&self) -> Vec<(&'static str, String)> {
        let mut facts = self.machine.facts();
        let of_cases = self.measured().map(|case| case.others);
        facts.extend(machine::facts_of_others(self.others, of_cases));
        if let Some(client) = self.measured().next() {
            let late = self.measured().map(|case| case.latencies.sent_late_p99_us);
            let late = short(late.fold(0.0, f64::max) / 1e3);
            let priority = &client.latencies.priority;
            facts.push((
                "client:",
                format!("{priority}; it sent up to {late} ms late (p99)"),
            ));
        }
        facts.extend(self.facts_of_evenkeel());
        facts.push(("peers:", peers::versions()));
        let (window_s, rounds) = (self.options.window.as_secs_f64(), self.options.rounds);
        let medians = if rounds > 1 { " (medians)" } else { "" };
        let grace_s = GRACE.as_secs();
        facts.extend([
            (
                "each case:",
                format!("{window_s} s x {rounds}{medians}, open loop"),
            ),
            (
                "",
                format!("{CONNECTIONS} connections, {MESSAGE_BYTES}-byte messages"),
            ),
            (
                "latencies:",
                format!("ms from the due time; what has no answer {grace_s} s after"),
            ),
            (
                "",
                "the end counts with the age that it has then".to_owned(),
            ),
        ]);
        facts
    }

    fn facts_of_evenkeel(&self) -> Vec<(&'static str, String)> {
        let auto = self
            .rows
            .iter()
            .filter(|row| row.case.pinning() == Some(Pinning::Auto));
        let auto = auto
            .flat_map(Row::measured)
            .next()
            .map(|case| chosen_pinning(case).name());
        let auto = auto.map(|chosen| ("evenkeel:", format!("pinning auto is {chosen} here")));
        let priority = self
            .measured()
            .find_map(|case| case.compute_priority.as_ref());
        let priority = priority.map(|mode| ("", format!("compute lane's priority: {mode}")));
        auto.into_iter().chain(priority).collect()
    }

    fn measured(&self) -> impl Iterator<Item = &Measured> {
        self.rows.iter().flat_map(Row::measured)
    }

    fn write_bars(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nbars for evenkeel")?;
        for bar in BARS {
            let found = |spread: Spread| {
                format!("{:.3} {}{}", spread.median, bar.unit(), self.range(spread))
            };
            let (verdict, measured) = match bar.judge(self.rows) {
                Verdict::Met { measured } => ("met", found(measured)),
                Verdict::NotMet { measured } => ("NOT MET", found(measured)),
                Verdict::NoResult => ("NOT MET", "no answer, or failed".to_owned()),
                Verdict::NotMeasured => ("not measured", String::new()),
            };
            writeln!(f, "  {:<58} {verdict:<12} {measured}", bar.describe())?;
        }
        Ok(())
    }

    fn range(&self, spread: Spread) -> String {
        if self.options.rounds == 1 {
            return String::new();
        }
        format!(" ({:.3} to {:.3})", spread.min, spread.max)
    }

    pub(super) fn to_json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            json!({
                "workload": row.case.workload,
                "runtime": row.case.runtime,
                "rounds": row.measured().collect::<Vec<_>>(),
                "failures": row.failures().collect::<Vec<_>>(),
                "same_as_auto": row.same_as_auto,
            })
        });
        let bars = BARS.iter().map(|bar| {
            json!({ "bar": bar.describe(), "unit": bar.unit(), "result": bar.judge(self.rows) })
        });
        json!({
            "machine": self.machine,
            "others": self.others,
            "peers": peers::versions(),
            "window_s": self.options.window.as_secs_f64(),
            "rounds": self.options.rounds,
            "cases": rows.collect::<Vec<_>>(),
            "bars": bars.collect::<Vec<_>>(),
        })
    }
}

fn write_table(
    f: &mut fmt::Formatter<'_>,
    workload: Workload,
    rows: &[&Row],
    rounds: u32,
) -> fmt::Result {
    writeln!(f, "\n{}: {}", workload.name(), workload.description())?;
    write_line(f, "", |metric| metric.name().to_owned())?;
    let base = rows
        .iter()
        .find(|row| row.case.runtime == EVENKEEL)
        .copied();
    for row in rows {
        let name = row.case.runtime;
        if row.same_as_auto {
            writeln!(
                f,
                "{name:<NAME_WIDTH$} as {EVENKEEL}, whose pinning auto is the same here"
            )?;
            continue;
        }
        if let Some(failure) = row.failures().next() {
            writeln!(f, "{name:<NAME_WIDTH$} failed: {failure}")?;
        }
        if row.measured().next().is_none() {
            continue;
        }
        write_line(f, name, |metric| cell(metric, row))?;
        let others = row
            .measured()
            .map(|case| case.others.total_percent())
            .fold(0.0, f64::max);
        if others > QUIET_PERCENT {
            writeln!(f, "  NOT QUIET: others took {others:.0}% of all CPU time")?;
        }
        if let Some(case) = row.measured().find(|case| !case.server_stderr.is_empty()) {
            writeln!(f, "  its server wrote: {}", case.server_stderr)?;
        }
        if rounds > 1 {
            write_line(f, "  from", |metric| {
                metric
                    .spread(row)
                    .map_or_else(String::new, |spread| metric.format(spread.min))
            })?;
            write_line(f, "  to", |metric| {
                metric
                    .spread(row)
                    .map_or_else(String::new, |spread| metric.format(spread.max))
            })?;
        }
        if name != EVENKEEL && base.is_some() {
            let ratio = |metric: Metric| metric.ratio_to(row, base);
            write_line(f, "  / evenkeel", |metric| {
                ratio(metric).map_or_else(String::new, |ratio| format!("{}x", short(ratio.median)))
            })?;
        }
    }
    Ok(())
}

const NAME_WIDTH: usize = 22;
const CELL_WIDTH: usize = 10;

fn write_line(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    cell: impl Fn(Metric) -> String,
) -> fmt::Result {
    write!(f, "{name:<NAME_WIDTH$}")?;
    for metric in Metric::ALL {
        write!(f, "{:>CELL_WIDTH$}", cell(metric))?;
    }
    writeln!(f)
}

fn cell(metric: Metric, row: &Row) -> String {
    match metric.spread(row) {
        Some(spread) => metric.format(spread.median),
        None if metric == Metric::JobsPerS => "-".to_owned(),
        None => "no answer".to_owned(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::super::cases::Case;
    use super::super::client::Latencies;
    use super::*;

    const QUIET: Others = Others {
        steal_percent: 0.25,
        processes_percent: 1.0,
    };

    fn measured(p50_us: f64, answered: u64, jobs_per_s: Option<f64>) -> Measured {
        let latencies = Latencies {
            requests: 1,
            answered,
            p50_us,
            p90_us: 2.0 * p50_us,
            p99_us: 3.0 * p50_us,
            p999_us: 4.0 * p50_us,
            max_us: 5.0 * p50_us,
            sent_late_p99_us: 10.0,
            lost_connections: 0,
            priority: "SCHED_FIFO 10".to_owned(),
        };
        Measured {
            latencies,
            jobs_per_s,
            server_cpus: 1.0,
            pinned: true,
            compute_priority: None,
            server_stderr: String::new(),
            others: QUIET,
        }
    }

    /// A row from the case's name and, for each round: p50 in us, requests answered of one, jobs
    /// per second.
    pub(in crate::mixed) fn row(name: &str, rounds: &[(f64, u64, Option<f64>)]) -> Row {
        let rounds = rounds
            .iter()
            .map(|&(p50_us, answered, jobs)| Ok(measured(p50_us, answered, jobs)));
        Row {
            case: Case::named(name).unwrap(),
            rounds: rounds.collect(),
            same_as_auto: false,
        }
    }

    fn report(rows: &[Row], rounds: u32) -> (String, Value) {
        let others = Others {
            steal_percent: 0.25,
            processes_percent: 1.0,
        };
        let options = MixedOptions {
            window: Duration::from_secs(4),
            rounds,
            ..MixedOptions::default()
        };
        let report = Report {
            machine: Machine::read(),
            others,
            options: &options,
            rows,
        };
        (report.to_string(), report.to_json())
    }

    fn line<'a>(text: &'a str, start: &str) -> &'a str {
        text.lines()
            .find(|line| line.starts_with(start))
            .unwrap_or_else(|| panic!("no line {start:?} in {text}"))
    }

    #[test]
    fn a_row_shows_milliseconds_and_its_ratio_to_evenkeel() {
        let rows = [
            row("light/evenkeel", &[(50.0, 1, Some(90.0))]),
            row("light/tokio+rayon", &[(100.0, 1, Some(45.0))]),
        ];
        let (text, _) = report(&rows, 1);
        let cells: Vec<_> = line(&text, "tokio+rayon").split_whitespace().collect();
        assert_eq!(
            cells,
            [
                "tokio+rayon",
                "0.100",
                "0.200",
                "0.300",
                "0.400",
                "0.500",
                "100.0%",
                "45.0"
            ]
        );
        let cells: Vec<_> = line(&text, "  / evenkeel").split_whitespace().collect();
        assert_eq!(
            cells,
            [
                "/", "evenkeel", "2.00x", "2.00x", "2.00x", "2.00x", "2.00x", "1.00x", "0.500x"
            ]
        );
    }

    #[test]
    fn a_silent_peer_shows_no_number() {
        let (text, _) = report(&[row("light/tokio+spawn", &[(9.0, 0, Some(97.0))])], 1);
        let row = line(&text, "tokio+spawn");
        assert_eq!(row.matches("no answer").count(), 5);
        assert!(row.contains("0.0%") && row.contains("97.0"));
    }

    #[test]
    fn a_failure_is_shown_and_loses_no_other_row() {
        let mut failed = row("light/tokio+rayon", &[]);
        failed.rounds.push(Err("the server went away".to_owned()));
        let (text, json) = report(
            &[failed, row("light/smol+unblock", &[(9.0, 1, Some(9.0))])],
            1,
        );
        assert!(line(&text, "tokio+rayon").contains("failed: the server went away"));
        assert!(line(&text, "smol+unblock").contains("0.009"));
        assert_eq!(json["cases"][0]["failures"][0], "the server went away");
        assert_eq!(json["cases"][1]["rounds"][0]["p50_us"], 9.0);
    }

    #[test]
    fn rounds_show_their_median_and_extremes() {
        let rows = [row(
            "light/tokio+rayon",
            &[(100.0, 1, None), (300.0, 1, None), (200.0, 1, None)],
        )];
        let (text, _) = report(&rows, 3);
        assert!(line(&text, "tokio+rayon").contains("0.200"));
        assert!(line(&text, "  from").contains("0.100"));
        assert!(line(&text, "  to").contains("0.300"));
    }

    #[test]
    fn what_auto_came_to_is_said_once_and_not_run_again() {
        let mut skipped = row("light/evenkeel:per-core", &[]);
        skipped.same_as_auto = true;
        let (text, json) = report(&[row("light/evenkeel", &[(9.0, 1, None)]), skipped], 1);
        assert!(line(&text, "evenkeel:per-core").contains("as evenkeel"));
        assert!(text.contains("pinning auto is per-core here"));
        assert_eq!(json["cases"][1]["same_as_auto"], true);
    }

    #[test]
    fn an_unmet_bar_is_shouted() {
        let rows = [row("blocked/evenkeel", &[(300.0, 1, None)])];
        let (text, _) = report(&rows, 1);
        let bar = text
            .lines()
            .find(|line| line.contains("blocked p50"))
            .unwrap();
        assert!(bar.contains("NOT MET") && bar.contains("0.300 ms"));
        assert!(
            text.lines()
                .any(|line| line.contains("light p50") && line.contains("not measured"))
        );
    }

    #[test]
    fn the_list_names_every_case() {
        let list = list();
        assert!(CASES.iter().all(|case| list.contains(&format!("  {case}"))));
    }
}
