//! The parent's side of the load generator, for whoever has a server.

use std::time::Duration;

use super::client::{self, GRACE, Seen};
use super::schedule::WARM_UP;
use super::traffic::Traffic;
use crate::child::Child;

/// How long a child may take for what should take it milliseconds. Starved servers are slow, but
/// their control thread is not part of the runtime.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// The load generator, as another process.
pub(super) struct Load {
    client: Child,
    window: Duration,
}

impl Load {
    /// Starts it, and returns when all of its connections to the server at `port` are open.
    pub(super) fn connect(port: u16, traffic: &Traffic, window: Duration) -> Result<Self, String> {
        let traffic = serde_json::to_string(traffic).map_err(|error| error.to_string())?;
        let (port, secs) = (port.to_string(), window.as_secs_f64().to_string());
        let arguments = ["--port", &port, "--secs", &secs, "--traffic", &traffic];
        let mut client = Child::start("client", &arguments).map_err(|error| error.to_string())?;
        client.expect(client::CONNECTED, PATIENCE)?;
        Ok(Self { client, window })
    }

    /// Begins, and returns when the warm-up is over: the first request of the window is due.
    pub(super) fn begin(&mut self) -> Result<(), String> {
        self.client.tell(client::GO)?;
        self.client.expect(client::WINDOW, WARM_UP + PATIENCE)
    }

    /// Returns when the window is over.
    pub(super) fn end(&mut self) -> Result<(), String> {
        self.client.expect(client::END, self.window + PATIENCE)
    }

    /// Waits for the answers that are still missing, and for the end of the process, whose CPU time
    /// is known only then.
    pub(super) fn finish(mut self) -> Result<Seen, String> {
        self.client.expect_json(GRACE + PATIENCE)
    }
}
