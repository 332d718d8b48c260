//! The suite `clients` as a user runs it, briefly: with the programs where they are installed, and
//! without.

mod common;

use common::{case, harness_with};
use serde_json::Value;

const BOTH: [&str; 2] = ["evenkeel", "tokio"];

/// What the program found makes sense, where it is installed; elsewhere, that is said.
fn assert_measured_or_missed(name: &str, program: &str) {
    let found = case("clients", name);
    for contender in BOTH {
        let measured: &Value = &found["contenders"][contender];
        if let Some(missed) = measured.get("not_installed") {
            assert_eq!(missed, program, "{measured}");
            assert!(measured["rounds"].as_array().unwrap().is_empty());
            continue;
        }
        let values = &measured["rounds"][0]["values"];
        let metrics = ["requests", "server_cpu", "p50", "p99"];
        let [requests, cpu, p50, p99] = metrics.map(|metric| {
            values[metric]
                .as_f64()
                .unwrap_or_else(|| panic!("{metric} of {contender}: {measured}"))
        });
        assert!(requests > 0.0 && cpu >= 0.0, "{contender}: {values}");
        assert!(p50 > 0.0 && p50 <= p99, "{contender}: {values}");
    }
}

#[test]
fn redis_benchmark_sets_and_gets() {
    for name in ["redis_set", "redis_get"] {
        assert_measured_or_missed(name, "redis-benchmark");
    }
}

#[test]
fn wrk_is_greeted() {
    assert_measured_or_missed("wrk_hello", "wrk");
}

#[test]
fn what_is_not_installed_is_said_and_is_no_failure() {
    let nowhere = [("PATH", "/nonexistent")];
    let output = harness_with(&nowhere, &["clients", "--secs", "0.1", "--repeat", "1"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    for line in [
        "redis_set on evenkeel: redis-benchmark is not installed",
        "wrk_hello on tokio: wrk is not installed",
    ] {
        assert!(text.contains(line), "no {line:?} in {text}");
    }
    assert!(!text.contains("NOT MET"), "{text}");
}
