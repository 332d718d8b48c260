//! How throughput grows with the number of workers.

use super::case::{Case, Scale};
use super::row::Row;
use crate::stats::Spread;

/// The rate of the row to that with one worker for each of its workers, each ratio within its
/// round: 1 if twice the workers do twice as much. `None` where there is no such ratio, or the case
/// has no number of workers.
pub(super) fn efficiency(row: &Row, rows: &[Row]) -> Option<Spread> {
    let workers = row.case.scale?.workers.get() as f64;
    let single = rows.iter().find(|other| is_alone(other, row))?;
    let ratios = row.ratios_to(single, row.case.metrics.first()?)?;
    let efficiencies: Vec<_> = ratios.iter().map(|ratio| ratio / workers).collect();
    Spread::of(&efficiencies)
}

/// Whether the first is what the second is, with one worker.
fn is_alone(single: &Row, row: &Row) -> bool {
    let is_same = single.contender.name == row.contender.name && single.without == row.without;
    let workers = single.case.scale.map(|scale| scale.workers.get());
    is_same && workers == Some(1) && operation(single.case) == operation(row.case)
}

/// What the case has in common with those that differ only in the number of workers.
pub(super) fn operation(case: &Case) -> (&'static str, Option<&'static str>) {
    (
        case.suite,
        case.scale.map(|Scale { operation, .. }| operation),
    )
}

#[cfg(test)]
pub(super) mod tests {
    use std::num::NonZeroUsize;

    use super::super::row::tests::{CASE, SILENT, failed, row};
    use super::*;

    /// Its first metric stands for a rate.
    const fn case(operation: &'static str, name: &'static str, workers: usize) -> Case {
        let workers = NonZeroUsize::new(workers).unwrap();
        let scale = Some(Scale { operation, workers });
        Case {
            name,
            scale,
            ..CASE
        }
    }

    static NAP: [Case; 3] = [
        case("nap", "nap_1", 1),
        case("nap", "nap_2", 2),
        case("nap", "nap_4", 4),
    ];
    static DOZE_1: Case = case("doze", "doze_1", 1);

    /// A row of the case with 1, 2 or 4 workers, from the rate in each round.
    pub(in crate::harness) fn step(workers: usize, contender: &str, rates: &[f64]) -> Row {
        let case = &NAP[workers.ilog2() as usize];
        Row {
            case,
            ..row(contender, rates)
        }
    }

    fn efficiency_of(row: Row, others: Vec<Row>) -> Option<f64> {
        let efficiency = efficiency(&row, &others);
        efficiency.map(|efficiency| efficiency.median)
    }

    #[test]
    fn one_worker_is_the_measure() {
        let rows = [step(1, "evenkeel", &[7.0, 100.0, 3.0])];
        let whole = Spread {
            median: 1.0,
            min: 1.0,
            max: 1.0,
        };
        assert_eq!(efficiency(&rows[0], &rows), Some(whole));
    }

    #[test]
    fn efficiency_is_per_worker_and_within_a_round() {
        let own = step(4, "evenkeel", &[40.0, 200.0, 6.0]);
        let single = step(1, "evenkeel", &[10.0, 100.0, 2.0]);
        let found = efficiency(&own, &[single]).unwrap();
        assert_eq!((found.median, found.min, found.max), (0.75, 0.5, 1.0));
    }

    #[test]
    fn a_row_is_compared_only_with_itself() {
        let own = || step(2, "evenkeel", &[20.0]);
        let single = || step(1, "evenkeel", &[10.0]);
        assert_eq!(efficiency_of(own(), vec![single()]), Some(1.0));
        let others = [
            step(1, "tokio", &[10.0]),
            step(4, "evenkeel", &[10.0]),
            Row {
                without: Some("spin"),
                ..single()
            },
            Row {
                case: &DOZE_1,
                ..single()
            },
        ];
        assert_eq!(efficiency_of(own(), others.into()), None);
    }

    #[test]
    fn nothing_has_no_efficiency() {
        let own = || step(2, "evenkeel", &[20.0]);
        for rate in [0.0, SILENT] {
            let single = step(1, "evenkeel", &[rate]);
            assert_eq!(efficiency_of(own(), vec![single]), None);
        }
        let mut lost = step(1, "evenkeel", &[]);
        lost.rounds.push(failed());
        assert_eq!(efficiency_of(own(), vec![lost]), None);
        // A case without a number of workers.
        let plain = row("evenkeel", &[1.0]);
        assert_eq!(efficiency_of(row("evenkeel", &[1.0]), vec![plain]), None);
    }
}
