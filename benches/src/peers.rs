//! The versions of the peers.

/// The versions that this binary was built with, from the workspace's lock file.
pub(crate) fn versions() -> String {
    let lock = include_str!("../../Cargo.lock");
    let versions: Vec<_> = ["tokio", "smol", "rayon", "monoio"]
        .iter()
        .filter_map(|name| Some(format!("{name} {}", locked_version(lock, name)?)))
        .collect();
    versions.join(", ")
}

fn locked_version<'a>(lock: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = lock.lines();
    lines.find(|line| {
        line.strip_prefix("name = ")
            .is_some_and(|quoted| quoted.trim_matches('"') == name)
    })?;
    lines
        .next()?
        .strip_prefix("version = ")
        .map(|quoted| quoted.trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_file_names_the_peers() {
        let lock =
            "name = \"tokio-util\"\nversion = \"0.7.0\"\nname = \"tokio\"\nversion = \"1.50.0\"\n";
        assert_eq!(locked_version(lock, "tokio"), Some("1.50.0"));
        assert_eq!(locked_version(lock, "smol"), None);
        assert!(versions().contains("rayon 1."));
    }
}
