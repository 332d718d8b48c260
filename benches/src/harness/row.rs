//! What was measured of one contender in one case.

use std::fmt;

use super::case::{Case, Contender, Measurement, Metric};
use crate::machine::Others;
use crate::stalls::Stalls;
use crate::stats::{Spread, median};

/// More than this part of a value, and it says more about the client.
const CLIENT_PART_MAX: f64 = 0.1;

/// A measurement that did not fail.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    pub(crate) found: Measurement,
    /// Who else was running meanwhile.
    pub(crate) others: Others,
}

/// One contender in one case over all rounds; the rounds of two rows belong together by their
/// index.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) case: &'static Case,
    pub(crate) contender: &'static Contender,
    /// The heuristic of Evenkeel's that is off, if one is.
    pub(crate) without: Option<&'static str>,
    pub(crate) rounds: Vec<Result<Measured, String>>,
    /// Why it was not measured, where there was no point.
    pub(crate) left_out: Option<LeftOut>,
}

/// Why a contender is not measured in a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LeftOut {
    /// This other one turned out to be the same.
    SameAs(&'static str),
    /// The case needs this program.
    NotInstalled(&'static str),
    /// It cannot be measured on this machine, and why.
    Obstacle(&'static str),
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SameAs(twin) => write!(f, "the same as {twin} here, not run twice"),
            Self::NotInstalled(program) => write!(f, "{program} is not installed"),
            Self::Obstacle(why) => f.write_str(why),
        }
    }
}

impl Row {
    pub(crate) fn new(case: &'static Case, contender: &'static Contender) -> Self {
        Self {
            case,
            contender,
            without: None,
            rounds: Vec::new(),
            left_out: None,
        }
    }

    /// What stands for this measurement alone, on the command line too.
    pub(crate) fn name(&self) -> String {
        format!("{}/{}", self.case, self.who())
    }

    /// The contender, and what it has to do without.
    pub(crate) fn who(&self) -> String {
        let name = self.contender.name;
        match self.without {
            None => name.to_owned(),
            Some(heuristic) => format!("{name} without {heuristic}"),
        }
    }

    pub(crate) fn measured(&self) -> impl Iterator<Item = &Measured> {
        self.rounds.iter().flatten()
    }

    pub(crate) fn failures(&self) -> impl Iterator<Item = &String> {
        self.rounds.iter().filter_map(|round| round.as_ref().err())
    }

    /// What was measured in this round, if that did not fail.
    pub(crate) fn in_round(&self, round: usize) -> Option<&Measured> {
        self.rounds.get(round)?.as_ref().ok()
    }

    /// The metric's value in a round, where there is one.
    pub(crate) fn value(&self, metric: &str, round: usize) -> Option<f64> {
        self.value_in(self.in_round(round)?, metric)
    }

    /// How often the machine stood still in all rounds that watched it, if ever.
    pub(crate) fn stalls(&self) -> Option<Stalls> {
        let stalls = self.measured().filter_map(|one| one.found.stalls);
        stalls.reduce(Stalls::and).filter(|all| all.count > 0)
    }

    /// Whether what the metric says of the contender is, by more than [`CLIENT_PART_MAX`], the
    /// lateness of the client that measured it, in the median of the rounds.
    pub(crate) fn is_client_limited(&self, metric: &str) -> bool {
        let parts = self.with_client_late(metric);
        let parts: Vec<f64> = parts.map(|(value, late)| late / value).collect();
        median(&parts).is_some_and(|part| part > CLIENT_PART_MAX)
    }

    /// How late that client was itself, in the metric's unit and in the median of the rounds.
    pub(crate) fn client_late(&self, metric: &str) -> Option<f64> {
        let late = self.with_client_late(metric);
        median(&late.map(|(_, late)| late).collect::<Vec<_>>())
    }

    /// The metrics that are so.
    pub(crate) fn client_limited(&self) -> impl Iterator<Item = &'static Metric> {
        let metrics = self.case.metrics.iter();
        metrics.filter(|metric| self.is_client_limited(metric.name))
    }

    /// The metric's value, and the client's lateness, in each round that has both.
    fn with_client_late(&self, metric: &str) -> impl Iterator<Item = (f64, f64)> {
        let index = self.index_of(metric);
        self.measured().filter_map(move |measured| {
            let value = (*measured.found.values.get(index?)?)?;
            let late = (*measured.found.client_late.get(index?)?)?;
            (value > 0.0).then_some((value, late))
        })
    }

    fn index_of(&self, metric: &str) -> Option<usize> {
        let mut metrics = self.case.metrics.iter();
        metrics.position(|candidate| candidate.name == metric)
    }

    fn value_in(&self, measured: &Measured, metric: &str) -> Option<f64> {
        *measured.found.values.get(self.index_of(metric)?)?
    }

    /// The metric over the rounds that did not fail; `None` if one of them has no value, which
    /// would make the others look good.
    pub(crate) fn spread(&self, metric: &Metric) -> Option<Spread> {
        let values = self.measured().map(|one| self.value_in(one, metric.name));
        Spread::of(&values.collect::<Option<Vec<_>>>()?)
    }

    /// The metric's ratio to another row over the rounds in which neither failed, each ratio within
    /// its round; `None` if one of them has none.
    pub(crate) fn ratio_to(&self, base: &Self, metric: &Metric) -> Option<Spread> {
        Spread::of(&self.ratios_to(base, metric)?)
    }

    /// The ratios of [`ratio_to`](Self::ratio_to), one for each of these rounds.
    pub(crate) fn ratios_to(&self, base: &Self, metric: &Metric) -> Option<Vec<f64>> {
        let rounds = self.rounds.iter().zip(&base.rounds);
        let measured =
            rounds.filter_map(|(own, base)| Some((own.as_ref().ok()?, base.as_ref().ok()?)));
        let ratios = measured.map(|(own, of_base)| {
            let own = self.value_in(own, metric.name)?;
            let base = base.value_in(of_base, metric.name)?;
            (base > 0.0).then(|| own / base)
        });
        ratios.collect()
    }
}

