//! What follows from the numbers: which strategy a program should take on this machine.

use serde_json::{Map, json};

use super::strategies::Strategy;
use crate::harness::{Conclusion, EVENKEEL, Row};
use crate::machine::QUIET_PERCENT;
use crate::stats::{median, short};

const RULE: &str = "the strategy whose worst case, over workloads and conditions, is the fewest \
                    times behind the best of Evenkeel's in that case";

/// The default is kept unless another strategy's worst case is better by more than this.
const CLOSE: f64 = 1.05;
const CLOSENESS: &str = "the default stays where it is within 5% of that";

/// What strategies have reached in one case.
struct Contest<'a> {
    case: &'a str,
    higher_is_better: bool,
    /// By the strategies' names. `None` for one that failed.
    values: Vec<(&'a str, Option<f64>)>,
    /// Whether somebody else used the machine meanwhile, who is no part of the case.
    is_loud: bool,
}

/// The case in which a strategy is the furthest behind another.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Worst<'a> {
    strategy: &'a str,
    case: &'a str,
    /// How many times the best is as good.
    times: f64,
}

/// By the rows of the suite; `None` where there is nothing to choose between.
pub(super) fn conclude(rows: &[Row]) -> Option<Conclusion> {
    let (contests, loudness) = quiet(contests(rows));
    let worst = worst_cases(&contests);
    let advice = advise(&worst)?;
    let pinning = Strategy::code_of(advice.strategy())?;
    let mut facts = vec![
        ("advice:", advice.sentence(&pinning)),
        ("code:", advice.code(&pinning)),
        ("rule:", format!("{RULE}; {CLOSENESS}")),
        ("", format!("each at worst: {}", listed(&worst))),
    ];
    facts.extend(loudness.map(|loudness| ("", loudness)));
    if rows.iter().all(|row| row.rounds.len() <= 1) {
        let chance = "from one round, in which chance has a part: --repeat 3 for medians";
        facts.push(("", chance.to_owned()));
    }
    let of_strategy = |one: &Worst<'_>| {
        let worst = json!({ "times": one.times, "case": one.case });
        (one.strategy.to_owned(), worst)
    };
    Some(Conclusion {
        facts,
        data: json!({
            "pinning": pinning,
            "is_default": advice.keeps_default(),
            "worst": worst.iter().map(of_strategy).collect::<Map<_, _>>(),
        }),
    })
}

/// The cases in which strategies were measured, of those that a program may choose from.
fn contests(rows: &[Row]) -> Vec<Contest<'_>> {
    let of_case = rows.chunk_by(|one, other| std::ptr::eq(one.case, other.case));
    let contests = of_case.map(|rows| {
        let metric = &rows[0].case.metrics[0];
        let measured = || {
            rows.iter().filter(|row| {
                let is_choice = Strategy::code_of(row.contender.name).is_some();
                is_choice && !row.rounds.is_empty()
            })
        };
        let value = |row: &Row| row.spread(metric).map(|spread| spread.median);
        Contest {
            case: rows[0].case.name,
            higher_is_better: metric.higher_is_better,
            is_loud: measured().any(is_loud),
            values: measured()
                .map(|row| (row.contender.name, value(row)))
                .collect(),
        }
    });
    let is_held = |contest: &Contest<'_>| !contest.values.is_empty();
    contests.filter(is_held).collect()
}

/// In the median of the rounds.
fn is_loud(row: &Row) -> bool {
    let others = row.measured().map(|one| one.others.total_percent());
    median(&others.collect::<Vec<_>>()).is_some_and(|percent| percent > QUIET_PERCENT)
}

/// Those that were not loud, or all if there are none, and what there is to say of that.
fn quiet(all: Vec<Contest<'_>>) -> (Vec<Contest<'_>>, Option<String>) {
    let loud = all.iter().filter(|contest| contest.is_loud);
    let loud: Vec<_> = loud.map(|contest| contest.case).collect();
    if loud.is_empty() {
        return (all, None);
    }
    if loud.len() == all.len() {
        let never = "NOT A QUIET MACHINE in any case: run again before believing it";
        return (all, Some(never.to_owned()));
    }
    let others = format!(
        "not counted, since others used the machine: {}",
        loud.join(", ")
    );
    let quiet = all.into_iter().filter(|contest| !contest.is_loud);
    (quiet.collect(), Some(others))
}

/// Each strategy's, in the order in which they come. Only cases count that all of them were
/// measured in, and of which one has come to something.
fn worst_cases<'a>(contests: &[Contest<'a>]) -> Vec<Worst<'a>> {
    let mut strategies: Vec<&str> = Vec::new();
    for (name, _) in contests.iter().flat_map(|contest| &contest.values) {
        if !strategies.contains(name) {
            strategies.push(name);
        }
    }
    let whole = |contest: &&Contest<'a>| contest.values.len() == strategies.len();
    let contests: Vec<_> = contests.iter().filter(whole).collect();
    let worst = strategies.iter().filter_map(|strategy| {
        let behind = contests.iter().filter_map(|contest| {
            Some(Worst {
                strategy,
                case: contest.case,
                times: contest.times_behind(strategy)?,
            })
        });
        behind.reduce(|worst, next| {
            if next.times > worst.times {
                next
            } else {
                worst
            }
        })
    });
    worst.collect()
}

