//! The standard streams, seen from another process: this binary once more, with one test of its own
//! that plays the program.
#![cfg(all(unix, feature = "io-std"))]

use std::env;
use std::io::{Read, Write};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use evenkeel::io::{self, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, ErrorKind};
use evenkeel::runtime::{Builder, Pinning};
use evenkeel::time::timeout;

/// Says which program [`program`] is to be.
const PROGRAM: &str = "EVENKEEL_TEST_PROGRAM";

fn start(program: &str) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "program", "--nocapture", "--test-threads=1"])
        .env(PROGRAM, program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn run(program: &str) -> Output {
    let output = start(program).wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    output
}

/// Waits until the program has said that it is.
fn wait_until_ready(child: &mut Child) {
    let mut said = [0; 5];
    let mut stderr = child.stderr.take().unwrap();
    stderr.read_exact(&mut said).unwrap();
    assert_eq!(&said, b"ready");
    // Kept open: the program may have more to say.
    child.stderr = Some(stderr);
}

/// What stands between two lines that are `---`.
fn marked(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let mut parts = text.split("---\n");
    parts.nth(1).expect("two marks").to_owned()
}

#[test]
fn program() {
    let Ok(program) = env::var(PROGRAM) else {
        return;
    };
    let mut builder = Builder::new();
    let runtime = builder.worker_threads(2).pinning(Pinning::None).build();
    let runtime = runtime.unwrap();
    let task = match program.as_str() {
        "pieces" => runtime.spawn(pieces()),
        "both" => runtime.spawn(both()),
        "unflushed" => runtime.spawn(unflushed()),
        "echo" => runtime.spawn(echo()),
        "impatient" => runtime.spawn(impatient()),
        "deaf" => runtime.spawn(deaf()),
        _ => panic!("there is no such program"),
    };
    runtime.block_on(task).unwrap();
}

async fn pieces() {
    let mut out = io::stdout();
    out.write_all(b"---\n").await.unwrap();
    for piece in 0..1000 {
        out.write_all(format!("{piece} ").as_bytes()).await.unwrap();
    }
    out.write_all(b"---\n").await.unwrap();
    out.flush().await.unwrap();
}

#[test]
fn small_pieces_come_out_in_order() {
    let expected: String = (0..1000).map(|piece| format!("{piece} ")).collect();
    assert_eq!(marked(&run("pieces").stdout), expected);
}

async fn both() {
    let (mut out, mut err) = (io::stdout(), io::stderr());
    out.write_all(b"---\nout").await.unwrap();
    out.write_all(b"---\n").await.unwrap();
    err.write_all(b"---\nerr---\n").await.unwrap();
    out.shutdown().await.unwrap();
    err.shutdown().await.unwrap();
}

#[test]
fn each_stream_gets_what_is_its_own() {
    let output = run("both");
    assert_eq!(marked(&output.stdout), "out");
    assert_eq!(marked(&output.stderr), "err");
}

async fn unflushed() {
    let text = "x".repeat(100_000);
    let mut out = io::stdout();
    out.write_all(format!("---\n{text}---\n").as_bytes())
        .await
        .unwrap();
}

#[test]
fn dropping_the_runtime_waits_for_what_was_not_flushed() {
    assert_eq!(marked(&run("unflushed").stdout).len(), 100_000);
}

async fn echo() {
    let mut lines = BufReader::new(io::stdin()).lines();
    let mut out = io::stdout();
    out.write_all(b"---\n").await.unwrap();
    while let Some(line) = lines.next_line().await.unwrap() {
        out.write_all(format!("<{line}>").as_bytes()).await.unwrap();
        out.flush().await.unwrap();
    }
    out.write_all(b"---\n").await.unwrap();
}

#[test]
fn lines_are_read_as_they_come_until_the_end() {
    let mut child = start("echo");
    let mut input = child.stdin.take().unwrap();
    let mut output = child.stdout.take().unwrap();
    let mut seen = Vec::new();
    let mut byte = [0];
    for line in ["one", "two"] {
        writeln!(input, "{line}").unwrap();
        // It answers before it gets the next one.
        while !seen.ends_with(format!("<{line}>").as_bytes()) {
            output.read_exact(&mut byte).unwrap();
            seen.extend(byte);
        }
    }
    drop(input);
    output.read_to_end(&mut seen).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(marked(&seen), "<one><two>");
}

/// Gives up on a read that has nothing to read, asks for input, and reads again.
async fn impatient() {
    let mut input = io::stdin();
    let mut buf = [0; 8];
    let read = timeout(Duration::from_millis(20), input.read(&mut buf));
    assert!(read.await.is_err());
    eprintln!("ready");
    let mut text = [0; 5];
    input.read_exact(&mut text).await.unwrap();
    println!("---\n{}---", String::from_utf8_lossy(&text));
}

#[test]
fn what_an_abandoned_read_reads_is_for_the_next_one() {
    let mut child = start("impatient");
    wait_until_ready(&mut child);
    child.stdin.take().unwrap().write_all(b"hello").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(marked(&output.stdout), "hello");
}

/// Writes where nobody reads.
async fn deaf() {
    // What the test harness has to say is out by now.
    eprintln!("ready");
    let mut buf = [0];
    assert_eq!(io::stdin().read(&mut buf).await.unwrap(), 0);
    let mut out = io::stdout();
    let error = loop {
        // It is acknowledged before it fails. A process that another test is about to start may
        // have the other end for a moment.
        out.write_all(b"lost").await.unwrap();
        if let Err(error) = out.flush().await {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    // The error was told once. The test harness itself could not end well here.
    std::process::exit(if out.flush().await.is_ok() { 7 } else { 8 });
}

#[test]
fn an_error_of_a_write_comes_with_the_next_operation() {
    let mut child = start("deaf");
    wait_until_ready(&mut child);
    drop(child.stdout.take());
    drop(child.stdin.take());
    assert_eq!(child.wait().unwrap().code(), Some(7));
}
