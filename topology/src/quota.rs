//! CPU quotas: how much CPU time a control group may use in each period.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What a CPU quota allows. A group that has used it up stands still until the period is over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CpuQuota {
    /// CPUs' worth of time.
    pub cpus: f64,
    /// After which the quota is there anew.
    pub period: Duration,
}

/// The control groups whose CPU quotas the process is subject to: its own, and those above it.
///
/// ```
/// use evenkeel_topology::QuotaGroups;
///
/// if let Some(quota) = QuotaGroups::of_process().quota() {
///     println!("{} CPUs in each period of {:?}", quota.cpus, quota.period);
/// }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuotaGroups {
    folders: Vec<PathBuf>,
}

impl QuotaGroups {
    /// The groups that the process is in now; none where there are no control groups (anything but
    /// Linux and Android), or they cannot be read.
    pub fn of_process() -> QuotaGroups {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        find(&read("/proc/self/cgroup"), &read("/proc/self/mountinfo")).unwrap_or_default()
    }

    /// The tightest of the quotas that are set now.
    pub fn quota(&self) -> Option<CpuQuota> {
        Some(self.tightest()?.0)
    }

    /// The same, and the count of its periods.
    pub fn tightest(&self) -> Option<(CpuQuota, PeriodCount)> {
        let quotas = self.folders.iter();
        let quotas = quotas.filter_map(|folder| Some((quota_of(folder)?, folder)));
        let (quota, folder) = quotas.min_by(|one, other| one.0.cpus.total_cmp(&other.0.cpus))?;
        Some((quota, PeriodCount::new(folder.join("cpu.stat"))))
    }
}

/// The kernel's count of a quota's periods. A period in which nothing was handed out of the quota
/// is not counted; all begin whole periods apart.
///
/// ```
/// use evenkeel_topology::QuotaGroups;
///
/// if let Some((quota, count)) = QuotaGroups::of_process().tightest() {
///     println!("{:?} periods of {:?} so far", count.read(), quota.period);
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeriodCount(PathBuf);

impl PeriodCount {
    /// The count in a group's `cpu.stat`.
    pub fn new(stat: impl Into<PathBuf>) -> PeriodCount {
        PeriodCount(stat.into())
    }

    /// The number of periods. `None` if the kernel does not say, or the group is gone.
    pub fn read(&self) -> Option<u64> {
        let stat = fs::read_to_string(&self.0).ok()?;
        let count = stat
            .lines()
            .find_map(|line| line.strip_prefix("nr_periods "));
        count?.trim().parse().ok()
    }
}

/// See cgroups(7) and proc_pid_mountinfo(5).
fn find(cgroup: &str, mountinfo: &str) -> Option<QuotaGroups> {
    let groups = || cgroup.lines().filter_map(group);
    let v1 = groups().find(|(controllers, _)| controllers.split(',').any(|one| one == "cpu"));
    let (fs_type, option, path) = match v1 {
        Some((_, path)) => ("cgroup", "cpu", path),
        None => ("cgroup2", "", groups().find(|(all, _)| all.is_empty())?.1),
    };
    let mut mounts = mountinfo.lines().filter_map(Mount::parse);
    let mount = mounts.find(|mount| {
        mount.fs_type == fs_type
            && (option.is_empty() || mount.options.split(',').any(|o| o == option))
    })?;
    let mount_point = Path::new(mount.point);
    // In a container the root of the mount is the container's group, most likely.
    let below = Path::new(path)
        .strip_prefix(mount.root)
        .unwrap_or(Path::new(""));
    let folders = below.ancestors().map(|group| match group.as_os_str() {
        root if root.is_empty() => mount_point.to_owned(),
        _ => mount_point.join(group),
    });
    Some(QuotaGroups {
        folders: folders.collect(),
    })
}

/// The controllers and the path of a line `4:cpu,cpuacct:/path`, or `0::/path`.
fn group(line: &str) -> Option<(&str, &str)> {
    line.split_once(':')?.1.split_once(':')
}

/// A line `36 35 98:0 /root /point rw,noatime master:1 - cgroup2 source rw,nsdelegate`.
struct Mount<'a> {
    root: &'a str,
    point: &'a str,
    fs_type: &'a str,
    options: &'a str,
}

impl Mount<'_> {
    fn parse(line: &str) -> Option<Mount<'_>> {
        let (start, end) = line.split_once(" - ")?;
        let mut start = start.split(' ').skip(3);
        let mut end = end.split(' ');
        Some(Mount {
            root: start.next()?,
            point: start.next()?,
            fs_type: end.next()?,
            options: end.nth(1)?,
        })
    }
}

