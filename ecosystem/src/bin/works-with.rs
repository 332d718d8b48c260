//! Prints the table "What works with it"; with `--write` it puts it into README.md as well.

use evenkeel_ecosystem::{readme, table};
use std::process::ExitCode;

fn main() -> ExitCode {
    let write = match std::env::args().nth(1).as_deref() {
        None => false,
        Some("--write") => true,
        Some(other) => {
            eprintln!("unknown argument {other}: there is only --write");
            return ExitCode::FAILURE;
        }
    };
    match run(write) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(write: bool) -> Result<(), String> {
    let made = evenkeel_ecosystem::table()?;
    println!("{made}");
    if write {
        let text = std::fs::read_to_string(readme()).map_err(|error| error.to_string())?;
        let text = table::put(&text, &made)?;
        std::fs::write(readme(), text).map_err(|error| error.to_string())?;
    }
    Ok(())
}
