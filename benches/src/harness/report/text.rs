//! The report as text, and the other texts about cases.

use std::fmt::{self, Write as _};

use super::super::case::Case;
use super::super::row::{Measured, Row};
use super::super::suite::{Form, Layout, Suite};
use super::data::Report;
use super::{ablation, columns, conditions, lines, quote, scale};
use crate::machine::{self, Fact};
use crate::peers;

/// A measurement in a line.
pub(in crate::harness) fn summary(case: &Case, measured: &Measured) -> String {
    let metrics = case.metrics.iter().zip(&measured.found.values);
    let metrics = metrics.filter_map(|(metric, value)| {
        let text = format!(
            "{} {} {}",
            metric.name,
            (metric.format)((*value)?),
            metric.unit
        );
        Some(text.trim_end().to_owned())
    });
    let metrics: Vec<_> = metrics.chain(measured.found.remarks.clone()).collect();
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
            if suite.layout == Layout::Lines {
                list_contenders(&mut text, case);
            }
        }
    }
    text
}

fn list_contenders(text: &mut String, case: &Case) {
    for contender in case.contenders {
        let name = format!("{}/{}", case.name, contender.name);
        let note = contender
            .twin
            .map(|twin| format!("not run where it is what {} is", twin.name));
        let line = format!("    {name:<30} {}", note.unwrap_or_default());
        let _ = writeln!(text, "{}", line.trim_end());
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_facts(f, self.facts())?;
        for suite in &self.options.suites {
            let rows = self.rows_of(suite);
            if rows.is_empty() {
                continue;
            }
            writeln!(f, "\n{}: {}", suite.name, suite.about)?;
            if self.options.is_ablation() {
                ablation::write(f, rows, &self.options.without)?;
                continue;
            }
            let cases = (suite.cases)(self.options.form);
            match suite.layout {
                Layout::Columns => columns::write(f, rows, self.options.rounds)?,
                Layout::ColumnsAndQuote => {
                    columns::write(f, rows, self.options.rounds)?;
                    write!(f, "{}", quote::table(rows))?;
                }
                Layout::Lines => lines::write(f, cases, rows, self.options.rounds)?,
                Layout::Conditions => conditions::write(f, rows, self.options.rounds)?,
                Layout::Scale => scale::write(f, cases, rows, self.options.rounds)?,
            }
            if let Some(conclusion) = (suite.conclusion)(rows) {
                writeln!(f)?;
                write_facts(f, conclusion.facts)?;
            }
        }
        if self.options.is_ablation() {
            ablation::write_costs(f, self.rows, &self.options.without)?;
        }
        Ok(())
    }
}

fn write_facts(f: &mut fmt::Formatter<'_>, facts: Vec<Fact>) -> fmt::Result {
    for (about, fact) in facts {
        writeln!(f, "{about:<11} {fact}")?;
    }
    Ok(())
}

impl Report<'_> {
    /// What a reader has to know before the numbers.
    fn facts(&self) -> Vec<Fact> {
        let measured = self.rows.iter().flat_map(Row::measured);
        let mut facts = self.machine.facts();
        facts.extend(self.options.cpus.facts());
        facts.extend(machine::facts_of_others(
            self.others,
            measured.map(|round| round.others),
        ));
        for suite in &self.options.suites {
            facts.extend((suite.facts)(self.rows_of(suite)));
        }
        if !self.options.is_ablation() {
            facts.push(("peers:", peers::versions()));
        }
        let (window_s, rounds) = (self.options.window.as_secs_f64(), self.options.rounds);
        facts.push((
            "each:",
            format!("{window_s} s, or what the case needs, x {rounds}; the contenders in turn"),
        ));
        let ratios = match self.options.is_ablation() {
            true => ablation::RATIOS,
            false => "to the best of the bar's peers, each within its round",
        };
        facts.push(("ratios:", ratios.to_owned()));
        if rounds > 1 {
            facts.push((
                "numbers:",
                "medians of the rounds, and their extremes".to_owned(),
            ));
        }
        facts
    }
}

#[cfg(test)]
mod tests {
    use std::slice;
    use std::time::Duration;

    use serde_json::Value;

    use super::super::super::case::EVENKEEL;
    use super::super::super::options::RunOptions;
    use super::super::super::row::LeftOut;
    use super::super::super::row::tests::{NAP, QUIET, SILENT, failed, row, with_late, without};
    use super::*;
    use crate::cpus::Cpus;
    use crate::machine::Machine;
    use crate::stalls::Stalls;

