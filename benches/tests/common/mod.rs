//! Running the binary as a user does, under a watchdog.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::fs;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// No run in a test takes a tenth of this, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(180);

/// Runs the harness, and kills it if it hangs.
pub(crate) fn harness(arguments: &[&str]) -> Output {
    harness_with(&[], arguments)
}

/// [`harness`] with these variables in its environment.
pub(crate) fn harness_with(environment: &[(&str, &str)], arguments: &[&str]) -> Output {
    let mut process = Command::new(env!("CARGO_BIN_EXE_evenkeel-bench"))
        .args(arguments)
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = read_aside(process.stdout.take().unwrap());
    let stderr = read_aside(process.stderr.take().unwrap());
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = process.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > deadline {
            process.kill().unwrap();
            panic!("{arguments:?} hangs");
        }
        thread::sleep(Duration::from_millis(20));
    };
    Output {
        status,
        stdout: stdout.join().unwrap(),
        stderr: stderr.join().unwrap(),
    }
}

fn read_aside(mut from: impl Read + Send + 'static) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut all = Vec::new();
        from.read_to_end(&mut all).unwrap();
        all
    })
}

/// A file for the JSON of a run, which is not there yet.
pub(crate) fn json_path(name: &str) -> PathBuf {
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_file(&file);
    file
}

/// Runs one case of a suite on all contenders, very briefly, and returns what the JSON has on it.
/// The status is left to what is found there, since a peer that cannot run here counts as a
/// failure.
pub(crate) fn case(suite: &str, case: &str) -> Value {
    case_for(suite, case, "0.1")
}

/// [`case`] for so many seconds on each contender.
pub(crate) fn case_for(suite: &str, case: &str, secs: &str) -> Value {
    let file = json_path(&format!("{suite}-{case}.json"));
    let path = file.to_str().unwrap();
    let briefly = ["--secs", secs, "--repeat", "1", "--json", path];
    let output = harness(&[&[suite, "--only", case], &briefly[..]].concat());
    let stderr = String::from_utf8_lossy(&output.stderr);
    let json = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{error}: {stderr}"));
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["cases"].as_array().map(Vec::len), Some(1), "{json}");
    json["cases"][0].clone()
}
