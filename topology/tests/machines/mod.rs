//! Machines that are not here: their sysfs trees, written out from a table of who shares what.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::fs;
use std::path::{Path, PathBuf};

use evenkeel_topology::{CpuSet, Topology};

/// Lists of CPUs: one per core, cluster, L3 cache, package and node.
pub(crate) struct Machine {
    pub(crate) name: &'static str,
    pub(crate) cores: &'static [&'static str],
    /// Of the cores that are in one with others.
    pub(crate) clusters: &'static [&'static str],
    pub(crate) l3: &'static [&'static str],
    pub(crate) packages: &'static [&'static str],
    pub(crate) nodes: &'static [&'static str],
}

/// A virtual machine with one CPU.
pub(crate) const ONE: Machine = Machine {
    name: "one",
    cores: &["0"],
    clusters: &[],
    l3: &["0"],
    packages: &["0"],
    nodes: &["0"],
};

/// A virtual machine with two CPUs.
pub(crate) const VM: Machine = Machine {
    name: "vm",
    cores: &["0", "1"],
    clusters: &[],
    l3: &["0-1"],
    packages: &["0-1"],
    nodes: &["0-1"],
};

/// A desktop of 16 cores in two core complexes, with SMT; siblings are 16 apart.
pub(crate) const TWO_CCX: Machine = Machine {
    name: "two_ccx",
    cores: &[
        "0,16", "1,17", "2,18", "3,19", "4,20", "5,21", "6,22", "7,23", "8,24", "9,25", "10,26",
        "11,27", "12,28", "13,29", "14,30", "15,31",
    ],
    clusters: &[],
    l3: &["0-7,16-23", "8-15,24-31"],
    packages: &["0-31"],
    nodes: &["0-31"],
};

/// A desktop of 12 cores on two dies, with an L3 each, and SMT; siblings are 12 apart.
pub(crate) const TWO_CCD: Machine = Machine {
    name: "two_ccd",
    cores: &[
        "0,12", "1,13", "2,14", "3,15", "4,16", "5,17", "6,18", "7,19", "8,20", "9,21", "10,22",
        "11,23",
    ],
    clusters: &[],
    l3: &["0-5,12-17", "6-11,18-23"],
    packages: &["0-23"],
    nodes: &["0-23"],
};

/// Two P cores with SMT, and eight E cores in two modules.
pub(crate) const P_AND_E: Machine = Machine {
    name: "p_and_e",
    cores: &["0-1", "2-3", "4", "5", "6", "7", "8", "9", "10", "11"],
    clusters: &["4-7", "8-11"],
    l3: &["0-11"],
    packages: &["0-11"],
    nodes: &["0-11"],
};

/// Two sockets of 64 cores, with SMT; siblings are 128 apart, and eight cores share an L3.
pub(crate) fn two_times_64() -> Machine {
    fn list(lists: impl Iterator<Item = String>) -> &'static [&'static str] {
        let lists = lists.map(|list| &*list.leak());
        lists.collect::<Vec<_>>().leak()
    }
    let of_cores = |cores: usize, each: usize| {
        let lists = (0..cores).map(move |group| {
            let (first, last) = (group * each, group * each + each - 1);
            format!("{first}-{last},{}-{}", first + 128, last + 128)
        });
        list(lists)
    };
    Machine {
        name: "two_times_64",
        cores: of_cores(128, 1),
        clusters: &[],
        l3: of_cores(16, 8),
        packages: of_cores(2, 64),
        nodes: of_cores(2, 64),
    }
}

/// Two sockets whose CPUs take turns in the numbering, SMT siblings 4 apart, and a node of memory
/// alone (CXL) between the two nodes with CPUs.
pub(crate) const TWO_SOCKETS: Machine = Machine {
    name: "two_sockets",
    cores: &["0,4", "1,5", "2,6", "3,7"],
    clusters: &[],
    l3: &["0,2,4,6", "1,3,5,7"],
    packages: &["0,2,4,6", "1,3,5,7"],
    nodes: &["0,2,4,6", "", "1,3,5,7"],
};

/// Adjacent siblings, of which the CPUs 1, 4 and 5 are offline.
pub(crate) const HOLES: Machine = Machine {
    name: "holes",
    cores: &["0", "2-3", "6-7"],
    clusters: &[],
    l3: &["0,2-3,6-7"],
    packages: &["0,2-3,6-7"],
    nodes: &["0,2-3,6-7"],
};

/// A package without a cache of level 3, split into two nodes.
pub(crate) const NO_L3: Machine = Machine {
    name: "no_l3",
    cores: &["0", "1", "2", "3"],
    clusters: &[],
    l3: &[],
    packages: &["0-3"],
    nodes: &["0-1", "2-3"],
};

impl Machine {
    pub(crate) fn cpus(&self) -> CpuSet {
        self.cores
            .iter()
            .flat_map(|core| cpus(core).iter().collect::<Vec<_>>())
            .collect()
    }

    pub(crate) fn topology(&self) -> Topology {
        self.topology_for(&self.cpus())
    }

    pub(crate) fn topology_for(&self, allowed: &CpuSet) -> Topology {
        Topology::read(self.tree().root(), allowed).unwrap()
    }

    /// Writes the sysfs tree.
    pub(crate) fn tree(&self) -> Tree {
        let tree = Tree::empty(self.name);
        for cpu in self.cpus().iter() {
            let dir = format!("cpu/cpu{cpu}");
            let core = list_with(self.cores, cpu).unwrap();
            tree.write(&format!("{dir}/topology/core_cpus_list"), core);
            if let Some(package) = list_with(self.packages, cpu) {
                tree.write(&format!("{dir}/topology/package_cpus_list"), package);
            }
            let cluster = list_with(self.clusters, cpu).unwrap_or(core);
            for (index, level, shared) in [(0, "1", core), (1, "1", core), (2, "2", cluster)] {
                tree.write(&format!("{dir}/cache/index{index}/level"), level);
                tree.write(&format!("{dir}/cache/index{index}/shared_cpu_list"), shared);
            }
            if let Some(l3) = list_with(self.l3, cpu) {
                tree.write(&format!("{dir}/cache/index3/level"), "3");
                tree.write(&format!("{dir}/cache/index3/shared_cpu_list"), l3);
            }
        }
        for (node, cpus) in self.nodes.iter().enumerate() {
            tree.write(&format!("node/node{node}/cpulist"), cpus);
        }
        tree.write("node/has_cpu", "0");
        tree
    }
}

/// A sysfs tree in a folder of its own, which goes when this is dropped.
pub(crate) struct Tree(PathBuf);

impl Tree {
    pub(crate) fn empty(name: &str) -> Self {
        // Tests run side by side and use the same machines.
        let thread = std::thread::current();
        let test = thread.name().unwrap_or("main").replace("::", "-");
        let name = format!("{name}-{test}-{}", std::process::id());
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(root.join("devices/system")).unwrap();
        Self(root)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.0
    }

    /// Writes a line to a file below `devices/system`.
    pub(crate) fn write(&self, path: &str, line: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("{line}\n")).unwrap();
    }

    pub(crate) fn remove(&self, path: &str) {
        fs::remove_dir_all(self.path(path)).unwrap();
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.join("devices/system").join(path)
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn cpus(list: &str) -> CpuSet {
    list.parse().unwrap()
}

fn list_with(lists: &[&'static str], cpu: usize) -> Option<&'static str> {
    lists.iter().copied().find(|list| cpus(list).contains(cpu))
}
