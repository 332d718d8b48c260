//! Which worker goes to which CPUs, and from whom it steals first. Pure: no thread is touched here.

use std::collections::BTreeMap;

use crate::topology::Place;
use crate::{CpuSet, Distance, Fence, PinError, Pinning, Topology};

/// The places of a runtime's workers: a [`Plan`] for each of its two lanes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Of the IO workers.
    pub io: Plan,
    /// Of the compute workers.
    pub compute: Plan,
    /// Why it is this one, where [`Pinning::Auto`] has chosen.
    pub reason: Option<Reason>,
}

/// Why [`Pinning::Auto`] pins the workers, or does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// They are: one for each CPU, and there is no quota.
    OwnCpus,
    /// They are not: a quota gives less than the CPUs.
    Quota,
    /// They are not: there are fewer IO workers than CPUs, or more.
    OtherNumber,
}

impl Reason {
    /// In words, as the end of a sentence that names the choice.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OwnCpus => "as many IO workers as CPUs, and no quota",
            Self::Quota => "a CPU quota gives less than the CPUs",
            Self::OtherNumber => "not as many IO workers as CPUs",
        }
    }
}

impl Placement {
    /// Places so many workers of each lane on the CPUs of `topology`; `parallelism` is how many
    /// CPUs' worth of time there is ([`parallelism`](crate::parallelism), less than the CPUs where
    /// there is a quota).
    ///
    /// A compute worker is where the IO worker of its number is, if that is anywhere; more of them
    /// go round once more.
    ///
    /// ```
    /// use evenkeel_topology::{Pinning, Placement, Topology};
    ///
    /// let topology = Topology::flat(&"0-3".parse()?);
    /// let placement = Placement::new(&topology, 4, [4, 2], &Pinning::ComputeOnly).unwrap();
    /// assert!(!placement.io.is_pinned());
    /// assert_eq!(placement.compute.cpu(1), Some(1));
    /// # Ok::<(), evenkeel_topology::ParseCpuSetError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Plan::new`].
    pub fn new(
        topology: &Topology,
        parallelism: usize,
        [io_workers, compute_workers]: [usize; 2],
        pinning: &Pinning,
    ) -> Result<Self, PinError> {
        if *pinning == Pinning::ComputeOnly {
            return Ok(Self {
                io: Plan::free(io_workers),
                compute: Plan::of_cpus(compute_workers, &per_core(topology)),
                reason: None,
            });
        }
        let io = Plan::new(topology, parallelism, io_workers, pinning)?;
        let compute = Plan {
            masks: match io.workers() {
                0 => vec![None; compute_workers],
                n => (0..compute_workers)
                    .map(|worker| io.masks[worker % n].clone())
                    .collect(),
            },
        };
        let is_auto = *pinning == Pinning::Auto;
        let reason = is_auto.then(|| auto(topology, parallelism, io_workers));
        Ok(Self {
            io,
            compute,
            reason,
        })
    }
}

fn auto(topology: &Topology, parallelism: usize, workers: usize) -> Reason {
    match topology.cpus().len() {
        cpus if parallelism < cpus => Reason::Quota,
        cpus if workers != cpus => Reason::OtherNumber,
        _ => Reason::OwnCpus,
    }
}

/// The CPUs of each worker of a lane: one, or a group of them, or wherever the kernel puts it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    masks: Vec<Option<CpuSet>>,
}

impl Plan {
    /// Places `workers` workers on the CPUs of `topology`; `parallelism` is how many CPUs' worth of
    /// time there is ([`parallelism`](crate::parallelism), less than the CPUs where there is a
    /// quota). With [`Pinning::ComputeOnly`] this is the plan of the IO workers.
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
    /// [`PinError`] where [`Pinning::Custom`] or [`Fence::Cpus`] is empty or has a CPU that is not
    /// in `topology`.
    pub fn new(
        topology: &Topology,
        parallelism: usize,
        workers: usize,
        pinning: &Pinning,
    ) -> Result<Self, PinError> {
        let on = |cpus: &[usize]| Ok(Self::of_cpus(workers, cpus));
        match pinning {
            Pinning::None | Pinning::ComputeOnly => Ok(Self::free(workers)),
            Pinning::Auto => match auto(topology, parallelism, workers) {
                Reason::OwnCpus => on(&per_core(topology)),
                Reason::Quota | Reason::OtherNumber => Ok(Self::free(workers)),
            },
            Pinning::PerCore => on(&per_core(topology)),
            Pinning::Compact => on(&compact(topology)),
            Pinning::Scatter => on(&scatter(topology)),
            Pinning::Custom(cpus) => on(check(cpus, topology.cpus())?),
            Pinning::Fence(fence) => Ok(Self::of_masks(workers, &fences(topology, fence)?)),
        }
    }

    /// All workers are where the kernel puts them.
    fn free(workers: usize) -> Self {
        Self::of_masks(workers, &[])
    }

    fn of_cpus(workers: usize, cpus: &[usize]) -> Self {
        let masks: Vec<_> = cpus.iter().map(|cpu| CpuSet::from_iter([*cpu])).collect();
        Self::of_masks(workers, &masks)
    }

    /// One worker after another has the next of `masks`, and again from the start.
    fn of_masks(workers: usize, masks: &[CpuSet]) -> Self {
        let masks = match masks.len() {
            0 => vec![None; workers],
            n => (0..workers)
                .map(|worker| Some(masks[worker % n].clone()))
                .collect(),
        };
        Self { masks }
    }

    /// How many workers the plan is for.
    pub fn workers(&self) -> usize {
        self.masks.len()
    }

