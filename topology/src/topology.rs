//! Which CPUs share what, read from Linux's sysfs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::{fmt, fs, io};

use crate::{CpuSet, allowed_cpus};

/// What the two CPUs nearest to each other still share. Smaller is nearer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Distance {
    /// They are one and the same.
    Same,
    /// One physical core: all its caches are shared.
    Smt,
    /// One L3 cache.
    L3,
    /// One NUMA node, but no cache.
    Node,
    /// Nothing but the machine.
    Remote,
}

/// The allowed CPUs of a machine and what they share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    cpus: CpuSet,
    /// Beside `cpus`, in the same order.
    places: Vec<Place>,
}

/// The groups that a CPU is in. A group is called by the smallest CPU in it, a node by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) core: usize,
    /// Never less than a core.
    pub(crate) cluster: usize,
    pub(crate) l3: usize,
    pub(crate) node: usize,
    package: usize,
}

impl Topology {
    /// The machine this runs on: [`Topology::read`] of `/sys` for the [`allowed_cpus`], and
    /// [`Topology::flat`] where that cannot be read (other systems, some sandboxes).
    ///
    /// The allowed CPUs are asked for in every call. What they share is read once in a process, and
    /// again when there is an allowed CPU that the last reading was not for: a machine does not
    /// change its caches, and the files take longer to read than a thread takes to start.
    pub fn detect() -> Self {
        static KNOWN: Known = Known(Mutex::new(None));
        let allowed = allowed_cpus();
        KNOWN
            .get(&allowed, |cpus| Self::read(Path::new("/sys"), cpus))
            .unwrap_or_else(|_| Self::flat(&allowed))
    }

    /// A machine in which each CPU is a core of its own and all of them share one L3 cache.
    pub fn flat(allowed: &CpuSet) -> Self {
        let places = allowed.iter().map(|cpu| Place {
            core: cpu,
            cluster: cpu,
            l3: 0,
            node: 0,
            package: 0,
        });
        Self {
            places: places.collect(),
            cpus: allowed.clone(),
        }
    }

    /// Reads the sysfs tree at `root` (`/sys`, or a copy of one) for the CPUs in `allowed`.
    ///
    /// Files that a kernel may leave out are made up for: without the sibling lists a CPU is a core
    /// of its own and all are one package, without a cache of level 3 the CPUs of a package and
    /// node count as sharing one, without NUMA all is node 0. Nodes without CPUs (memory alone) are
    /// legal.
    ///
    /// # Errors
    ///
    /// `NotFound` where `allowed` has a CPU that the tree has not; `InvalidData`, with the name of
    /// the file, where a file does not hold what it should; and the errors of reading files.
    pub fn read(root: &Path, allowed: &CpuSet) -> io::Result<Self> {
        let devices = root.join("devices/system");
        let nodes = read_nodes(&devices.join("node"))?;
        let mut places = Vec::with_capacity(allowed.len());
        for cpu in allowed.iter() {
            places.push(read_place(
                &devices.join(format!("cpu/cpu{cpu}")),
                cpu,
                &nodes,
            )?);
        }
        Ok(Self {
            cpus: allowed.clone(),
            places,
        })
    }

    /// The allowed CPUs.
    pub fn cpus(&self) -> &CpuSet {
        &self.cpus
    }

    /// How far the data in the caches of `a` is from `b`. CPUs outside [`Topology::cpus`] are
    /// [`Distance::Remote`] from all others.
    pub fn distance(&self, a: usize, b: usize) -> Distance {
        if a == b {
            return Distance::Same;
        }
        match (self.place(a), self.place(b)) {
            (Some(a), Some(b)) if a.core == b.core => Distance::Smt,
            (Some(a), Some(b)) if a.l3 == b.l3 => Distance::L3,
            (Some(a), Some(b)) if a.node == b.node => Distance::Node,
            _ => Distance::Remote,
        }
    }

    /// The part of these CPUs; `None` if there are others among them.
    fn part(&self, cpus: &CpuSet) -> Option<Self> {
        let places = cpus.iter().map(|cpu| self.place(cpu));
        Some(Self {
            places: places.collect::<Option<_>>()?,
            cpus: cpus.clone(),
        })
    }

