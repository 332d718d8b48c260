//! The command line.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use evenkeel::runtime::Tuning;
use evenkeel_topology::CpuSet;
use lexopt::prelude::*;

use crate::cpus::{ClientCpus, Cpus};
use crate::foreign::ForeignOptions;
use crate::harness::{Case, Form, Options, RunOptions, Setup, Suite};
use crate::open_loop::ClientOptions;
use crate::suites::{self, SUITES};

/// The text of `--help`.
pub(crate) const HELP: &str = "\
Measures Evenkeel and its peers on a server that has CPU work beside its IO, or suites of cases
of one subsystem each.

Usage: evenkeel-bench [SUITES] [OPTIONS]

Suites, any number of them, run in the order given; `mixed` if none is:
  mixed     the main job, a server with CPU work: workloads `light`, `busy`, `inline` and `blocked`,
            in about two minutes
  micro     spawning, yielding, waking, blocking calls: time per operation
  scale     elementary operations with 1, 2, 4, ... workers up to the number of CPUs, beside tokio:
            throughput, and efficiency against 1 worker, in about a minute with two CPUs
  echo      TCP echo: requests/s, server CPU per request, latencies
  bulk      TCP echo of 4 KiB to 1 MiB, files to sockets: MiB/s, server CPU per MiB, latencies
  timers    timers set and cancelled, lateness
  memory    bytes per task, time to build a runtime
  idle      what a runtime does while nothing is to be done
  http      hyper 1 on keep-alive connections: requests/s
  clients   redis-benchmark and wrk on servers of a screen, where these programs are installed
  starve    echo latencies beside tasks that hog or block their workers
  handlers  latencies of requests that need CPU, beside CPU jobs, in about three minutes
  quota     latencies under CPU quotas, beside CPU jobs, where a control group can be made (as
            root), in under three minutes
  pinning   where workers run: each strategy, and tokio, on servers and tasks, alone and beside
            programs that compute, in about five minutes with two CPUs; ends with advice
  ecosystem axum, sqlx, hyper-util, tonic and quinn on Evenkeel's sockets and on tokio: requests/s,
            latencies; if built with the feature `ecosystem`