    /// The CPUs that a worker may run on; `None` where the kernel places it, and for workers that
    /// there are not.
    pub fn mask(&self, worker: usize) -> Option<&CpuSet> {
        self.masks.get(worker)?.as_ref()
    }

    /// The CPU of a worker that may run on one only.
    pub fn cpu(&self, worker: usize) -> Option<usize> {
        match self.mask(worker)?.as_slice() {
            [cpu] => Some(*cpu),
            _ => None,
        }
    }

    /// Whether the workers are kept to a CPU or a group of CPUs each.
    pub fn is_pinned(&self) -> bool {
        self.masks.iter().any(Option::is_some)
    }

    /// The other workers in the order in which `worker` should steal from them: in tiers, the
    /// nearest first (its own CPU and SMT siblings, the same L3 cache, the same node, the rest),
    /// ascending within a tier. Tiers without a worker are left out. Workers of one group of CPUs
    /// are nearest to each other, and where the kernel places all of them, all are one tier.
    ///
    /// A worker should start at a random place within a tier, and go to the next tier only after it
    /// found nothing in the nearer ones.
    pub fn steal_order(&self, topology: &Topology, worker: usize) -> Vec<Vec<usize>> {
        let mut tiers: BTreeMap<Distance, Vec<usize>> = BTreeMap::new();
        for other in (0..self.workers()).filter(|other| *other != worker) {
            let first = |mask: Option<&CpuSet>| mask.and_then(|mask| mask.iter().next());
            let distance = match (first(self.mask(worker)), first(self.mask(other))) {
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

/// The allowed CPUs, each with how many of its core come before it.
fn with_sibling(topology: &Topology) -> Vec<(usize, usize)> {
    let mut taken: BTreeMap<usize, usize> = BTreeMap::new();
    let mut with_sibling = Vec::new();
    for cpu in topology.cpus().iter() {
        if let Some(place) = topology.place(cpu) {
            let before = taken.entry(place.core).or_default();
            with_sibling.push((cpu, *before));
            *before += 1;
        }
    }
    with_sibling
}

/// The allowed CPUs in the order of what `key` says of each: of its place, and how many of its core
/// come before it.
fn sorted<K: Ord>(topology: &Topology, key: impl Fn(Place, usize) -> K) -> Vec<usize> {
    let ranked = with_sibling(topology).into_iter();
    let mut ranked: Vec<_> = ranked
        .filter_map(|(cpu, sibling)| Some((key(topology.place(cpu)?, sibling), cpu)))
        .collect();
    ranked.sort_unstable();
    ranked.into_iter().map(|(_, cpu)| cpu).collect()
}

/// The first CPU of every core, then the second of every core, and so on; each time by node and L3
/// group, so that few workers stay near to each other.
fn per_core(topology: &Topology) -> Vec<usize> {
    sorted(topology, |place, sibling| (sibling, place.node, place.l3))
}

/// Each CPU beside what is nearest to it.
fn compact(topology: &Topology) -> Vec<usize> {
    sorted(topology, |place, _| {
        (place.node, place.l3, place.cluster, place.core)
    })
}

/// Nodes take turns, then L3 groups, then clusters, each with one core a turn; and all cores before
/// their siblings.
fn scatter(topology: &Topology) -> Vec<usize> {
    let mut rounds: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (cpu, sibling) in with_sibling(topology) {
        rounds.entry(sibling).or_default().push(cpu);
    }
    let levels: [fn(&Place) -> usize; 3] =
        [|place| place.node, |place| place.l3, |place| place.cluster];
    let rounds = rounds.into_values();
    let in_turn = rounds.map(|cpus| take_turns(topology, &cpus, &levels));
    in_turn.flatten().collect()
}

/// The CPUs in an order in which the groups of the first level take turns, and in each of these the
/// groups of the next.
fn take_turns(topology: &Topology, cpus: &[usize], levels: &[fn(&Place) -> usize]) -> Vec<usize> {
    let [level, below @ ..] = levels else {
        return cpus.to_vec();
    };
    let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for cpu in cpus {
        if let Some(place) = topology.place(*cpu) {
            groups.entry(level(&place)).or_default().push(*cpu);
        }
    }
    let groups = groups.into_values();
    let groups: Vec<_> = groups
        .map(|group| take_turns(topology, &group, below))
        .collect();
    let turns = groups.iter().map(Vec::len).max().unwrap_or(0);
    let turn = |turn: usize| groups.iter().filter_map(move |group| group.get(turn));
    (0..turns).flat_map(turn).copied().collect()
}

/// For each allowed CPU, in the order of [`per_core`], the group that it is in.
fn fences(topology: &Topology, fence: &Fence) -> Result<Vec<CpuSet>, PinError> {
    let group: fn(&Place) -> usize = match fence {
        Fence::Cluster => |place| place.cluster,
        Fence::L3 => |place| place.l3,
        Fence::Node => |place| place.node,
        Fence::Cpus(cpus) => {
            let cpus = check(cpus, topology.cpus())?;
            return Ok(vec![cpus.iter().copied().collect()]);
        }
    };
    let mut members: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    let order = per_core(topology);
    let group_of = |cpu: usize| topology.place(cpu).as_ref().map(group);
    for cpu in &order {
        if let Some(group) = group_of(*cpu) {
            members.entry(group).or_default().push(*cpu);
        }
    }
    let mask = |group: usize| members[&group].iter().copied().collect();
    Ok(order
        .iter()
        .filter_map(|cpu| group_of(*cpu))
        .map(mask)
        .collect())
}
