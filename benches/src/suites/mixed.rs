//! The suite `mixed`, the main job: an echo server with CPU work beside its connections, under an
//! open loop. What comes in and what is in flight goes with the CPUs that the server may use.

use std::time::Duration;

use serde_json::Value;

use crate::harness::{Bar, Case, Contender, EVENKEEL, Layout, Limit, Metric, Row, Suite, Template};
use crate::harness::{InChild, Measurement, Turn, Twin};
use crate::machine::Fact;
use crate::open_loop::{self, ANSWERED, Background, Column, JOBS, Outcome, Plan};
use crate::open_loop::{GRACE, MESSAGE_BYTES, metrics};
use crate::open_loop::{LATE_P50, LATE_P90, LATE_P99, serve};
use crate::runtimes::{Evenkeel, Runtime, Smol, Tokio};
use crate::stats::short;

pub(super) const SUITE: Suite = Suite {
    layout: Layout::Lines,
    window: Duration::from_millis(3500),
    rounds: 1,
    facts,
    ..Suite::new(
        "mixed",
        "an echo server with CPU work beside its IO, open loop; latencies in ms",
        |_| CASES,
    )
};

const COLUMNS: &[Column; 7] = &[
    latency("p50", |seen| answered(seen, seen.latencies.p50_us)).with_late(LATE_P50),
    latency("p90", |seen| answered(seen, seen.latencies.p90_us)).with_late(LATE_P90),
    latency("p99", |seen| answered(seen, seen.latencies.p99_us)).with_late(LATE_P99),
    latency("p99.9", |seen| answered(seen, seen.latencies.p999_us))
        .with_late(|late| late.p999_us / 1e3),
    latency("max", |seen| answered(seen, seen.latencies.max_us))
        .with_late(|late| late.max_us / 1e3),
    ANSWERED,
    JOBS,
];
const METRICS: &[Metric] = &metrics(COLUMNS);

const fn latency(name: &'static str, of: fn(&Outcome) -> Option<f64>) -> Column {
    let metric = Metric {
        absent: "no answer",
        ..Metric::new(name, "ms")
    };
    Column {
        metric,
        of,
        late: None,
    }
}

/// Milliseconds, where anything was answered: there is no latency else.
fn answered(outcome: &Outcome, us: f64) -> Option<f64> {
    (outcome.latencies.answered > 0).then_some(us / 1e3)
}

/// Evenkeel without CPU jobs, which its bars are ratios to.
const ALONE: &str = "evenkeel-alone";

/// Those of the cases with CPU jobs in each contender's own place. Evenkeel's default comes before
/// what it may turn out to be.
const BESIDE_JOBS: &[Contender] = &[
    Contender::new(ALONE, |setup| {
        serve(setup, Evenkeel::new, Background::NOTHING)
    }),
    Contender::new(EVENKEEL, |setup| {
        serve(setup, Evenkeel::new, Background::COMPUTE)
    }),
    per_core(|setup| serve(setup, Evenkeel::per_core, Background::COMPUTE)),
    unpinned(|setup| serve(setup, Evenkeel::unpinned, Background::COMPUTE)),
    Contender::new("tokio-alone", |setup| {
        serve(setup, Tokio::new, Background::NOTHING)
    }),
    Contender::new("tokio+spawn", |setup| {
        serve(setup, Tokio::new, Background::SPAWN)
    }),
    Contender::new("tokio+spawn_blocking", |setup| {
        serve(setup, Tokio::new, Background::COMPUTE)
    }),
    Contender::new("tokio+rayon", |setup| {
        serve(setup, Tokio::new, Background::RAYON)
    }),
    Contender::new("tokio+rayon-nice19", |setup| {
        serve(setup, Tokio::new, Background::RAYON_NICE_19)
    }),
    Contender::new("tokio+tokio10", |setup| {
        serve(setup, Tokio::new, Background::TOKIO_NICE_10)
    }),
    Contender::new("tokio+tokioidle", |setup| {
        serve(setup, Tokio::new, Background::TOKIO_IDLE)
    }),
    Contender::new("smol+unblock", |setup| {
        serve(setup, Smol::new, Background::COMPUTE)
    }),
];