Options:
      --only PATTERNS  run only what matches one of these, separated by commas: the name of a case
                       (`busy`, `micro/spawn_join`), or of one contender in it
                       (`busy/tokio+rayon`), or a part of such names (`spawn`)
      --without NAMES  measure only Evenkeel, as it is and once without each of these heuristics of
                       its scheduler (names separated by commas, or `all`; a wrong one lists
                       them); prints the ratios without/with, and marks with `*` those that are
                       worse than 1 by more than their spread
      --long           all cases of `handlers`, each for at least 500 requests or 30 s, in three
                       quarters of an hour; all of `quota`, those with the quota of a parent group
                       among them, in seven minutes
      --secs N         measure each contender in each case for N seconds, fractions allowed
                       [default: 1; `mixed` 3.5, `pinning` 2, `handlers` 1.5, `scale` 0.5,
                       `quota` 4]
      --repeat N       N rounds over the cases; reports medians and their spread [default: 3;
                       `mixed`, `handlers`, `quota` and `pinning` 1, but 3 with `--without`]
      --client-cpus LIST|same
                       the CPUs of the client that loads a server, such as `6,7` or `0-3`, where the
                       server has the others; or the same for both [default: every sixth CPU is the
                       client's, or the same where there are no more than four, or a quota]
      --json FILE      also write everything that was measured to FILE
      --list           list the cases and end
  -h, --help           show this text and end

Environment:
  EVENKEEL_TAKEOVER=off  measure Evenkeel without the replacing of workers that are stuck
  EVENKEEL_SLOWNESS=N    send `mixed` one in N of its requests, on a machine that is emulated
";

/// How long a case may be measured.
const SECS: std::ops::RangeInclusive<f64> = 0.1..=3600.0;
/// How many rounds make sense.
const ROUNDS: std::ops::RangeInclusive<u32> = 1..=1000;
/// How many rounds show what is chance.
const ABLATION_ROUNDS: u32 = 3;
/// Stands for each heuristic.
const ALL: &str = "all";

/// What the command line asks for.
#[derive(Debug)]
pub(crate) enum Command {
    Help,
    List(Vec<&'static Suite>, Form),
    Run(RunOptions),
    /// Hidden: this process measures one contender in one case.
    Measure {
        case: &'static Case,
        contender: String,
        setup: Setup,
        /// Those that it is confined to.
        cpus: Option<CpuSet>,
    },
    /// Hidden: this process is the load generator of an open loop.
    Client(ClientOptions),
    /// Hidden: this process is a program that has nothing to do with what is measured.
    Foreign(ForeignOptions),
}

/// Reads the command line.
pub(crate) fn parse(mut parser: lexopt::Parser) -> Result<Command, lexopt::Error> {
    let (mut suites, mut only, mut list) = (Vec::new(), Vec::new(), false);
    let (mut without, mut client_cpus) = (Vec::new(), ClientCpus::Auto);
    let (mut form, mut window, mut rounds, mut json) = (Form::Short, None, None, None);
    while let Some(argument) = parser.next()? {
        match argument {
            Value(name) if name == "client" => return client(parser).map(Command::Client),
            Value(name) if name == "measure" => return measure(parser),
            Value(name) if name == "foreign" => return foreign(parser).map(Command::Foreign),
            Value(name) => suites.push(suite(&name, &suites)?),
            Short('h') | Long("help") => return Ok(Command::Help),
            Long("list") => list = true,
            Long("long") => form = Form::Long,
            Long("only") => only.extend(patterns(parser.value()?)?),
            Long("without") => without.extend(separated(parser.value()?)?),
            Long("secs") => window = Some(parser.value()?.parse_with(seconds)?),
            Long("repeat") => rounds = Some(parser.value()?.parse_with(count_of_rounds)?),
            Long("client-cpus") => client_cpus = parser.value()?.parse()?,
            Long("json") => json = Some(PathBuf::from(parser.value()?)),
            other => return Err(other.unexpected()),
        }
    }
    if suites.is_empty() {
        suites.push(&SUITES[0]);
    }
    if form == Form::Long && !suites.iter().any(|suite| suite.has_long_form()) {
        return Err(no_long_form());
    }
    if list {
        return Ok(Command::List(suites, form));
    }
    // What the most thorough of the suites needs.
    let default_window = suites.iter().map(|suite| suite.window).max();
    let default_rounds = suites.iter().map(|suite| suite.rounds).max();
    let without = heuristics(&without)?;
    let ablation_rounds = (!without.is_empty()).then_some(ABLATION_ROUNDS);
    let default_rounds = default_rounds.max(ablation_rounds);
    Ok(Command::Run(RunOptions {
        form,
        only,
        without,
        window: window.or(default_window).expect("there is a suite"),
        rounds: rounds.or(default_rounds).expect("there is a suite"),
        suites,
        // Needed to the end.
        cpus: Box::leak(Box::new(Cpus::share_out(&client_cpus)?)),
        json,
    }))
}

fn suite(name: &OsStr, given: &[&Suite]) -> Result<&'static Suite, lexopt::Error> {
    let name = name.to_string_lossy();
    if given.iter().any(|suite| suite.name == name) {
        return Err(format!("suite '{name}' is given twice").into());
    }
    suites::named(&name).ok_or_else(|| format!("there is no suite '{name}'").into())
}

fn no_long_form() -> lexopt::Error {
    let long = SUITES.iter().filter(|suite| suite.has_long_form());
    let long: Vec<_> = long.map(|suite| format!("'{}'", suite.name)).collect();
    format!("--long needs the suite {}", long.join(" or ")).into()
}

fn patterns(value: OsString) -> Result<Vec<String>, lexopt::Error> {
    let mut patterns = separated(value)?;
    patterns.retain(|pattern| !pattern.is_empty());
    if patterns.is_empty() {
        return Err("--only needs at least one pattern; `--list` shows the cases".into());
    }
    Ok(patterns)
}

/// What commas separate.
fn separated(value: OsString) -> Result<Vec<String>, lexopt::Error> {
    let value = value.string()?;
    Ok(value.split(',').map(|part| part.trim().into()).collect())
}

/// The heuristics that are named, each once.
fn heuristics(names: &[String]) -> Result<Vec<&'static str>, lexopt::Error> {
    let is_known = |name: &&String| *name == ALL || Tuning::names().any(|known| *name == known);
    if let Some(unknown) = names.iter().find(|name| !is_known(name)) {
        return Err(no_heuristic(unknown));
    }
    let is_named = |known: &&str| names.iter().any(|name| name == ALL || name == known);
    Ok(Tuning::names().filter(is_named).collect())
}