    fn report(layout: Layout, rows: &[Row], rounds: u32) -> (String, Value) {
        let suite = Suite::new("micro", "small", |_| slice::from_ref(&NAP));
        let suite = Suite { layout, ..suite };
        let options = RunOptions {
            suites: vec![Box::leak(Box::new(suite))],
            form: Form::Short,
            only: Vec::new(),
            without: rows.iter().filter_map(|row| row.without).collect(),
            window: Duration::from_secs(4),
            rounds,
            json: None,
            cpus: Cpus::two(),
        };
        let report = Report {
            machine: Machine::read(),
            others: QUIET,
            options: &options,
            rows,
        };
        (report.to_string(), report.to_json())
    }

    /// The lines from the first that starts so.
    fn lines_from(text: &str, start: &str) -> Vec<String> {
        let lines = text.lines().skip_while(|line| !line.starts_with(start));
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let lines: Vec<_> = lines.map(words).collect();
        assert!(!lines.is_empty(), "no line {start:?} in {text}");
        lines
    }

    #[test]
    fn a_line_shows_every_contender_and_the_bar() {
        let rows = [
            row("evenkeel", &[50.0]),
            row("tokio", &[100.0]),
            row("smol", &[200.0]),
        ];
        let (text, _) = report(Layout::Columns, &rows, 1);
        let expected = [
            "nap time ns 50.0 100 200 0.500x <= 0.8 x tokio|smol met",
            "rate /s 100 200 400 0.500x >= 1.2 x tokio NOT MET",
            "100 <= 7 NOT MET",
        ];
        assert_eq!(lines_from(&text, "nap")[..3], expected);
    }

    #[test]
    fn rounds_show_their_median_and_extremes() {
        let rows = [
            row("evenkeel", &[50.0, 90.0, 70.0]),
            row("tokio", &[100.0; 3]),
            row("smol", &[200.0; 3]),
        ];
        let (text, _) = report(Layout::Columns, &rows, 3);
        let lines = lines_from(&text, "nap");
        assert!(lines[0].contains("70.0 100 200 0.700x (0.500 to 0.900)"));
        assert!(lines[1].starts_with("50.0-90.0 100-100"));
    }

    #[test]
    fn a_failure_is_shown_and_loses_no_other_row() {
        let mut tokio = row("tokio", &[]);
        tokio.rounds.push(failed());
        let (text, json) = report(Layout::Columns, &[row("evenkeel", &[50.0]), tokio], 1);
        assert!(text.contains("nap on tokio failed in 1 of 1 rounds: it went away"));
        let lines = lines_from(&text, "nap");
        assert!(lines[0].starts_with("nap time ns 50.0 - "));
        assert!(lines[0].ends_with("not measured"));
        let contenders = &json["cases"][0]["contenders"];
        assert_eq!(contenders["tokio"]["failures"][0], "it went away");
        assert_eq!(contenders["evenkeel"]["rounds"][0]["values"]["time"], 50.0);
    }

    #[test]
    fn a_row_shows_its_ratio_to_evenkeel() {
        let rows = [row("evenkeel", &[50.0]), row("tokio", &[100.0])];
        let (text, _) = report(Layout::Lines, &rows, 1);
        let expected = [
            "time rate/s",
            "evenkeel 50.0 100",
            "tokio 100 200",
            "/ evenkeel 2.00x 2.00x",
        ];
        assert_eq!(lines_from(&text, "nap: sleeps")[1..5], expected);
    }

    #[test]
    fn a_row_shows_its_median_and_extremes() {
        let rows = [row("tokio", &[100.0, 300.0, 200.0])];
        let (text, _) = report(Layout::Lines, &rows, 3);
        let expected = ["tokio 200 400", "from 100 200", "to 300 600"];
        assert_eq!(lines_from(&text, "tokio")[..3], expected);
    }

    #[test]
    fn a_failed_row_is_shown_and_loses_no_other() {
        let mut tokio = row("tokio", &[]);
        tokio.rounds.push(failed());
        let (text, _) = report(Layout::Lines, &[tokio, row("smol", &[9.0])], 1);
        let lines = lines_from(&text, "tokio");
        assert_eq!(lines[..2], ["tokio failed: it went away", "smol 9.00 18.0"]);
    }

