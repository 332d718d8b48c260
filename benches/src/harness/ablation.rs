//! What each heuristic of Evenkeel's is worth: Evenkeel as it is, beside Evenkeel without one.

use std::iter;

use serde::Serialize;

use super::case::{EVENKEEL, Metric};
use super::row::Row;
use crate::stats::Spread;

/// What the absence of a heuristic does to a metric.
#[derive(Debug, Serialize)]
pub(super) struct Effect {
    /// Without the heuristic to with it, within each round.
    pub(super) ratio: Spread,
    /// How many times worse the median is; below 1 if it is better.
    pub(super) cost: f64,
    /// Whether the median is worse than 1 by more than the ratios are apart. Never so of one round,
    /// which says nothing about chance.
    pub(super) is_clear: bool,
}

/// Evenkeel's row of each case, and after it the same without each of the heuristics.
pub(super) fn variants(rows: Vec<Row>, heuristics: &[&'static str]) -> Result<Vec<Row>, String> {
    let own = rows.iter().filter(|row| row.contender.name == EVENKEEL);
    let variants = own.flat_map(|row| {
        let off = heuristics.iter().copied().map(Some);
        iter::once(None).chain(off).map(|without| Row {
            without,
            ..Row::new(row.case, row.contender)
        })
    });
    let variants: Vec<Row> = variants.collect();
    if variants.is_empty() {
        return Err(format!(
            "--without needs '{EVENKEEL}', which --only leaves out"
        ));
    }
    Ok(variants)
}

/// The row of a case with everything on, and those without something.
pub(super) fn split(of_case: &[Row]) -> (&Row, &[Row]) {
    of_case.split_first().expect("a case has a row")
}

/// `None` where there is no ratio: a round has no value, or 0 with everything on.
pub(super) fn effect(without: &Row, with: &Row, metric: &Metric) -> Option<Effect> {
    let ratios = without.ratios_to(with, metric)?;
    let ratio = Spread::of(&ratios)?;
    let (cost, worse_by) = if metric.higher_is_better {
        (ratio.median.recip(), 1.0 - ratio.median)
    } else {
        (ratio.median, ratio.median - 1.0)
    };
    Some(Effect {
        ratio,
        cost,
        is_clear: ratios.len() > 1 && worse_by > ratio.max - ratio.min,
    })
}

#[cfg(test)]
mod tests {
    use super::super::row::tests::{NAP, row, without};
    use super::*;

    /// On the time, of which less is better, and on the rate.
    fn effects(with: &[f64], times: &[f64]) -> [Option<Effect>; 2] {
        let (with, without) = (row(EVENKEEL, with), without("spin", times));
        [0, 1].map(|index| effect(&without, &with, &NAP.metrics[index]))
    }

    #[test]
    fn only_evenkeel_is_measured_with_and_without_each() {
        let rows = vec![row("tokio", &[]), row(EVENKEEL, &[])];
        let variants = variants(rows, &["spin", "retire"]).unwrap();
        let names: Vec<_> = variants.iter().map(Row::who).collect();
        let expected = [
            "evenkeel",
            "evenkeel without spin",
            "evenkeel without retire",
        ];
        assert_eq!(names, expected);
        let error = super::variants(vec![row("tokio", &[])], &["spin"]).unwrap_err();
        assert!(error.contains("--only"), "{error}");
    }

    #[test]
    fn a_ratio_is_worse_upwards_or_downwards() {
        let [time, rate] = effects(&[100.0, 200.0], &[150.0, 300.0]).map(Option::unwrap);
        assert_eq!(
            (time.ratio.median, time.cost, time.is_clear),
            (1.5, 1.5, true)
        );
        assert_eq!((rate.ratio.median, rate.is_clear), (1.5, false));
        assert!(rate.cost < 1.0);
        let [time, rate] = effects(&[100.0, 200.0], &[50.0, 100.0]).map(Option::unwrap);
        assert_eq!((time.cost, time.is_clear), (0.5, false));
        assert_eq!((rate.cost, rate.is_clear), (2.0, true));
    }

    #[test]
    fn only_what_exceeds_the_spread_is_clear() {
        let is_clear = |times: &[f64]| {
            let with = vec![100.0; times.len()];
            let [time, _] = effects(&with, times).map(Option::unwrap);
            time.is_clear
        };
        assert!(is_clear(&[140.0, 150.0, 160.0]));
        assert!(!is_clear(&[110.0, 150.0, 190.0]));
        assert!(!is_clear(&[100.0, 100.0]));
        // One round has no spread.
        assert!(!is_clear(&[900.0]));
    }

    #[test]
    fn nothing_has_no_ratio() {
        assert!(effects(&[0.0], &[5.0]).iter().all(Option::is_none));
    }
}
