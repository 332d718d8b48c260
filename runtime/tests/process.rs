//! Child processes.

#![cfg(all(unix, feature = "process"))]

mod support;

use evenkeel::process::{Child, ChildStdout, Command};
use evenkeel::runtime::Runtime;
use std::io::{self, Read, pipe};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Stdio;
use support::{foreign_block_on, in_block_on, on_runtime, poll_once, until, watchdog};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn sh(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

/// Reads for as long as its input is open, and then writes a word.
fn reader() -> Command {
    let mut command = sh("cat; echo over");
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

async fn text_of(stdout: Option<ChildStdout>) -> String {
    let mut text = String::new();
    stdout.unwrap().read_to_string(&mut text).await.unwrap();
    text
}

/// Whether there is a process of this id, be it a zombie.
fn exists(id: u32) -> bool {
    Path::new(&format!("/proc/{id}")).exists()
}

#[test]
fn output_is_collected_from_both_pipes_however_much_it_is() {
    in_block_on(2, || async {
        // More than a pipe holds, in turns.
        let script = "i=0; while [ $i -lt 2000 ]; do \
            printf '%0100d' $i; printf '%0200d' $i >&2; i=$((i + 1)); done; exit 3";
        let output = sh(script).output().await.unwrap();
        assert_eq!(output.status.code(), Some(3));
        assert_eq!(
            (output.stdout.len(), output.stderr.len()),
            (200_000, 400_000)
        );
    });
}

#[test]
fn the_child_reads_what_is_written_and_its_end() {
    in_block_on(2, || async {
        let mut child = reader().spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // More than the two pipes hold, so that writing waits for reading.
        let writing = evenkeel::spawn(async move {
            stdin.write_all(&[b'x'; 500_000]).await.unwrap();
            stdin.flush().await.unwrap();
        });
        let text = text_of(child.stdout.take()).await;
        writing.await.unwrap();
        assert_eq!(text.len(), 500_000 + "over\n".len());
        assert!(child.wait().await.unwrap().success());
    });
}

#[test]
fn waiting_closes_the_standard_input() {
    in_block_on(2, || async {
        let mut child = reader().spawn().unwrap();
        let id = child.id().unwrap();
        assert_eq!(child.try_wait().unwrap(), None);
        assert!(child.wait().await.unwrap().success());
        assert!(child.stdin.is_none());
        assert_eq!((child.id(), exists(id)), (None, false));
        // It is known from then on.
        assert!(child.wait().await.unwrap().success());
        assert!(child.try_wait().unwrap().unwrap().success());
        assert_eq!(text_of(child.stdout).await, "over\n");
    });
}

#[test]
fn arguments_environment_and_folder_are_the_commands() {
    in_block_on(2, || async {
        let mut command = sh("echo $0 $1 $A $B $C; pwd");
        command.args(["zero", "one"]).env_clear().env("A", "a");
        command
            .envs([("B", "b"), ("C", "c")])
            .env_remove("C")
            .current_dir("/");
        let output = command.output().await.unwrap();
        assert_eq!(output.stdout, b"zero one a b\n/\n");
        assert!(!command.get_kill_on_drop());
        assert_eq!(command.as_std().get_program(), "sh");
        // A command may be used again.
        assert_eq!(command.output().await.unwrap().stdout, output.stdout);
    });
}

#[test]
fn a_status_waits_for_the_end() {
    in_block_on(2, || async {
        assert!(Command::new("true").status().await.unwrap().success());
        let status = sh("kill -TERM $$").status().await.unwrap();
        assert_eq!(status.signal(), Some(libc::SIGTERM));
        let error = Command::new("/no/such/program").status().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    });
}

#[test]
fn a_killed_child_has_ended_by_the_signal() {
    in_block_on(2, || async {
        let mut child = reader().spawn().unwrap();
        let _stdin = child.stdin.take();
        child.kill().await.unwrap();
        let status = child.wait().await.unwrap();
        assert_eq!(status.signal(), Some(libc::SIGKILL));
        // There is nothing left to kill, which is what was asked for.
        child.start_kill().unwrap();
        child.kill().await.unwrap();
    });
}

#[test]
fn a_wait_that_was_dropped_is_begun_again() {
    in_block_on(2, || async {
        // Its input is not ours to close.
        let (input, writer) = pipe().unwrap();
        let mut child = Command::new("cat").stdin(input).spawn().unwrap();
        for _ in 0..3 {
            assert!(poll_once(&mut Box::pin(child.wait())).await.is_pending());
        }
        drop(writer);
        assert!(child.wait().await.unwrap().success());
    });
}

/// A child that copies until `input` has its end, and the other end of its output.
fn copying(input: io::PipeReader, kill_on_drop: bool) -> (Child, io::PipeReader) {
    let (output, writer) = pipe().unwrap();
    let mut command = Command::new("cat");
    command
        .stdin(input)
        .stdout(writer)
        .kill_on_drop(kill_on_drop);
    // With the command goes our copy of the writer.
    (command.spawn().unwrap(), output)
}

#[test]
fn a_dropped_child_goes_on_and_is_reaped() {
    in_block_on(2, || async {
        let (input, mut writer) = pipe().unwrap();
        let (child, mut output) = copying(input, false);
        let id = child.id().unwrap();
        drop(child);
        io::Write::write_all(&mut writer, b"still there").unwrap();
        drop(writer);
        let copied = evenkeel::spawn_blocking(move || io::read_to_string(&mut output));
        assert_eq!(copied.await.unwrap().unwrap(), "still there");
        evenkeel::spawn_blocking(move || until(|| !exists(id)))
            .await
            .unwrap();
    });
}

#[test]
fn kill_on_drop_kills_and_reaps() {
    in_block_on(2, || async {
        let (input, _writer) = pipe().unwrap();
        let (child, mut output) = copying(input, true);
        let id = child.id().unwrap();
        drop(child);
        // The end of its output is its own, since we hold its input open.
        let copied = evenkeel::spawn_blocking(move || output.read(&mut [0]));
        assert_eq!(copied.await.unwrap().unwrap(), 0);
        evenkeel::spawn_blocking(move || until(|| !exists(id)))
            .await
            .unwrap();
    });
}

#[test]
fn a_child_outlives_its_runtime_and_is_reaped_nevertheless() {
    watchdog(|| {
        for is_dropped_first in [true, false] {
            let runtime = Runtime::new().unwrap();
            let (input, writer) = pipe().unwrap();
            let (child, _output) = runtime.block_on(async { copying(input, false) });
            let id = child.id().unwrap();
            if is_dropped_first {
                runtime.block_on(async { drop(child) });
                drop(runtime);
            } else {
                drop(runtime);
                drop(child);
            }
            assert!(exists(id));
            drop(writer);
            until(|| !exists(id));
        }
    });
}

#[test]
fn the_output_of_one_is_the_input_of_another() {
    in_block_on(2, || async {
        let mut first = reader().spawn().unwrap();
        let output: Stdio = first.stdout.take().unwrap().try_into().unwrap();
        let second = Command::new("cat").stdin(output).output();
        first
            .stdin
            .take()
            .unwrap()
            .write_all(b"through, ")
            .await
            .unwrap();
        let second = second.await.unwrap();
        assert_eq!(second.stdout, b"through, over\n");
        assert!(first.wait().await.unwrap().success());
    });
}

#[test]
fn what_is_to_run_before_the_program_runs() {
    in_block_on(2, || async {
        let mut command = sh("pwd");
        // SAFETY: one system call, for which a path as short as this is not allocated.
        unsafe { command.pre_exec(|| std::env::set_current_dir("/")) };
        assert_eq!(command.output().await.unwrap().stdout, b"/\n");
        // SAFETY: it only makes an error of a number.
        unsafe { command.pre_exec(|| Err(io::Error::from_raw_os_error(libc::EPERM))) };
        let error = command.output().await.unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EPERM));
    });
}

