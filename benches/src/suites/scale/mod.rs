//! The suite `scale`: what more workers are worth.
//!
//! Each elementary operation ([`operations`]) is measured with 1, 2, 4, ... workers, up to one per
//! CPU. Some have a task per worker, so that the load grows with the workers; others begin at one
//! task, whose work the workers have to share. The cases are a product, made when they are asked
//! for: one for each operation and number of workers.

pub(super) mod operations;

use std::iter;
use std::num::NonZeroUsize;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use self::operations::{FanIn, FanOut, JoinTree, Spawn, Steal, Timers, Wake, load_echo};
use super::echo;
use crate::closed_loop;
use crate::cpus::Cpus;
use crate::harness::{Bar, Case, Form, Layout, Limit, Metric, Scale, Suite, Template};
use crate::harness::{Measurement, Row, Turn, in_child, in_computing_child};
use crate::machine::Fact;
use crate::runtimes::On;
use crate::stats::shorter;

pub(super) const SUITE: Suite = Suite {
    layout: Layout::Scale,
    window: Duration::from_millis(500),
    facts,
    ..Suite::new(
        "scale",
        "elementary operations with 1, 2, 4, ... workers, up to one per CPU",
        cases,
    )
};

const SCALE: Template = Template {
    suite: "scale",
    measure: &in_child,
};

/// With one per CPU. Fewer are only shown.
const BARS: &[Bar] = &[Bar::new("operations", Limit::AtLeast(1.0, &["tokio"]))];

const OPERATIONS: &[Metric] = &[Metric {
    format: shorter,
    ..Metric::new("operations", "/s").higher_is_better()
}];

/// What is measured with each number of workers, in the table's order.
const ELEMENTARY: &[Case] = &[
    SCALE.case(
        "spawn",
        "a task per worker spawns 10,000 tasks, and awaits each handle",
        OPERATIONS,
        On::<Spawn>::EVENKEEL_AND_TOKIO,
        BARS,
    ),
    Case {
        measure: &in_computing_child,
        ..SCALE.case(
            "steal",
            "one task spawns 1,000 tasks that compute 5 us each, which the other workers steal",
            OPERATIONS,
            On::<Steal>::EVENKEEL_AND_TOKIO,
            BARS,
        )
    },
    SCALE.case(
        "wake",
        "a pair of tasks per worker sends to and fro over bounded(1) channels; round trips",
        OPERATIONS,
        On::<Wake>::EVENKEEL_AND_TOKIO,
        BARS,
    ),
    SCALE.case(
        "timers",
        "a task per worker sets and cancels timers of 1 s to 60 s, 1,000 at a time each",
        OPERATIONS,
        On::<Timers>::EVENKEEL_AND_TOKIO,
        BARS,
    ),
    Case {
        measure: &measure_echo,
        load: Some(load_echo),
        ..SCALE.case(
            "echo",
            "TCP echo of 64 bytes, 32 connections per worker; the client's one thread is on the \
             same CPUs",
            OPERATIONS,
            On::<echo::Server>::EVENKEEL_AND_TOKIO,
            BARS,
        )
    },
    Case {
        measure: &in_computing_child,
        ..SCALE.case(
            "fan_out",
            "one task sends to 64 tasks, each with a channel; they compute 1 us per message",
            OPERATIONS,
            On::<FanOut>::EVENKEEL_AND_TOKIO,
            BARS,
        )
    },
    Case {
        measure: &in_computing_child,
        ..SCALE.case(
            "fan_in",
            "64 tasks send to one task over one channel; they compute 1 us per message",
            OPERATIONS,
            On::<FanIn>::EVENKEEL_AND_TOKIO,
            BARS,
        )
    },
    SCALE.case(
        "join_tree",
        "each task spawns two and awaits both handles, 14 deep: 32,767 tasks",
        OPERATIONS,
        On::<JoinTree>::EVENKEEL_AND_TOKIO,
        BARS,
    ),
];

/// The most workers have every CPU, so the server is not confined to some.
fn measure_echo(case: &'static Case, turn: Turn) -> Result<Measurement, String> {
    let cpus = Cpus::all_shared();
    closed_loop::measure(case, Turn { cpus, ..turn })
}

/// The same in both forms.
fn cases(_: Form) -> &'static [Case] {
    static CASES: OnceLock<Vec<Case>> = OnceLock::new();
    CASES.get_or_init(|| {
        let cpus = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let counts = worker_counts(cpus);
        let with_each = |case| counts.iter().map(move |&workers| with(workers, cpus, case));
        ELEMENTARY.iter().flat_map(with_each).collect()
    })
}

/// The powers of two up to the number of CPUs, and that number.
fn worker_counts(cpus: NonZeroUsize) -> Vec<NonZeroUsize> {
    const TWO: NonZeroUsize = NonZeroUsize::new(2).unwrap();
    let powers = iter::successors(Some(NonZeroUsize::MIN), |count| count.checked_mul(TWO));
    let mut counts: Vec<_> = powers.take_while(|count| *count < cpus).collect();
    counts.push(cpus);
    counts
}

/// What is made here is made once, and needed to the end.
fn with(workers: NonZeroUsize, cpus: NonZeroUsize, case: &Case) -> Case {
    Case {
        name: format!("{}_{workers}", case.name).leak(),
        bars: if workers == cpus { case.bars } else { &[] },
        scale: Some(Scale {
            operation: case.name,
            workers,
        }),
        ..*case
    }
}

/// What a reader of the table has to know.
fn facts(_: &[Row]) -> Vec<Fact> {
    let efficiency = "operations/s with n workers to n times those with one, within a round";
    let pinning = "evenkeel's workers are by default, when there is one for each CPU";
    vec![
        ("efficiency:", efficiency.to_owned()),
        ("pinned:", pinning.to_owned()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_double_up_to_the_cpus() {
        let counts = |cpus: usize| {
            let counts = worker_counts(cpus.try_into().unwrap());
            counts.into_iter().map(usize::from).collect::<Vec<_>>()
        };
        assert_eq!(counts(1), [1]);
        assert_eq!(counts(2), [1, 2]);
        assert_eq!(counts(3), [1, 2, 3]);
        assert_eq!(counts(6), [1, 2, 4, 6]);
        assert_eq!(counts(16), [1, 2, 4, 8, 16]);
        assert_eq!(counts(24), [1, 2, 4, 8, 16, 24]);
    }

    #[test]
    fn only_a_worker_per_cpu_is_judged() {
        let [two, four] = [2, 4].map(|number| NonZeroUsize::new(number).unwrap());
        let spawn = &ELEMENTARY[0];
        assert_eq!(with(two, four, spawn).name, "spawn_2");
        assert!(with(two, four, spawn).bars.is_empty());
        assert_eq!(with(four, four, spawn).bars.len(), 1);
    }

    #[test]
    fn every_operation_is_measured_with_one_worker() {
        for operation in ELEMENTARY {
            let mut cases = cases(Form::Short).iter();
            let name = format!("{}_1", operation.name);
            let case = cases.find(|case| case.name == name).unwrap();
            assert_eq!(case.scale.unwrap().operation, operation.name);
        }
    }
}
