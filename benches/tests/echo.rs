//! The suites `echo` and `http` as a user runs them, briefly.

mod common;

use serde_json::Value;

fn contenders(suite: &str, name: &str) -> Value {
    common::case(suite, name)["contenders"].clone()
}

fn assert_sane(contender: &str, measured: &Value) {
    let values = &measured["rounds"][0]["values"];
    let number = |name: &str| {
        values[name]
            .as_f64()
            .unwrap_or_else(|| panic!("{name} of {contender}: {measured}"))
    };
    assert!(number("requests") > 0.0, "{contender}: {values}");
    let latencies = ["p50", "p99", "p99.9"].map(number);
    assert!(
        latencies[0] > 0.0 && latencies.is_sorted(),
        "{contender}: {values}"
    );
    // The kernel may bring the clocks of running threads up to date rarely.
    assert!(number("server_cpu") >= 0.0 && number("switches") >= 0.0);
}

#[test]
fn echo_is_measured_on_every_contender() {
    for case in ["1_connection", "64_connections"] {
        let mut found = contenders("echo", case);
        // Many systems refuse io_uring.
        let monoio = found["monoio"].take();
        match monoio["failures"][0].as_str() {
            None => assert_sane("monoio", &monoio),
            Some(failure) => assert!(failure.contains("io_uring"), "{failure}"),
        }
        for contender in ["evenkeel", "tokio", "smol", "epoll"] {
            assert_sane(contender, &found[contender]);
        }
    }
}

#[test]
fn http_is_measured_on_every_contender() {
    let found = contenders("http", "hello");
    for contender in ["evenkeel", "tokio"] {
        assert_sane(contender, &found[contender]);
    }
}
