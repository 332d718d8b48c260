//! The head of a test file.

/// What a file shows.
#[derive(Debug, PartialEq, Eq)]
pub struct Head {
    pub works: String,
    pub by: String,
    pub tested: String,
    pub threads: String,
}

const KEYS: [&str; 4] = ["works", "by", "tested", "threads"];
const NO_ROW: &str = "No row:";

/// The head of the file with this text, or `None` if it says that it has none.
///
/// # Errors
///
/// If there is neither.
pub fn parse(text: &str) -> Result<Option<Head>, String> {
    let lines: Vec<&str> = text
        .lines()
        .map_while(|line| line.strip_prefix("//!"))
        .map(str::trim)
        .take_while(|line| !line.is_empty())
        .collect();
    if lines.first().is_some_and(|line| line.starts_with(NO_ROW)) {
        return Ok(None);
    }
    let mut values: Vec<String> = Vec::new();
    for line in lines {
        let key = KEYS.get(values.len());
        let begun = key.and_then(|key| line.strip_prefix(key)?.strip_prefix(':'));
        match (begun, values.last_mut()) {
            (Some(value), _) => values.push(value.trim().to_owned()),
            (None, Some(last)) => *last = format!("{last} {line}"),
            (None, None) => return Err(format!("begins with neither `works:` nor `{NO_ROW}`")),
        }
    }
    if values.iter().any(|value| value.contains('|')) {
        return Err("a `|` would end a cell of the table".to_owned());
    }
    match <[String; 4]>::try_from(values) {
        Ok(values) if values.iter().all(|value| !value.is_empty()) => {
            let [works, by, tested, threads] = values;
            Ok(Some(Head {
                works,
                by,
                tested,
                threads,
            }))
        }
        _ => Err(format!(
            "the head is to have all of {KEYS:?}, in this order"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::{Head, parse};

    #[test]
    fn values_go_on_in_the_next_lines() {
        let text = "//! works: a + b (c)\n//! by: native\n//! tested: d,\n//! e\n//! threads: f\n//!\n//! g";
        let head = parse(text).unwrap().unwrap();
        assert_eq!(
            head,
            Head {
                works: "a + b (c)".into(),
                by: "native".into(),
                tested: "d, e".into(),
                threads: "f".into(),
            }
        );
    }

    #[test]
    fn a_file_may_say_that_it_has_no_row() {
        assert_eq!(parse("//! No row: it is about panics.\n"), Ok(None));
    }

    #[test]
    fn what_is_missing_or_would_break_the_table_is_an_error() {
        for text in [
            "",
            "use std::io;",
            "//! About reqwest.",
            "//! works: a\n//! by: native\n//! threads: b",
            "//! works: a\n//! by: native\n//! tested: c|d\n//! threads: b",
            "//! works:\n//! by: native\n//! tested: c\n//! threads: b",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
