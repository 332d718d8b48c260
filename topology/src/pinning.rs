//! The strategies by which workers are placed, and their names.

use std::fmt::Write as _;
use std::str::FromStr;
use std::{fmt, io};

use crate::CpuSet;

/// Where the workers of a runtime run.
///
/// A strategy has a name, which [`Display`](fmt::Display) writes and [`FromStr`] reads: `per_core`,
/// `fence_l3`, `fence:0-3`, or `[0, 2]` for a list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Pinning {
    /// One worker per CPU where the CPUs are the process's own, that is: as many IO workers as
    /// allowed CPUs, and no quota below them. No pinning otherwise: on CPUs that are shared out by
    /// a quota a pinned worker waits for its CPU while another one is free. A runtime lets go of
    /// the pins of its IO workers while other programs use a large part of these CPUs.
    ///
    /// For whoever does not want to think about it.
    #[default]
    Auto,
    /// No pinning: the kernel places the workers, and may move them at any time.
    ///
    /// For programs that share their CPUs with others all the time, and for code that starts
    /// threads and processes of its own, which inherit nothing then.
    None,
    /// Each worker is pinned to an allowed CPU: one worker per physical core first, then their SMT
    /// siblings, then from the start again. Few workers stay on one node, and in one L3 group.
    ///
    /// For programs that have their CPUs for themselves: a machine, or CPUs that nobody else may
    /// use.
    PerCore,
    /// Each worker is pinned to an allowed CPU, as near to the one before as can be: first all SMT
    /// siblings of a core, then the cores of its L3 group, then those of its node.
    ///
    /// For fewer workers than CPUs whose tasks use the same data, and that shall leave whole cores
    /// and caches to other programs.
    Compact,
    /// Each worker is pinned to an allowed CPU, as far from the others as can be: nodes take turns,
    /// and in them L3 groups, and in these cores; SMT siblings come last.
    ///
    /// For fewer workers than CPUs whose tasks each use much data of their own: they get as much
    /// cache and memory bandwidth as there is.
    Scatter,
    /// Each worker may run on a group of CPUs, in which the kernel places it. The groups get
    /// workers in the order of [`PerCore`](Pinning::PerCore).
    ///
    /// For large machines: tasks stay near to their data, and a worker whose CPU somebody else uses
    /// has others to go to.
    Fence(Fence),
    /// Compute workers are pinned as by [`PerCore`](Pinning::PerCore), one a core, and the kernel
    /// places the IO workers.
    ///
    /// For programs that share their CPUs with clients or other servers, and that compute: IO makes
    /// way for the others, and the kernel never puts two compute workers on one CPU.
    ComputeOnly,
    /// Worker `i` is pinned to CPU `list[i % list.len()]`.
    ///
    /// For whoever knows better, for example which CPUs get the interrupts of a network card.
    Custom(Vec<usize>),
}

/// The groups of CPUs of [`Pinning::Fence`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fence {
    /// The CPUs that share what is between a core and the L3 cache: the L2 cache of a module of
    /// E cores, a cluster of an Arm server. Where there is no such thing, a core with its SMT
    /// siblings.
    Cluster,
    /// The CPUs that share an L3 cache.
    L3,
    /// The CPUs of a NUMA node.
    Node,
    /// One group: these CPUs.
    Cpus(Vec<usize>),
}

/// The strategies whose names are a word.
const WORDS: [(&str, Pinning); 9] = [
    ("auto", Pinning::Auto),
    ("none", Pinning::None),
    ("per_core", Pinning::PerCore),
    ("compact", Pinning::Compact),
    ("scatter", Pinning::Scatter),
    ("compute_only", Pinning::ComputeOnly),
    ("fence_cluster", Pinning::Fence(Fence::Cluster)),
    ("fence_l3", Pinning::Fence(Fence::L3)),
    ("fence_node", Pinning::Fence(Fence::Node)),
];

impl fmt::Display for Pinning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Custom(cpus) => write!(f, "{cpus:?}"),
            Self::Fence(Fence::Cpus(cpus)) => {
                write!(f, "fence:{}", cpus.iter().copied().collect::<CpuSet>())
            }
            word => {
                let name = WORDS.iter().find(|(_, pinning)| pinning == word);
                f.pad(name.map_or("?", |(name, _)| name))
            }
        }
    }
}

/// A text is not the name of a [`Pinning`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParsePinningError(String);

impl fmt::Display for ParsePinningError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = String::new();
        for (name, _) in WORDS {
            let _ = write!(words, "{name:?}, ");
        }
        write!(
            f,
            "{:?} is no strategy of pinning; those are {words}\"fence:0-3\", and a list of CPUs such \
             as \"[0, 2]\"",
            self.0
        )
    }
}

impl std::error::Error for ParsePinningError {}

impl FromStr for Pinning {
    type Err = ParsePinningError;

    /// Parses what [`Display`](fmt::Display) writes.
    ///
    /// ```
    /// use evenkeel_topology::{Fence, Pinning};
    ///
    /// assert_eq!("fence_l3".parse(), Ok(Pinning::Fence(Fence::L3)));
    /// assert_eq!("[0, 2]".parse(), Ok(Pinning::Custom(vec![0, 2])));
    /// let error = "numa".parse::<Pinning>().unwrap_err();
    /// assert!(error.to_string().contains("\"fence_node\""));
    /// ```
    fn from_str(text: &str) -> Result<Self, ParsePinningError> {
        let error = || ParsePinningError(text.to_owned());
        if let Some(cpus) = text.strip_prefix("fence:") {
            let cpus: CpuSet = cpus.parse().map_err(|_| error())?;
            return Ok(Self::Fence(Fence::Cpus(cpus.iter().collect())));
        }
        let list = |text: &str| Some(text.strip_prefix('[')?.strip_suffix(']')?.to_owned());
        if let Some(list) = list(text) {
            let cpus = list.split(',').map(|cpu| cpu.trim().parse());
            return Ok(Self::Custom(
                cpus.collect::<Result<_, _>>().map_err(|_| error())?,
            ));
        }
        let known = WORDS.into_iter().find(|(name, _)| *name == text);
        known.map(|(_, pinning)| pinning).ok_or_else(error)
    }
}

/// A [`Pinning`] that cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PinError {
    /// [`Pinning::Custom`] or [`Fence::Cpus`] names no CPU.
    Empty,
    /// [`Pinning::Custom`] or [`Fence::Cpus`] names a CPU that the process may not run on.
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
                "Pinning::Custom or Fence::Cpus names no CPU; name at least one, or use Pinning::None to \
                 pin nothing",
            ),
            Self::NotAllowed { cpu, allowed } => write!(
                f,
                "CPU {cpu} is not in the allowed set {allowed}; name CPUs of that set in the pinning, \
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
