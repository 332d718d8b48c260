//! CPU quotas: control groups that the harness makes for a server, where it may: as root, with the
//! `cpu` controller of cgroup v1 or v2 mounted. See cgroups(7).

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use std::{fs, io, process, thread};

use evenkeel_topology::QuotaGroups;
use serde::{Deserialize, Serialize};

/// The kernel's default, which container runtimes keep.
pub(crate) const PERIOD: Duration = Duration::from_millis(100);
/// What the names of groups begin with. The id of the process that made them follows.
const PREFIX: &str = "evenkeel-bench-";
/// How long a group may stay busy after its last process has been waited for.
const REMOVAL_PATIENCE: Duration = Duration::from_secs(1);

/// Where the quota of a process is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QuotaOf {
    /// On its own group.
    Own,
    /// On the group above that.
    Parent,
}

/// A group with a CPU quota, for the processes that are added to it. It is removed on drop, when
/// these have to be gone.
#[derive(Debug)]
pub(crate) struct QuotaGroup {
    /// The one with the quota, and the one for processes, where that is another.
    folders: Vec<PathBuf>,
    cpus: f64,
    /// Where the controller was given to the groups below for this one.
    gave_cpu: Option<PathBuf>,
}

/// How often a group has used up its quota before the end of a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Throttling {
    /// Those in which the group ran.
    pub(crate) periods: u64,
    pub(crate) throttled: u64,
}

/// Why no group can be made here, if so.
pub(crate) fn obstacle() -> Option<&'static str> {
    static OBSTACLE: OnceLock<Option<String>> = OnceLock::new();
    let find = || {
        let error = QuotaGroup::new(QuotaOf::Parent, 1.0).err()?;
        Some(format!("no CPU control group can be made here: {error}"))
    };
    OBSTACLE.get_or_init(find).as_deref()
}

impl QuotaGroup {
    /// A quota of so many CPUs.
    pub(crate) fn new(of: QuotaOf, cpus: f64) -> io::Result<Self> {
        if QuotaGroups::of_process().quota().is_some() {
            // Of which the client would have a part.
            return Err(io::Error::other("the harness has a quota itself"));
        }
        let hierarchy = Hierarchy::find(&fs::read_to_string("/proc/self/mounts")?)?;
        hierarchy.remove_remains();
        Self::new_in(&hierarchy, of, cpus)
    }

    fn new_in(hierarchy: &Hierarchy, of: QuotaOf, cpus: f64) -> io::Result<Self> {
        let Hierarchy { version, root } = hierarchy;
        let mut group = Self {
            folders: Vec::new(),
            cpus,
            gave_cpu: None,
        };
        if *version == Version::V2 && give_cpu(root)? {
            group.gave_cpu = Some(root.clone());
        }
        let name = format!("{PREFIX}{}", process::id());
        let outer = group.add_folder(root.join(name))?;
        version.set_quota(&outer, cpus)?;
        if of == QuotaOf::Parent {
            if *version == Version::V2 {
                give_cpu(&outer)?;
            }
            group.add_folder(outer.join("inner"))?;
        }
        Ok(group)
    }

    fn add_folder(&mut self, folder: PathBuf) -> io::Result<PathBuf> {
        fs::create_dir(&folder)?;
        self.folders.push(folder.clone());
        Ok(folder)
    }

    pub(crate) fn cpus(&self) -> f64 {
        self.cpus
    }

    /// Moves a process into the group, with all of its threads.
    pub(crate) fn add(&self, process: u32) -> io::Result<()> {
        let innermost = self.folders.last().expect("a group has a folder");
        fs::write(innermost.join("cgroup.procs"), process.to_string())
    }

    /// Since it was made.
    pub(crate) fn throttling(&self) -> io::Result<Throttling> {
        let stat = fs::read_to_string(self.folders[0].join("cpu.stat"))?;
        let throttling = Throttling::parse(&stat);
        throttling.ok_or_else(|| io::Error::other("cpu.stat says nothing of periods"))
    }
}

impl Drop for QuotaGroup {
    fn drop(&mut self) {
        for folder in self.folders.iter().rev() {
            remove(folder);
        }
        if let Some(root) = &self.gave_cpu {
            let _ = fs::write(root.join("cgroup.subtree_control"), "-cpu");
        }
    }
}

