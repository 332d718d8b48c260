//! What the machine is, and who else was running on it.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::sys;

/// What a reader of numbers has to know, with its heading.
pub(crate) type Fact = (&'static str, String);

/// The machine and the system on it.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    /// CPUs that this process may use, its quota included.
    pub(crate) cpus: usize,
    pub(crate) cpus_online: usize,
    pub(crate) model: String,
    pub(crate) kernel: String,
    pub(crate) preemption: String,
    /// The CPU quota of the control group, in CPUs.
    pub(crate) quota: Option<f64>,
}

impl Machine {
    pub(crate) fn read() -> Self {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        Self {
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            cpus_online: cpus_online(&stat),
            model: model(),
            kernel: read("/proc/sys/kernel/osrelease").unwrap_or_else(|| "unknown".to_owned()),
            preemption: preemption(),
            quota: quota(),
        }
    }

    /// What it is, in lines with a heading each.
    pub(crate) fn facts(&self) -> Vec<Fact> {
        let Self {
            cpus,
            cpus_online,
            model,
            kernel,
            preemption,
            quota,
        } = self;
        let quota = quota.map_or_else(|| "none".to_owned(), |quota| format!("{quota} CPUs"));
        let machine = format!("{cpus} of {cpus_online} CPUs, {model}; CPU quota: {quota}");
        let kernel = format!("Linux {kernel}; preemption: {preemption}");
        vec![("machine:", machine), ("kernel:", kernel)]
    }
}

fn read(path: impl AsRef<Path>) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}

fn model() -> String {
    let cpuinfo = read("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    model.map_or_else(
        || std::env::consts::ARCH.to_owned(),
        |(_, name)| name.trim().to_owned(),
    )
}

/// The scheduler's own word where it can be read, else what the kernel was started and built with.
fn preemption() -> String {
    if let Some(mode) = read("/sys/kernel/debug/sched/preempt")
        .as_deref()
        .and_then(chosen)
    {
        return mode.to_owned();
    }
    let command_line = read("/proc/cmdline").unwrap_or_default();
    if let Some(mode) = command_line
        .split_whitespace()
        .find_map(|word| word.strip_prefix("preempt="))
    {
        return format!("{mode} (kernel command line)");
    }
    if let Some(mode) = kernel_config().as_deref().and_then(built_in_mode) {
        return format!("{mode} (kernel configuration)");
    }
    let version = read("/proc/version").unwrap_or_default();
    match ["PREEMPT_DYNAMIC", "PREEMPT_RT", "PREEMPT_LAZY", "PREEMPT"]
        .iter()
        .find(|word| version.contains(**word))
    {
        Some(word) => format!("{word}, mode not readable"),
        None => "not readable".to_owned(),
    }
}

/// The word in parentheses: `none voluntary (full) lazy`.
fn chosen(modes: &str) -> Option<&str> {
    let (_, rest) = modes.split_once('(')?;
    rest.split_once(')').map(|(mode, _)| mode)
}

/// The configuration is compressed; where there is no zcat, it stays unread.
fn kernel_config() -> Option<String> {
    let zcat = Command::new("zcat")
        .arg("/proc/config.gz")
        .stderr(Stdio::null())
        .output()
        .ok()?;
    zcat.status
        .success()
        .then(|| String::from_utf8_lossy(&zcat.stdout).into_owned())
}

fn built_in_mode(config: &str) -> Option<&'static str> {
    let modes = [
        ("CONFIG_PREEMPT_RT=y", "rt"),
        ("CONFIG_PREEMPT_LAZY=y", "lazy"),
        ("CONFIG_PREEMPT=y", "full"),
        ("CONFIG_PREEMPT_VOLUNTARY=y", "voluntary"),
        ("CONFIG_PREEMPT_NONE=y", "none"),
    ];
    let (_, mode) = modes
        .iter()
        .find(|(option, _)| config.lines().any(|line| line == *option))?;
    Some(mode)
}

/// The tightest CPU quota of this process's control group and those above it, of either version.
fn quota() -> Option<f64> {
    let groups = read("/proc/self/cgroup")?;
    let mut quotas = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        let v2 = controllers.is_empty();
        if !v2 && !controllers.split(',').any(|controller| controller == "cpu") {
            continue;
        }
        let root = if v2 {
            "/sys/fs/cgroup".to_owned()
        } else {
            format!("/sys/fs/cgroup/{controllers}")
        };
        for group in Path::new(path).ancestors() {
            let folder = Path::new(&root).join(group.strip_prefix("/").unwrap_or(group));
            let limit = if v2 {
                read(folder.join("cpu.max"))
            } else {
                let period = read(folder.join("cpu.cfs_period_us"));
                read(folder.join("cpu.cfs_quota_us"))
                    .zip(period)
                    .map(|(quota, period)| format!("{quota} {period}"))
            };
            quotas.extend(limit.as_deref().and_then(quota_in_cpus));
        }
    }
    quotas.into_iter().min_by(f64::total_cmp)
}

/// `QUOTA PERIOD` in microseconds; version 2 says `max` for no quota, version 1 says -1.
fn quota_in_cpus(limit: &str) -> Option<f64> {
    let (quota, period) = limit.split_once(' ')?;
    let (quota, period) = (quota.parse::<f64>().ok()?, period.parse::<f64>().ok()?);
    (quota > 0.0 && period > 0.0).then(|| quota / period)
}

