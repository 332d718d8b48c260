//! The parent's side of the load generator, for whoever has a server.

use std::time::Duration;

use super::client::{self, GRACE};
use super::schedule::WARM_UP;
use super::tally::Seen;
use super::traffic::Traffic;
use crate::child::Child;
use crate::cpus::Cpus;
use crate::harness::Turn;
use crate::sys;

/// How long a child may take for what should take it milliseconds. Starved servers are slow, but
/// their control thread is not part of the runtime.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// How many requests a second a thread of the client sends at most, where there are CPUs for more
/// threads: about a third of what it can, so that few of them wait for each other.
const PER_S_PER_THREAD: u64 = 20_000;

/// The load generator, as another process.
pub(super) struct Load {
    client: Child,
    window: Duration,
}

impl Load {
    /// Starts it, and returns when all of its connections to the server at `port` are open.
    pub(super) fn connect(port: u16, traffic: &Traffic, turn: Turn) -> Result<Self, String> {
        let threads = threads(traffic, turn.cpus).to_string();
        let traffic = serde_json::to_string(traffic).map_err(|error| error.to_string())?;
        let (port, secs) = (port.to_string(), turn.window.as_secs_f64().to_string());
        let mut arguments = vec!["--port", &port, "--secs", &secs, "--traffic", &traffic];
        arguments.extend(["--threads", &threads]);
        let cpus = turn.cpus.client().map(ToString::to_string);
        arguments.extend(cpus.iter().flat_map(|cpus| ["--cpus", cpus]));
        let mut client = Child::start("client", &arguments).map_err(|error| error.to_string())?;
        client.expect(client::CONNECTED, PATIENCE)?;
        Ok(Self {
            client,
            window: turn.window,
        })
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

    /// CPU time that the client has used.
    pub(super) fn cpu_time(&self) -> Result<Duration, String> {
        sys::cpu_time_of(self.client.id())
            .map_err(|error| format!("the client's CPU time: {error}"))
    }

    /// Waits for the answers that are still missing, and for the end of the process, whose CPU time
    /// is known only then.
    pub(super) fn finish(mut self) -> Result<Seen, String> {
        self.client.expect_json(GRACE + PATIENCE)
    }
}

/// How many threads the traffic needs.
fn threads(traffic: &Traffic, cpus: &Cpus) -> usize {
    let threads = traffic.per_s_max().div_ceil(PER_S_PER_THREAD) as usize;
    threads.clamp(1, cpus.of_client().min(traffic.connections))
}

#[cfg(test)]
mod tests {
    use super::super::traffic::{Burst, Rate};
    use super::*;
    use crate::cpus::ClientCpus;

    #[test]
    fn a_client_has_threads_for_its_rate() {
        let busy = |cpus| Traffic::even_per_cpu(cpus, 4_000, 100);
        assert_eq!(threads(&busy(1), &Cpus::of_flat(&ClientCpus::Auto, 1)), 1);
        assert_eq!(threads(&busy(2), &Cpus::of_flat(&ClientCpus::Auto, 2)), 1);
        assert_eq!(threads(&busy(4), &Cpus::of_flat(&ClientCpus::Auto, 4)), 1);
        assert_eq!(threads(&busy(14), &Cpus::of_flat(&ClientCpus::Auto, 16)), 2);
        // One for each of its CPUs.
        assert_eq!(
            threads(&busy(54), &Cpus::of_flat(&ClientCpus::Auto, 64)),
            10
        );
        assert_eq!(
            threads(&busy(64), &Cpus::of_flat(&ClientCpus::Same, 64)),
            13
        );
    }

    #[test]
    fn a_burst_counts_and_a_thread_needs_a_connection() {
        let cpus = Cpus::of_flat(&ClientCpus::Same, 64);
        let mut traffic = Traffic::even(64, Rate::per_s(1_000), 0);
        assert_eq!(threads(&traffic, &cpus), 1);
        traffic.burst = Some(Burst {
            rate: Rate::per_s(50_000),
            length: Duration::from_secs(1),
            backlog_gone: 4,
        });
        assert_eq!(threads(&traffic, &cpus), 3);
        traffic.connections = 2;
        assert_eq!(threads(&traffic, &cpus), 2);
    }
}
