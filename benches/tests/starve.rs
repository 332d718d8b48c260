//! The suite `starve` as a user runs it, briefly.

mod common;

use serde_json::Value;

/// Long enough for every disturbance to get something done, on a loaded machine too.
const SECS: &str = "0.5";

/// Runs the case, and returns these metrics of each contender.
fn measured<const N: usize>(name: &str, metrics: [&str; N]) -> Vec<[f64; N]> {
    let found = common::case_for("starve", name, SECS);
    let of = |contender| {
        let measured: &Value = &found["contenders"][contender];
        let values = &measured["rounds"][0]["values"];
        metrics.map(|metric| {
            values[metric]
                .as_f64()
                .unwrap_or_else(|| panic!("{metric} in {name} on {contender}: {measured}"))
        })
    };
    ["evenkeel", "tokio"].map(of).to_vec()
}

fn assert_neighbours_are_measured(name: &str) {
    for values in measured(name, ["p50", "p99", "answered", "work"]) {
        let [p50, p99, answered, work] = values;
        assert!(p50 > 0.0 && p50 <= p99, "{name}: {values:?}");
        assert!((0.0..=100.0).contains(&answered), "{name}: {values:?}");
        assert!(work > 0.0, "{name}: {values:?}");
    }
}

#[test]
fn neighbours_of_another_connection_are_measured() {
    for name in ["heavy_handler", "held_lock", "ready_socket"] {
        assert_neighbours_are_measured(name);
    }
}

#[test]
fn neighbours_of_tasks_without_io_are_measured() {
    for name in ["waking_pair", "spawn_storm", "all_stuck"] {
        assert_neighbours_are_measured(name);
    }
}

#[test]
fn a_server_that_is_blocked_for_good_is_measured_to_the_end() {
    assert_neighbours_are_measured("blocked_1000");
}

#[test]
fn sleeping_tasks_are_measured() {
    for values in measured("timers", ["p50", "p99", "work"]) {
        let [p50, p99, work] = values;
        assert!(p50 > 0.0 && p50 <= p99 && work > 0.0, "{values:?}");
    }
}
