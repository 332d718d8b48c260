//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use lexopt::prelude::*;

use crate::mixed::{ClientOptions, MixedOptions, ServeOptions};

/// The text of `--help`.
pub(crate) const HELP: &str = "\
Measures Evenkeel and its peers on a server that has CPU work beside its IO.

Usage: evenkeel-bench [OPTIONS]

Runs every case of the `light`, `busy`, `inline` and `blocked` workloads, in about two minutes.

Options:
      --only PATTERNS  run only the cases that match one of these, separated by commas: the name
                       of one case (`busy/tokio+rayon`) or a part of names (`light`, `smol`)
      --secs N         measure each case for N seconds, fractions allowed [default: 3.5]
      --repeat N       N rounds over the cases; reports medians and their spread [default: 1]
      --json FILE      also write everything that was measured to FILE
      --list           list the cases and end
  -h, --help           show this text and end
";

/// How long a case may be measured.
const SECS: std::ops::RangeInclusive<f64> = 0.1..=3600.0;
/// How many rounds make sense.
const ROUNDS: std::ops::RangeInclusive<u32> = 1..=1000;

/// What the command line asks for.
#[derive(Debug)]
pub(crate) enum Command {
    Help,
    List,
    Mixed(MixedOptions),
    /// Hidden: this process is the server of one case.
    Serve(ServeOptions),
    /// Hidden: this process is the load generator of one case.
    Client(ClientOptions),
}

/// Reads the command line.
pub(crate) fn parse(mut parser: lexopt::Parser) -> Result<Command, lexopt::Error> {
    let mut options = MixedOptions::default();
    let mut list = false;
    while let Some(argument) = parser.next()? {
        match argument {
            Value(name) if name == "serve" => return serve(parser).map(Command::Serve),
            Value(name) if name == "client" => return client(parser).map(Command::Client),
            Short('h') | Long("help") => return Ok(Command::Help),
            Long("list") => list = true,
            Long("only") => options.only.extend(patterns(parser.value()?)?),
            Long("secs") => options.window = parser.value()?.parse_with(seconds)?,
            Long("repeat") => options.rounds = parser.value()?.parse_with(rounds)?,
            Long("json") => options.json = Some(PathBuf::from(parser.value()?)),
            other => return Err(other.unexpected()),
        }
    }
    Ok(if list {
        Command::List
    } else {
        Command::Mixed(options)
    })
}

fn patterns(value: OsString) -> Result<Vec<String>, lexopt::Error> {
    let patterns = value.string()?;
    let patterns: Vec<_> = patterns
        .split(',')
        .map(str::trim)
        .filter(|pattern| !pattern.is_empty())
        .map(String::from)
        .collect();
    if patterns.is_empty() {
        return Err("--only needs at least one pattern; `--list` shows the cases".into());
    }
    Ok(patterns)
}

fn seconds(value: &str) -> Result<Duration, String> {
    match value.parse::<f64>() {
        Ok(seconds) if SECS.contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err(format!(
            "not a number of seconds from {} to {}",
            SECS.start(),
            SECS.end()
        )),
    }
}

fn rounds(value: &str) -> Result<u32, String> {
    match value.parse::<u32>() {
        Ok(rounds) if ROUNDS.contains(&rounds) => Ok(rounds),
        _ => Err(format!(
            "not a number of rounds from {} to {}",
            ROUNDS.start(),
            ROUNDS.end()
        )),
    }
}

fn serve(mut parser: lexopt::Parser) -> Result<ServeOptions, lexopt::Error> {
    let (mut case, mut iterations_per_us) = (None, None);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("case") => case = Some(parser.value()?.string()?),
            Long("iterations-per-us") => iterations_per_us = Some(parser.value()?.parse()?),
            other => return Err(other.unexpected()),
        }
    }
    Ok(ServeOptions {
        case: required(case, "--case")?,
        iterations_per_us: required(iterations_per_us, "--iterations-per-us")?,
    })
}

fn client(mut parser: lexopt::Parser) -> Result<ClientOptions, lexopt::Error> {
    let (mut port, mut rate, mut window) = (None, None, None);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("port") => port = Some(parser.value()?.parse()?),
            Long("rate") => rate = Some(parser.value()?.parse()?),
            Long("secs") => window = Some(parser.value()?.parse_with(seconds)?),
            other => return Err(other.unexpected()),
        }
    }
    Ok(ClientOptions {
        port: required(port, "--port")?,
        requests_per_s: required(rate, "--rate")?,
        window: required(window, "--secs")?,
    })
}

fn required<T>(value: Option<T>, option: &str) -> Result<T, lexopt::Error> {
    value.ok_or_else(|| format!("missing option '{option}'").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mixed(arguments: &[&str]) -> Result<MixedOptions, String> {
        match parse(lexopt::Parser::from_args(arguments)) {
            Ok(Command::Mixed(options)) => Ok(options),
            Ok(other) => Err(format!("{other:?}")),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn no_arguments_run_everything() {
        let options = mixed(&[]).unwrap();
        assert!(options.only.is_empty());
        assert_eq!(options.window, Duration::from_millis(3500));
        assert_eq!(options.rounds, 1);
        assert_eq!(options.json, None);
    }

    #[test]
    fn options_are_read() {
        let options = mixed(&[
            "--only",
            "light, busy/tokio+rayon",
            "--secs=1.5",
            "--repeat",
            "3",
            "--json",
            "out",
        ])
        .unwrap();
        assert_eq!(options.only, ["light", "busy/tokio+rayon"]);
        assert_eq!(options.window, Duration::from_millis(1500));
        assert_eq!(options.rounds, 3);
        assert_eq!(options.json, Some(PathBuf::from("out")));
    }

    #[test]
    fn only_may_be_given_twice() {
        assert_eq!(
            mixed(&["--only", "light", "--only", "busy"]).unwrap().only,
            ["light", "busy"]
        );
    }

    #[test]
    fn bad_values_are_named() {
        for (arguments, expected) in [
            (["--secs", "0"], "not a number of seconds"),
            (["--secs", "NaN"], "not a number of seconds"),
            (["--secs", "fast"], "\"fast\""),
            (["--repeat", "0"], "not a number of rounds"),
            (["--only", ","], "--list"),
        ] {
            let error = mixed(&arguments).unwrap_err();
            assert!(error.contains(expected), "{arguments:?}: {error}");
        }
    }

    #[test]
    fn unknown_arguments_are_refused() {
        assert!(mixed(&["--fast"]).unwrap_err().contains("--fast"));
        assert!(mixed(&["everything"]).unwrap_err().contains("everything"));
    }

    #[test]
    fn help_and_list_win() {
        assert!(matches!(
            parse(lexopt::Parser::from_args(["--secs", "1", "-h"])),
            Ok(Command::Help)
        ));
        assert!(matches!(
            parse(lexopt::Parser::from_args(["--list"])),
            Ok(Command::List)
        ));
    }

    #[test]
    fn a_child_needs_its_options() {
        let parsed = parse(lexopt::Parser::from_args([
            "client", "--port", "1", "--rate", "10",
        ]));
        assert!(parsed.unwrap_err().to_string().contains("--secs"));
    }
}