fn cpus_online(stat: &str) -> usize {
    stat.lines()
        .filter(|line| line.starts_with("cpu") && !line.starts_with("cpu "))
        .count()
        .max(1)
}

/// Watches who else uses the machine.
pub(crate) struct Watch {
    start: Instant,
    cpus: usize,
    ticks: Ticks,
    own: Duration,
}

/// What was used by others between the start and the end of a watch, in percent of all CPUs.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Others {
    /// Time that the hypervisor gave to other machines.
    pub(crate) steal_percent: f64,
    /// Time that other processes used, the kernel's own included. Approximate: most kernels sample
    /// it.
    pub(crate) processes_percent: f64,
}

impl Others {
    pub(crate) fn total_percent(self) -> f64 {
        self.steal_percent + self.processes_percent
    }
}

/// More than this taken by others, and the numbers say more about them.
pub(crate) const QUIET_PERCENT: f64 = 5.0;

/// Who else was running over the whole run and in each of its cases, in lines with a heading each.
pub(crate) fn facts_of_others(whole: Others, cases: impl Iterator<Item = Others>) -> Vec<Fact> {
    let (steal, processes) = (whole.steal_percent, whole.processes_percent);
    let worst = cases.map(Others::total_percent).fold(0.0, f64::max);
    let mut facts = vec![
        (
            "others:",
            format!("steal {steal:.1}%, processes about {processes:.1}% of all CPU time"),
        ),
        ("", format!("at most {worst:.1}% together in a case")),
    ];
    if worst > QUIET_PERCENT {
        facts.push((
            "",
            "NOT A QUIET MACHINE: run again before believing it".to_owned(),
        ));
    }
    facts
}

impl Watch {
    pub(crate) fn start() -> Self {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        Self {
            start: Instant::now(),
            cpus: cpus_online(&stat),
            ticks: Ticks::parse(&stat),
            own: own_cpu_time(),
        }
    }

    /// Call it when all children have been waited for: their CPU time is known only then.
    pub(crate) fn finish(&self) -> Others {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        let own = own_cpu_time().saturating_sub(self.own).as_secs_f64();
        let own_percent = 100.0 * own / (self.start.elapsed().as_secs_f64() * self.cpus as f64);
        let ticks = Ticks::parse(&stat).since(self.ticks);
        Others {
            steal_percent: ticks.percent(ticks.steal),
            processes_percent: (ticks.percent(ticks.busy) - own_percent).max(0.0),
        }
    }
}

fn own_cpu_time() -> Duration {
    sys::process_cpu_time() + sys::children_cpu_time()
}

/// The first line of `/proc/stat`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Ticks {
    busy: u64,
    steal: u64,
    all: u64,
}

impl Ticks {
    fn parse(stat: &str) -> Self {
        let line = stat.lines().next().unwrap_or_default();
        let fields: Vec<u64> = line
            .split_whitespace()
            .skip(1)
            .filter_map(|field| field.parse().ok())
            .collect();
        // The fields after these, of guests, are part of the first two already.
        let [user, nice, system, idle, iowait, irq, softirq, steal, ..] = fields[..] else {
            return Self::default();
        };
        let busy = user + nice + system + irq + softirq;
        Self {
            busy,
            steal,
            all: busy + steal + idle + iowait,
        }
    }

    fn since(self, start: Self) -> Self {
        Self {
            busy: self.busy.saturating_sub(start.busy),
            steal: self.steal.saturating_sub(start.steal),
            all: self.all.saturating_sub(start.all),
        }
    }

    fn percent(self, part: u64) -> f64 {
        100.0 * part as f64 / self.all.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chosen_preemption_mode_is_in_parentheses() {
        assert_eq!(chosen("none voluntary (full) lazy"), Some("full"));
        assert_eq!(chosen("none voluntary full"), None);
    }

    #[test]
    fn the_configured_preemption_mode_is_not_confused_with_its_neighbours() {
        let config = "CONFIG_PREEMPT_BUILD=y\nCONFIG_PREEMPT_NONE=y\n# CONFIG_PREEMPT is not set\n";
        assert_eq!(built_in_mode(config), Some("none"));
        assert_eq!(built_in_mode("CONFIG_PREEMPT_COUNT=y\n"), None);
    }

    #[test]
    fn quotas_of_both_versions_are_read() {
        assert_eq!(quota_in_cpus("150000 100000"), Some(1.5));
        assert_eq!(quota_in_cpus("max 100000"), None);
        assert_eq!(quota_in_cpus("-1 100000"), None);
    }

    #[test]
    fn ticks_are_split_into_busy_steal_and_all() {
        let start = Ticks::parse("cpu  10 1 5 100 4 1 2 3 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n");
        assert_eq!(
            start,
            Ticks {
                busy: 19,
                steal: 3,
                all: 126
            }
        );
        let end = Ticks::parse("cpu  60 1 5 140 4 1 2 13 0 0\n");
        assert_eq!(
            end.since(start),
            Ticks {
                busy: 50,
                steal: 10,
                all: 100
            }
        );
        assert_eq!(end.since(start).percent(10), 10.0);
        assert_eq!(Ticks::parse(""), Ticks::default());
    }

    #[test]
    fn the_machine_has_cpus_and_a_kernel() {
        let machine = Machine::read();
        assert!(machine.cpus >= 1 && machine.cpus_online >= 1);
        assert!(!machine.kernel.is_empty() && !machine.preemption.is_empty());
    }
}
