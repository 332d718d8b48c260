//! The benchmark harness of Evenkeel and the runtimes that a user would pick instead.
//!
//! It runs suites of cases, by default its main job (`mixed`): a server with CPU work
//! beside its IO. What a suite, a case and a contender are is in [`harness`], and the suites are in
//! [`suites`]. `measure`, `client` and `foreign` are how the harness starts itself again as another
//! process: one that measures, the load of an open loop, or a program that has nothing to do with
//! either.

mod cgroup;
mod child;
mod cli;
mod closed_loop;
mod cpus;
mod epoll;
mod failure;
mod foreign;
mod harness;
mod histogram;
mod laps;
mod machine;
mod open_loop;
mod peers;
mod proc;
mod progress;
mod runtimes;
mod spin;
mod stalls;
mod stats;
mod suites;
mod sys;
mod used;

use std::process::ExitCode;

use self::failure::Failure;

/// The status for a command line that makes no sense, as most tools have it.
const EXIT_USAGE: u8 = 2;

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
        cli::Command::List(suites, form) => print!("{}", harness::list(&suites, form)),
        cli::Command::Run(options) => harness::run(&options)?,
        cli::Command::Measure {
            case,
            contender,
            setup,
            cpus,
        } => {
            // Before there is any other thread, which would keep those that it has.
            let confined = cpus.map_or(Ok(()), |cpus| cpus::confine(&cpus));
            let measured = confined.and_then(|()| harness::measure(case, &contender, setup));
            measured.map_err(Failure::Run)?;
        }
        cli::Command::Foreign(options) => foreign::compute(&options).map_err(Failure::Run)?,
        cli::Command::Client(options) => open_loop::client(&options).map_err(Failure::Run)?,
    }
    Ok(())
}
