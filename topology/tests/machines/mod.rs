//! Machines that are not here: their sysfs trees, written out from a table of who shares what.

use std::fs;
use std::path::{Path, PathBuf};

use evenkeel_topology::{CpuSet, Topology};

/// Lists of CPUs: one per core, L3 cache, package and node.
pub(crate) struct Machine {
    pub(crate) name: &'static str,
    pub(crate) cores: &'static [&'static str],
    pub(crate) l3: &'static [&'static str],
    pub(crate) packages: &'static [&'static str],
    pub(crate) nodes: &'static [&'static str],
}

/// A virtual machine with two CPUs.
pub(crate) const VM: Machine = Machine {
    name: "vm",
    cores: &["0", "1"],
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
    l3: &["0-7,16-23", "8-15,24-31"],
    packages: &["0-31"],
    nodes: &["0-31"],
};

/// Two sockets whose CPUs take turns in the numbering, SMT siblings 4 apart, and a node of memory
/// alone (CXL) between the two nodes with CPUs.
pub(crate) const TWO_SOCKETS: Machine = Machine {
    name: "two_sockets",
    cores: &["0,4", "1,5", "2,6", "3,7"],
    l3: &["0,2,4,6", "1,3,5,7"],
    packages: &["0,2,4,6", "1,3,5,7"],
    nodes: &["0,2,4,6", "", "1,3,5,7"],
};

/// Adjacent siblings, of which the CPUs 1, 4 and 5 are offline.
pub(crate) const HOLES: Machine = Machine {
    name: "holes",
    cores: &["0", "2-3", "6-7"],
    l3: &["0,2-3,6-7"],
    packages: &["0,2-3,6-7"],
    nodes: &["0,2-3,6-7"],
};

/// A package without a cache of level 3, split into two nodes.
pub(crate) const NO_L3: Machine = Machine {
    name: "no_l3",
    cores: &["0", "1", "2", "3"],
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
            for (index, level) in [(0, "1"), (1, "1"), (2, "2")] {
                tree.write(&format!("{dir}/cache/index{index}/level"), level);
                tree.write(&format!("{dir}/cache/index{index}/shared_cpu_list"), core);
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
