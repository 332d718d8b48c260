//! What is to be known from `Cargo.lock`.

/// The version of the crate of this name; the highest, if there are several.
pub fn version<'a>(lock: &'a str, name: &str) -> Option<&'a str> {
    let name = format!("name = \"{name}\"");
    let versions = lock.split("[[package]]").filter_map(|package| {
        let mut lines = package.lines().map(str::trim);
        lines.find(|line| *line == name)?;
        lines.find_map(|line| line.strip_prefix("version = \"")?.strip_suffix('"'))
    });
    versions.max_by_key(|version| numbers(version))
}

fn numbers(version: &str) -> Vec<u64> {
    let core = version.split(['-', '+']).next().unwrap_or_default();
    core.split('.')
        .map(|part| part.parse().unwrap_or(0))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::version;

    const LOCK: &str = "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"0.9.1\"\n\n\
        [[package]]\nname = \"a\"\nversion = \"0.10.0\"\n\n[[package]]\nname = \"a-b\"\n\
        version = \"3.0.0\"\n";

    #[test]
    fn the_highest_version_of_the_very_name_is_taken() {
        assert_eq!(version(LOCK, "a"), Some("0.10.0"));
        assert_eq!(version(LOCK, "a-b"), Some("3.0.0"));
        assert_eq!(version(LOCK, "b"), None);
    }
}