const INLINE: &[Contender] = &[
    Contender::new(EVENKEEL, |setup| {
        serve(setup, Evenkeel::new, Background::INLINE_JOBS)
    }),
    per_core(|setup| serve(setup, Evenkeel::per_core, Background::INLINE_JOBS)),
    unpinned(|setup| serve(setup, Evenkeel::unpinned, Background::INLINE_JOBS)),
    Contender::new("tokio", |setup| {
        serve(setup, Tokio::new, Background::INLINE_JOBS)
    }),
    Contender::new("smol", |setup| {
        serve(setup, Smol::new, Background::INLINE_JOBS)
    }),
];

const BLOCKED: &[Contender] = &[
    Contender::new(EVENKEEL, |setup| {
        serve(setup, Evenkeel::new, Background::BLOCKING_SLEEPS)
    }),
    per_core(|setup| serve(setup, Evenkeel::per_core, Background::BLOCKING_SLEEPS)),
    unpinned(|setup| serve(setup, Evenkeel::unpinned, Background::BLOCKING_SLEEPS)),
    Contender::new("tokio", |setup| {
        serve(setup, Tokio::new, Background::BLOCKING_SLEEPS)
    }),
    Contender::new("smol", |setup| {
        serve(setup, Smol::new, Background::BLOCKING_SLEEPS)
    }),
];

/// Not measured where it is what Evenkeel's default turns out to be.
const fn variant(name: &'static str, is_default: fn(&Value) -> bool, run: InChild) -> Contender {
    Contender {
        twin: Some(Twin {
            name: EVENKEEL,
            is_same: is_default,
        }),
        ..Contender::new(name, run)
    }
}

const fn per_core(run: InChild) -> Contender {
    variant("evenkeel:per-core", |seen| seen["pinned"] == true, run)
}

const fn unpinned(run: InChild) -> Contender {
    variant("evenkeel:none", |seen| seen["pinned"] == false, run)
}

const MIXED: Template = Template {
    suite: "mixed",
    measure: &|case, turn| measure(case, turn, 1_000, 0, false),
};

/// The cases, in the table's order.
const CASES: &[Case] = &[
    MIXED.case(
        "light",
        "for two CPUs: 2,000 requests/s with no work in the handler, 8 CPU jobs of 20 ms in flight",
        METRICS,
        BESIDE_JOBS,
        &[
            Bar::new("p50", Limit::AtMost(1.1, &[ALONE])),
            Bar::new("p90", Limit::AtMost(1.1, &[ALONE])),
            Bar::new("p99", Limit::AtMost(1.5, &[ALONE])),
            Bar::new("jobs", Limit::AtLeast(0.97, &["tokio+rayon"])),
        ],
    ),
    Case {
        measure: &|case, turn| measure(case, turn, 4_000, 100, false),
        ..MIXED.case(
            "busy",
            "for two CPUs: 8,000 requests/s with 100 us of CPU each, 8 CPU jobs of 20 ms in flight",
            METRICS,
            BESIDE_JOBS,
            &[
                Bar::new("p50", Limit::AtMost(1.1, &[ALONE])),
                Bar::new("p90", Limit::AtMost(1.1, &[ALONE])),
                Bar::new("p99", Limit::AtMost(1.5, &[ALONE])),
                Bar::new("jobs", Limit::AtLeast(1.05, &["tokio+rayon-nice19"])),
            ],
        )
    },
    Case {
        measure: &|case, turn| measure(case, turn, 1_000, 0, true),
        ..MIXED.case(
            "inline",
            "as light, the jobs in plain tasks that never yield inside a job",
            METRICS,
            INLINE,
            &[
                Bar::new("p50", Limit::Absolute(0.2)),
                Bar::new("p99", Limit::Absolute(1.0)),
                Bar::new("jobs", Limit::AtLeast(0.9, &["light/evenkeel"])),
            ],
        )
    },
    Case {
        measure: &|case, turn| measure(case, turn, 1_000, 0, true),
        ..MIXED.case(
            "blocked",
            "as light, plain tasks that block in 100 ms sleeps instead of jobs",
            METRICS,
            BLOCKED,
            &[
                Bar::new("p50", Limit::Absolute(0.2)),
                Bar::new("p99", Limit::Absolute(1.0)),
            ],
        )
    },
];

/// So many requests for each CPU. The background work begins before the warm-up, or `late`, with
/// the window.
fn measure(
    case: &'static Case,
    turn: Turn,
    requests_per_s: u32,
    handler_us: u32,
    late: bool,
) -> Result<Measurement, String> {
    let plan = Plan {
        late,
        ..Plan::per_cpu(turn.cpus.of_server, requests_per_s / slowness(), handler_us)
    };
    let outcome = open_loop::run(case, turn, &plan)?;
    outcome.measurement(COLUMNS)
}