impl Contest<'_> {
    /// How many times the best is as good as this strategy; `None` where nobody has come to
    /// anything.
    fn times_behind(&self, strategy: &str) -> Option<f64> {
        let values = || self.values.iter().filter_map(|(_, value)| *value);
        let best = match self.higher_is_better {
            true => values().reduce(f64::max)?,
            false => values().reduce(f64::min)?,
        };
        let (_, own) = self.values.iter().find(|(name, _)| *name == strategy)?;
        Some(match own {
            None => f64::INFINITY,
            Some(own) if *own == best => 1.0,
            Some(own) if self.higher_is_better => best / own,
            Some(own) => own / best,
        })
    }
}

/// Which strategy to take.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Advice<'a> {
    /// The default is the best.
    BestIsDefault(Worst<'a>),
    /// The default is as good as the best, or nearly.
    KeepDefault { default: Worst<'a>, best: Worst<'a> },
    /// Another one than the default, which may not have been measured.
    Change {
        default: Option<Worst<'a>>,
        best: Worst<'a>,
    },
}

/// `None` where there are no two to choose between.
fn advise<'a>(worst: &[Worst<'a>]) -> Option<Advice<'a>> {
    if worst.len() < 2 {
        return None;
    }
    let mut by_times = worst.to_vec();
    // Stable: the first of those that are as good stays the first.
    by_times.sort_by(|one, other| one.times.total_cmp(&other.times));
    let best = by_times[0];
    let default = worst.iter().find(|one| one.strategy == EVENKEEL).copied();
    Some(match default {
        Some(default) if default == best => Advice::BestIsDefault(best),
        Some(default) if default.times <= CLOSE * best.times => {
            Advice::KeepDefault { default, best }
        }
        default => Advice::Change { default, best },
    })
}

impl Advice<'_> {
    fn strategy(&self) -> &str {
        match self {
            Self::BestIsDefault(default) | Self::KeepDefault { default, .. } => default.strategy,
            Self::Change { best, .. } => best.strategy,
        }
    }

    fn keeps_default(&self) -> bool {
        !matches!(self, Self::Change { .. })
    }

    fn sentence(&self, pinning: &str) -> String {
        match self {
            Self::BestIsDefault(default) => format!(
                "keep the default, {pinning}: no other strategy's worst case is better than its \
                 own, {}",
                default.place()
            ),
            Self::KeepDefault { default, best } => format!(
                "keep the default, {pinning}: its worst case, {}, is within {:.0}% of the best \
                 one, {} of {}",
                default.place(),
                100.0 * (CLOSE - 1.0),
                best.place(),
                best.strategy
            ),
            Self::Change { default, best } => {
                let than =
                    default.map(|default| format!(", and the default's {}", default.place()));
                format!(
                    "take {pinning} on this machine: its worst case is {}{}",
                    best.place(),
                    than.unwrap_or_default()
                )
            }
        }
    }

    fn code(&self, pinning: &str) -> String {
        let code = format!("Builder::new().pinning({pinning})");
        match self.keeps_default() {
            true => format!("{code}  // the same as without the call"),
            false => code,
        }
    }
}

impl Worst<'_> {
    fn place(&self) -> String {
        match self.times {
            1.0 => "never behind".to_owned(),
            f64::INFINITY => format!("a failure in {}", self.case),
            times => format!("{}x behind in {}", short(times), self.case),
        }
    }
}

