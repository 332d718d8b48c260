//! The parent's side of the load generator, for whoever has a server.

use std::time::Duration;

use super::client::{self, Latencies};
use super::{GRACE, PATIENCE, WARM_UP};
use crate::child::Child;

/// The load generator, as another process.
pub(crate) struct Load {
    client: Child,
    window: Duration,
}

impl Load {
    /// Starts it, and returns when all of its connections to the server at `port` are open.
    pub(crate) fn connect(
        port: u16,
        requests_per_s: u32,
        window: Duration,
    ) -> Result<Self, String> {
        let (port, rate) = (port.to_string(), requests_per_s.to_string());
        let secs = window.as_secs_f64().to_string();
        let arguments = ["--port", &port, "--rate", &rate, "--secs", &secs];
        let mut client = Child::start("client", &arguments).map_err(|error| error.to_string())?;
        client.expect(client::CONNECTED, PATIENCE)?;
        Ok(Self { client, window })
    }

    /// Begins, and returns when the warm-up is over: the first request that counts is due.
    pub(crate) fn begin(&mut self) -> Result<(), String> {
        self.client.tell(client::GO)?;
        self.client.expect(client::WINDOW, WARM_UP + PATIENCE)
    }

    /// Returns when the window is over.
    pub(crate) fn end(&mut self) -> Result<(), String> {
        self.client.expect(client::END, self.window + PATIENCE)
    }

    /// Waits for the answers that are still missing, and for the end of the process, whose CPU time
    /// is known only then.
    pub(crate) fn finish(mut self) -> Result<Latencies, String> {
        self.client.expect_json(GRACE + PATIENCE)
    }
}
