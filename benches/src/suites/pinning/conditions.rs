//! What else runs on the machine while something is measured.

use evenkeel_topology::{CpuSet, allowed_cpus};

use crate::cpus::Cpus;
use crate::foreign::{Foreign, ForeignOptions};
use crate::harness::{Condition, Turn};

/// A condition, and how it comes about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beside {
    pub(super) condition: Condition,
    client: Client,
    programs: Programs,
}

/// Where the client of a server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Client {
    /// Where the command line has it.
    AsAsked,
    /// On the CPUs of the server.
    Same,
}

/// Programs of others, which compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Programs {
    None,
    /// One thread, on the first CPU of the server.
    Spinner,
    /// As many threads as there are CPUs, where the kernel likes.
    Parallel,
}

const fn beside(
    name: &'static str,
    about: &'static str,
    client: Client,
    programs: Programs,
) -> Beside {
    Beside {
        condition: Condition { name, about },
        client,
        programs,
    }
}

const APART: Beside = beside(
    "alone",
    "nothing else runs, and the client has CPUs of its own",
    Client::AsAsked,
    Programs::None,
);
const SHARED: Beside = beside(
    "shared",
    "the client is on the same CPUs",
    Client::Same,
    Programs::None,
);
/// Where the client has no CPUs of its own, the two are one.
const ALONE: Beside = beside(
    "alone",
    "nothing else runs but the client, which is on the same CPUs",
    Client::AsAsked,
    Programs::None,
);
const SPINNER: Beside = beside(
    "spinner",
    "a program computes on the first CPU of the server",
    Client::AsAsked,
    Programs::Spinner,
);
const PARALLEL: Beside = beside(
    "parallel",
    "a program computes in as many threads as there are CPUs, on any of them",
    Client::AsAsked,
    Programs::Parallel,
);

/// Those that there are on a machine whose server and client have these CPUs, in the tables' order.
pub(super) fn all(cpus: &Cpus) -> &'static [Beside] {
    match cpus.client() {
        Some(_) => &[APART, SHARED, SPINNER, PARALLEL],
        None => &[ALONE, SPINNER, PARALLEL],
    }
}

impl Beside {
    /// Whether it makes no difference to what has no client.
    pub(super) fn is_of_client(self) -> bool {
        self.client == Client::Same
    }

    /// The same turn, with the client where the condition has it.
    pub(super) fn turn(self, turn: Turn) -> Turn {
        match self.client {
            Client::AsAsked => turn,
            Client::Same => Turn {
                cpus: Cpus::all_shared(),
                ..turn
            },
        }
    }

    /// Starts the programs of others, which end with what is returned.
    pub(super) fn start(self, turn: Turn) -> Result<Option<Foreign>, String> {
        let options = self.programs.options(turn.cpus.server(), &allowed_cpus());
        options.as_ref().map(Foreign::start).transpose()
    }
}

impl Programs {
    /// By the CPUs that the server is confined to, and all.
    fn options(self, server: Option<&CpuSet>, all: &CpuSet) -> Option<ForeignOptions> {
        match self {
            Self::None => None,
            Self::Spinner => Some(ForeignOptions {
                threads: 1,
                cpus: Some(server.unwrap_or(all).iter().take(1).collect()),
            }),
            Self::Parallel => Some(ForeignOptions {
                threads: all.len(),
                cpus: None,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpus::ClientCpus;

    fn names(cpus: usize) -> Vec<&'static str> {
        let cpus = Cpus::of_flat(&ClientCpus::Auto, cpus);
        all(&cpus)
            .iter()
            .map(|beside| beside.condition.name)
            .collect()
    }

    #[test]
    fn a_shared_client_is_a_condition_where_there_is_another_way() {
        assert_eq!(names(2), ["alone", "spinner", "parallel"]);
        assert_eq!(names(16), ["alone", "shared", "spinner", "parallel"]);
    }

    #[test]
    fn programs_have_their_cpus() {
        let set = |text: &str| text.parse::<CpuSet>().unwrap();
        let options = |programs: Programs, server: Option<&CpuSet>| {
            let options = programs.options(server, &set("0-5"));
            options.map(|options| (options.threads, options.cpus))
        };
        let server = set("3-5");
        assert_eq!(options(Programs::None, Some(&server)), None);
        let spinner = options(Programs::Spinner, Some(&server));
        assert_eq!(spinner, Some((1, Some(set("3")))));
        assert_eq!(options(Programs::Spinner, None), Some((1, Some(set("0")))));
        assert_eq!(options(Programs::Parallel, Some(&server)), Some((6, None)));
    }
}
