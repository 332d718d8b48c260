//! Two tables for each condition: the first metric of each workload, with its best and its worst
//! contender marked, and the others. A column for each contender.

use std::fmt;

use super::super::case::{Case, Metric};
use super::super::row::{Row, by_case};
use super::columns::{write_about, write_stalls};
use super::table::Table;
use crate::machine::QUIET_PERCENT;
use crate::stats::Spread;

/// The columns before those of the contenders: workload, metric.
const NAME_COLUMNS: usize = 2;

const BEST: char = '+';
const WORST: char = '-';

/// Writes the rows of a suite, and what is missing in them.
pub(super) fn write(f: &mut fmt::Formatter<'_>, rows: &[Row], rounds: u32) -> fmt::Result {
    for alike in rows.chunk_by(|one, other| condition(one.case) == condition(other.case)) {
        let about = alike[0]
            .case
            .place
            .map_or("", |place| place.condition.about);
        writeln!(
            f,
            "\n{}: {about}; best {BEST}, worst {WORST}",
            condition(alike[0].case)
        )?;
        write!(f, "{}", judged(alike, rounds))?;
        write!(
            f,
            "\n{}: the rest, medians\n{}",
            condition(alike[0].case),
            rest(alike)
        )?;
    }
    writeln!(f)?;
    write_missing(f, rows)
}

fn condition(case: &Case) -> &'static str {
    case.place.map_or("", |place| place.condition.name)
}

fn workload(case: &Case) -> &'static str {
    case.place.map_or(case.name, |place| place.workload)
}

/// The first metric of each case, and its extremes below it if there were several rounds.
fn judged(rows: &[Row], rounds: u32) -> Table {
    let contenders = contenders(rows);
    table(rows, |of_case| {
        let (case, metric) = (of_case[0].case, &of_case[0].case.metrics[0]);
        let spreads = spreads(of_case, &contenders, metric);
        let (best, worst) = extremes(&spreads, metric);
        let cell = |index: usize| match spreads[index] {
            Some(spread) => {
                let mark = match index {
                    _ if Some(index) == best => BEST,
                    _ if Some(index) == worst => WORST,
                    _ => ' ',
                };
                format!("{}{mark}", (metric.format)(spread.median))
            }
            None => absent(metric),
        };
        let mut line = names(workload(case), metric);
        line.extend((0..contenders.len()).map(cell));
        let mut lines = vec![line];
        if rounds > 1 {
            let range = |spread: &Option<Spread>| {
                let range = spread.map(|spread| [spread.min, spread.max].map(metric.format));
                range.map_or_else(String::new, |[min, max]| format!("{min}-{max} "))
            };
            let mut line = vec![String::new(); NAME_COLUMNS];
            line.extend(spreads.iter().map(range));
            lines.push(line);
        }
        lines
    })
}

/// The other metrics of each case.
fn rest(rows: &[Row]) -> Table {
    let contenders = contenders(rows);
    table(rows, |of_case| {
        let case = of_case[0].case;
        let others = case.metrics.iter().enumerate().skip(1);
        let lines = others.map(|(index, metric)| {
            let spreads = spreads(of_case, &contenders, metric);
            let cell = |spread: &Option<Spread>| {
                let median = spread.map(|spread| format!("{} ", (metric.format)(spread.median)));
                median.unwrap_or_else(|| absent(metric))
            };
            let mut line = names(if index == 1 { workload(case) } else { "" }, metric);
            line.extend(spreads.iter().map(cell));
            line
        });
        lines.collect()
    })
}

/// A heading, and then lines for each case.
fn table(rows: &[Row], lines_of: impl Fn(&[Row]) -> Vec<Vec<String>>) -> Table {
    let contenders = contenders(rows);
    let numbers = NAME_COLUMNS..NAME_COLUMNS + contenders.len();
    let mut header = vec![String::new(); NAME_COLUMNS];
    // Above the numbers, which have room for a mark after them.
    header.extend(contenders.iter().map(|name| format!("{name} ")));
    let mut lines = vec![header];
    lines.extend(by_case(rows).flat_map(lines_of));
    Table { lines, numbers }
}

/// In the order in which they come.
fn contenders(rows: &[Row]) -> Vec<&'static str> {
    let mut contenders = Vec::new();
    for row in rows {
        if !contenders.contains(&row.contender.name) {
            contenders.push(row.contender.name);
        }
    }
    contenders
}

fn names(workload: &str, metric: &Metric) -> Vec<String> {
    let metric = format!("{} {}", metric.name, metric.unit);
    vec![workload.to_owned(), metric]
}

/// The metric of each contender.
fn spreads(of_case: &[Row], contenders: &[&str], metric: &Metric) -> Vec<Option<Spread>> {
    let spread = |contender: &&str| {
        let row = of_case.iter().find(|row| row.contender.name == *contender);
        row?.spread(metric)
    };
    contenders.iter().map(spread).collect()
}

/// What is shown where there is no number.
fn absent(metric: &Metric) -> String {
    format!("{} ", metric.absent)
}

/// Who is the best and who the worst by the median, unless all are as good.
fn extremes(spreads: &[Option<Spread>], metric: &Metric) -> (Option<usize>, Option<usize>) {
    let medians = spreads.iter().enumerate();
    let medians = medians.filter_map(|(index, spread)| Some((index, (*spread)?.median)));
    let mut medians: Vec<_> = medians.collect();
    medians.sort_by(|(_, one), (_, other)| one.total_cmp(other));
    if metric.higher_is_better {
        medians.reverse();
    }
    match (medians.first(), medians.last()) {
        (Some((best, one)), Some((worst, other))) if one != other => (Some(*best), Some(*worst)),
        _ => (None, None),
    }
}