fn listed(worst: &[Worst<'_>]) -> String {
    let listed = worst
        .iter()
        .map(|one| format!("{} {}", one.strategy, one.place()));
    listed.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: &str = "evenkeel:none";
    const PER_CORE: &str = "evenkeel:per-core";

    /// A case in which more is better.
    fn rates<'a>(case: &'a str, values: &[(&'a str, f64)]) -> Contest<'a> {
        Contest {
            case,
            higher_is_better: true,
            values: values
                .iter()
                .map(|(who, value)| (*who, Some(*value)))
                .collect(),
            is_loud: false,
        }
    }

    /// One in which less is.
    fn times<'a>(case: &'a str, values: &[(&'a str, f64)]) -> Contest<'a> {
        Contest {
            higher_is_better: false,
            ..rates(case, values)
        }
    }

    fn worst<'a>(strategy: &'a str, case: &'a str, times: f64) -> Worst<'a> {
        Worst {
            strategy,
            case,
            times,
        }
    }

    #[test]
    fn a_strategy_stands_for_its_worst_case() {
        let contests = [
            rates("echo", &[(EVENKEEL, 100.0), (NONE, 50.0)]),
            times("light", &[(EVENKEEL, 0.3), (NONE, 0.1)]),
            rates("fan_out", &[(EVENKEEL, 100.0), (NONE, 25.0)]),
        ];
        let found = worst_cases(&contests);
        assert_eq!(found[1], worst(NONE, "fan_out", 4.0));
        assert_eq!((found[0].strategy, found[0].case), (EVENKEEL, "light"));
        assert!((found[0].times - 3.0).abs() < 1e-9, "{found:?}");
    }

    #[test]
    fn a_failure_is_the_worst_unless_all_fail() {
        let mut lost = rates("echo", &[(EVENKEEL, 100.0), (NONE, 50.0)]);
        lost.values[0].1 = None;
        let found = worst_cases(&[lost]);
        assert_eq!(found[0], worst(EVENKEEL, "echo", f64::INFINITY));
        assert_eq!(found[1], worst(NONE, "echo", 1.0));
        let mut both = rates("echo", &[(EVENKEEL, 100.0), (NONE, 50.0)]);
        both.values.iter_mut().for_each(|(_, value)| *value = None);
        assert_eq!(worst_cases(&[both]), []);
    }

    #[test]
    fn only_cases_with_all_strategies_count() {
        let contests = [
            rates("echo", &[(EVENKEEL, 100.0), (NONE, 50.0)]),
            rates("cache", &[(EVENKEEL, 1.0)]),
        ];
        let found = worst_cases(&contests);
        assert_eq!(
            found,
            [worst(EVENKEEL, "echo", 1.0), worst(NONE, "echo", 2.0)]
        );
    }

    #[test]
    fn loud_cases_do_not_count_unless_all_are_loud() {
        let contests = |loud: [bool; 2]| {
            ["echo", "light"]
                .into_iter()
                .zip(loud)
                .map(|(case, is_loud)| Contest {
                    is_loud,
                    ..rates(case, &[(EVENKEEL, 1.0), (NONE, 2.0)])
                })
                .collect()
        };
        let kept = |loud| {
            let (kept, said) = quiet(contests(loud));
            let kept: Vec<_> = kept.iter().map(|contest| contest.case).collect();
            (kept.join(" "), said.unwrap_or_default())
        };
        assert_eq!(
            kept([false, false]),
            ("echo light".to_owned(), String::new())
        );
        let (some, said) = kept([true, false]);
        assert_eq!(some, "light");
        assert!(said.ends_with("the machine: echo"), "{said}");
        let (all, said) = kept([true, true]);
        assert_eq!(all, "echo light");
        assert!(said.contains("NOT A QUIET MACHINE"), "{said}");
    }

    #[test]
    fn the_best_of_the_worst_is_advised() {
        let all = [
            worst(EVENKEEL, "light", 3.0),
            worst(NONE, "echo", 1.5),
            worst(PER_CORE, "busy", 2.0),
        ];
        let advice = advise(&all).unwrap();
        assert_eq!((advice.strategy(), advice.keeps_default()), (NONE, false));
        let sentence = advice.sentence("Pinning::None");
        let expected = "take Pinning::None on this machine: its worst case is 1.50x behind in \
                        echo, and the default's 3.00x behind in light";
        assert_eq!(sentence, expected);
        let code = advice.code("Pinning::None");
        assert_eq!(code, "Builder::new().pinning(Pinning::None)");
        // Where the default was not measured.
        let advice = advise(&all[1..]).unwrap();
        assert_eq!((advice.strategy(), advice.keeps_default()), (NONE, false));
    }

    #[test]
    fn the_default_is_kept_where_it_is_close() {
        let advice = |default: f64| {
            let all = [worst(EVENKEEL, "light", default), worst(NONE, "echo", 2.0)];
            let advice = advise(&all).unwrap();
            (
                advice.strategy().to_owned(),
                advice.sentence("Pinning::Auto"),
            )
        };
        let (strategy, sentence) = advice(2.09);
        assert_eq!(strategy, EVENKEEL);
        let expected = "keep the default, Pinning::Auto: its worst case, 2.09x behind in light, is \
                        within 5% of the best one, 2.00x behind in echo of evenkeel:none";
        assert_eq!(sentence, expected);
        assert_eq!(advice(2.11).0, NONE);
        let (strategy, sentence) = advice(2.0);
        assert_eq!(strategy, EVENKEEL);
        assert!(sentence.contains("no other strategy's"), "{sentence}");
    }

    #[test]
    fn a_worst_case_is_told_as_what_it_is() {
        let place = |times| worst(NONE, "echo", times).place();
        let told = [1.0, 1.5, f64::INFINITY].map(place);
        assert_eq!(
            told,
            ["never behind", "1.50x behind in echo", "a failure in echo"]
        );
    }

    #[test]
    fn one_strategy_is_no_choice() {
        assert_eq!(advise(&[worst(NONE, "echo", 1.0)]), None);
        assert_eq!(advise(&[]), None);
        assert!(conclude(&[]).is_none());
    }
}
