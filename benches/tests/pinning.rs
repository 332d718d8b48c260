//! The suite `pinning` as a user runs it, briefly.

mod common;

use std::fs;

use common::{harness, json_path};
use serde_json::Value;

/// With whether a thread is pinned, if that does not depend on the machine.
const STRATEGIES: [(&str, Option<bool>); 11] = [
    ("evenkeel", None),
    ("evenkeel:none", Some(false)),
    ("evenkeel:per-core", Some(true)),
    ("evenkeel:compact", Some(true)),
    ("evenkeel:scatter", Some(true)),
    ("evenkeel:cluster", None),
    ("evenkeel:l3", None),
    ("evenkeel:node", None),
    ("evenkeel:compute-only", None),
    ("tokio", Some(false)),
    ("tokio:pinned", Some(true)),
];
const WORKLOADS: [&str; 8] = [
    "light",
    "busy",
    "echo",
    "cache",
    "redis",
    "neighbours",
    "strangers",
    "fan_out",
];

/// Measures these cases, and returns the text, and the JSON.
fn measure(name: &str, only: &str) -> (String, Value) {
    let file = json_path(name);
    let path = file.to_str().unwrap();
    let briefly = ["--secs", "0.2", "--repeat", "1", "--json", path];
    let output = harness(&[&["pinning", "--only", only], &briefly[..]].concat());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let json = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    (String::from_utf8(output.stdout).unwrap(), json)
}

/// Each strategy has numbers in the case, where the program is installed that it needs.
fn assert_sane(case: &Value) {
    let contenders = case["contenders"].as_object().unwrap();
    assert_eq!(contenders.len(), STRATEGIES.len(), "{case}");
    let judged = case["metrics"][0]["name"].as_str().unwrap();
    for (who, _) in STRATEGIES {
        let measured = &contenders[who];
        if ["not_installed", "same_as"].map(|why| measured.get(why)) != [None; 2] {
            continue;
        }
        let values = &measured["rounds"][0]["values"];
        assert!(values[judged].as_f64() > Some(0.0), "{who}: {case}");
        for metric in ["voluntary", "involuntary"] {
            assert!(values[metric].as_f64() >= Some(0.0), "{who}: {case}");
        }
    }
}

/// Whether a thread of the contender was pinned in the case, if it was measured.
fn is_pinned(case: &Value, who: &str) -> Option<bool> {
    let contender = &case["contenders"][who];
    if contender.get("same_as").is_some() {
        return None;
    }
    let pinned = contender["rounds"][0]["details"]["pinned"].as_bool();
    Some(pinned.unwrap_or_else(|| panic!("{who}: {case}")))
}

#[test]
fn every_workload_is_measured_with_every_strategy() {
    let only = WORKLOADS.map(|workload| format!("{workload}_alone"));
    let (text, json) = measure("pinning.json", &only.join(","));
    let cases = json["cases"].as_array().unwrap();
    let found: Vec<_> = cases.iter().map(|case| case["workload"].as_str()).collect();
    assert_eq!(found, WORKLOADS.map(Some));
    for case in cases {
        assert_eq!(case["condition"], "alone", "{case}");
        assert_sane(case);
    }
    // Of an open loop, a closed one, and tasks without a client.
    for case in cases.iter().filter(|case| {
        let workload = case["workload"].as_str();
        ["light", "echo", "strangers"].map(Some).contains(&workload)
    }) {
        for (who, expected) in STRATEGIES {
            let (pinned, who) = (is_pinned(case, who), format!("{who}: {case}"));
            assert!(
                pinned.is_none() || expected.is_none() || pinned == expected,
                "{who}"
            );
        }
        for who in [
            "evenkeel:none",
            "evenkeel:per-core",
            "tokio",
            "tokio:pinned",
        ] {
            assert!(is_pinned(case, who).is_some(), "{who}: {case}");
        }
    }
    for shown in ["alone: ", "neighbours  operations /s", "advice: ", "rule: "] {
        assert!(text.contains(shown), "no {shown:?} in {text}");
    }
    let advised = json["conclusions"]["pinning"]["pinning"].as_str().unwrap();
    assert!(text.contains(&format!(".pinning({advised})")), "{text}");
}

#[test]
fn programs_compute_beside_what_is_measured() {
    let only = "echo_alone,echo_spinner,echo_parallel";
    let (text, json) = measure("pinning-conditions.json", only);
    let cases = json["cases"].as_array().unwrap();
    let conditions = cases.iter().map(|case| case["condition"].as_str());
    let expected = ["alone", "spinner", "parallel"].map(Some);
    assert_eq!(conditions.collect::<Vec<_>>(), expected);
    cases.iter().for_each(assert_sane);
    for condition in ["spinner: ", "parallel: "] {
        assert!(text.contains(condition), "{text}");
    }
}

#[test]
fn one_strategy_gets_no_advice() {
    let (text, json) = measure("pinning-one.json", "fan_out_alone/evenkeel");
    assert!(!text.contains("advice:"), "{text}");
    assert_eq!(json["conclusions"], serde_json::json!({}));
}