/// The quota of a group, in either version's files. `None` if it has none.
fn quota_of(folder: &Path) -> Option<CpuQuota> {
    let read = |file| fs::read_to_string(folder.join(file)).ok();
    let (quota, period) = match read("cpu.max") {
        Some(both) => {
            let (quota, period) = both.trim().split_once(' ')?;
            (quota.to_owned(), period.to_owned())
        }
        None => (read("cpu.cfs_quota_us")?, read("cpu.cfs_period_us")?),
    };
    // No quota is `max`, or -1.
    let quota: u64 = quota.trim().parse().ok().filter(|quota| *quota > 0)?;
    let period: u64 = period.trim().parse().ok().filter(|period| *period > 0)?;
    Some(CpuQuota {
        cpus: quota as f64 / period as f64,
        period: Duration::from_micros(period),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folders(cgroup: &str, mountinfo: &str) -> Vec<String> {
        let groups = find(cgroup, mountinfo).unwrap_or_default();
        let folders = groups.folders.iter();
        folders.map(|folder| folder.display().to_string()).collect()
    }

    #[test]
    fn groups_of_version_2_up_to_the_mount() {
        let mount = "30 24 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";
        assert_eq!(
            folders("0::/system.slice/a.service\n", mount),
            [
                "/sys/fs/cgroup/system.slice/a.service",
                "/sys/fs/cgroup/system.slice",
                "/sys/fs/cgroup"
            ]
        );
        assert_eq!(folders("0::/\n", mount), ["/sys/fs/cgroup"]);
        assert!(folders("0::/\n", "").is_empty());
        assert!(folders("", mount).is_empty());
    }

    #[test]
    fn the_controller_of_version_1_goes_before_version_2() {
        let cgroup = "9:cpuset:/x\n4:cpu,cpuacct:/docker/c\n1:name=systemd:/y\n0::/z\n";
        let mounts = "\
31 30 0:27 /x /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset
32 30 0:28 /docker/c /sys/fs/cgroup/cpu,cpuacct ro master:3 - cgroup cgroup rw,cpu,cpuacct
33 30 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
";
        assert_eq!(folders(cgroup, mounts), ["/sys/fs/cgroup/cpu,cpuacct"]);
    }

    #[test]
    fn a_path_that_the_mount_does_not_have_is_the_mount() {
        let mount = "30 24 0:26 /kubepods/pod1 /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        assert_eq!(folders("0::/../elsewhere\n", mount), ["/sys/fs/cgroup"]);
        assert_eq!(
            folders("0::/kubepods/pod1/c\n", mount),
            ["/sys/fs/cgroup/c", "/sys/fs/cgroup"]
        );
    }

    /// Groups of files, removed in the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str, files: &[(&str, &str)]) -> Folder {
            let name = format!("evenkeel-quota-{}-{name}", std::process::id());
            let folder = Folder(std::env::temp_dir().join(name));
            fs::create_dir_all(&folder.0).unwrap();
            for (file, text) in files {
                fs::write(folder.0.join(file), text).unwrap();
            }
            folder
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn the_tightest_quota_counts() {
        let ms = Duration::from_millis;
        let table: [(&[(&str, &str)], _); 6] = [
            (&[("cpu.max", "max 100000\n")], None),
            (&[("cpu.max", "150000 100000\n")], Some((1.5, ms(100)))),
            (&[("cpu.max", "5000 10000\n")], Some((0.5, ms(10)))),
            (
                &[
                    ("cpu.cfs_quota_us", "-1\n"),
                    ("cpu.cfs_period_us", "100000\n"),
                ],
                None,
            ),
            (
                &[
                    ("cpu.cfs_quota_us", "20000\n"),
                    ("cpu.cfs_period_us", "100000\n"),
                ],
                Some((0.2, ms(100))),
            ),
            (&[], None),
        ];
        let mut groups = QuotaGroups::default();
        let mut kept = Vec::new();
        for (index, (files, expected)) in table.into_iter().enumerate() {
            let folder = Folder::new(&index.to_string(), files);
            let found = quota_of(&folder.0).map(|quota| (quota.cpus, quota.period));
            assert_eq!(found, expected, "{files:?}");
            groups.folders.push(folder.0.clone());
            kept.push(folder);
        }
        assert_eq!(groups.quota().map(|quota| quota.cpus), Some(0.2));
        let (quota, count) = groups.tightest().unwrap();
        assert_eq!((quota.cpus, count.read()), (0.2, None));
        let stat = "nr_periods 17\nnr_throttled 4\nthrottled_time 5\n";
        fs::write(groups.folders[4].join("cpu.stat"), stat).unwrap();
        assert_eq!(count.read(), Some(17));
    }
}