    #[test]
    fn a_silent_row_shows_no_number() {
        let (text, json) = report(Layout::Lines, &[row("tokio", &[SILENT])], 1);
        assert_eq!(lines_from(&text, "tokio")[0], "tokio - -");
        let contender = &json["cases"][0]["contenders"]["tokio"];
        assert_eq!(contender["rounds"][0]["values"]["time"], Value::Null);
    }

    #[test]
    fn remarks_and_a_loud_machine_are_told_below_the_row() {
        let mut loud = row("tokio", &[9.0]);
        let measured = loud.rounds[0].as_mut().unwrap();
        measured.others.processes_percent = 50.0;
        measured.found.remarks = vec!["1 connections lost".into(), "it wrote: why".into()];
        let (text, _) = report(Layout::Lines, &[loud], 1);
        let lines = lines_from(&text, "tokio");
        assert!(lines[1].starts_with("NOT QUIET: others took 50%"));
        assert_eq!(lines[2..4], ["1 connections lost", "it wrote: why"]);
    }

    #[test]
    fn what_a_twin_came_to_is_said_once() {
        let mut twin = row("tokio", &[]);
        twin.left_out = Some(LeftOut::SameAs(EVENKEEL));
        let (text, json) = report(Layout::Lines, &[row("evenkeel", &[9.0]), twin], 1);
        assert!(lines_from(&text, "tokio")[0].contains("the same as evenkeel"));
        let contenders = &json["cases"][0]["contenders"];
        assert_eq!(contenders["tokio"]["same_as"], EVENKEEL);
        assert!(contenders["evenkeel"].get("same_as").is_none());
    }

    #[test]
    fn a_program_that_is_not_installed_is_no_failure() {
        let mut row = row("evenkeel", &[]);
        row.left_out = Some(LeftOut::NotInstalled("wrk"));
        let (text, json) = report(Layout::Columns, &[row], 1);
        assert!(
            text.contains("nap on evenkeel: wrk is not installed"),
            "{text}"
        );
        assert!(lines_from(&text, "nap")[0].ends_with("not measured"));
        let contender = &json["cases"][0]["contenders"]["evenkeel"];
        assert_eq!(contender["not_installed"], "wrk");
    }

    #[test]
    fn what_cannot_be_measured_here_is_no_failure() {
        let mut row = row("evenkeel", &[]);
        row.left_out = Some(LeftOut::Obstacle("it is too dark"));
        let (text, json) = report(Layout::Lines, &[row], 1);
        assert_eq!(lines_from(&text, "evenkeel")[0], "evenkeel it is too dark");
        let contender = &json["cases"][0]["contenders"]["evenkeel"];
        assert_eq!(contender["obstacle"], "it is too dark");
    }

    #[test]
    fn a_late_client_is_told_in_place_of_a_verdict() {
        let rows = || {
            [
                with_late(row("evenkeel", &[50.0]), &[6.0]),
                row("tokio", &[100.0]),
                row("smol", &[9.0]),
            ]
        };
        let (text, json) = report(Layout::Lines, &rows(), 1);
        assert_eq!(
            lines_from(&text, "evenkeel")[1],
            "client-limited in time (6.00 of it)"
        );
        let bar = "nap time: <= 0.8 x tokio|smol client-limited 5.556 x";
        assert_eq!(lines_from(&text, "bars for evenkeel")[1], bar);
        let case = &json["cases"][0];
        assert_eq!(case["bars"][0]["result"]["verdict"], "client-limited");
        assert_eq!(case["bars"][1]["result"]["verdict"], "not-met");
        let evenkeel = &case["contenders"]["evenkeel"];
        assert_eq!(evenkeel["client_limited"][0], "time");
        assert_eq!(evenkeel["rounds"][0]["client_late"]["time"], 6.0);
        assert!(case["contenders"]["tokio"].get("client_limited").is_none());

        let (text, _) = report(Layout::Columns, &rows(), 1);
        assert!(
            text.contains("nap on evenkeel: client-limited in time (6.00 of it)"),
            "{text}"
        );
        assert!(lines_from(&text, "nap")[0].ends_with("tokio|smol client-limited"));
    }

