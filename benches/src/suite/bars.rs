//! Whether Evenkeel reaches what a case asks of it. A bar that is not met is reported so.

use serde::Serialize;

use super::run::Row;
use super::{Bar, Case, EVENKEEL, Limit};
use crate::stats::Spread;

/// How a bar was found.
#[derive(Debug, PartialEq, Serialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub(super) enum Verdict {
    Met {
        measured: Spread,
    },
    NotMet {
        measured: Spread,
    },
    /// Evenkeel failed in some round. As bad as can be.
    NoResult,
    /// No round in which every peer that it needs was measured.
    NotMeasured,
}

impl Bar {
    /// The limit, as short as it goes.
    pub(super) fn describe(&self, case: &Case) -> String {
        let best = |peers: &[&str]| match peers {
            // Their names would fill a line.
            [_, _, _, ..] if peers == &case.contenders[1..] => "the best other".to_owned(),
            _ => peers.join("|"),
        };
        match self.limit {
            Limit::AtMost(times, peers) => format!("<= {times} x {}", best(peers)),
            Limit::AtLeast(times, peers) => format!(">= {times} x {}", best(peers)),
            Limit::AtLeastOfBest(times, by, peers) => {
                format!(">= {times} x {} by {by}", best(peers))
            }
            Limit::Absolute(limit) => format!("<= {limit}"),
        }
    }

    /// Judges by the rows of the bar's case.
    pub(super) fn judge(&self, rows: &[&Row]) -> Verdict {
        let own = match find(rows, EVENKEEL) {
            None => return Verdict::NotMeasured,
            Some(own) if own.failures().next().is_some() => return Verdict::NoResult,
            Some(own) => own,
        };
        let rounds = 0..own.rounds.len();
        let measured: Vec<f64> = rounds
            .filter_map(|round| self.compared(rows, own, round))
            .collect();
        let met: fn(f64, f64) -> bool = match self.limit {
            Limit::AtMost(..) | Limit::Absolute(_) => |value, limit| value <= limit,
            Limit::AtLeast(..) | Limit::AtLeastOfBest(..) => |value, limit| value >= limit,
        };
        let (Limit::AtMost(limit, _)
        | Limit::AtLeast(limit, _)
        | Limit::AtLeastOfBest(limit, ..)
        | Limit::Absolute(limit)) = self.limit;
        match Spread::of(&measured) {
            None => Verdict::NotMeasured,
            Some(measured) if met(measured.median, limit) => Verdict::Met { measured },
            Some(measured) => Verdict::NotMet { measured },
        }
    }

    /// What the limit is about, in one round: Evenkeel's value, or its ratio to the best peer's of
    /// the same round. `None` unless every peer has one: the best might be the one that is missing.
    fn compared(&self, rows: &[&Row], own: &Row, round: usize) -> Option<f64> {
        let value = own.value(self.metric, round)?;
        let of_peers = |metric, peers: &[&str]| {
            let values = peers
                .iter()
                .map(|peer| find(rows, peer)?.value(metric, round));
            values.collect::<Option<Vec<f64>>>()
        };
        let best = match self.limit {
            Limit::Absolute(_) => return Some(value),
            Limit::AtMost(_, peers) => of_peers(self.metric, peers)?.into_iter().reduce(f64::min),
            Limit::AtLeast(_, peers) => of_peers(self.metric, peers)?.into_iter().reduce(f64::max),
            Limit::AtLeastOfBest(_, by, peers) => {
                let ranks = of_peers(by, peers)?;
                let ranked = ranks.into_iter().zip(of_peers(self.metric, peers)?);
                let best = ranked.min_by(|one, other| one.0.total_cmp(&other.0));
                best.map(|(_, value)| value)
            }
        }?;
        (best > 0.0).then(|| value / best)
    }
}

