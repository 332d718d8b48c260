//! The table of the suites, which has a file or a folder for each. Nothing below knows it.

mod bulk;
mod clients;
mod echo;
mod ecosystem;
mod handlers;
mod http;
mod idle;
mod memory;
mod micro;
mod mixed;
mod pinning;
mod quota;
mod scale;
mod starve;
mod timers;

use crate::harness::{Case, Form, Suite};

/// Every suite, in the order of the help text. The first is run when none is named.
pub(crate) static SUITES: &[Suite] = &[
    mixed::SUITE,
    micro::SUITE,
    scale::SUITE,
    echo::SUITE,
    bulk::SUITE,
    timers::SUITE,
    memory::SUITE,
    idle::SUITE,
    http::SUITE,
    clients::SUITE,
    ecosystem::SUITE,
    starve::SUITE,
    handlers::SUITE,
    quota::SUITE,
    pinning::SUITE,
];

/// The suite of this name.
pub(crate) fn named(name: &str) -> Option<&'static Suite> {
    SUITES.iter().find(|suite| suite.name == name)
}

/// The case of this name, which is `suite/case`, whether the short form has it or the long one.
pub(crate) fn case(name: &str) -> Option<&'static Case> {
    let (suite, _) = name.split_once('/')?;
    let suite = named(suite)?;
    let forms = [Form::Short, Form::Long].into_iter();
    let mut cases = forms.flat_map(|form| (suite.cases)(form));
    cases.find(|case| case.to_string() == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::{EVENKEEL, Limit};

    /// In both forms.
    fn all_cases() -> impl Iterator<Item = (&'static Suite, &'static [Case])> {
        let forms = |suite: &'static Suite| {
            [Form::Short, Form::Long].map(|form| (suite, (suite.cases)(form)))
        };
        SUITES.iter().flat_map(forms)
    }

    #[test]
    fn cases_are_well_formed() {
        for (suite, cases) in all_cases() {
            for case in cases {
                assert_eq!(case.suite, suite.name, "{case}");
                let namesakes = cases.iter().filter(|other| other.name == case.name);
                assert_eq!(namesakes.count(), 1, "{case}");
                assert!(case.contender(EVENKEEL).is_some(), "{case}");
                assert!(!case.metrics.is_empty(), "{case}");
            }
        }
    }

    #[test]
    fn contenders_are_well_formed() {
        let cases = all_cases().flat_map(|(_, cases)| cases);
        for case in cases {
            for (index, contender) in case.contenders.iter().enumerate() {
                let name = contender.name;
                let found = case.contender(name).unwrap();
                assert!(std::ptr::eq(found, contender), "{case}: two are {name}");
                assert!(!name.contains('/'), "{case}: {name}");
                if let Some(twin) = contender.twin {
                    let earlier = &case.contenders[..index];
                    let is_earlier = earlier.iter().any(|other| other.name == twin.name);
                    assert!(is_earlier, "{case}: {name} comes before its twin");
                }
            }
        }
    }

    #[test]
    fn bars_name_what_is_measured() {
        for (suite, cases) in all_cases() {
            for case in cases {
                let metric = |name| case.metrics.iter().find(|metric| metric.name == name);
                for bar in case.bars {
                    let higher_is_better = metric(bar.metric).unwrap().higher_is_better;
                    assert_eq!(higher_is_better, bar.limit.asks_for_more(), "{case}");
                    if let Limit::AtLeastOfBest(_, by, _) = bar.limit {
                        assert!(!metric(by).unwrap().higher_is_better, "{case}");
                    }
                    let is_absolute = matches!(bar.limit, Limit::Absolute(_));
                    assert_eq!(bar.limit.peers().is_empty(), is_absolute, "{case}");
                    for peer in bar.limit.peers() {
                        let (of, name) = peer.split_once('/').unwrap_or((case.name, peer));
                        let of = super::case(&format!("{}/{of}", suite.name)).unwrap();
                        assert!(of.contender(name).is_some(), "{case}: {peer}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_child_finds_its_case() {
        for (_, cases) in all_cases() {
            for case in cases {
                let found = super::case(&case.to_string()).unwrap();
                assert_eq!(found.name, case.name);
            }
        }
        for name in ["micro/fibers", "fibers/spawn_join", "spawn_join", ""] {
            assert!(super::case(name).is_none(), "{name}");
        }
    }
}
