//! The binary as a user runs it, on short runs.

mod common;

use std::fs;

use common::{harness, json_path};
use evenkeel_topology::{CpuSet, allowed_cpus};
use serde_json::Value;

/// Measures the cases and returns the text, and the JSON.
fn measure(name: &str, only: &str, rounds: &str) -> (String, Value) {
    let file = json_path(name);
    let path = file.to_str().unwrap();
    let output = harness(&[
        "--only", only, "--secs", "0.5", "--repeat", rounds, "--json", path,
    ]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert!(
        stderr.contains(&format!("{only}: p50")),
        "no line of progress: {stderr}"
    );
    let json = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    (String::from_utf8(output.stdout).unwrap(), json)
}

fn assert_sane(round: &Value, expects_jobs: bool) {
    let number = |of: &str, name: &str| {
        round[of][name]
            .as_f64()
            .unwrap_or_else(|| panic!("{name} in {round}"))
    };
    // Half a second, and for each CPU 1,000 requests/s.
    let requests = 500.0 * number("details", "cpus");
    assert_eq!(number("details", "requests"), requests);
    let answered = number("details", "answered");
    assert!(answered > 0.0 && answered <= requests, "{round}");
    let latencies = ["p50_us", "p90_us", "p99_us", "p999_us", "max_us"];
    let latencies = latencies.map(|name| number("details", name));
    assert!(latencies[0] > 0.0 && latencies.is_sorted(), "{round}");
    let shown = ["p50", "p90", "p99", "p99.9", "max"].map(|name| number("values", name));
    // Numbers are not read from JSON to the last bit.
    let is_same = |(ms, us): (&f64, &f64)| (1e3 * ms / us - 1.0).abs() < 1e-9;
    assert!(shown.iter().zip(&latencies).all(is_same), "{round}");
    assert_eq!(
        round["values"]["jobs"]
            .as_f64()
            .is_some_and(|jobs| jobs > 0.0),
        expects_jobs,
        "{round}"
    );
    assert!(number("details", "server_cpus") > 0.0);
}

/// The rounds of the only contender that was measured.
fn rounds<'a>(json: &'a Value, contender: &str) -> &'a [Value] {
    let contenders = json["cases"][0]["contenders"].as_object().unwrap();
    assert_eq!(contenders.len(), 1, "{json}");
    contenders[contender]["rounds"].as_array().unwrap()
}

#[test]
fn tokio_with_rayon_is_measured() {
    let (text, json) = measure("rayon.json", "light/tokio+rayon", "2");
    assert!(
        text.contains("tokio+rayon") && text.contains("machine:"),
        "{text}"
    );
    let rounds = rounds(&json, "tokio+rayon");
    assert_eq!(rounds.len(), 2);
    rounds.iter().for_each(|round| assert_sane(round, true));
    assert!(json["machine"]["cpus"].as_u64().unwrap() >= 1);
}

#[test]
fn smol_without_jobs_in_flight_counts_none() {
    let (_, json) = measure("smol.json", "blocked/smol", "1");
    assert_sane(&rounds(&json, "smol")[0], false);
}

#[test]
fn evenkeel_is_measured_and_judged() {
    let (text, json) = measure("evenkeel.json", "light/evenkeel", "1");
    let round = &rounds(&json, "evenkeel")[0];
    assert_sane(round, true);
    assert!(round["details"]["compute_priority"].is_string());
    assert!(text.contains("compute lane's priority"), "{text}");
    assert!(text.contains("light p50"), "{text}");
}

#[test]
fn a_server_keeps_off_the_cpus_of_its_client() {
    let cpus = allowed_cpus();
    let Some((last, others @ [_, ..])) = cpus.as_slice().split_last() else {
        return; // There is only one.
    };
    let others: CpuSet = others.iter().copied().collect();
    let file = json_path("apart.json");
    let (path, client) = (file.to_str().unwrap(), last.to_string());
    let only = ["--only", "light/tokio+rayon", "--client-cpus", &client];
    let briefly = ["--secs", "0.5", "--json", path];
    let output = harness(&[&only[..], &briefly].concat());
    let text = String::from_utf8(output.stdout).unwrap();
    let told = format!("the server on {others}, its client on {client}");
    assert!(text.contains(&told), "{text}");
    let json: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(json["client_cpus"], client);
    let round = &rounds(&json, "tokio+rayon")[0];
    assert_sane(round, true);
    assert_eq!(round["details"]["allowed_cpus"], others.to_string());
}