    pub(crate) fn place(&self, cpu: usize) -> Option<Place> {
        let index = self.cpus.as_slice().binary_search(&cpu).ok()?;
        self.places.get(index).copied()
    }

    fn count(&self, group: impl Fn(&Place) -> usize) -> usize {
        self.places.iter().map(group).collect::<BTreeSet<_>>().len()
    }
}

/// What was read last.
///
/// A newer reading replaces it and is not merged with it: the groups are called by their first CPU,
/// which may be another one after CPUs were taken away or added.
struct Known(Mutex<Option<Topology>>);

impl Known {
    fn get(
        &self,
        cpus: &CpuSet,
        read: impl FnOnce(&CpuSet) -> io::Result<Topology>,
    ) -> io::Result<Topology> {
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let part = known().as_ref().and_then(|known| known.part(cpus));
        if let Some(part) = part {
            return Ok(part);
        }
        // Not under the lock. Two threads may both read: that does no harm.
        let topology = read(cpus)?;
        *known() = Some(topology.clone());
        Ok(topology)
    }
}

/// In numbers, for logs and reports: `CPUs 0-15: 8 cores, 2 L3 groups, 1 node, 1 package`.
impl fmt::Display for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = |n: usize| if n == 1 { "" } else { "s" };
        let cores = self.count(|place| place.core);
        let l3 = self.count(|place| place.l3);
        let nodes = self.count(|place| place.node);
        let packages = self.count(|place| place.package);
        write!(f, "CPUs {}: {cores} core{}, ", self.cpus, plural(cores))?;
        write!(
            f,
            "{l3} L3 group{}, {nodes} node{}, ",
            plural(l3),
            plural(nodes)
        )?;
        write!(f, "{packages} package{}", plural(packages))
    }
}

/// The nodes that have CPUs.
fn read_nodes(dir: &Path) -> io::Result<BTreeMap<usize, CpuSet>> {
    let mut nodes = BTreeMap::new();
    for (node, path) in numbered(dir, "node")? {
        if let Some(cpus) = read_list(&path.join("cpulist"))?
            && !cpus.is_empty()
        {
            nodes.insert(node, cpus);
        }
    }
    Ok(nodes)
}

fn read_place(dir: &Path, cpu: usize, nodes: &BTreeMap<usize, CpuSet>) -> io::Result<Place> {
    // Missing files are made up for, a missing CPU is not: this is then not the tree of this
    // machine.
    fs::metadata(dir).map_err(|error| named(dir, error))?;
    // Each list under its present name, and under the one that it had before Linux 5.3.
    let core = first_list(
        dir,
        ["topology/core_cpus_list", "topology/thread_siblings_list"],
    )?;
    let package = first_list(
        dir,
        ["topology/package_cpus_list", "topology/core_siblings_list"],
    )?;
    let cluster = read_cluster(dir)?;
    let node = nodes.iter().find(|(_, cpus)| cpus.contains(cpu));
    let in_node = |other: &usize| node.is_none_or(|(_, cpus)| cpus.contains(*other));
    let l3 = match read_cache(&dir.join("cache"), "3")? {
        Some(cpus) => cpus.iter().next(),
        None => match &package {
            Some(cpus) => cpus.iter().find(in_node),
            None => node.and_then(|(_, cpus)| cpus.iter().next()),
        },
    };
    let first = |cpus: Option<CpuSet>| cpus.and_then(|cpus| cpus.iter().next());
    // A kernel that knows of no clusters says that a CPU is one by itself.
    let is_larger = |cluster: &CpuSet| cluster.len() > core.as_ref().map_or(1, CpuSet::len);
    let cluster = cluster.filter(is_larger).or_else(|| core.clone());
    Ok(Place {
        cluster: first(cluster).unwrap_or(cpu),
        core: first(core).unwrap_or(cpu),
        l3: l3.unwrap_or(0),
        node: node.map_or(0, |(node, _)| *node),
        package: first(package).unwrap_or(0),
    })
}

