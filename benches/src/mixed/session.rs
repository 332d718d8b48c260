//! The parent's side of a measurement: a server process and its load, from the start of both to
//! what they have seen.

use std::time::Duration;

use super::PATIENCE;
use super::client::Seen;
use super::load::Load;
use super::server::{self, Mark, Ready};
use super::traffic::Traffic;
use crate::child::Child;

/// What came of it.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) seen: Seen,
    begin: Mark,
    end: Mark,
    /// What the server had to say, such as a panic of a task; empty if all is well.
    pub(crate) server_stderr: String,
}

impl Session {
    /// Measures a server that has just been started, and ends it. Its background work begins before
    /// the warm-up, or `late`, with the window.
    pub(crate) fn run(
        mut server: Child,
        traffic: &Traffic,
        window: Duration,
        late: bool,
    ) -> Result<Self, String> {
        let ready: Ready = server.expect_json(PATIENCE)?;
        let mut load = Load::connect(ready.port, traffic, window)?;
        if !late {
            server.tell(server::START_BACKGROUND)?;
        }
        load.begin()?;
        if late {
            server.tell(server::START_BACKGROUND)?;
        }
        let begin = mark(&mut server)?;
        load.end()?;
        let end = mark(&mut server)?;
        Ok(Self {
            seen: load.finish()?,
            begin,
            end,
            // Only now: its CPU time is known once it has been waited for.
            server_stderr: server.finish(),
        })
    }

    pub(crate) fn jobs_per_s(&self) -> f64 {
        self.per_s(|mark| mark.jobs)
    }

    /// CPU that the server used in the window, in CPUs.
    pub(crate) fn server_cpus(&self) -> f64 {
        self.per_s(|mark| mark.cpu_s)
    }

    pub(crate) fn takeovers_per_s(&self) -> f64 {
        self.per_s(|mark| mark.takeovers as f64)
    }

    fn per_s(&self, value: fn(&Mark) -> f64) -> f64 {
        let elapsed_s = self.end.elapsed_s - self.begin.elapsed_s;
        (value(&self.end) - value(&self.begin)) / elapsed_s
    }

    /// Whether any thread of the server is pinned.
    pub(crate) fn pinned(&self) -> bool {
        self.end.pinned
    }

    /// The priority of the server's compute lane, where there is one.
    pub(crate) fn compute_priority(&self) -> Option<&str> {
        self.end.compute_priority.as_deref()
    }
}

fn mark(server: &mut Child) -> Result<Mark, String> {
    server.tell(server::MARK)?;
    server.expect_json(PATIENCE)
}