/// How many times as slow as others this machine is, by whoever runs it there: an emulated one.
fn slowness() -> u32 {
    let given = std::env::var("EVENKEEL_SLOWNESS").ok();
    let given = given.and_then(|given| given.parse().ok());
    given.filter(|&times| times > 0).unwrap_or(1)
}

fn facts(rows: &[Row]) -> Vec<Fact> {
    let outcomes = rows.iter().flat_map(|row| {
        let details = row.measured().map(|one| one.found.details.clone());
        let outcomes = details.filter_map(|details| serde_json::from_value(details).ok());
        outcomes.map(|outcome| (row.contender.name, outcome))
    });
    facts_of(&outcomes.collect::<Vec<_>>())
}

/// By what came of each measurement, with its contender.
fn facts_of(outcomes: &[(&str, Outcome)]) -> Vec<Fact> {
    let all = || outcomes.iter().map(|(_, outcome)| outcome);
    let mut facts = Vec::new();
    if let Some(client) = all().next() {
        let late = all().map(|one| one.latencies.sent_late_p99_us);
        let late = short(late.fold(0.0, f64::max) / 1e3);
        let (priority, threads) = (&client.latencies.priority, client.latencies.client_threads);
        let threads = match threads {
            1 => String::new(),
            threads => format!("{threads} threads, "),
        };
        let text = format!("{threads}{priority}; it sent up to {late} ms late (p99)");
        facts.push(("client:", text));
    }
    let mut auto = outcomes
        .iter()
        .filter(|(name, _)| [EVENKEEL, ALONE].contains(name));
    if let Some((_, auto)) = auto.next() {
        let chosen = if auto.pinned { "per-core" } else { "none" };
        facts.push(("evenkeel:", format!("pinning auto is {chosen} here")));
    }
    if let Some(priority) = all().find_map(|one| one.compute_priority.as_ref()) {
        facts.push(("", format!("compute lane's priority: {priority}")));
    }
    match slowness() {
        1 => {}
        times => facts.push((
            "",
            format!("one in {times} of the requests: EVENKEEL_SLOWNESS"),
        )),
    }
    let grace_s = GRACE.as_secs();
    facts.extend([
        ("mixed:", load_of(all().next())),
        (
            "",
            format!("ms from the due time; what has no answer {grace_s} s after"),
        ),
        (
            "",
            "the end counts with the age that it has then".to_owned(),
        ),
    ]);
    facts
}

/// What the server had to do with, by one of the measurements.
fn load_of(outcome: Option<&Outcome>) -> String {
    let messages = format!("{MESSAGE_BYTES}-byte messages");
    outcome.map_or_else(
        || messages.clone(),
        |one| {
            let (connections, cpus) = (one.connections, one.cpus);
            format!("{connections} connections, {messages}; CPUs of the server: {cpus}")
        },
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn outcome(answered: u64, work_per_s: Option<f64>) -> Outcome {
        Outcome::example(json!({ "answered": answered, "work_per_s": work_per_s }))
    }

    fn values(outcome: &Outcome) -> Vec<Option<f64>> {
        outcome.measurement(COLUMNS).unwrap().values
    }

    #[test]
    fn columns_are_milliseconds_percents_and_jobs() {
        let found = values(&outcome(1, Some(1_940.0)));
        let expected = [0.1, 0.2, 0.3, 0.4, 0.5, 50.0, 97.0];
        assert_eq!(found, expected.map(Some));
    }

    #[test]
    fn there_is_no_latency_without_an_answer_and_no_job_where_none_is() {
        let mut expected = vec![None; COLUMNS.len()];
        expected[5] = Some(0.0);
        assert_eq!(values(&outcome(0, None)), expected);
    }

    #[test]
    fn the_facts_tell_what_auto_came_to() {
        let facts = facts_of(&[("tokio", outcome(1, None)), (EVENKEEL, outcome(1, None))]);
        let text = |about| facts.iter().position(|(one, _)| *one == about).unwrap();
        assert_eq!(
            facts[text("client:")].1,
            "SCHED_FIFO 10; it sent up to 0.010 ms late (p99)"
        );
        let auto = text("evenkeel:");
        assert_eq!(facts[auto].1, "pinning auto is per-core here");
        assert_eq!(facts[auto + 1].1, "compute lane's priority: Idle");
        let load = "64 connections, 64-byte messages; CPUs of the server: 2";
        assert_eq!(facts[text("mixed:")].1, load);
    }
}
