//! The suites `echo` and `http` as a user runs them, briefly.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// No run in this file takes a tenth of this, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs one case of a suite on all contenders, and returns what the JSON has on them. The status is
/// left to what is found there, since a peer that cannot run here counts as a failure.
fn contenders(suite: &str, case: &str) -> Value {
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{suite}-{case}.json"));
    let _ = fs::remove_file(&file);
    let mut process = Command::new(env!("CARGO_BIN_EXE_evenkeel-bench"))
        .args([suite, "--only", case, "--secs", "0.1", "--repeat", "1"])
        .arg("--json")
        .arg(&file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + PATIENCE;
    while process.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            process.kill().unwrap();
            panic!("{suite}/{case} hangs");
        }
        thread::sleep(Duration::from_millis(20));
    }
    let json: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(json["cases"].as_array().map(Vec::len), Some(1), "{json}");
    json["cases"][0]["contenders"].clone()
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
