//! The suite `quota` as a user runs it, briefly: in groups that it makes where it may. Where it may
//! not, it has to say so, and the test ends.

mod common;

use std::fs;
use std::path::Path;

use common::{harness, json_path};
use serde_json::Value;

/// Measures a case on one contender, and returns that; `None` where no group can be made.
fn measured(case: &str, contender: &str) -> Option<Value> {
    let file = json_path(&format!("quota-{case}.json"));
    let only = format!("{case}/{contender}");
    let arguments = ["quota", "--long", "--only", &only, "--secs", "1"];
    let output = harness(&[&arguments[..], &["--json", file.to_str().unwrap()]].concat());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let json: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    let measured = &json["cases"][0]["contenders"][contender];
    if let Some(obstacle) = measured["obstacle"].as_str() {
        assert!(measured["rounds"].as_array().unwrap().is_empty());
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains(obstacle), "{text}");
        eprintln!("skipped: {obstacle}");
        return None;
    }
    Some(measured["rounds"][0].clone())
}

/// Without a quota, jobs would take at least a CPU.
fn assert_is_held_to_half_a_cpu(round: &Value) {
    let detail = |name: &str| {
        round["details"][name]
            .as_f64()
            .unwrap_or_else(|| panic!("{name} in {round}"))
    };
    assert_eq!(detail("quota_cpus"), 0.5);
    let (all, jobs) = (detail("server_cpus"), detail("work_cpus"));
    assert!(all < 0.7, "{round}");
    assert!(jobs > 0.0 && jobs < all, "{round}");
    let throttling = &round["details"]["throttling"];
    assert!(throttling["periods"].as_u64() > Some(0), "{round}");
    for metric in [
        "net_p50",
        "net_p90",
        "net_p99",
        "answered",
        "throttled",
        "io",
        "compute",
    ] {
        assert!(round["values"][metric].is_number(), "{metric} in {round}");
    }
}

/// Groups of the harness whose process has ended.
fn remains() -> Vec<String> {
    let roots = ["/sys/fs/cgroup", "/sys/fs/cgroup/cpu"].map(fs::read_dir);
    let entries = roots.into_iter().flatten().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let is_left = |name: &String| {
        let maker = name.strip_prefix("evenkeel-bench-");
        maker.is_some_and(|maker| !Path::new("/proc").join(maker).exists())
    };
    names.filter(is_left).collect()
}

#[test]
fn a_server_is_held_to_its_quota() {
    if let Some(round) = measured("0.5_1ms", "evenkeel") {
        assert_is_held_to_half_a_cpu(&round);
    }
    assert_eq!(remains(), [""; 0]);
}

#[test]
fn a_server_is_held_to_the_quota_of_its_parent_group() {
    if let Some(round) = measured("0.5_20ms_parent", "tokio+rayon-nice19") {
        assert_is_held_to_half_a_cpu(&round);
        // Nothing holds these jobs back before it is used up.
        let throttling = &round["details"]["throttling"];
        assert!(throttling["throttled"].as_u64() > Some(0), "{round}");
    }
    assert_eq!(remains(), [""; 0]);
}
