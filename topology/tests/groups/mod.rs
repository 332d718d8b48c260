//! Control groups with CPU quotas, which tests make where they may: as root, with the `cpu`
//! controller of cgroup v1 or v2 mounted.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{self, Command};

use evenkeel_topology::QuotaGroups;

/// Says to a child which group it is to join.
const JOIN: &str = "EVENKEEL_TEST_JOIN";

/// A group of processes, removed in the end.
pub(crate) struct Group {
    path: PathBuf,
    /// Where the `cpu` controller was given to the groups below for this one.
    gave_cpu: Option<PathBuf>,
}

impl Group {
    fn new(above: &Path, name: &str) -> io::Result<Group> {
        let path = above.join(name);
        fs::create_dir(&path)?;
        Ok(Group {
            path,
            gave_cpu: None,
        })
    }

    /// At the root of the hierarchy that has the `cpu` controller. An error as well where the
    /// process has a quota already.
    pub(crate) fn at_the_root() -> io::Result<Group> {
        if QuotaGroups::of_process().quota().is_some() {
            return Err(io::Error::other("the process has a quota already"));
        }
        let name = format!("evenkeel-test-{}", process::id());
        let v1 = Path::new("/sys/fs/cgroup/cpu");
        if v1.join("cpu.cfs_quota_us").exists() || v1.join("cpu.shares").exists() {
            return Group::new(v1, &name);
        }
        let v2 = Path::new("/sys/fs/cgroup");
        let gave_cpu = give_cpu(v2)?;
        let mut group = Group::new(v2, &name)?;
        group.gave_cpu = gave_cpu.then(|| v2.to_owned());
        Ok(group)
    }

    /// `None` for no limit.
    pub(crate) fn set_quota(&self, us_of_100_ms: Option<u32>) -> io::Result<()> {
        let v1 = self.path.join("cpu.cfs_quota_us");
        if v1.exists() {
            let quota = us_of_100_ms.map_or("-1".to_owned(), |us| us.to_string());
            return fs::write(v1, quota);
        }
        let quota = us_of_100_ms.map_or("max".to_owned(), |us| us.to_string());
        fs::write(self.path.join("cpu.max"), format!("{quota} 100000"))
    }

    /// A group in this one, which then has no processes of its own.
    pub(crate) fn inner(&self) -> io::Result<Group> {
        if self.path.join("cpu.max").exists() {
            give_cpu(&self.path)?;
        }
        Group::new(&self.path, "inner")
    }

    /// Runs the test `name` of the calling binary in there, and returns what it says of what it has
    /// found.
    pub(crate) fn found_by(&self, name: &str) -> String {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(JOIN, self.path.join("cgroup.procs"))
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let found = text.lines().find_map(|line| line.split_once("found: "));
        found.unwrap_or_else(|| panic!("{text}")).1.to_owned()
    }

    /// A number of the group's `cpu.stat`.
    pub(crate) fn stat(&self, name: &str) -> u64 {
        let stat = fs::read_to_string(self.path.join("cpu.stat")).unwrap();
        let value = stat.lines().find_map(|line| line.strip_prefix(name));
        value
            .unwrap_or_else(|| panic!("{stat}"))
            .trim()
            .parse()
            .unwrap()
    }
}

/// Joins the group that a test has started this process for; false if none has.
pub(crate) fn join() -> bool {
    let Some(group) = std::env::var_os(JOIN) else {
        return false;
    };
    fs::write(group, process::id().to_string()).unwrap();
    true
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.path);
        if let Some(above) = &self.gave_cpu {
            let _ = fs::write(above.join("cgroup.subtree_control"), "-cpu");
        }
    }
}

/// Gives the `cpu` controller of cgroup v2 to the groups below; false if they have it.
fn give_cpu(folder: &Path) -> io::Result<bool> {
    let control = folder.join("cgroup.subtree_control");
    let has_it = fs::read_to_string(&control)?
        .split_whitespace()
        .any(|controller| controller == "cpu");
    if !has_it {
        fs::write(control, "+cpu")?;
    }
    Ok(!has_it)
}
