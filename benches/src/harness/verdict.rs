//! Whether Evenkeel reaches what a case asks of it. A bar that is not met is reported so.

use serde::Serialize;

use super::case::{Bar, Case, EVENKEEL, Limit};
use super::row::Row;
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
    /// Neither: more than a tenth of what is compared is the client's own lateness.
    ClientLimited {
        measured: Spread,
    },
    /// Evenkeel failed in some round, or gave nothing to compare. As bad as can be.
    NoResult,
    /// No round in which every peer that it needs was measured.
    NotMeasured,
}

/// The limit, as short as it goes.
pub(super) fn describe(bar: &Bar, case: &Case) -> String {
    let others = case
        .contenders
        .iter()
        .skip(1)
        .map(|contender| contender.name);
    let best = |peers: &[&str]| match peers {
        // Their names would fill a line.
        [_, _, _, ..] if others.eq(peers.iter().copied()) => "the best other".to_owned(),
        _ => peers.join("|"),
    };
    match bar.limit {
        Limit::AtMost(times, peers) => format!("<= {times} x {}", best(peers)),
        Limit::AtLeast(times, peers) => format!(">= {times} x {}", best(peers)),
        Limit::AtLeastOfBest(times, by, peers) => {
            format!(">= {times} x {} by {by}", best(peers))
        }
        Limit::AtMostAbove(more, peers) => format!("<= {} + {more}", best(peers)),
        Limit::Absolute(limit) => format!("<= {limit}"),
    }
}

/// Judges a bar of the case by all rows that were measured.
pub(super) fn judge(bar: &Bar, case: &Case, rows: &[Row]) -> Verdict {
    let Some(own) = find(rows, case, EVENKEEL) else {
        return Verdict::NotMeasured;
    };
    let rounds = 0..own.rounds.len();
    if rounds
        .clone()
        .any(|round| own.value(bar.metric, round).is_none())
    {
        return Verdict::NoResult;
    }
    let peers = bar.limit.peers().iter();
    let peers = peers.map(|peer| find(rows, case, peer));
    let Some(peers) = peers.collect::<Option<Vec<_>>>() else {
        return Verdict::NotMeasured;
    };
    // The best peer of a round might be the one that failed.
    let complete = rounds.filter(|round| peers.iter().all(|peer| peer.in_round(*round).is_some()));
    let compared: Option<Vec<f64>> = complete
        .map(|round| compared(bar, own, &peers, round))
        .collect();
    // There is no ratio to nothing.
    let finite = compared.map(|all| all.into_iter().filter(|one| one.is_finite()).collect());
    match finite.and_then(|all: Vec<f64>| Spread::of(&all)) {
        None => Verdict::NotMeasured,
        Some(measured) if is_surely_met(bar, &measured) => Verdict::Met { measured },
        Some(measured) if is_client_limited(bar, own, &peers) => {
            Verdict::ClientLimited { measured }
        }
        Some(measured) if bar.limit.is_met_by(measured.median) => Verdict::Met { measured },
        Some(measured) => Verdict::NotMet { measured },
    }
}

/// Whether the bar is met with all that the client adds.
fn is_surely_met(bar: &Bar, measured: &Spread) -> bool {
    matches!(bar.limit, Limit::Absolute(_)) && bar.limit.is_met_by(measured.median)
}

/// Whether the client has too large a part in any of what the bar compares.
fn is_client_limited(bar: &Bar, own: &Row, peers: &[&Row]) -> bool {
    let ranked_by = match bar.limit {
        Limit::AtLeastOfBest(_, by, _) => by,
        _ => bar.metric,
    };
    let is_limited = |peer: &&Row| {
        let metrics = [bar.metric, ranked_by];
        metrics.iter().any(|metric| peer.is_client_limited(metric))
    };
    own.is_client_limited(bar.metric) || peers.iter().any(is_limited)
}

/// What the limit is about, in one round: Evenkeel's value, or its ratio to the best peer's of the
/// same round, or the difference. `None` if one of them has no value, such as a latency without any
/// answer.
fn compared(bar: &Bar, own: &Row, peers: &[&Row], round: usize) -> Option<f64> {
    let own = own.value(bar.metric, round)?;
    let of_peers = |metric| -> Option<Vec<f64>> {
        let values = peers.iter().map(|peer| peer.value(metric, round));
        values.collect()
    };
    let best = match bar.limit {
        Limit::Absolute(_) => return Some(own),
        Limit::AtMostAbove(..) => {
            let best = of_peers(bar.metric)?.into_iter().reduce(f64::min);
            return Some(own - best?);
        }
        Limit::AtMost(..) => of_peers(bar.metric)?.into_iter().reduce(f64::min),
        Limit::AtLeast(..) => of_peers(bar.metric)?.into_iter().reduce(f64::max),
        Limit::AtLeastOfBest(_, by, _) => {
            let ranked = of_peers(by)?.into_iter().zip(of_peers(bar.metric)?);
            let best = ranked.min_by(|one, other| one.0.total_cmp(&other.0));
            best.map(|(_, value)| value)
        }
    };
    Some(own / best?)
}

/// The row of a contender, or of `case/contender` in another case of the suite.
fn find<'a>(rows: &'a [Row], case: &Case, peer: &str) -> Option<&'a Row> {
    let (case_name, contender) = peer.split_once('/').unwrap_or((case.name, peer));
    rows.iter().find(|row| {
        let is_case = row.case.suite == case.suite && row.case.name == case_name;
        is_case && row.contender.name == contender
    })
}

