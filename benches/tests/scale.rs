//! The suite `scale` as a user runs it, briefly.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::thread;

use common::{harness, json_path};
use serde_json::Value;

const OPERATIONS: [&str; 8] = [
    "spawn",
    "steal",
    "wake",
    "timers",
    "echo",
    "fan_out",
    "fan_in",
    "join_tree",
];

/// Measures these cases, and returns the text, and the JSON.
fn measure(name: &str, only: &str, more: &[&str]) -> (String, Value) {
    let file = json_path(name);
    let path = file.to_str().unwrap();
    let briefly = ["--secs", "0.1", "--repeat", "1", "--json", path];
    let output = harness(&[&["scale", "--only", only], &briefly[..], more].concat());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let json = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    (String::from_utf8(output.stdout).unwrap(), json)
}

fn efficiency(case: &Value, contender: &str) -> f64 {
    let efficiency = &case["efficiency"][contender]["median"];
    efficiency.as_f64().unwrap_or_else(|| panic!("{case}"))
}

fn assert_sane(case: &Value, cpus: u64) {
    let contenders = case["contenders"].as_object().unwrap();
    assert_eq!(contenders.len(), 2, "{case}");
    let workers = case["workers"].as_u64().unwrap();
    for who in ["evenkeel", "tokio"] {
        let rate = &contenders[who]["rounds"][0]["values"]["operations"];
        assert!(rate.as_f64() > Some(0.0), "{who}: {case}");
        match workers {
            1 => assert_eq!(efficiency(case, who), 1.0, "{case}"),
            _ => assert!(efficiency(case, who) > 0.0, "{case}"),
        }
    }
    let bars = case["bars"].as_array().unwrap();
    assert_eq!(bars.len(), usize::from(workers == cpus), "{case}");
    for bar in bars {
        let measured = &bar["result"]["measured"]["median"];
        assert!(measured.is_number(), "{case}");
    }
}

#[test]
fn every_operation_is_measured_with_one_worker_and_with_one_per_cpu() {
    let cpus = thread::available_parallelism().unwrap().get();
    let with = |workers| OPERATIONS.map(|operation| format!("{operation}_{workers}"));
    let names: BTreeSet<_> = [with(1), with(cpus)].into_iter().flatten().collect();
    let only: Vec<_> = names.iter().map(String::as_str).collect();
    let (text, json) = measure("scale.json", &only.join(","), &[]);

    let cases = json["cases"].as_array().unwrap();
    let found: BTreeSet<_> = cases.iter().map(|case| case["case"].as_str()).collect();
    assert_eq!(found, only.into_iter().map(Some).collect());
    for case in cases {
        assert_sane(case, cpus as u64);
        let workers = &case["workers"];
        let name = case["case"].as_str().unwrap();
        assert!(name.ends_with(&format!("_{workers}")), "{case}");
    }
    let whole_bar = "#".repeat(20);
    let with_one = text.lines().filter(|line| {
        let is_of_one = line.split_whitespace().next() == Some("1");
        is_of_one && line.contains(&whole_bar)
    });
    assert_eq!(with_one.count(), OPERATIONS.len(), "{text}");
    assert!(text.contains("evenkeel/tokio"), "{text}");
}

#[test]
fn an_ablation_has_efficiencies_of_its_own() {
    let (text, json) = measure("scale-ablation.json", "spawn_1", &["--without", "spin"]);
    let case = &json["cases"][0];
    for who in ["evenkeel", "evenkeel without spin"] {
        assert_eq!(efficiency(case, who), 1.0, "{case}");
    }
    assert!(
        text.contains("\nspin: ") && !text.contains("tokio"),
        "{text}"
    );
}