/// Measures the cases of a suite, very shortly, and returns the text, and the JSON.
fn measure_suite(suite: &str, only: &str, rounds: &str) -> (String, Value) {
    let file = json_path(&format!("{suite}-{only}.json"));
    let path = file.to_str().unwrap();
    let output = harness(&[
        suite, "--only", only, "--secs", "0.1", "--repeat", rounds, "--json", path,
    ]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let json = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    (String::from_utf8(output.stdout).unwrap(), json)
}

/// The case was measured on exactly these, and every round gave a time.
fn assert_times(case: &Value, contenders: &[&str], rounds: usize) {
    let measured = case["contenders"].as_object().unwrap();
    assert_eq!(measured.len(), contenders.len(), "{case}");
    for contender in contenders {
        let times = measured[*contender]["rounds"].as_array().unwrap();
        assert_eq!(times.len(), rounds, "{case}");
        let positive = |round: &Value| round["values"]["time"].as_f64().is_some_and(|ns| ns > 0.0);
        assert!(times.iter().all(positive), "{contender}: {case}");
    }
}

#[test]
fn the_scheduler_is_measured_and_judged() {
    let (text, json) = measure_suite("micro", "yield_many", "1");
    assert!(
        text.contains("yield_many") && text.contains("<= 0.9 x tokio|smol"),
        "{text}"
    );
    let case = &json["cases"][0];
    assert_times(case, &["evenkeel", "tokio", "smol"], 1);
    assert!(
        case["bars"][0]["result"]["measured"]["median"].is_number(),
        "{case}"
    );
}

#[test]
fn an_ablation_measures_only_evenkeel_with_and_without() {
    let file = json_path("ablation.json");
    let path = file.to_str().unwrap();
    let only = ["micro", "echo", "--only", "yield_many,echo/64"];
    let briefly = ["--secs", "0.1", "--repeat", "2", "--json", path];
    let output = harness(&[&only[..], &["--without", "spin,lifo-slot"], &briefly].concat());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("\nlifo-slot: ") && !text.contains("tokio"),
        "{text}"
    );
    let json: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    let cases = json["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 2, "{json}");
    let who = [
        "evenkeel",
        "evenkeel without spin",
        "evenkeel without lifo-slot",
    ];
    assert_times(&cases[0], &who, 2);
    for case in cases {
        let effects = case["ablation"].as_array().unwrap();
        let metrics = case["metrics"].as_array().unwrap();
        assert_eq!(effects.len(), 2 * metrics.len(), "{case}");
        assert!(
            effects[0]["effect"]["ratio"]["median"].is_number(),
            "{case}"
        );
    }
}

#[test]
fn rounds_of_a_suite_are_all_kept() {
    let (_, json) = measure_suite("micro", "compute_roundtrip", "2");
    assert_times(&json["cases"][0], &["evenkeel", "rayon"], 2);
}

#[test]
fn the_list_of_a_suite_shows_its_cases_and_runs_none() {
    let output = harness(&["micro", "--list"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    assert!(
        text.contains("micro/ping_pong") && !text.contains("busy/"),
        "{text}"
    );
}

#[test]
fn a_long_list_shows_the_whole_product() {
    let list = |arguments: &[&str]| {
        let output = harness(arguments);
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    let (short, long) = (
        list(&["handlers", "--list"]),
        list(&["handlers", "--list", "--long"]),
    );
    assert!(short.contains("handlers/20ms_0.8_poisson_jobs"), "{short}");
    assert!(!short.contains("0.1ms_0.45_even_alone"), "{short}");
    assert!(long.contains("0.1ms_0.45_even_alone"), "{long}");
}

#[test]
fn the_list_shows_the_cases_and_runs_none() {
    let output = harness(&["--list"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    assert!(
        text.contains("busy/tokio+rayon-nice19") && text.contains("blocked/evenkeel"),
        "{text}"
    );
    let named = harness(&["mixed", "--list"]);
    assert_eq!(String::from_utf8(named.stdout).unwrap(), text);
}

#[test]
fn a_child_refuses_what_is_not_in_the_table() {
    for (case, contender) in [
        ("micro/fibers", "tokio"),
        ("fibers/yield_many", "tokio"),
        ("micro/yield_many", "go"),
        ("micro/yield_many", "load"),
    ] {
        let output = harness(&[
            "measure", "--case", case, "--on", contender, "--secs", "0.1",
        ]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && output.stdout.is_empty());
        assert!(stderr.contains(case), "{case} on {contender}: {stderr}");
    }
}

#[test]
fn mistakes_end_with_status_2_and_a_reason() {
    for (arguments, reason) in [
        (&["--sesc", "1"][..], "--sesc"),
        (&["--secs", "-1"], "-1"),
        (&["--only", "light/go"], "light/go"),
        (&["macro"], "macro"),
        (&["--long"], "handlers"),
        (&["--without", "luck"], "hold-back"),
        (
            &["--without", "spin", "--only", "light/tokio+rayon"],
            "--only",
        ),
        (&["micro", "--only", "fibers"], "fibers"),
        (
            &["--json", "/nonexistent/folder/out.json"],
            "/nonexistent/folder",
        ),
    ] {
        let output = harness(arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
        assert!(stderr.contains(reason), "{arguments:?}: {stderr}");
    }
}
