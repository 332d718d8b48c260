//! The benchmark harness of Evenkeel and the runtimes that a user would pick instead.
//!
//! Without a subcommand it runs its main job, the mixed workloads (module [`mixed`]): a server with
//! CPU work beside its IO, measured from another process. `serve` and `client` are how the harness
//! starts itself again as these processes. The names of suites ([`suite`]) run cases of a single
//! subsystem each instead; `measure` is the process that one of these is measured in.

mod child;
mod cli;
mod echo;
mod handlers;
mod http;
mod idle;
mod machine;
mod memory;
mod micro;
mod mixed;
mod peers;
mod progress;
mod runtimes;
mod spin;
mod starve;
mod stats;
mod suite;
mod sys;
mod timers;

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

/// The status for a command line that makes no sense, as most tools have it.
const EXIT_USAGE: u8 = 2;

/// Why the program ends without success.
enum Failure {
    /// The user asked for something that cannot be.
    Usage(String),
    /// What was asked did not work out.
    Run(String),
}

fn main() -> ExitCode {
    let (text, status) = match run() {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Usage(text)) => (
            format!("{text}\nTry 'evenkeel-bench --help'."),
            ExitCode::from(EXIT_USAGE),
        ),
        Err(Failure::Run(text)) => (text, ExitCode::FAILURE),
    };
    eprintln!("evenkeel-bench: {text}");
    status
}

fn run() -> Result<(), Failure> {
    let command = cli::parse(lexopt::Parser::from_env());
    match command.map_err(|error| Failure::Usage(error.to_string()))? {
        cli::Command::Help => print!("{}", cli::HELP),
        cli::Command::List(suites, _) if suites.is_empty() => print!("{}", mixed::list()),
        cli::Command::List(suites, form) => print!("{}", suite::list(&suites, form)),
        cli::Command::Mixed(options) => mixed::run(&options)?,
        cli::Command::Suites(options) => suite::run(&options)?,
        cli::Command::Measure(options) => suite::measure(&options).map_err(Failure::Run)?,
        cli::Command::Serve(options) => mixed::serve(&options).map_err(Failure::Run)?,
        cli::Command::Client(options) => mixed::client(&options).map_err(Failure::Run)?,
    }
    Ok(())
}

/// Creates the file of `--json`.
fn json_file(path: &Path) -> Result<File, Failure> {
    File::create(path)
        .map_err(|error| Failure::Usage(format!("--json {}: {error}", path.display())))
}

fn write_json(mut file: File, report: &serde_json::Value) -> Result<(), Failure> {
    writeln!(file, "{report:#}").map_err(|error| Failure::Run(format!("--json: {error}")))
}
