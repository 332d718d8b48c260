//! The suite `handlers` as a user runs it, briefly.

mod common;

use serde_json::Value;

/// Long enough for some requests of every kind.
const SECS: &str = "0.5";

const WITH_JOBS: [&str; 5] = [
    "evenkeel",
    "evenkeel-off",
    "tokio+rayon19",
    "tokio+tokio10",
    "tokio+tokioidle",
];
const WITHOUT_JOBS: [&str; 3] = ["evenkeel", "evenkeel-off", "tokio"];

/// Long enough for some jobs, whatever else the machine does.
const SECS_FOR_JOBS: &str = "2";

fn measured(name: &str, contenders: &[&str], quantiles: &[[&str; 2]]) -> Vec<Value> {
    measured_for(SECS, name, contenders, quantiles)
}

/// Runs the case on exactly these contenders, and checks what all cases have.
fn measured_for(
    secs: &str,
    name: &str,
    contenders: &[&str],
    quantiles: &[[&str; 2]],
) -> Vec<Value> {
    let found = common::case_for("handlers", name, secs);
    let measured = found["contenders"].as_object().unwrap();
    assert_eq!(measured.len(), contenders.len(), "{name}: {found}");
    let of = |contender: &&str| {
        let values = &measured[*contender]["rounds"][0]["values"];
        let number = |metric: &str| {
            values[metric]
                .as_f64()
                .unwrap_or_else(|| panic!("{metric} in {name} on {contender}: {measured:?}"))
        };
        for quantiles in quantiles {
            let [low, high] = quantiles.map(number);
            assert!(low > 0.0 && low <= high, "{name}: {values}");
        }
        assert!((0.0..=100.0).contains(&number("answered")), "{values}");
        values.clone()
    };
    contenders.iter().map(of).collect()
}

#[test]
fn fixed_handlers_are_measured_beside_jobs() {
    for values in measured("1.2ms_0.6_poisson_jobs", &WITH_JOBS, &[["p50", "p99"]]) {
        assert!(values["jobs"].as_f64() >= Some(0.0), "{values}");
    }
}

#[test]
fn short_and_long_requests_are_told_apart() {
    let quantiles = [["short_p50", "short_p99"], ["long_p50", "long_p99"]];
    measured("mixture_0.6", &WITH_JOBS, &quantiles);
}

#[test]
fn handlers_are_measured_beside_tasks_that_compute() {
    let quantiles = [["p50", "p99"]];
    for values in measured_for(SECS_FOR_JOBS, "inline_2ms", &WITHOUT_JOBS, &quantiles) {
        assert!(values["jobs"].as_f64() > Some(0.0), "{values}");
    }
}

#[test]
fn handlers_are_measured_beside_jobs_that_do_as_they_do() {
    let contenders = [
        "evenkeel-alone",
        "evenkeel",
        "tokio+rayon19",
        "tokio+tokioidle",
    ];
    let quantiles = [["p50", "p99"], ["net_p99", "p99"]];
    for name in ["allocating_jobs", "logging_jobs"] {
        let found = measured_for(SECS_FOR_JOBS, name, &contenders, &quantiles);
        assert!(found[0]["jobs"].is_null(), "{name}: {found:?}");
        // They give way to whatever else runs here.
        for values in &found[1..] {
            assert!(values["jobs"].as_f64() >= Some(0.0), "{name}: {values}");
        }
    }
}

#[test]
fn what_handlers_write_is_no_failure() {
    for name in ["allocating", "logging"] {
        for values in measured(name, &WITHOUT_JOBS, &[["p50", "p99"]]) {
            assert!(values["takeovers"].as_f64() >= Some(0.0), "{values}");
        }
    }
}
