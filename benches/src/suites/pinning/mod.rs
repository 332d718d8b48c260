//! The suite `pinning`: where workers should run on this machine.
//!
//! Every strategy ([`strategies`]) against every workload ([`workloads`]), under each condition
//! ([`conditions`]): the cases are the product of the last two, made when they are asked for. What
//! follows from the numbers is an advice ([`advice`]).

mod advice;
mod conditions;
mod metrics;
mod strategies;
mod workloads;

use std::sync::OnceLock;
use std::time::Duration;

use self::conditions::Beside;
use self::metrics::{CLOSED, OPEN, OPERATIONS};
use self::strategies::STRATEGIES;
use self::workloads::{BesideJobs, Cache, FanOut, Neighbours, Strangers};
use self::workloads::{load_cache, load_echo, load_redis, measure_inside, measure_open};
use super::clients::{REDIS_BENCHMARK, resp};
use super::echo;
use crate::closed_loop;
use crate::cpus::Cpus;
use crate::harness::{Case, Form, Layout, Place, Row, Suite, Template, Turn};
use crate::machine::Fact;
use crate::proc::knows_migrations;
use crate::runtimes::On;
use crate::spin::Spin;

pub(super) const SUITE: Suite = Suite {
    layout: Layout::Conditions,
    window: Duration::from_secs(2),
    rounds: 1,
    facts,
    conclusion: advice::conclude,
    ..Suite::new(
        "pinning",
        "where workers run: strategies against workloads and conditions, and what follows",
        cases,
    )
};

const WITH_CLIENT: Template = Template {
    suite: "pinning",
    measure: &closed_loop::measure,
};
const WITHOUT_CLIENT: Template = Template {
    suite: "pinning",
    measure: &measure_inside,
};

/// Servers and their clients, in the tables' order. Each case has the runtimes as they come, which
/// become the strategies.
const SERVERS: &[Case] = &[
    Case {
        measure: &|case, turn| measure_open(case, turn, 1_000, 0),
        ..WITH_CLIENT.case(
            "light",
            "per CPU, 1,000 requests/s with no work in the handler, beside 4 CPU jobs of 20 ms",
            OPEN,
            On::<BesideJobs>::EVENKEEL_AND_TOKIO,
            &[],
        )
    },
    Case {
        measure: &|case, turn| measure_open(case, turn, 4_000, 100),
        ..WITH_CLIENT.case(
            "busy",
            "per CPU, 4,000 requests/s with 100 us of CPU each, beside 4 CPU jobs of 20 ms",
            OPEN,
            On::<BesideJobs>::EVENKEEL_AND_TOKIO,
            &[],
        )
    },
    Case {
        load: Some(load_echo),
        ..WITH_CLIENT.case(
            "echo",
            "TCP echo of 64 bytes in a closed loop, 32 connections per CPU",
            CLOSED,
            On::<echo::Server>::EVENKEEL_AND_TOKIO,
            &[],
        )
    },
    Case {
        load: Some(load_cache),
        ..WITH_CLIENT.case(
            "cache",
            "the same with 4 connections per CPU, whose tasks touch 256 KiB of their own each time",
            CLOSED,
            On::<Cache>::EVENKEEL_AND_TOKIO,
            &[],
        )
    },
    Case {
        program: Some(REDIS_BENCHMARK),
        load: Some(load_redis),
        ..WITH_CLIENT.case(
            "redis",
            "redis-benchmark -c 50 -t get on a server of one screen",
            CLOSED,
            On::<resp::Server>::EVENKEEL_AND_TOKIO,
            &[],
        )
    },
];

/// Tasks alone, in the tables' order.
const TASKS: &[Case] = &[
    WITHOUT_CLIENT.case(
        "neighbours",
        "a pair of tasks per worker, one spawned by the other, sends to and fro; round trips",
        OPERATIONS,
        On::<Neighbours>::EVENKEEL_AND_TOKIO,
        &[],
    ),
    WITHOUT_CLIENT.case(
        "strangers",
        "the same with partners that were spawned apart, from outside",
        OPERATIONS,
        On::<Strangers>::EVENKEEL_AND_TOKIO,
        &[],
    ),
    WITHOUT_CLIENT.case(
        "fan_out",
        "one task sends to 64 tasks, which compute 1 us per message",
        OPERATIONS,
        On::<FanOut>::EVENKEEL_AND_TOKIO,
        &[],
    ),
];

/// The same in both forms.
fn cases(_: Form) -> &'static [Case] {
    static CASES: OnceLock<Vec<Case>> = OnceLock::new();
    CASES.get_or_init(|| product(conditions::all(&Cpus::usual())))
}

/// Each workload in each condition that makes a difference to it.
fn product(conditions: &[Beside]) -> Vec<Case> {
    let in_condition = |&beside: &Beside| {
        let tasks = if beside.is_of_client() { &[] } else { TASKS };
        let workloads = SERVERS.iter().chain(tasks);
        workloads.map(move |workload| within(beside, workload))
    };
    conditions.iter().flat_map(in_condition).collect()
}

/// What is made here is made once, and needed to the end.
fn within(beside: Beside, workload: &'static Case) -> Case {
    let condition = beside.condition;
    let strategies = STRATEGIES.iter();
    let contenders = strategies.map(|strategy| strategy.contender(workload.contenders));
    let contenders: Vec<_> = contenders.collect();
    let measure = move |case: &'static Case, turn: Turn| {
        // Before anybody else computes.
        Spin::of_machine()?;
        let turn = beside.turn(turn);
        let _programs = beside.start(turn)?;
        (workload.measure)(case, turn)
    };
    Case {
        name: format!("{}_{}", workload.name, condition.name).leak(),
        about: format!("{}; {}", workload.about, condition.about).leak(),
        metrics: metrics::known(workload.metrics),
        contenders: contenders.leak(),
        place: Some(Place {
            workload: workload.name,
            condition,
        }),
        measure: Box::leak(Box::new(measure)),
        ..*workload
    }
}

/// What a reader of the tables has to know.
fn facts(rows: &[Row]) -> Vec<Fact> {
    if rows.is_empty() {
        return Vec::new();
    }
    let mut facts = vec![
        (
            "pinning:",
            "light and busy: latencies in ms from the due time; p99 is judged; switches include \
             the jobs'"
                .to_owned(),
        ),
        (
            "",
            "the others: requests or operations per second are judged".to_owned(),
        ),
        (
            "programs:",
            "those of the conditions have normal priority, and a session of their own".to_owned(),
        ),
    ];
    if !knows_migrations() {
        let unknown = "this kernel does not tell (/proc/self/sched)";
        facts.push(("migrations:", unknown.to_owned()));
    }
    facts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpus::ClientCpus;

    fn product_for(cpus: usize) -> Vec<Case> {
        product(conditions::all(&Cpus::of_flat(&ClientCpus::Auto, cpus)))
    }

    #[test]
    fn every_workload_is_measured_in_every_condition_that_concerns_it() {
        let all = SERVERS.len() + TASKS.len();
        assert_eq!(product_for(2).len(), 3 * all);
        let cases = product_for(16);
        assert_eq!(cases.len(), 3 * all + SERVERS.len());
        let names: Vec<_> = cases.iter().map(|case| case.name).collect();
        assert!(names.contains(&"echo_shared") && !names.contains(&"fan_out_shared"));
    }

    #[test]
    fn every_case_has_every_strategy() {
        for case in product_for(16) {
            let names = case.contenders.iter().map(|contender| contender.name);
            assert!(names.eq(STRATEGIES.iter().map(|strategy| strategy.name)));
        }
    }
}