fn no_heuristic(name: &str) -> lexopt::Error {
    let known: Vec<_> = Tuning::names().collect();
    format!("there is no heuristic '{name}', only {}", known.join(", ")).into()
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

fn count_of_rounds(value: &str) -> Result<u32, String> {
    match value.parse::<u32>() {
        Ok(rounds) if ROUNDS.contains(&rounds) => Ok(rounds),
        _ => Err(format!(
            "not a number of rounds from {} to {}",
            ROUNDS.start(),
            ROUNDS.end()
        )),
    }
}

fn client(mut parser: lexopt::Parser) -> Result<ClientOptions, lexopt::Error> {
    let (mut port, mut window, mut traffic) = (None, None, None);
    let (mut threads, mut cpus) = (None, None);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("port") => port = Some(parser.value()?.parse()?),
            Long("threads") => threads = Some(parser.value()?.parse()?),
            Long("cpus") => cpus = Some(parser.value()?.parse()?),
            Long("secs") => window = Some(parser.value()?.parse_with(seconds)?),
            Long("traffic") => {
                traffic = Some(
                    parser
                        .value()?
                        .parse_with(|json| serde_json::from_str(json))?,
                )
            }
            other => return Err(other.unexpected()),
        }
    }
    Ok(ClientOptions {
        port: required(port, "--port")?,
        window: required(window, "--secs")?,
        traffic: required(traffic, "--traffic")?,
        threads: required(threads, "--threads")?,
        cpus,
    })
}

fn foreign(mut parser: lexopt::Parser) -> Result<ForeignOptions, lexopt::Error> {
    let (mut threads, mut cpus) = (None, None);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("threads") => threads = Some(parser.value()?.parse()?),
            Long("cpus") => cpus = Some(parser.value()?.parse()?),
            other => return Err(other.unexpected()),
        }
    }
    let threads = required(threads, "--threads")?;
    Ok(ForeignOptions { threads, cpus })
}

fn measure(mut parser: lexopt::Parser) -> Result<Command, lexopt::Error> {
    let (mut case, mut contender, mut window, mut without) = (None, None, None, None);
    let mut cpus = None;
    while let Some(argument) = parser.next()? {
        match argument {
            Long("without") => without = Some(parser.value()?.string()?),
            Long("case") => case = Some(parser.value()?.string()?),
            Long("on") => contender = Some(parser.value()?.string()?),
            Long("cpus") => cpus = Some(parser.value()?.parse()?),
            Long("secs") => window = Some(parser.value()?.parse_with(seconds)?),
            other => return Err(other.unexpected()),
        }
    }
    let case = required(case, "--case")?;
    let mut options = Options::from_env();
    if let Some(heuristic) = without
        && !options.tuning.switch_off(&heuristic)
    {
        return Err(no_heuristic(&heuristic));
    }
    Ok(Command::Measure {
        case: suites::case(&case).ok_or_else(|| format!("there is no case '{case}'"))?,
        contender: required(contender, "--on")?,
        setup: Setup {
            window: required(window, "--secs")?,
            options,
        },
        cpus,
    })
}

