//! Child processes that talk in lines and never outlive their case.

use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::sys;

/// How much of a child's standard error is kept for its epitaph.
const STDERR_BYTES_MAX: u64 = 4096;

/// How long a child that has closed its output may take to end.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// This program again, as another process; killed and waited for on drop.
pub(crate) struct Child {
    role: &'static str,
    process: std::process::Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
    stderr: Option<JoinHandle<String>>,
}

impl Child {
    /// Starts this program with the hidden subcommand `role`.
    pub(crate) fn start<S: AsRef<OsStr>>(role: &'static str, arguments: &[S]) -> io::Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg(role)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let stdin = process.stdin.take().expect("piped above");
        let stdout = process.stdout.take().expect("piped above");
        let stderr = process.stderr.take().expect("piped above");
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let stderr = thread::spawn(move || {
            let mut start = Vec::new();
            let mut stderr = stderr;
            let _ = stderr
                .by_ref()
                .take(STDERR_BYTES_MAX)
                .read_to_end(&mut start);
            // The rest is read too, since a full pipe would block the child.
            let _ = io::copy(&mut stderr, &mut io::sink());
            String::from_utf8_lossy(&start).trim().to_owned()
        });
        Ok(Self {
            role,
            process,
            stdin,
            lines,
            stderr: Some(stderr),
        })
    }

    /// The id of its process.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Sends a line to the child.
    pub(crate) fn tell(&mut self, line: &str) -> Result<(), String> {
        let told = writeln!(self.stdin, "{line}").and_then(|()| self.stdin.flush());
        told.map_err(|_| self.epitaph("went away"))
    }

    /// Sends a line of JSON to the child.
    pub(crate) fn tell_json(&mut self, value: &impl Serialize) -> Result<(), String> {
        let line = serde_json::to_string(value).map_err(|error| error.to_string())?;
        self.tell(&line)
    }

    /// Waits for the child's next line.
    pub(crate) fn next_line(&mut self, patience: Duration) -> Result<String, String> {
        match self.lines.recv_timeout(patience) {
            Ok(line) => Ok(line),
            Err(RecvTimeoutError::Timeout) => Err(self.epitaph(&format!(
                "said nothing for {:.0} s and was killed",
                patience.as_secs_f64()
            ))),
            Err(RecvTimeoutError::Disconnected) => Err(self.epitaph("went away")),
        }
    }

    /// Waits for exactly this line.
    pub(crate) fn expect(&mut self, expected: &str, patience: Duration) -> Result<(), String> {
        let line = self.next_line(patience)?;
        if line == expected {
            return Ok(());
        }
        Err(format!(
            "the {} process said {line:?}, not {expected:?}",
            self.role
        ))
    }

    /// Waits for a line of JSON.
    pub(crate) fn expect_json<T: DeserializeOwned>(
        &mut self,
        patience: Duration,
    ) -> Result<T, String> {
        let line = self.next_line(patience)?;
        serde_json::from_str(&line)
            .map_err(|error| format!("the {} process said {line:?}: {error}", self.role))
    }

    /// Ends the child, and says how it went and what it wrote to its standard error.
    fn epitaph(&mut self, what: &str) -> String {
        // One that is about to end by itself may: its own status says more than that of a kill.
        let deadline = Instant::now() + LAST_WORDS;
        let mut status = self.process.try_wait();
        while matches!(status, Ok(None)) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
            status = self.process.try_wait();
        }
        self.end();
        let mut text = format!("the {} process {what}", self.role);
        if let Ok(Some(status)) = status {
            text.push_str(&format!(" ({status})"));
        }
        let stderr = self.stderr();
        if !stderr.is_empty() {
            text.push_str(&format!(": {stderr}"));
        }
        text
    }

    /// Ends the child, and returns what it wrote to its standard error.
    pub(crate) fn finish(mut self) -> String {
        self.end();
        self.stderr()
    }

    /// [`finish`](Self::finish) for a child that should have written nothing there: a panic of a
    /// task, say, and what was measured is not the case.
    pub(crate) fn finish_silent(self) -> Result<(), String> {
        let role = self.role;
        match self.finish() {
            stderr if stderr.is_empty() => Ok(()),
            stderr => Err(format!("the {role} process wrote: {stderr}")),
        }
    }

    /// Waits for the end of the child's standard error; empty the second time.
    fn stderr(&mut self) -> String {
        self.stderr
            .take()
            .and_then(|reader| reader.join().ok())
            .unwrap_or_default()
    }

    fn end(&mut self) {
        // Neither can fail in a way that matters: a child that is gone already is what is wanted.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.end();
    }
}

/// For the child's side: ties its life to the parent's, however the parent ends.
pub(crate) fn tie_to_parent() -> io::Result<()> {
    let parent = std::os::unix::process::parent_id();
    sys::die_with_parent()?;
    // The parent may have ended before the line above, and then sends nothing any more.
    if std::os::unix::process::parent_id() != parent {
        return Err(io::Error::other(
            "the process that started this one is gone",
        ));
    }
    Ok(())
}

/// For the child's side: the parent's next line; `None` when it has closed its end.
pub(crate) fn next_command() -> io::Result<Option<String>> {
    let mut line = String::new();
    match io::stdin().lock().read_line(&mut line)? {
        0 => Ok(None),
        _ => Ok(Some(line.trim().to_owned())),
    }
}

/// For the child's side: a line for the parent, now.
pub(crate) fn say(line: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}")?;
    stdout.flush()
}

/// [`next_command`] for a line of JSON that has to come.
pub(crate) fn next_json<T: DeserializeOwned>() -> io::Result<T> {
    let line = next_command()?.ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok(serde_json::from_str(&line)?)
}

/// [`say`] in JSON.
pub(crate) fn say_json(value: &impl Serialize) -> io::Result<()> {
    say(&serde_json::to_string(value)?)
}