/// The CPUs of a cluster, which Linux tells since 5.16; before that, those that share the cache of
/// level 2.
fn read_cluster(dir: &Path) -> io::Result<Option<CpuSet>> {
    match read_list(&dir.join("topology/cluster_cpus_list"))? {
        None => read_cache(&dir.join("cache"), "2"),
        cluster => Ok(cluster),
    }
}

/// The CPUs that share the cache of a level.
fn read_cache(dir: &Path, level: &str) -> io::Result<Option<CpuSet>> {
    for (_, index) in numbered(dir, "index")? {
        if read(&index.join("level"))?.is_some_and(|of_index| of_index.trim() == level) {
            return read_list(&index.join("shared_cpu_list"));
        }
    }
    Ok(None)
}

fn first_list(dir: &Path, names: [&str; 2]) -> io::Result<Option<CpuSet>> {
    for name in names {
        if let Some(cpus) = read_list(&dir.join(name))? {
            return Ok(Some(cpus));
        }
    }
    Ok(None)
}

/// The entries `prefix0`, `prefix1`, ... of a directory, in the order of their numbers; none where
/// there is no directory.
fn numbered(dir: &Path, prefix: &str) -> io::Result<BTreeMap<usize, PathBuf>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(named(dir, error)),
    };
    let mut found = BTreeMap::new();
    for entry in entries {
        let entry = entry.map_err(|error| named(dir, error))?;
        let name = entry.file_name();
        let number = name
            .to_str()
            .and_then(|name| name.strip_prefix(prefix)?.parse().ok());
        if let Some(number) = number {
            found.insert(number, entry.path());
        }
    }
    Ok(found)
}

fn read_list(path: &Path) -> io::Result<Option<CpuSet>> {
    let Some(text) = read(path)? else {
        return Ok(None);
    };
    let cpus = text.parse();
    cpus.map(Some)
        .map_err(|error| named(path, io::Error::new(io::ErrorKind::InvalidData, error)))
}

/// The text of a file; `None` where there is no such file.
fn read(path: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(named(path, error)),
    }
}

fn named(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is known after readings for these sets in turn, and for which of them there was one.
    fn readings(sets: &[&str]) -> Vec<String> {
        let known = Known(Mutex::new(None));
        let mut read = Vec::new();
        for set in sets {
            let cpus = set.parse().unwrap();
            let topology = known.get(&cpus, |cpus| {
                read.push(cpus.to_string());
                Ok(Topology::flat(cpus))
            });
            assert_eq!(topology.unwrap(), Topology::flat(&cpus));
        }
        read
    }

    #[test]
    fn one_reading_serves_all_that_are_within_it() {
        assert_eq!(readings(&["0-7", "0-7", "3", "0,5-7", "0-7"]), ["0-7"]);
    }

    #[test]
    fn a_cpu_that_is_not_known_makes_it_read_again() {
        // From a pinned thread, say, and then from one that is not.
        assert_eq!(readings(&["3", "0-7", "3"]), ["3", "0-7"]);
        assert_eq!(readings(&["0-3", "2-4", "0"]), ["0-3", "2-4", "0"]);
    }

    #[test]
    fn a_reading_that_fails_is_tried_again() {
        let known = Known(Mutex::new(None));
        let cpus = "0-1".parse().unwrap();
        let failed = known.get(&cpus, |_| Err(io::ErrorKind::NotFound.into()));
        assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::NotFound);
        let read = known.get(&cpus, |cpus| Ok(Topology::flat(cpus)));
        assert_eq!(read.unwrap().cpus(), &cpus);
    }

    #[test]
    fn what_is_kept_is_what_would_be_read() {
        let detected = [(); 2].map(|()| Topology::detect());
        assert_eq!(detected[0], detected[1]);
        let allowed = allowed_cpus();
        if let Ok(read) = Topology::read(Path::new("/sys"), &allowed) {
            assert_eq!(detected[1], read);
            let first = allowed.iter().take(1).collect();
            let part = Topology::read(Path::new("/sys"), &first);
            assert_eq!(read.part(&first), part.ok());
        }
    }
}