fn find<'a>(rows: &[&'a Row], contender: &str) -> Option<&'a Row> {
    rows.iter().find(|row| row.contender == contender).copied()
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::{CASE, failed, row};
    use super::*;

    const TIME: Bar = Bar {
        metric: "time",
        limit: Limit::AtMost(0.8, &["tokio", "smol"]),
    };
    const RATE: Bar = Bar {
        metric: "time",
        limit: Limit::AtLeast(1.2, &["tokio", "smol"]),
    };

    fn judge(bar: &Bar, rows: &[Row]) -> Verdict {
        bar.judge(&rows.iter().collect::<Vec<_>>())
    }

    #[test]
    fn at_most_is_about_the_lowest_peer() {
        let at = |own| {
            let rows = [
                row("evenkeel", &[own]),
                row("tokio", &[200.0]),
                row("smol", &[100.0]),
            ];
            judge(&TIME, &rows)
        };
        assert!(matches!(at(80.0), Verdict::Met { .. }));
        assert!(matches!(at(80.2), Verdict::NotMet { .. }));
    }

    #[test]
    fn at_least_is_about_the_highest_peer() {
        let at = |own| {
            let rows = [
                row("evenkeel", &[own]),
                row("tokio", &[200.0]),
                row("smol", &[100.0]),
            ];
            judge(&RATE, &rows)
        };
        assert!(matches!(at(240.0), Verdict::Met { .. }));
        assert!(matches!(at(239.8), Verdict::NotMet { .. }));
    }

    #[test]
    fn at_least_of_the_best_is_about_the_peer_that_is_best_by_another_metric() {
        // The rate of a row is twice its time.
        let bar = Bar {
            metric: "rate",
            limit: Limit::AtLeastOfBest(0.9, "time", &["tokio", "smol"]),
        };
        let at = |own| {
            let rows = [
                row("evenkeel", &[own]),
                row("tokio", &[200.0]),
                row("smol", &[100.0]),
            ];
            judge(&bar, &rows)
        };
        assert!(matches!(at(90.0), Verdict::Met { .. }));
        assert!(matches!(at(89.9), Verdict::NotMet { .. }));
    }

    #[test]
    fn a_limit_names_its_peers_unless_they_are_many_and_all() {
        let describe = |contenders, peers| {
            let case = Case { contenders, ..CASE };
            let bar = Bar {
                metric: "time",
                limit: Limit::AtMost(1.1, peers),
            };
            bar.describe(&case)
        };
        let many = &["evenkeel", "a", "b", "c"][..];
        assert_eq!(describe(many, &["a", "b", "c"]), "<= 1.1 x the best other");
        assert_eq!(describe(many, &["b", "c"]), "<= 1.1 x b|c");
        assert_eq!(describe(&["evenkeel", "a"], &["a"]), "<= 1.1 x a");
    }

    #[test]
    fn an_absolute_limit_needs_no_peer() {
        let bar = Bar {
            metric: "time",
            limit: Limit::Absolute(0.0),
        };
        let at = |own| judge(&bar, &[row("evenkeel", &[own])]);
        assert!(matches!(at(0.0), Verdict::Met { .. }));
        assert!(matches!(at(1.0), Verdict::NotMet { .. }));
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        let rows = [
            row("evenkeel", &[50.0, 1000.0, 30.0]),
            row("tokio", &[100.0, 9000.0, 100.0]),
            row("smol", &[200.0, 2000.0, 300.0]),
        ];
        let Verdict::Met { measured } = judge(&TIME, &rows) else {
            panic!("met")
        };
        assert_eq!(
            (measured.median, measured.min, measured.max),
            (0.5, 0.3, 0.5)
        );
    }

    #[test]
    fn a_failed_round_of_its_own_spoils_a_bar() {
        let mut own = row("evenkeel", &[1.0]);
        own.rounds.push(failed());
        let rows = [own, row("tokio", &[100.0, 100.0]), row("smol", &[1.0, 1.0])];
        assert_eq!(judge(&TIME, &rows), Verdict::NoResult);
    }

    #[test]
    fn a_failed_peer_is_not_replaced_by_a_slower_one() {
        let mut smol = row("smol", &[100.0]);
        smol.rounds.push(failed());
        let rows = [
            row("evenkeel", &[90.0, 1.0]),
            row("tokio", &[1000.0, 1000.0]),
            smol,
        ];
        let Verdict::NotMet { measured } = judge(&TIME, &rows) else {
            panic!("only the first round counts")
        };
        assert_eq!((measured.min, measured.max), (0.9, 0.9));
        let rows = [row("evenkeel", &[1.0]), row("tokio", &[1000.0])];
        assert_eq!(judge(&TIME, &rows), Verdict::NotMeasured);
    }
}
