//! What `--only` selects.

use super::row::Row;
use super::suite::{Form, Suite};

/// A row for each contender in each case of these suites that matches one of the patterns; all of
/// them for no patterns.
///
/// A pattern that is a name, with or without its suite's, stands for the case or for the contender
/// in the case that has it. Any other stands for all names that contain it. One that matches
/// nothing is an error.
pub(crate) fn select(
    suites: &[&'static Suite],
    form: Form,
    patterns: &[String],
) -> Result<Vec<Row>, String> {
    let cases = suites.iter().flat_map(|suite| (suite.cases)(form));
    let rows = cases.flat_map(|case| case.contenders.iter().map(|who| Row::new(case, who)));
    let mut rows: Vec<Row> = rows.collect();
    let mut selected = vec![patterns.is_empty(); rows.len()];
    for pattern in patterns {
        let is_name = rows.iter().any(|row| is_named(row, pattern));
        let matches = |row: &Row| match is_name {
            true => is_named(row, pattern),
            false => row.name().contains(pattern.as_str()),
        };
        if !rows.iter().any(matches) {
            return Err(format!(
                "no case matches '{pattern}'; `--list` shows them all"
            ));
        }
        for (row, selected) in rows.iter().zip(&mut selected) {
            *selected |= matches(row);
        }
    }
    let mut selected = selected.into_iter();
    rows.retain(|_| selected.next() == Some(true));
    Ok(rows)
}

/// Whether the pattern is a name of the row's case, or of its contender in it.
fn is_named(row: &Row, pattern: &str) -> bool {
    [row.case.to_string(), row.name()].iter().any(|name| {
        let in_suite = name.split_once('/').map(|(_, rest)| rest);
        name == pattern || in_suite == Some(pattern)
    })
}

#[cfg(test)]
mod tests {
    use super::super::case::{Case, Contender};
    use super::super::row::tests::CASE;
    use super::*;

    const fn contender(name: &'static str) -> Contender {
        Contender::new(name, |_| Ok(Vec::new()))
    }

    const fn case(suite: &'static str, name: &'static str, who: &'static [Contender]) -> Case {
        Case {
            suite,
            name,
            contenders: who,
            ..CASE
        }
    }

    const WHO: &[Contender] = &[
        contender("evenkeel"),
        contender("tokio"),
        contender("tokio+rayon"),
        contender("tokio+rayon-nice19"),
    ];

    const MIXED_CASES: &[Case] = &[case("mixed", "light", WHO), case("mixed", "busy", WHO)];
    static MIXED: Suite = Suite::new("mixed", "", |_| MIXED_CASES);
    const ALONE: &[Contender] = &[contender("evenkeel")];
    const MICRO_CASES: &[Case] = &[
        case("micro", "spawn_join", ALONE),
        case("micro", "spawn_many", ALONE),
        case("micro", "spawn_many_local", ALONE),
    ];
    static MICRO: Suite = Suite::new("micro", "", |_| MICRO_CASES);

    fn names(suites: &[&'static Suite], patterns: &[&str]) -> Result<Vec<String>, String> {
        let patterns: Vec<_> = patterns.iter().map(ToString::to_string).collect();
        let rows = select(suites, Form::Short, &patterns)?;
        Ok(rows.iter().map(Row::name).collect())
    }

    #[test]
    fn no_pattern_selects_everything() {
        assert_eq!(names(&[&MIXED, &MICRO], &[]).unwrap().len(), 8 + 3);
    }

    #[test]
    fn a_name_selects_one_case_with_or_without_its_suite() {
        for pattern in ["micro/spawn_many", "spawn_many"] {
            let selected = names(&[&MICRO], &[pattern]).unwrap();
            assert_eq!(selected, ["micro/spawn_many/evenkeel"]);
        }
        let selected = names(&[&MIXED], &["light"]).unwrap();
        assert_eq!(selected.len(), WHO.len());
        assert!(selected.iter().all(|name| name.starts_with("mixed/light/")));
    }

    #[test]
    fn a_whole_name_selects_one_contender() {
        for pattern in ["busy/tokio+rayon", "mixed/busy/tokio+rayon"] {
            let selected = names(&[&MIXED], &[pattern]).unwrap();
            assert_eq!(selected, ["mixed/busy/tokio+rayon"]);
        }
    }

    #[test]
    fn a_part_selects_all_that_contain_it() {
        let selected = names(&[&MIXED], &["nice19"]).unwrap();
        let expected = [
            "mixed/light/tokio+rayon-nice19",
            "mixed/busy/tokio+rayon-nice19",
        ];
        assert_eq!(selected, expected);
        assert_eq!(names(&[&MICRO], &["many"]).unwrap().len(), 2);
        assert_eq!(names(&[&MIXED], &["busy/"]).unwrap().len(), WHO.len());
    }

    #[test]
    fn patterns_add_up_in_the_order_of_the_table() {
        let selected = names(&[&MIXED], &["busy/tokio", "light/evenkeel"]).unwrap();
        assert_eq!(selected, ["mixed/light/evenkeel", "mixed/busy/tokio"]);
    }

    #[test]
    fn a_pattern_without_a_case_is_an_error() {
        let error = names(&[&MICRO], &["spawn_join", "fibers"]).unwrap_err();
        assert!(error.contains("'fibers'"));
    }
}
