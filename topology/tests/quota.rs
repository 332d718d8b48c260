//! CPU quotas, in groups that the test makes where it may: as root, with the `cpu` controller of
//! cgroup v1 or v2 mounted. Where it may not, it says so and ends.

#![cfg(target_os = "linux")]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{self, Command};

use evenkeel_topology::{allowed_cpus, parallelism};

/// Says to a child which group it is to join.
const JOIN: &str = "EVENKEEL_TEST_JOIN";

/// A group of processes, removed in the end.
struct Group(PathBuf);

impl Group {
    fn new(above: &Path, name: &str) -> io::Result<Group> {
        let path = above.join(name);
        fs::create_dir(&path)?;
        Ok(Group(path))
    }

    /// At the root of the hierarchy that has the `cpu` controller.
    fn at_the_root() -> io::Result<Group> {
        let name = format!("evenkeel-test-{}", process::id());
        let v1 = Path::new("/sys/fs/cgroup/cpu");
        if v1.join("cpu.cfs_quota_us").exists() {
            return Group::new(v1, &name);
        }
        let v2 = Path::new("/sys/fs/cgroup");
        fs::write(v2.join("cgroup.subtree_control"), "+cpu")?;
        let group = Group::new(v2, &name)?;
        fs::write(group.0.join("cgroup.subtree_control"), "+cpu")?;
        Ok(group)
    }

    /// `None` for no limit.
    fn set_quota(&self, us_of_100_ms: Option<u32>) -> io::Result<()> {
        let v1 = self.0.join("cpu.cfs_quota_us");
        if v1.exists() {
            let quota = us_of_100_ms.map_or("-1".to_owned(), |us| us.to_string());
            return fs::write(v1, quota);
        }
        let quota = us_of_100_ms.map_or("max".to_owned(), |us| us.to_string());
        fs::write(self.0.join("cpu.max"), format!("{quota} 100000"))
    }

    /// What `parallelism` is in there.
    fn parallelism(&self) -> usize {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "in_a_child", "--nocapture"])
            .env(JOIN, self.0.join("cgroup.procs"))
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let answer = text.lines().find_map(|line| line.split_once("found: "));
        answer
            .unwrap_or_else(|| panic!("{text}"))
            .1
            .parse()
            .unwrap()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

/// What a child does that a test starts; nothing else.
#[test]
fn in_a_child() {
    if let Some(group) = std::env::var_os(JOIN) {
        fs::write(group, process::id().to_string()).unwrap();
        println!("found: {}", parallelism());
    }
}

#[test]
fn quotas_count_in_whole_cpus_and_those_of_the_groups_above_too() {
    let above = Group::at_the_root();
    let made = above.map(|above| (Group::new(&above.0, "inner"), above));
    // In this order, since the last is removed first.
    let (above, inner) = match made.and_then(|(inner, above)| Ok((above, inner?))) {
        Ok(groups) => groups,
        Err(error) => return eprintln!("skipped: no group can be made here: {error}"),
    };
    let cpus = allowed_cpus().len();
    let table = [
        (None, None, cpus),
        (None, Some(20_000), 1),
        (None, Some(150_000), 1),
        (None, Some(200_000), cpus.min(2)),
        (Some(100_000), None, 1),
        (Some(100_000), Some(50_000), 1),
        (Some(200_000), Some(150_000), 1),
    ];
    for (quota_above, quota, found) in table {
        // The group above may not have less than one below it, so both are reset first.
        inner.set_quota(None).unwrap();
        above.set_quota(None).unwrap();
        above.set_quota(quota_above).unwrap();
        inner.set_quota(quota).unwrap();
        assert_eq!(inner.parallelism(), found, "{quota_above:?}, {quota:?}");
    }
}