/// The rows of each case, which are one after another.
pub(crate) fn by_case(rows: &[Row]) -> impl Iterator<Item = &[Row]> {
    rows.chunk_by(|one, other| std::ptr::eq(one.case, other.case))
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::super::case::{Bar, Limit, Metric};
    use super::*;

    pub(in crate::harness) const QUIET: Others = Others {
        steal_percent: 0.25,
        processes_percent: 1.0,
    };

    /// The time of a round in which there was nothing to measure.
    pub(in crate::harness) const SILENT: f64 = f64::NAN;

    const fn contender(name: &'static str) -> Contender {
        Contender::new(name, |_| Ok(Vec::new()))
    }

    pub(in crate::harness) const CASE: Case = Case {
        suite: "micro",
        name: "nap",
        about: "sleeps",
        metrics: &[
            Metric::new("time", "ns"),
            Metric::new("rate", "/s").higher_is_better(),
        ],
        contenders: &[contender("evenkeel"), contender("tokio"), contender("smol")],
        bars: &[
            Bar::new("time", Limit::AtMost(0.8, &["tokio", "smol"])),
            Bar::new("rate", Limit::AtLeast(1.2, &["tokio"])),
            Bar::new("rate", Limit::Absolute(7.0)),
        ],
        window_min: Duration::ZERO,
        program: None,
        obstacle: || None,
        scale: None,
        place: None,
        measure: &|_, _| Ok(Measurement::default()),
        load: None,
    };

    pub(in crate::harness) static NAP: Case = CASE;

    /// A row from the time in each round; the rate is twice the number.
    pub(in crate::harness) fn row(contender: &str, times: &[f64]) -> Row {
        let value = |value: f64| Some(value).filter(|value| !value.is_nan());
        let mut row = Row::new(&NAP, NAP.contender(contender).unwrap());
        row.rounds.extend(times.iter().map(|time| {
            Ok(Measured {
                found: Measurement {
                    values: vec![value(*time), value(2.0 * time)],
                    ..Measurement::default()
                },
                others: QUIET,
            })
        }));
        row
    }

    /// Evenkeel's [`row`] without a heuristic.
    pub(in crate::harness) fn without(heuristic: &'static str, times: &[f64]) -> Row {
        Row {
            without: Some(heuristic),
            ..row("evenkeel", times)
        }
    }

    /// The row, if its client was so late in each round.
    pub(in crate::harness) fn with_late(mut row: Row, late: &[f64]) -> Row {
        for (round, late) in row.rounds.iter_mut().zip(late) {
            round.as_mut().unwrap().found.client_late = vec![Some(*late), None];
        }
        row
    }

    pub(in crate::harness) fn failed() -> Result<Measured, String> {
        Err("it went away".to_owned())
    }

    #[test]
    fn a_row_is_client_limited_where_the_client_is_more_than_a_tenth_of_it() {
        let limited = |times: &[f64], late: &[f64]| {
            let row = with_late(row("evenkeel", times), late);
            assert!(!row.is_client_limited("rate"));
            row.is_client_limited("time")
        };
        assert!(!limited(&[100.0], &[10.0]));
        assert!(limited(&[100.0], &[10.1]));
        // In the median of the rounds.
        assert!(!limited(&[100.0; 3], &[5.0, 50.0, 5.0]));
        assert!(limited(&[100.0, 1000.0, 100.0], &[11.0, 11.0, 11.0]));
        assert!(!row("evenkeel", &[1.0]).is_client_limited("time"));
        let silent = with_late(row("evenkeel", &[SILENT]), &[10.0]);
        assert_eq!(silent.client_limited().count(), 0);
    }

    #[test]
    fn a_silent_round_spoils_the_median() {
        let row = row("evenkeel", &[9.0, SILENT, 9.0]);
        assert_eq!(row.spread(&NAP.metrics[0]), None);
    }
}