    #[test]
    fn what_the_machine_did_is_told_below_the_row() {
        let mut row = row("tokio", &[9.0, 9.0, 9.0]);
        for (round, count) in row.rounds.iter_mut().zip([2, 0]) {
            round.as_mut().unwrap().found.stalls = Some(Stalls {
                count,
                longest_ms: 1.25 * count as f64,
                real_time: true,
            });
        }
        let rows = [row];
        let (text, json) = report(Layout::Lines, &rows, 3);
        let told = "stalls of the machine: 2 seen, longest 2.50 ms";
        assert_eq!(lines_from(&text, "tokio")[1], told);
        let rounds = &json["cases"][0]["contenders"]["tokio"]["rounds"];
        assert_eq!(rounds[1]["stalls"]["count"], 0);
        assert!(rounds[2].get("stalls").is_none());
        let (text, _) = report(Layout::Columns, &rows, 3);
        assert!(text.contains(&format!("nap on tokio: {told}")), "{text}");
    }

    #[test]
    fn an_unmet_bar_is_shouted() {
        let (text, _) = report(Layout::Lines, &[row("evenkeel", &[300.0])], 1);
        let expected = [
            "nap time: <= 0.8 x tokio|smol not measured",
            "nap rate/s: >= 1.2 x tokio not measured",
            "nap rate/s: <= 7 NOT MET 600.000 /s",
        ];
        assert_eq!(lines_from(&text, "bars for evenkeel")[1..], expected);
    }

    #[test]
    fn an_ablation_shows_ratios_and_where_they_are_worst() {
        let rows = [
            row("evenkeel", &[50.0, 100.0, 50.0]),
            without("spin", &[100.0, 200.0, 90.0]),
            without("retire", &[40.0, 80.0, 70.0]),
        ];
        let (text, json) = report(Layout::Lines, &rows, 3);
        let expected = [
            "all on spin retire",
            "nap time ns 50.0 *2.00 (1.80-2.00) 0.800 (0.800-1.40)",
            "nap rate /s 100 2.00 (1.80-2.00) 0.800 (0.800-1.40)",
            "",
            "where the absence costs most",
            "spin: micro/nap time *2.00",
            "retire: micro/nap rate/s 0.800",
        ];
        assert_eq!(lines_from(&text, "micro: small")[1..], expected);
        assert!(!text.contains("bar"), "{text}");
        let case = &json["cases"][0];
        assert!(case["contenders"]["evenkeel without spin"]["rounds"].is_array());
        let effect = &case["ablation"][0];
        assert_eq!(
            (&effect["without"], &effect["metric"]),
            (&"spin".into(), &"time".into())
        );
        assert_eq!(effect["effect"]["ratio"]["median"], 2.0);
        assert_eq!(effect["effect"]["is_clear"], true);
    }

    #[test]
    fn a_wide_ablation_has_a_line_for_each_heuristic_and_keeps_within_the_page() {
        let names = ["a", "b", "c", "d", "e", "f", "g"];
        let mut rows = vec![row("evenkeel", &[100.0, 100.0])];
        rows.extend(names.map(|name| without(name, &[110.0, 120.0])));
        rows[0]
            .rounds
            .iter_mut()
            .flatten()
            .for_each(|one| one.found.values[1] = Some(0.0));
        let mut lost = without("spin", &[SILENT]);
        lost.rounds.push(failed());
        rows.push(lost);
        let (text, _) = report(Layout::Columns, &rows, 2);
        let expected = [
            "nap nap",
            "time rate",
            "ns /s",
            "all on 100 0.000",
            "a *1.15 (1.10-1.20) at 230",
        ];
        let lines = lines_from(&text, "micro: small");
        assert_eq!(lines[1..6], expected);
        assert_eq!(lines[12], "spin - -");
        assert!(lines[13].starts_with("nap on evenkeel without spin failed in 1 of 2 rounds"));
        assert_eq!(lines.last().unwrap(), "spin: nothing");
        let shown = text
            .lines()
            .skip_while(|line| !line.starts_with("micro: small"));
        assert!(shown.into_iter().all(|line| line.len() <= 120), "{text}");
    }

    #[test]
    fn a_summary_has_the_numbers_and_the_remarks() {
        let mut row = row("tokio", &[9.0]);
        let measured = row.rounds[0].as_mut().unwrap();
        measured.found.remarks.push("odd".into());
        measured.found.values[0] = None;
        assert_eq!(summary(&NAP, measured), "rate 18.0 /s, odd");
    }

    #[test]
    fn the_list_names_every_case() {
        let suite = Suite::new("micro", "small", |_| slice::from_ref(&NAP));
        let plain = list(&[&suite], Form::Short);
        assert!(plain.contains("micro/nap") && !plain.contains("nap/tokio"));
        let lines = Suite {
            layout: Layout::Lines,
            ..suite
        };
        assert!(list(&[&lines], Form::Short).contains("nap/tokio"));
    }
}
