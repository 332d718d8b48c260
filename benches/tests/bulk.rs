//! The suite `bulk` as a user runs it, briefly.

mod common;

use serde_json::Value;

/// Long enough for an answer of a mebibyte on each of 64 connections, on a loaded machine too.
const SECS: &str = "0.5";

fn assert_measured(case: &str, contenders: &[&str]) {
    let found = common::case_for("bulk", case, SECS);
    for contender in contenders {
        let measured: &Value = &found["contenders"][*contender];
        let values = &measured["rounds"][0]["values"];
        let number = |name: &str| {
            values[name]
                .as_f64()
                .unwrap_or_else(|| panic!("{name} of {contender}: {measured}"))
        };
        assert!(number("answers") > 0.0, "{contender}: {values}");
        let latencies = ["p50", "p99", "p99.9"].map(number);
        assert!(latencies[0] > 0.0 && latencies.is_sorted(), "{values}");
        assert!(number("server_cpu") > 0.0, "{contender}: {values}");
    }
}

#[test]
fn large_messages_come_back_whole_on_every_contender() {
    for case in ["4KiB_1", "64KiB_8", "1MiB_64"] {
        assert_measured(case, &["evenkeel", "tokio", "smol", "epoll"]);
    }
}

#[test]
fn a_file_is_sent_whole_on_every_runtime() {
    assert_measured("file", &["evenkeel", "tokio", "smol"]);
}
