//! The table in Markdown, and its place in a text.

use crate::head::Head;
use crate::lock;

const BEGIN: &str = "<!-- works-with -->";
const END: &str = "<!-- /works-with -->";

/// A row, by the versions in this lock file.
///
/// # Errors
///
/// If a crate is not in the lock file, or the way is none that there is.
pub fn row(head: &Head, lock: &str) -> Result<String, String> {
    let way = head.by.split(' ').next().unwrap_or_default();
    if !["tokio-rt", "native"].contains(&way) {
        return Err(format!("`by: {way}` is neither `tokio-rt` nor `native`"));
    }
    let (crates, note) = match head.works.split_once(" (") {
        Some((crates, note)) => (crates, format!(" ({note}")),
        None => (head.works.as_str(), String::new()),
    };
    let mut named = Vec::new();
    for name in crates.split(" + ") {
        let version = lock::version(lock, name);
        let version = version.ok_or_else(|| format!("`{name}` is not in Cargo.lock"))?;
        named.push(format!("{name} {version}"));
    }
    let Head {
        by,
        tested,
        threads,
        ..
    } = head;
    let named = named.join(", ");
    Ok(format!("| {named}{note} | {by} | {tested} | {threads} |"))
}

/// The table with these rows.
pub fn of(rows: Vec<String>) -> String {
    let head = [
        "| library | by | tested | which threads run what |".to_owned(),
        "|---|---|---|---|".to_owned(),
    ];
    let lines: Vec<String> = head.into_iter().chain(rows).collect();
    lines.join("\n")
}

/// What stands in its place in `text`.
///
/// # Errors
///
/// If one of the two comments around it is missing.
pub fn in_text(text: &str) -> Result<&str, String> {
    let (before, after) = around(text)?;
    Ok(text[before..after].trim())
}

/// `text` with `table` in its place.
///
/// # Errors
///
/// If one of the two comments around it is missing.
pub fn put(text: &str, table: &str) -> Result<String, String> {
    let (before, after) = around(text)?;
    Ok(format!("{}\n{table}\n{}", &text[..before], &text[after..]))
}

fn around(text: &str) -> Result<(usize, usize), String> {
    let begin = text
        .find(BEGIN)
        .ok_or_else(|| format!("there is no line `{BEGIN}`"))?;
    let before = begin + BEGIN.len();
    let end = text[before..]
        .find(END)
        .ok_or_else(|| format!("there is no line `{END}`"))?;
    Ok((before, before + end))
}

#[cfg(test)]
mod tests {
    use super::{BEGIN, END, in_text, of, put, row};
    use crate::head::Head;

    const LOCK: &str = "[[package]]\nname = \"a\"\nversion = \"1.2.3\"\n";

    fn head(works: &str, by: &str) -> Head {
        Head {
            works: works.into(),
            by: by.into(),
            tested: "t".into(),
            threads: "u".into(),
        }
    }

    #[test]
    fn a_row_has_the_versions_of_all_crates() {
        let made = row(&head("a + a (with c)", "native (serve)"), LOCK).unwrap();
        assert_eq!(
            made,
            "| a 1.2.3, a 1.2.3 (with c) | native (serve) | t | u |"
        );
    }

    #[test]
    fn unknown_crates_and_ways_are_errors() {
        assert!(row(&head("b", "native"), LOCK).is_err());
        assert!(row(&head("a", "magic"), LOCK).is_err());
    }

    #[test]
    fn what_is_put_is_found() {
        let text = format!("before\n{BEGIN}\nold\n{END}\nafter\n");
        let table = of(vec!["| a |".into()]);
        let text = put(&text, &table).unwrap();
        assert_eq!(in_text(&text).unwrap(), table);
        assert!(text.starts_with("before\n") && text.ends_with("\nafter\n"));
        assert_eq!(put(&text, &table).unwrap(), text);
        assert!(in_text("nothing").is_err());
    }
}