/// A process that has been waited for may still be in its group for a moment.
fn remove(folder: &Path) {
    let deadline = Instant::now() + REMOVAL_PATIENCE;
    while let Err(error) = fs::remove_dir(folder)
        && error.kind() == io::ErrorKind::ResourceBusy
        && Instant::now() < deadline
    {
        thread::sleep(Duration::from_millis(5));
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

impl Version {
    fn set_quota(self, folder: &Path, cpus: f64) -> io::Result<()> {
        let period_us = PERIOD.as_micros();
        let quota_us = (cpus * period_us as f64).round() as u64;
        match self {
            Self::V1 => {
                fs::write(folder.join("cpu.cfs_period_us"), period_us.to_string())?;
                fs::write(folder.join("cpu.cfs_quota_us"), quota_us.to_string())
            }
            Self::V2 => fs::write(folder.join("cpu.max"), format!("{quota_us} {period_us}")),
        }
    }
}

/// The hierarchy of groups that has the `cpu` controller.
#[derive(Debug, PartialEq, Eq)]
struct Hierarchy {
    version: Version,
    root: PathBuf,
}

impl Hierarchy {
    /// By `/proc/self/mounts`. A controller that version 1 has is not in version 2.
    fn find(mounts: &str) -> io::Result<Self> {
        let mounts = || mounts.lines().filter_map(mount);
        let v1 = mounts().find(|(_, fs_type, options)| {
            *fs_type == "cgroup" && options.split(',').any(|option| option == "cpu")
        });
        let v2 = || mounts().find(|(_, fs_type, _)| *fs_type == "cgroup2");
        let found = match v1 {
            Some((point, ..)) => Some((Version::V1, point)),
            None => v2().map(|(point, ..)| (Version::V2, point)),
        };
        let (version, root) = found.ok_or_else(|| io::Error::other("none is mounted"))?;
        Ok(Self {
            version,
            root: root.into(),
        })
    }

    /// Removes the groups of processes that were killed before they could do so.
    fn remove_remains(&self) {
        for entry in fs::read_dir(&self.root).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let maker = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
            if maker.is_some_and(|maker| !Path::new("/proc").join(maker).exists()) {
                let outer = entry.path();
                // Refused as long as somebody is in there.
                let _ = fs::remove_dir(outer.join("inner"));
                let _ = fs::remove_dir(outer);
            }
        }
    }
}

/// Mount point, type and options of a line `source /point type options 0 0`.
fn mount(line: &str) -> Option<(&str, &str, &str)> {
    let mut fields = line.split(' ').skip(1);
    Some((fields.next()?, fields.next()?, fields.next()?))
}

impl Throttling {
    /// By the group's `cpu.stat`, which is the same in both versions.
    fn parse(stat: &str) -> Option<Self> {
        let number = |name| {
            let mut fields = stat.lines().filter_map(|line| line.split_once(' '));
            fields.find(|(field, _)| *field == name)?.1.parse().ok()
        };
        Some(Self {
            periods: number("nr_periods")?,
            throttled: number("nr_throttled")?,
        })
    }

    pub(crate) fn since(self, start: Self) -> Self {
        Self {
            periods: self.periods.saturating_sub(start.periods),
            throttled: self.throttled.saturating_sub(start.throttled),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The root of a hierarchy of plain files, removed in the end.
    struct Fixture(Hierarchy);

    impl Fixture {
        fn new(version: Version, name: &str, controllers_below: &str) -> Self {
            let name = format!("{PREFIX}test-{}-{name}", process::id());
            let root = std::env::temp_dir().join(name);
            fs::create_dir_all(&root).unwrap();
            fs::write(root.join("cgroup.subtree_control"), controllers_below).unwrap();
            Self(Hierarchy { version, root })
        }

        fn group(&self, of: QuotaOf, cpus: f64) -> QuotaGroup {
            QuotaGroup::new_in(&self.0, of, cpus).unwrap()
        }

        fn read(&self, file: &str) -> String {
            let group = self.0.root.join(format!("{PREFIX}{}", process::id()));
            fs::read_to_string(group.join(file)).unwrap()
        }

        fn controllers_below(&self) -> String {
            fs::read_to_string(self.0.root.join("cgroup.subtree_control")).unwrap()
        }
    }

    impl Drop for Fixture {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0.root);
        }
    }

    #[test]
    fn the_hierarchy_is_the_one_that_has_the_controller() {
        let v1 = "\
cgroup /sys/fs/cgroup/cpuset cgroup rw,cpuset 0 0
cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,relatime,cpu,cpuacct 0 0
";
        let v2 = "cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0\n";
        let found = |mounts: &str| {
            let found = Hierarchy::find(mounts).ok()?;
            Some((found.version, found.root.to_str()?.to_owned()))
        };
        let of_v1 = Some((Version::V1, "/sys/fs/cgroup/cpu,cpuacct".to_owned()));
        assert_eq!(found(&format!("{v2}{v1}")), of_v1);
        let of_v2 = Some((Version::V2, "/sys/fs/cgroup/unified".to_owned()));
        assert_eq!(found(v2), of_v2);
        assert_eq!(found("proc /proc proc rw 0 0\n"), None);
    }

    #[test]
    fn a_quota_of_version_1_has_two_files() {
        let fixture = Fixture::new(Version::V1, "v1", "");
        let group = fixture.group(QuotaOf::Own, 0.2);
        group.add(17).unwrap();
        assert_eq!(fixture.read("cpu.cfs_quota_us"), "20000");
        assert_eq!(fixture.read("cpu.cfs_period_us"), "100000");
        assert_eq!(fixture.read("cgroup.procs"), "17");
    }

    #[test]
    fn a_quota_of_version_2_needs_the_controller_given_to_its_group() {
        let fixture = Fixture::new(Version::V2, "v2", "memory pids\n");
        let group = fixture.group(QuotaOf::Own, 1.5);
        group.add(17).unwrap();
        assert_eq!(fixture.read("cpu.max"), "150000 100000");
        assert_eq!(fixture.read("cgroup.procs"), "17");
        assert_eq!(fixture.controllers_below(), "+cpu");
        drop(group);
        assert_eq!(fixture.controllers_below(), "-cpu");
    }

    #[test]
    fn a_controller_that_was_there_stays() {
        let fixture = Fixture::new(Version::V2, "has-cpu", "cpuset cpu\n");
        drop(fixture.group(QuotaOf::Own, 1.0));
        assert_eq!(fixture.controllers_below(), "cpuset cpu\n");
    }

    #[test]
    fn under_the_quota_of_its_parent_a_group_has_none() {
        let fixture = Fixture::new(Version::V1, "parent", "");
        let group = fixture.group(QuotaOf::Parent, 0.5);
        group.add(17).unwrap();
        assert_eq!(fixture.read("cpu.cfs_quota_us"), "50000");
        assert_eq!(fixture.read("inner/cgroup.procs"), "17");
        assert!(!group.folders[1].join("cpu.cfs_quota_us").exists());
    }

    #[test]
    fn periods_are_counted_from_a_start() {
        let stat = "usage_usec 9\nnr_periods 40\nnr_throttled 7\nnr_bursts 0\n";
        let end = Throttling::parse(stat).unwrap();
        let start = Throttling {
            periods: 10,
            throttled: 2,
        };
        let expected = Throttling {
            periods: 30,
            throttled: 5,
        };
        assert_eq!(end.since(start), expected);
        assert_eq!(Throttling::parse("usage_usec 9\n"), None);
    }

    #[test]
    fn groups_of_processes_that_are_gone_are_removed() {
        let fixture = Fixture::new(Version::V1, "remains", "");
        let mut child = process::Command::new("true").spawn().unwrap();
        let gone = fixture.0.root.join(format!("{PREFIX}{}", child.id()));
        child.wait().unwrap();
        let own = fixture.0.root.join(format!("{PREFIX}{}", process::id()));
        for folder in [gone.join("inner"), own.clone()] {
            fs::create_dir_all(folder).unwrap();
        }
        fixture.0.remove_remains();
        assert!(!gone.exists() && own.exists());
    }
}