fn required<T>(value: Option<T>, option: &str) -> Result<T, lexopt::Error> {
    value.ok_or_else(|| format!("missing option '{option}'").into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::open_loop::{Rate, Traffic};

    fn run(arguments: &[&str]) -> Result<RunOptions, String> {
        match parse(lexopt::Parser::from_args(arguments)) {
            Ok(Command::Run(options)) => Ok(options),
            Ok(other) => Err(format!("{other:?}")),
            Err(error) => Err(error.to_string()),
        }
    }

    fn names(suites: &[&Suite]) -> Vec<&'static str> {
        suites.iter().map(|suite| suite.name).collect()
    }

    #[test]
    fn no_arguments_run_the_main_job() {
        let options = run(&[]).unwrap();
        assert_eq!(names(&options.suites), ["mixed"]);
        assert!(options.only.is_empty());
        assert_eq!(options.window, Duration::from_millis(3500));
        assert_eq!(options.rounds, 1);
        assert_eq!(options.json, None);
    }

    #[test]
    fn options_are_read() {
        let options = run(&[
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
            run(&["--only", "light", "--only", "busy"]).unwrap().only,
            ["light", "busy"]
        );
    }

    #[test]
    fn heuristics_are_each_without_once() {
        let without = |arguments: &[&str]| run(arguments).map(|options| options.without);
        assert_eq!(without(&[]).unwrap(), [""; 0]);
        let given = ["--without", "spin, retire", "--without=spin"];
        assert_eq!(without(&given).unwrap(), ["spin", "retire"]);
        let all: Vec<_> = Tuning::names().collect();
        assert_eq!(without(&["--without", "spin,all"]).unwrap(), all);
        for wrong in ["spin,luck", "spin,", ""] {
            let error = without(&["--without", wrong]).unwrap_err();
            assert!(all.iter().all(|name| error.contains(name)), "{error}");
        }
    }

    #[test]
    fn an_ablation_has_rounds_enough_for_a_spread() {
        let rounds = |arguments: &[&str]| run(arguments).unwrap().rounds;
        assert_eq!(rounds(&["mixed", "--without", "spin"]), 3);
        assert_eq!(rounds(&["--without", "spin", "--repeat", "1"]), 1);
    }

    #[test]
    fn a_child_is_told_what_it_is_without() {
        let tuning = |heuristic| {
            let child = [
                "measure",
                "--case=micro/ping_pong",
                "--on=evenkeel",
                "--secs=1",
            ];
            let arguments = [&child[..], &["--without", heuristic]].concat();
            match parse(lexopt::Parser::from_args(arguments)) {
                Ok(Command::Measure { setup, .. }) => Ok(setup.options.tuning),
                other => Err(format!("{other:?}")),
            }
        };
        assert!(!tuning("hold-back").unwrap().hold_back);
        assert!(tuning("hold-back").unwrap().spin);
        assert!(tuning("all").unwrap_err().contains("'all'"));
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
            let error = run(&arguments).unwrap_err();
            assert!(error.contains(expected), "{arguments:?}: {error}");
        }
    }

    #[test]
    fn unknown_arguments_are_refused() {
        assert!(run(&["--fast"]).unwrap_err().contains("--fast"));
        assert!(run(&["everything"]).unwrap_err().contains("everything"));
    }

    #[test]
    fn help_and_list_win() {
        assert!(matches!(
            parse(lexopt::Parser::from_args(["--secs", "1", "-h"])),
            Ok(Command::Help)
        ));
        assert!(matches!(
            parse(lexopt::Parser::from_args(["--list"])),
            Ok(Command::List(suites, Form::Short)) if names(&suites) == ["mixed"]
        ));
    }

    #[test]
    fn a_client_is_told_its_traffic() {
        let traffic = Traffic::even(64, Rate::per_s(2_000), 100);
        let json = serde_json::to_string(&traffic).unwrap();
        let arguments = ["client", "--port=1", "--secs=2", "--traffic", &json];
        let arguments = [&arguments[..], &["--threads=3", "--cpus=6-8"]].concat();
        let Ok(Command::Client(options)) = parse(lexopt::Parser::from_args(arguments)) else {
            panic!("a client");
        };
        assert_eq!((options.port, options.window.as_secs()), (1, 2));
        assert_eq!(options.traffic, traffic);
        assert_eq!(options.threads, 3);
        assert_eq!(options.cpus, "6-8".parse().ok());
    }

    #[test]
    fn a_foreign_program_is_told_its_threads_and_cpus() {
        let foreign = |arguments: &[&str]| match parse(lexopt::Parser::from_args(arguments)) {
            Ok(Command::Foreign(options)) => Ok((options.threads, options.cpus)),
            Ok(other) => Err(format!("{other:?}")),
            Err(error) => Err(error.to_string()),
        };
        assert_eq!(foreign(&["foreign", "--threads=3"]), Ok((3, None)));
        let one = foreign(&["foreign", "--threads=1", "--cpus=7"]);
        assert_eq!(one, Ok((1, "7".parse().ok())));
        assert!(foreign(&["foreign"]).unwrap_err().contains("--threads"));
    }

    #[test]
    fn a_client_may_have_the_cpus_of_its_server() {
        let options = run(&["--client-cpus", "same"]).unwrap();
        assert_eq!(options.cpus.client(), None);
        for (wrong, reason) in [("some", "list of CPUs"), ("8191", "CPU 8191")] {
            let error = run(&["--client-cpus", wrong]).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn a_child_needs_its_options() {
        for arguments in [
            &["client", "--port", "1"][..],
            &["measure", "--case", "micro/yield_many", "--on", "tokio"],
        ] {
            let parsed = parse(lexopt::Parser::from_args(arguments));
            assert!(parsed.unwrap_err().to_string().contains("--secs"));
        }
    }

    #[test]
    fn suites_keep_their_order_and_have_defaults_of_their_own() {
        let options = run(&["timers", "micro"]).unwrap();
        assert_eq!(names(&options.suites), ["timers", "micro"]);
        assert_eq!(options.window, Duration::from_secs(1));
        assert_eq!(options.rounds, 3);
    }

    #[test]
    fn options_may_stand_anywhere() {
        let options = run(&[
            "--secs",
            "0.5",
            "micro",
            "--only",
            "yield",
            "echo",
            "--repeat=7",
            "--json",
            "out",
        ])
        .unwrap();
        assert_eq!(options.suites.len(), 2);
        assert_eq!(options.only, ["yield"]);
        assert_eq!(options.window, Duration::from_millis(500));
        assert_eq!(options.rounds, 7);
        assert_eq!(options.json, Some(PathBuf::from("out")));
    }

    #[test]
    fn handlers_run_once_and_longer() {
        let options = run(&["handlers"]).unwrap();
        assert_eq!(options.window, Duration::from_millis(1_500));
        assert_eq!((options.rounds, options.form), (1, Form::Short));
        // Together with others, what the most thorough of them needs.
        let options = run(&["micro", "handlers"]).unwrap();
        assert_eq!(options.window, Duration::from_millis(1_500));
        assert_eq!(options.rounds, 3);
    }

    #[test]
    fn only_a_suite_with_a_long_form_takes_long() {
        let options = run(&["--long", "handlers", "--repeat=2"]).unwrap();
        assert_eq!((options.form, options.rounds), (Form::Long, 2));
        for arguments in [&["--long"][..], &["micro", "--long", "--list"]] {
            let error = run(arguments).unwrap_err();
            assert!(
                error.contains("'handlers' or 'quota'"),
                "{arguments:?}: {error}"
            );
        }
    }

    #[test]
    fn a_suite_is_known_and_given_once() {
        assert!(
            run(&["micro", "everything"])
                .unwrap_err()
                .contains("'everything'")
        );
        assert!(
            run(&["micro", "echo", "micro"])
                .unwrap_err()
                .contains("twice")
        );
    }

    #[test]
    fn a_list_is_of_the_suites_that_are_given() {
        let Ok(Command::List(suites, _)) = parse(lexopt::Parser::from_args(["micro", "--list"]))
        else {
            panic!("a list");
        };
        assert_eq!(suites[0].name, "micro");
    }

    #[test]
    fn the_help_names_every_suite() {
        for suite in SUITES {
            assert!(
                HELP.contains(&format!("\n  {} ", suite.name)),
                "{}",
                suite.name
            );
        }
    }
}