/// What failed, what was left out, and what says little of the contender.
fn write_missing(f: &mut fmt::Formatter<'_>, rows: &[Row]) -> fmt::Result {
    for row in rows {
        write_about(f, row)?;
        let others = row.measured().map(|one| one.others.total_percent());
        let others = others.fold(0.0, f64::max);
        if others > QUIET_PERCENT {
            let (case, who) = (row.case.name, row.who());
            writeln!(
                f,
                "{case} on {who}: NOT QUIET, others took {others:.0}% of all CPU time"
            )?;
        }
    }
    write_stalls(f, rows)
}

#[cfg(test)]
mod tests {
    use super::super::super::case::{Condition, Place};
    use super::super::super::row::tests::{CASE, failed, row};
    use super::*;
    use crate::stalls::Stalls;

    const fn case(workload: &'static str, name: &'static str, condition: &'static str) -> Case {
        Case {
            name,
            place: Some(Place {
                workload,
                condition: Condition {
                    name: condition,
                    about: "so it is",
                },
            }),
            ..CASE
        }
    }

    static NAP_ALONE: Case = case("nap", "nap_alone", "alone");
    static DOZE_ALONE: Case = case("doze", "doze_alone", "alone");
    static NAP_CROWD: Case = case("nap", "nap_crowd", "crowd");

    fn in_case(case: &'static Case, contender: &str, times: &[f64]) -> Row {
        Row {
            case,
            ..row(contender, times)
        }
    }

    struct Written<'a>(&'a [Row], u32);

    impl fmt::Display for Written<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write(f, self.0, self.1)
        }
    }

    /// What would be printed, with single spaces and without empty lines.
    fn lines(rows: &[Row], rounds: u32) -> Vec<String> {
        let text = Written(rows, rounds).to_string();
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let lines = text.lines().map(words);
        lines.filter(|line| !line.is_empty()).collect()
    }

    #[test]
    fn each_condition_has_its_tables_with_the_best_and_the_worst_marked() {
        let rows = [
            in_case(&NAP_ALONE, "evenkeel", &[50.0]),
            in_case(&NAP_ALONE, "tokio", &[70.0]),
            in_case(&NAP_ALONE, "smol", &[60.0]),
            in_case(&DOZE_ALONE, "evenkeel", &[9.0]),
            in_case(&DOZE_ALONE, "tokio", &[8.0]),
            in_case(&NAP_CROWD, "tokio", &[7.0]),
        ];
        let expected = [
            "alone: so it is; best +, worst -",
            "evenkeel tokio smol",
            "nap time ns 50.0+ 70.0- 60.0",
            "doze time ns 9.00- 8.00+ -",
            "alone: the rest, medians",
            "evenkeel tokio smol",
            "nap rate /s 100 140 120",
            "doze rate /s 18.0 16.0 -",
            "crowd: so it is; best +, worst -",
            "tokio",
            "nap time ns 7.00",
        ];
        assert_eq!(lines(&rows, 1)[..expected.len()], expected);
    }

    #[test]
    fn rounds_show_their_extremes() {
        let rows = [
            in_case(&NAP_ALONE, "evenkeel", &[50.0, 90.0, 70.0]),
            in_case(&NAP_ALONE, "tokio", &[60.0; 3]),
        ];
        let expected = ["nap time ns 70.0- 60.0+", "50.0-90.0 60.0-60.0"];
        assert_eq!(lines(&rows, 3)[2..4], expected);
    }

    #[test]
    fn what_failed_has_no_number_and_a_reason() {
        let mut lost = in_case(&NAP_ALONE, "tokio", &[]);
        lost.rounds.push(failed());
        let lines = lines(&[in_case(&NAP_ALONE, "evenkeel", &[50.0]), lost], 1);
        assert_eq!(lines[2], "nap time ns 50.0 -");
        let failure = "nap_alone on tokio failed in 1 of 1 rounds: it went away";
        assert!(lines.contains(&failure.to_owned()), "{lines:?}");
    }

    #[test]
    fn a_loud_machine_is_told() {
        let mut loud = in_case(&NAP_ALONE, "tokio", &[50.0]);
        loud.rounds[0].as_mut().unwrap().others.processes_percent = 28.8;
        let lines = lines(&[loud, in_case(&NAP_ALONE, "smol", &[50.0])], 1);
        let told = "nap_alone on tokio: NOT QUIET, others took 29% of all CPU time";
        assert_eq!(lines.last().unwrap(), told);
    }

    #[test]
    fn the_stalls_of_all_rows_are_told_together() {
        let stalled = |contender, longest_ms| {
            let mut row = in_case(&NAP_ALONE, contender, &[50.0]);
            row.rounds[0].as_mut().unwrap().found.stalls = Some(Stalls {
                count: 2,
                longest_ms,
                real_time: true,
            });
            row
        };
        let rows = [
            stalled("evenkeel", 1.5),
            stalled("tokio", 2.5),
            in_case(&NAP_ALONE, "smol", &[50.0]),
        ];
        let told = "stalls of the machine: 4 seen, longest 2.50 ms, on tokio in nap_alone; in 2 \
                    of 3 rows";
        assert_eq!(lines(&rows, 1).last().unwrap(), told);
    }

    #[test]
    fn more_is_better_where_the_metric_says_so() {
        let spread = |value| Spread::of(&[value]);
        let spreads = [spread(1.0), None, spread(3.0)];
        let [time, rate] = [&CASE.metrics[0], &CASE.metrics[1]];
        assert_eq!(extremes(&spreads, time), (Some(0), Some(2)));
        assert_eq!(extremes(&spreads, rate), (Some(2), Some(0)));
        assert_eq!(extremes(&[spread(1.0), spread(1.0)], time), (None, None));
    }
}