#[cfg(test)]
mod tests {
    use super::super::case::Contender;
    use super::super::row::tests::{CASE, SILENT, failed, row, with_late};
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
        super::judge(bar, &CASE, rows)
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
            let bar = Bar::new("time", Limit::AtMost(1.1, peers));
            super::describe(&bar, &case)
        };
        const fn contender(name: &'static str) -> Contender {
            Contender::new(name, |_| Ok(Vec::new()))
        }
        const MANY: &[Contender] = &[
            contender(EVENKEEL),
            contender("a"),
            contender("b"),
            contender("c"),
        ];
        const TWO: &[Contender] = &[contender(EVENKEEL), contender("a")];
        assert_eq!(describe(MANY, &["a", "b", "c"]), "<= 1.1 x the best other");
        assert_eq!(describe(MANY, &["b", "c"]), "<= 1.1 x b|c");
        assert_eq!(describe(TWO, &["a"]), "<= 1.1 x a");
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
    fn what_is_above_a_peer_is_a_difference() {
        let bar = Bar::new("time", Limit::AtMostAbove(5.0, &["tokio"]));
        let at = |own, peer| judge(&bar, &[row("evenkeel", &[own]), row("tokio", &[peer])]);
        assert!(matches!(at(5.0, 0.0), Verdict::Met { .. }));
        assert!(matches!(at(105.0, 100.0), Verdict::Met { .. }));
        let Verdict::NotMet { measured } = at(7.0, 1.0) else {
            panic!("6 is more than 5")
        };
        assert_eq!(measured.median, 6.0);
        assert_eq!(super::describe(&bar, &CASE), "<= tokio + 5");
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

    #[test]
    fn no_answer_is_no_result_rather_than_unmeasured() {
        let rows = [
            row("evenkeel", &[SILENT]),
            row("tokio", &[100.0]),
            row("smol", &[100.0]),
        ];
        assert_eq!(judge(&TIME, &rows), Verdict::NoResult);
    }

    #[test]
    fn a_silent_peer_is_not_measured_even_if_it_spoke_in_other_rounds() {
        let rows = [
            row("evenkeel", &[1.0, 1.0]),
            row("tokio", &[100.0, SILENT]),
            row("smol", &[100.0, 100.0]),
        ];
        assert_eq!(judge(&TIME, &rows), Verdict::NotMeasured);
    }

    #[test]
    fn what_is_client_limited_is_neither_met_nor_missed() {
        let at = |own: f64, late: [f64; 3]| {
            let times = [own, 200.0, 100.0];
            let names = ["evenkeel", "tokio", "smol"];
            let row = |index: usize| {
                let row = row(names[index], &times[index..=index]);
                with_late(row, &late[index..=index])
            };
            let rows = [row(0), row(1), row(2)];
            (judge(&TIME, &rows), judge(&RATE, &rows))
        };
        let (punctual, _) = at(80.0, [8.0, 20.0, 10.0]);
        assert!(matches!(punctual, Verdict::Met { .. }));
        for late in [[8.1, 0.0, 0.0], [0.0, 20.1, 0.0], [0.0, 0.0, 10.1]] {
            for own in [80.0, 800.0] {
                // What would be found is known all the same.
                let (verdict, _) = at(own, late.map(|late| late * own.max(80.0) / 80.0));
                let Verdict::ClientLimited { measured } = verdict else {
                    panic!("{verdict:?} at {own} with {late:?}");
                };
                assert_eq!(measured.median, own / 100.0);
            }
        }
    }

    #[test]
    fn what_is_met_with_a_late_client_is_met_without() {
        let bar = Bar {
            metric: "time",
            limit: Limit::Absolute(50.0),
        };
        let judged = |own| judge(&bar, &[with_late(row("evenkeel", &[own]), &[20.0])]);
        assert!(matches!(judged(50.0), Verdict::Met { .. }));
        assert!(matches!(judged(51.0), Verdict::ClientLimited { .. }));
    }

    #[test]
    fn whom_a_late_client_ranks_is_not_known() {
        let bar = Bar {
            metric: "rate",
            limit: Limit::AtLeastOfBest(0.9, "time", &["tokio"]),
        };
        let judged = |late: [f64; 2]| {
            let own = with_late(row("evenkeel", &[100.0]), &late[..1]);
            judge(&bar, &[own, with_late(row("tokio", &[100.0]), &late[1..])])
        };
        assert!(matches!(judged([50.0, 5.0]), Verdict::Met { .. }));
        assert!(matches!(judged([5.0, 50.0]), Verdict::ClientLimited { .. }));
    }

    #[test]
    fn a_missing_contender_is_not_measured() {
        assert_eq!(
            judge(&TIME, &[row("evenkeel", &[5.0])]),
            Verdict::NotMeasured
        );
        let peers = [row("tokio", &[5.0]), row("smol", &[5.0])];
        assert_eq!(judge(&TIME, &peers), Verdict::NotMeasured);
    }

    #[test]
    fn a_peer_may_be_in_another_case() {
        let bar = Bar::new("time", Limit::AtLeast(0.9, &["other/evenkeel"]));
        let at = |own| {
            let mut other = row("evenkeel", &[100.0]);
            other.case = &OTHER;
            judge(&bar, &[other, row("evenkeel", &[own])])
        };
        assert!(matches!(at(90.0), Verdict::Met { .. }));
        assert!(matches!(at(89.9), Verdict::NotMet { .. }));
        assert_eq!(super::describe(&bar, &CASE), ">= 0.9 x other/evenkeel");
    }

    static OTHER: Case = Case {
        name: "other",
        ..CASE
    };
}
