//! Which CPUs a server has, and which the client that loads it.
//!
//! Where there are few, both have all of them: a CPU for the client alone would be missed too much.
//! Where there are more, the client has CPUs of its own, so that it measures the server and not its
//! own wait for a CPU.

use std::str::FromStr;
use std::sync::OnceLock;

use evenkeel_topology::{CpuSet, Distance, Topology, parallelism, unpin_current_thread};

use crate::machine::Fact;

/// Up to so many CPUs, server and client share them all.
const SHARED_MAX: usize = 4;
/// The client has one of so many CPUs. It sends up to 4,000 requests/s for each of the others in
/// most cases, so that leaves 20,000 for each of its own: about a third of what one can do.
const ONE_OF: usize = 6;

/// The CPUs of a measurement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cpus {
    /// How many CPUs' worth of time a server has. Loads are made for so many.
    pub(crate) of_server: usize,
    /// Whose is which, where the client has CPUs of its own.
    apart: Option<Apart>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Apart {
    server: CpuSet,
    client: CpuSet,
}

/// Which CPUs the client is to have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum ClientCpus {
    /// Some of its own where there are enough, and no quota that both would share all the same.
    #[default]
    Auto,
    /// All, as the server.
    Same,
    /// These, and the server the others.
    These(CpuSet),
}

impl FromStr for ClientCpus {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "same" => Ok(Self::Same),
            list => match list.parse::<CpuSet>() {
                Ok(cpus) if !cpus.is_empty() => Ok(Self::These(cpus)),
                _ => Err("neither 'same' nor a list of CPUs such as 6,7 or 0-3".to_owned()),
            },
        }
    }
}

impl Cpus {
    /// Shares out the CPUs that this process may use.
    ///
    /// # Errors
    ///
    /// The client is to have others, or all.
    pub(crate) fn share_out(client: &ClientCpus) -> Result<Self, String> {
        Self::of(client, &cores(&Topology::detect()), parallelism())
    }

    /// For a case's table, which is made before the command line is known.
    pub(crate) fn usual() -> Self {
        Self::share_out(&ClientCpus::Auto).expect("there is a CPU for each")
    }

    /// For a case whose server is to have every CPU, and share them with its client.
    pub(crate) fn all_shared() -> &'static Self {
        static ALL: OnceLock<Cpus> = OnceLock::new();
        ALL.get_or_init(|| Self::shared(parallelism()))
    }

    #[cfg(test)]
    pub(crate) fn two() -> &'static Self {
        Box::leak(Box::new(Self::shared(2)))
    }

    /// Those of a machine with so many cores of one CPU each.
    #[cfg(test)]
    pub(crate) fn of_flat(client: &ClientCpus, cpus: usize) -> Self {
        let cores: Vec<_> = (0..cpus).map(|cpu| vec![cpu]).collect();
        Self::of(client, &cores, cpus).unwrap()
    }

    fn shared(cpus: usize) -> Self {
        Self {
            of_server: cpus,
            apart: None,
        }
    }

    /// By the CPUs of each core, and by how many of all may be busy at a time.
    fn of(client: &ClientCpus, cores: &[Vec<usize>], parallelism: usize) -> Result<Self, String> {
        let all: CpuSet = cores.iter().flatten().copied().collect();
        let is_shared = parallelism < all.len() || all.len() <= SHARED_MAX || cores.len() < 2;
        let client = match client {
            ClientCpus::Same => return Ok(Self::shared(parallelism)),
            ClientCpus::Auto if is_shared => return Ok(Self::shared(parallelism)),
            ClientCpus::Auto => last_cores(cores, all.len() / ONE_OF),
            ClientCpus::These(cpus) => cpus.clone(),
        };
        if let Some(cpu) = client.iter().find(|cpu| !all.contains(*cpu)) {
            return Err(format!(
                "CPU {cpu} is none of {all}, which this process may use"
            ));
        }
        let server: CpuSet = all.iter().filter(|cpu| !client.contains(*cpu)).collect();
        if server.is_empty() {
            return Err(format!(
                "CPUs {client} for the client leave none to the server"
            ));
        }
        Ok(Self {
            of_server: server.len().min(parallelism),
            apart: Some(Apart { server, client }),
        })
    }

    /// The CPUs that the server is confined to.
    pub(crate) fn server(&self) -> Option<&CpuSet> {
        self.apart.as_ref().map(|apart| &apart.server)
    }

    /// The CPUs that the client is confined to.
    pub(crate) fn client(&self) -> Option<&CpuSet> {
        self.apart.as_ref().map(|apart| &apart.client)
    }

    /// How many CPUs the client's threads may be on.
    pub(crate) fn of_client(&self) -> usize {
        self.client().map_or(self.of_server, CpuSet::len)
    }

    pub(crate) fn facts(&self) -> Vec<Fact> {
        let facts = self.apart.iter().map(|Apart { server, client }| {
            (
                "CPUs:",
                format!("the server on {server}, its client on {client}"),
            )
        });
        facts.collect()
    }
}