#[test]
fn many_children_at_once() {
    on_runtime(2, |runtime| {
        let child = |number: i32| async move {
            let script = format!("exit {number}");
            sh(&script).status().await.unwrap().code()
        };
        let io: Vec<_> = (0..20).map(|number| runtime.spawn(child(number))).collect();
        let on_compute = |number| async move { evenkeel::compute::spawn(child(number)).await };
        let compute: Vec<_> = (20..40)
            .map(|number| runtime.spawn(on_compute(number)))
            .collect();
        for (number, task) in io.into_iter().enumerate() {
            assert_eq!(foreign_block_on(task).unwrap(), Some(number as i32));
        }
        for (number, task) in (20..).zip(compute) {
            assert_eq!(foreign_block_on(task).unwrap().unwrap(), Some(number));
        }
    });
}

#[test]
#[should_panic = "no Evenkeel runtime on this thread"]
fn outside_a_runtime_nothing_is_started() {
    let _ = Command::new("true").spawn();
}

#[test]
fn a_child_is_waited_for_in_another_runtime_than_it_was_started_in() {
    watchdog(|| {
        let mut child = Runtime::new().unwrap().block_on(async {
            let mut reader = reader();
            reader.stdout(Stdio::null()).spawn().unwrap()
        });
        // That one is gone, and the child reads: its input is still ours.
        Runtime::new().unwrap().block_on(async {
            let stdin = child.stdin.take();
            let mut wait = std::pin::pin!(child.wait());
            assert!(poll_once(&mut wait).await.is_pending());
            drop(stdin);
            assert!(wait.await.unwrap().success());
        });
    });
}
