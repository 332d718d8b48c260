//! The suites `timers`, `memory` and `idle` as a user runs them, briefly.

mod common;

use common::case;
use serde_json::Value;

fn value(case: &Value, contender: &str, metric: &str) -> f64 {
    let contender = &case["contenders"][contender];
    contender["rounds"][0]["values"][metric]
        .as_f64()
        .unwrap_or_else(|| panic!("{metric} in {contender}"))
}

const ALL: [&str; 3] = ["evenkeel", "tokio", "smol"];

#[test]
fn timers_are_set_and_cancelled_on_every_contender() {
    let found = case("timers", "set_cancel");
    for contender in ALL {
        assert!(value(&found, contender, "rate") > 0.0, "{found}");
    }
}

#[test]
fn lateness_is_measured_on_every_contender() {
    for name in ["sleep_100us", "fire"] {
        let found = case("timers", name);
        for contender in ALL {
            let lateness = ["p50", "p99"].map(|metric| value(&found, contender, metric));
            assert!(lateness[0] > 0.0 && lateness.is_sorted(), "{found}");
        }
    }
}

#[test]
fn a_task_and_a_connection_take_memory() {
    for name in ["task", "connection"] {
        let found = case("memory", name);
        for contender in ALL {
            let bytes = value(&found, contender, "size");
            // More than a pointer or two, and not a stack.
            assert!((16.0..8192.0).contains(&bytes), "{contender}: {found}");
        }
    }
}

#[test]
fn an_idle_runtime_is_watched() {
    let found = case("idle", "idle");
    for contender in ALL {
        let found = ["wake-ups", "cpu"].map(|metric| value(&found, contender, metric));
        assert!(found.iter().all(|&value| value >= 0.0), "{found:?}");
    }
    let bars = found["bars"].as_array().unwrap();
    assert_eq!(bars.len(), 2, "{found}");
    for bar in bars {
        assert!(bar["result"]["measured"].is_object(), "{found}");
    }
}

#[test]
fn a_start_and_a_job_take_time() {
    let found = case("idle", "startup");
    for contender in ["evenkeel", "tokio"] {
        assert!(value(&found, contender, "p50") > 0.0, "{found}");
    }
    let found = case("idle", "job_per_ms");
    for contender in ALL {
        let found = ["cpu", "switches"].map(|metric| value(&found, contender, metric));
        assert!(found.iter().all(|&value| value > 0.0), "{found:?}");
    }
}
