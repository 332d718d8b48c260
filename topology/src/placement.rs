//! Which worker goes to which CPU, and from whom it steals first. Pure: no thread is touched here.

use std::collections::BTreeMap;
use std::{fmt, io};

use crate::{CpuSet, Distance, Topology};

/// Where the workers of a runtime run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Pinning {
    /// One worker per CPU where the CPUs are the process's own, that is: as many workers as allowed
    /// CPUs, and no quota below them. No pinning otherwise: on CPUs that are shared out by a quota
    /// a pinned worker waits for its CPU while another one is free. A runtime lets go of the pins
    /// of its IO workers while other programs use a large part of these CPUs.
    #[default]
    Auto,
    /// No pinning: the kernel places the workers.
    None,
    /// Each worker is pinned to an allowed CPU: one worker per physical core first, then their SMT
    /// siblings, then from the start again.
    PerCore,
    /// Worker `i` is pinned to CPU `list[i % list.len()]`.
    Custom(Vec<usize>),
}

impl fmt::Display for Pinning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.pad("auto"),
            Self::None => f.pad("none"),
            Self::PerCore => f.pad("per_core"),
            Self::Custom(cpus) => write!(f, "{cpus:?}"),
        }
    }
}

/// A [`Pinning`] that cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PinError {
    /// [`Pinning::Custom`] names no CPU.
    Empty,
    /// [`Pinning::Custom`] names a CPU that the process may not run on.
    NotAllowed {
        /// The CPU.
        cpu: usize,
        /// Those that it may run on.
        allowed: CpuSet,
    },
}

impl fmt::Display for PinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str(
                "Pinning::Custom names no CPU; name at least one, or use Pinning::None to pin nothing",
            ),
            Self::NotAllowed { cpu, allowed } => write!(
                f,
                "CPU {cpu} is not in the allowed set {allowed}; name CPUs of that set in Pinning::Custom, \
                 or widen it (taskset, the cpuset of the container)"
            ),
        }
    }
}

impl std::error::Error for PinError {}

/// Of kind [`InvalidInput`](io::ErrorKind::InvalidInput).
impl From<PinError> for io::Error {
    fn from(error: PinError) -> Self {
        io::Error::new(io::ErrorKind::InvalidInput, error)
    }
}

/// A CPU for each worker, or for none of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    cpus: Vec<Option<usize>>,
}

impl Plan {
    /// Places `workers` workers on the CPUs of `topology`; `parallelism` is how many CPUs' worth of
    /// time there is ([`parallelism`](crate::parallelism), less than the CPUs where there is a
    /// quota).
    ///
    /// ```
    /// use evenkeel_topology::{Pinning, Plan, Topology};
    ///
    /// let two_cpus = Topology::flat(&"0-1".parse()?);
    /// let plan = |parallelism, workers| {
    ///     Plan::new(&two_cpus, parallelism, workers, &Pinning::Auto).unwrap()
    /// };
    /// assert_eq!(plan(2, 2).cpu(1), Some(1));
    /// assert!(!plan(1, 2).is_pinned(), "a quota of one CPU");
    /// assert!(!plan(2, 3).is_pinned(), "more workers than CPUs");
    ///
    /// let error = Plan::new(&two_cpus, 2, 2, &Pinning::Custom(vec![0, 7])).unwrap_err();
    /// assert!(error.to_string().starts_with("CPU 7 is not in the allowed set 0-1;"));
    /// # Ok::<(), evenkeel_topology::ParseCpuSetError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`PinError`] where [`Pinning::Custom`] is empty or has a CPU that is not in `topology`.
    pub fn new(
        topology: &Topology,
        parallelism: usize,
        workers: usize,
        pinning: &Pinning,
    ) -> Result<Self, PinError> {
        let allowed = topology.cpus();
        let cpus = match pinning {
            Pinning::None => Vec::new(),
            Pinning::Auto if parallelism < allowed.len() || workers != allowed.len() => Vec::new(),
            Pinning::Auto | Pinning::PerCore => cores_first(topology),
            Pinning::Custom(cpus) => check(cpus, allowed)?.to_vec(),
        };
        let cpus = match cpus.len() {
            0 => vec![None; workers],
            n => (0..workers).map(|worker| Some(cpus[worker % n])).collect(),
        };
        Ok(Self { cpus })
    }

    /// How many workers the plan is for.
    pub fn workers(&self) -> usize {
        self.cpus.len()
    }

    /// The CPU of a worker; `None` where nothing is pinned, and for workers that there are not.
    pub fn cpu(&self, worker: usize) -> Option<usize> {
        self.cpus.get(worker).copied().flatten()
    }

    /// Whether the workers are pinned.
    pub fn is_pinned(&self) -> bool {
        self.cpus.iter().any(Option::is_some)
    }

    /// The other workers in the order in which `worker` should steal from them: in tiers, the
    /// nearest first (its own CPU and SMT siblings, the same L3 cache, the same node, the rest),
    /// ascending within a tier. Tiers without a worker are left out. Where nothing is pinned, all
    /// are one tier.
    ///
    /// A worker should start at a random place within a tier, and go to the next tier only after it
    /// found nothing in the nearer ones.
    pub fn steal_order(&self, topology: &Topology, worker: usize) -> Vec<Vec<usize>> {
        let mut tiers: BTreeMap<Distance, Vec<usize>> = BTreeMap::new();
        for other in (0..self.workers()).filter(|other| *other != worker) {
            let distance = match (self.cpu(worker), self.cpu(other)) {
                (Some(here), Some(there)) => topology.distance(here, there),
                _ => Distance::Same,
            };
            tiers
                .entry(distance.max(Distance::Smt))
                .or_default()
                .push(other);
        }
        tiers.into_values().collect()
    }
}

fn check<'a>(cpus: &'a [usize], allowed: &CpuSet) -> Result<&'a [usize], PinError> {
    if cpus.is_empty() {
        return Err(PinError::Empty);
    }
    match cpus.iter().find(|cpu| !allowed.contains(**cpu)) {
        Some(&cpu) => Err(PinError::NotAllowed {
            cpu,
            allowed: allowed.clone(),
        }),
        None => Ok(cpus),
    }
}

/// The allowed CPUs: the first of every core, then the second of every core, and so on; each time
/// by node and L3 group, so that few workers stay near to each other.
fn cores_first(topology: &Topology) -> Vec<usize> {
    let mut taken: BTreeMap<usize, usize> = BTreeMap::new();
    let mut ranked = Vec::new();
    for cpu in topology.cpus().iter() {
        let Some(place) = topology.place(cpu) else {
            continue;
        };
        let siblings_before = taken.entry(place.core).or_default();
        ranked.push((*siblings_before, place.node, place.l3, cpu));
        *siblings_before += 1;
    }
    ranked.sort_unstable();
    ranked.into_iter().map(|(.., cpu)| cpu).collect()
}
