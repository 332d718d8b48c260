//! The table "What works with it", made from the heads of the files in `tests/`. README.md beside
//! this says what they look like.

pub mod head;
pub mod lock;
pub mod table;

use std::io;
use std::path::{Path, PathBuf};

/// The README of the project, in which the table is.
pub fn readme() -> PathBuf {
    folder().join("../README.md")
}

/// The table, as it has to be.
///
/// # Errors
///
/// If a file cannot be read, or its head is not as it should be.
pub fn table() -> Result<String, String> {
    let lock = read(&folder().join("Cargo.lock"))?;
    let mut rows = Vec::new();
    for path in test_files().map_err(|error| error.to_string())? {
        let row = head::parse(&read(&path)?).and_then(|head| match head {
            Some(head) => table::row(&head, &lock).map(Some),
            None => Ok(None),
        });
        rows.extend(row.map_err(|error| format!("{}: {error}", path.display()))?);
    }
    Ok(table::of(rows))
}

fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// By name.
fn test_files() -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in folder().join("tests").read_dir()? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
