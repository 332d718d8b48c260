//! How busy CPUs and threads have been.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

use crate::sys;

/// The time that each of `cpus` has been busy since the system started, with whatever it was:
/// everything but idling and waiting for disks. In steps of the clock tick, mostly 10 ms.
///
/// `None` where `/proc/stat` cannot be read or has not all of them: it is Linux's, and some
/// containers hide it.
///
/// ```
/// use evenkeel_topology::{allowed_cpus, busy_times};
///
/// let cpus: Vec<_> = allowed_cpus().iter().collect();
/// if let Some(times) = busy_times(&cpus) {
///     assert_eq!(times.len(), cpus.len());
/// }
/// ```
pub fn busy_times(cpus: &[usize]) -> Option<Vec<Duration>> {
    let ticks_per_second = sys::clock_ticks_per_second()?;
    parse(
        &fs::read_to_string("/proc/stat").ok()?,
        cpus,
        ticks_per_second,
    )
}

fn parse(stat: &str, cpus: &[usize], ticks_per_second: u64) -> Option<Vec<Duration>> {
    let busy: HashMap<_, _> = stat.lines().filter_map(busy_ticks).collect();
    let time = |cpu| {
        let ticks: u64 = *busy.get(cpu)?;
        Some(Duration::from_nanos(
            ticks.saturating_mul(1_000_000_000 / ticks_per_second),
        ))
    };
    cpus.iter().map(time).collect()
}

/// From a line `cpu3 user nice system idle iowait irq softirq steal ...`. What follows is contained
/// in `user`.
fn busy_ticks(line: &str) -> Option<(usize, u64)> {
    let (cpu, fields) = line.strip_prefix("cpu")?.split_once(' ')?;
    let cpu = cpu.parse().ok()?;
    let fields: Result<Vec<u64>, _> = fields.split_whitespace().map(str::parse).collect();
    let busy = fields.ok()?.into_iter().take(8).enumerate();
    let busy = busy.filter(|(field, _)| !matches!(field, 3 | 4));
    Some((cpu, busy.map(|(_, ticks)| ticks).sum()))
}

/// The system's id of the calling thread, never 0; for [`thread_cpu_time`].
pub fn current_thread_id() -> u32 {
    sys::thread_id()
}

/// The CPU time that a thread of this process has used. `None` if it has ended, or the system
/// (anything but Linux and Android) does not tell.
///
/// ```
/// use evenkeel_topology::{current_thread_id, thread_cpu_time};
///
/// let before = thread_cpu_time(current_thread_id());
/// assert!(thread_cpu_time(current_thread_id()) >= before);
/// ```
pub fn thread_cpu_time(id: u32) -> Option<Duration> {
    sys::thread_cpu_time(id)
}

/// The CPU time that the process has used, all of its threads together. `None` where the system
/// (anything but Linux and Android) does not tell.
pub fn process_cpu_time() -> Option<Duration> {
    sys::process_cpu_time()
}

/// Whether a thread of this process waits in the system, for whatever it is. `false` while it runs,
/// or is ready to and waits for a CPU. `None` where that cannot be told: it has ended, or this is
/// not Linux, or `/proc` is hidden.
///
/// ```
/// use evenkeel_topology::{current_thread_id, thread_is_asleep};
///
/// assert_ne!(thread_is_asleep(current_thread_id()), Some(true));
/// ```
pub fn thread_is_asleep(id: u32) -> Option<bool> {
    let stat = fs::read_to_string(format!("/proc/self/task/{id}/stat")).ok()?;
    is_asleep(&stat)
}

/// From a line `12 (a name) S ...`, where the name may have spaces and parentheses.
fn is_asleep(stat: &str) -> Option<bool> {
    let (_, fields) = stat.rsplit_once(')')?;
    let state = fields.split_whitespace().next()?;
    Some(matches!(state, "S" | "D"))
}

/// Where in the kernel a thread of this process waits, by the kernel's own name of the function, if
/// it says so.
pub fn thread_wait_channel(id: u32) -> Option<String> {
    let name = fs::read_to_string(format!("/proc/self/task/{id}/wchan")).ok()?;
    (!name.is_empty() && name != "0").then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "\
cpu  30 3 12 2000 50 0 6 9 0 0
cpu0 10 1 4 1000 20 0 2 3 0 0
cpu11 20 2 8 1000 30 0 4 6 7 7
intr 12345 0 9
cpu_hotplug 1
";

    #[test]
    fn busy_is_all_but_idle_and_waiting() {
        let times = parse(STAT, &[11, 0], 100).unwrap();
        assert_eq!(times, [400, 200].map(Duration::from_millis));
    }

    #[test]
    fn a_cpu_that_is_not_there_is_no_idle_cpu() {
        assert_eq!(parse(STAT, &[0, 1], 100), None);
        assert_eq!(parse("", &[0], 100), None);
        assert_eq!(parse("cpu0 1 x 3\n", &[0], 100), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_time_of_another_thread_is_read() {
        let (tell, told) = std::sync::mpsc::channel();
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            tell.send(current_thread_id()).unwrap();
            let _ = stopped.recv();
        });
        let id = told.recv().unwrap();
        assert!(id != current_thread_id());
        assert!(thread_cpu_time(id).is_some());
        // It is about to wait, and nothing else can wake it.
        while thread_is_asleep(id) == Some(false) {
            std::thread::yield_now();
        }
        assert_eq!(thread_is_asleep(current_thread_id()), Some(false));
        drop(stop);
        thread.join().unwrap();
        assert_eq!(thread_cpu_time(u32::MAX >> 4), None);
    }

    #[test]
    fn the_state_comes_after_the_name() {
        assert_eq!(is_asleep("12 (a) S) x) S 1 2"), Some(true));
        assert_eq!(is_asleep("12 (S) R 1 2"), Some(false));
        assert_eq!(is_asleep("12 (a) D 1"), Some(true));
        assert_eq!(is_asleep(""), None);
    }
}