/// The CPUs of each core, by the first of them.
fn cores(topology: &Topology) -> Vec<Vec<usize>> {
    let mut cores: Vec<Vec<usize>> = Vec::new();
    for cpu in topology.cpus().iter() {
        let mut known = cores.iter_mut();
        match known.find(|core| topology.distance(core[0], cpu) == Distance::Smt) {
            Some(core) => core.push(cpu),
            None => cores.push(vec![cpu]),
        }
    }
    cores
}

/// Whole cores, since a sibling of the server's would slow it down: at least one, and no more CPUs
/// than that.
fn last_cores(cores: &[Vec<usize>], cpus_max: usize) -> CpuSet {
    let mut cpus = Vec::new();
    for core in cores.iter().rev() {
        if !cpus.is_empty() && cpus.len() + core.len() > cpus_max {
            break;
        }
        cpus.extend(core);
    }
    cpus.into_iter().collect()
}

/// Confines this process to some CPUs, as long as it has only this thread.
pub(crate) fn confine(cpus: &CpuSet) -> Result<(), String> {
    match unpin_current_thread(cpus) {
        true => Ok(()),
        false => Err(format!("the system refuses CPUs {cpus}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine whose cores have one CPU each.
    fn single(cpus: usize) -> Vec<Vec<usize>> {
        (0..cpus).map(|cpu| vec![cpu]).collect()
    }

    /// One whose cores have two, numbered as Linux mostly does.
    fn double(cpus: usize) -> Vec<Vec<usize>> {
        (0..cpus / 2).map(|cpu| vec![cpu, cpu + cpus / 2]).collect()
    }

    fn client_of(choice: &ClientCpus, cores: &[Vec<usize>]) -> Option<String> {
        let cpus = cores.iter().flatten().count();
        let shared_out = Cpus::of(choice, cores, cpus).unwrap();
        let of_server = shared_out.server().map_or(cpus, CpuSet::len);
        assert_eq!(shared_out.of_server, of_server);
        shared_out.client().map(ToString::to_string)
    }

    #[test]
    fn a_client_has_cpus_of_its_own_once_there_are_more_than_four() {
        let auto = |cpus| client_of(&ClientCpus::Auto, &single(cpus));
        for cpus in [1, 2, 3, 4] {
            assert_eq!(auto(cpus), None);
        }
        for (cpus, client) in [
            (5, "4"),
            (6, "5"),
            (16, "14-15"),
            (24, "20-23"),
            (64, "54-63"),
        ] {
            assert_eq!(auto(cpus).as_deref(), Some(client));
        }
    }

    #[test]
    fn a_client_shares_no_core_with_its_server() {
        let auto = |cpus| client_of(&ClientCpus::Auto, &double(cpus));
        for (cpus, client) in [(6, "2,5"), (16, "7,15"), (64, "27-31,59-63")] {
            assert_eq!(auto(cpus).as_deref(), Some(client));
        }
        assert_eq!(client_of(&ClientCpus::Auto, &[(0..8).collect()]), None);
    }

    #[test]
    fn what_a_quota_leaves_is_shared() {
        let cpus = Cpus::of(&ClientCpus::Auto, &single(16), 8).unwrap();
        assert_eq!((cpus.of_server, cpus.client()), (8, None));
    }

    #[test]
    fn a_choice_wins() {
        let choice = |text: &str| text.parse::<ClientCpus>().unwrap();
        assert_eq!(client_of(&choice("same"), &single(64)), None);
        assert_eq!(client_of(&choice("1"), &single(2)).as_deref(), Some("1"));
        let of = |text: &str| Cpus::of(&choice(text), &single(4), 4).unwrap_err();
        assert!(of("3-4").contains("CPU 4 "), "{}", of("3-4"));
        assert!(of("0-3").contains("none to the server"), "{}", of("0-3"));
        for wrong in ["", "all", "1-"] {
            assert!(wrong.parse::<ClientCpus>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_confined_has_no_other_cpu() {
        let confined = std::thread::spawn(|| {
            let first = evenkeel_topology::allowed_cpus().iter().take(1).collect();
            confine(&first).map(|()| std::thread::available_parallelism().unwrap().get())
        });
        assert_eq!(confined.join().unwrap(), Ok(1));
        let nowhere = [8191].into_iter().collect();
        assert!(confine(&nowhere).unwrap_err().contains("8191"));
    }

    #[test]
    fn this_machine_can_be_shared_out() {
        let cpus = Cpus::usual();
        assert!(cpus.of_server >= 1 && cpus.of_client() >= 1);
        let siblings = cores(&Topology::detect());
        assert_eq!(
            siblings.iter().flatten().count(),
            Topology::detect().cpus().len()
        );
    }
}
