//! Measuring in a process of its own, so that contenders do not disturb each other.

use std::time::Duration;

use evenkeel_topology::CpuSet;

use super::case::{Case, Measurement, Turn};
use super::setup::{Options, Setup};
use crate::child::{self, Child};
use crate::spin::Spin;

/// The word that makes a child process the load of a case, in the place of a contender.
const LOAD: &str = "load";

/// How long a child may take beside its window. Some cases have much to build before it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Has the contender measure itself in a fresh process.
pub(crate) fn in_child(case: &'static Case, turn: Turn) -> Result<Measurement, String> {
    values_of(start(turn.contender.name, case, turn, None)?, turn)
}

/// [`in_child`] for one that computes in units of this machine, which it is told first.
pub(crate) fn in_computing_child(case: &'static Case, turn: Turn) -> Result<Measurement, String> {
    let spin = Spin::of_machine()?;
    let mut child = start(turn.contender.name, case, turn, None)?;
    child.tell_json(&spin)?;
    values_of(child, turn)
}

fn values_of(mut child: Child, turn: Turn) -> Result<Measurement, String> {
    let values: Vec<f64> = child.expect_json(turn.window + PATIENCE)?;
    child.finish_silent()?;
    Ok(values.into())
}

/// Starts a fresh process that runs the contender as a server, on the CPUs of one. Until the line
/// with the values, parent and child may talk as they like.
pub(crate) fn start_server(case: &Case, turn: Turn) -> Result<Child, String> {
    start(turn.contender.name, case, turn, turn.cpus.server())
}

/// Starts a fresh process that runs the load of the case, on the CPUs of a client.
pub(crate) fn start_load(case: &Case, turn: Turn) -> Result<Child, String> {
    start(LOAD, case, turn, turn.cpus.client())
}

fn start(name: &str, case: &Case, turn: Turn, cpus: Option<&CpuSet>) -> Result<Child, String> {
    let mut arguments = arguments(name, case, turn);
    if let Some(cpus) = cpus {
        arguments.extend(["--cpus".to_owned(), cpus.to_string()]);
    }
    Child::start("measure", &arguments).map_err(|error| error.to_string())
}

fn arguments(name: &str, case: &Case, turn: Turn) -> Vec<String> {
    let (case, secs) = (case.to_string(), turn.window.as_secs_f64().to_string());
    let mut arguments = vec!["--case", &case, "--on", name, "--secs", &secs];
    if let Some(heuristic) = turn.without {
        arguments.extend(["--without", heuristic]);
    }
    arguments.into_iter().map(str::to_owned).collect()
}

/// The child's side.
pub(crate) fn measure(case: &Case, contender: &str, mut setup: Setup) -> Result<(), String> {
    let run = match case.contender(contender) {
        Some(contender) => {
            setup.options.pinning = (contender.pinning)();
            Some(contender.run)
        }
        None => case.load.filter(|_| contender == LOAD),
    };
    let run = run.ok_or_else(|| format!("nobody measures '{case}' on '{contender}'"))?;
    child::tie_to_parent().map_err(|error| error.to_string())?;
    let values = run(&with_workers_of(case, setup))?;
    child::say_json(&values).map_err(|error| error.to_string())
}

/// The same with as many workers as the case asks for.
fn with_workers_of(case: &Case, setup: Setup) -> Setup {
    let worker_threads = case.scale.map(|scale| scale.workers);
    let options = Options {
        worker_threads,
        ..setup.options
    };
    Setup { options, ..setup }
}

#[cfg(test)]
mod tests {
    use super::super::row::tests::NAP;
    use super::super::scaling::tests::step;
    use super::*;
    use crate::cpus::Cpus;

    #[test]
    fn contenders_have_as_many_workers_as_the_case_says() {
        let setup = || Setup {
            window: Duration::from_secs(1),
            options: Options::from_env(),
        };
        let workers = |case| {
            let options = with_workers_of(case, setup()).options;
            options.worker_threads.map(usize::from)
        };
        assert_eq!(workers(step(4, "tokio", &[]).case), Some(4));
        assert_eq!(workers(&NAP), None);
    }

    #[test]
    fn a_child_is_told_the_heuristic_that_is_off() {
        let mut turn = Turn {
            contender: &NAP.contenders[0],
            without: None,
            window: Duration::from_millis(1500),
            round: 0,
            cpus: Cpus::two(),
        };
        let told = ["--case", "micro/nap", "--on", "evenkeel", "--secs", "1.5"];
        assert_eq!(arguments("evenkeel", &NAP, turn), told);
        turn.without = Some("spin");
        let told = [&told[..], &["--without", "spin"]].concat();
        assert_eq!(arguments("evenkeel", &NAP, turn), told);
    }
}
