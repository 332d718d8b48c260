//! What `/proc` says of the threads of a process.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::{fs, io};

use evenkeel_topology::CpuSet;
use serde::{Deserialize, Serialize};

/// The status of each thread of a process, with the thread's id. The process is `self` or its id.
pub(crate) fn threads(process: &str) -> io::Result<Vec<(libc::pid_t, String)>> {
    let mut threads = Vec::new();
    for task in fs::read_dir(format!("/proc/{process}/task"))? {
        let task = task?;
        let id = task.file_name().to_string_lossy().parse();
        // A thread may end while the folder is read.
        if let Ok(status) = fs::read_to_string(task.path().join("status")) {
            threads.push((id.map_err(io::Error::other)?, status));
        }
    }
    Ok(threads)
}

/// The value of a field of a status.
pub(crate) fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = status.lines();
    lines.find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()))
}

/// How often a thread went to sleep, and how often it was made to give way.
pub(crate) fn switches(status: &str) -> Option<(u64, u64)> {
    let count = |name| field(status, name)?.parse().ok();
    Some((
        count("voluntary_ctxt_switches")?,
        count("nonvoluntary_ctxt_switches")?,
    ))
}

/// How often threads were taken off their CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Switches {
    /// How often one went to sleep.
    pub(crate) voluntary: u64,
    /// How often one was made to give way.
    pub(crate) involuntary: u64,
    /// How often one went on on another CPU; `None` where the kernel does not tell.
    pub(crate) migrations: Option<u64>,
}

impl Switches {
    fn and(self, other: Self) -> Self {
        let migrations = self.migrations.zip(other.migrations);
        Self {
            voluntary: self.voluntary + other.voluntary,
            involuntary: self.involuntary + other.involuntary,
            migrations: migrations.map(|(own, other)| own + other),
        }
    }

    fn since(self, begin: Self) -> Self {
        let migrations = self.migrations.zip(begin.migrations);
        Self {
            voluntary: self.voluntary.saturating_sub(begin.voluntary),
            involuntary: self.involuntary.saturating_sub(begin.involuntary),
            migrations: migrations.map(|(end, begin)| end.saturating_sub(begin)),
        }
    }
}

/// [`Switches`] of each thread of a process since the thread began.
#[derive(Debug, Default)]
pub(crate) struct ThreadSwitches(HashMap<libc::pid_t, Switches>);

impl ThreadSwitches {
    /// Those of a process, which is `self` or its id.
    pub(crate) fn of(process: &str) -> io::Result<Self> {
        let of_thread = |(id, status): &(libc::pid_t, String)| {
            let (voluntary, involuntary) = switches(status)?;
            // A thread that has just ended is no reason to do without the others' numbers.
            let migrations = knows_migrations().then(|| {
                let sched = fs::read_to_string(format!("/proc/{process}/task/{id}/sched"));
                sched.ok().and_then(|sched| migrations(&sched)).unwrap_or(0)
            });
            let switches = Switches {
                voluntary,
                involuntary,
                migrations,
            };
            Some((*id, switches))
        };
        let threads = threads(process)?;
        let all: Option<HashMap<_, _>> = threads.iter().map(of_thread).collect();
        all.map(Self)
            .ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// What all threads together add to an earlier look. Those that ended in between are missed.
    pub(crate) fn since(&self, begin: &Self) -> Switches {
        let none = Switches {
            migrations: knows_migrations().then_some(0),
            ..Switches::default()
        };
        let threads = self.0.iter().map(|(id, end)| {
            let begin = begin.0.get(id);
            begin.map_or(*end, |begin| end.since(*begin))
        });
        threads.fold(none, Switches::and)
    }
}

/// Whether the kernel counts how often a thread goes on on another CPU, and tells.
pub(crate) fn knows_migrations() -> bool {
    static KNOWS: OnceLock<bool> = OnceLock::new();
    *KNOWS.get_or_init(|| {
        let sched = fs::read_to_string("/proc/self/sched").unwrap_or_default();
        migrations(&sched).is_some()
    })
}

/// By the `sched` file of a thread.
fn migrations(sched: &str) -> Option<u64> {
    let mut fields = sched.lines().filter_map(|line| line.split_once(':'));
    let (_, count) = fields.find(|(name, _)| name.trim().ends_with("nr_migrations"))?;
    count.trim().parse().ok()
}

/// The CPUs that the main thread of a process may use, which no runtime pins.
pub(crate) fn allowed_cpus(process: &str) -> io::Result<CpuSet> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let cpus = field(&status, CPUS).and_then(|list| list.parse().ok());
    cpus.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Whether a thread may use other CPUs than the main one, which no runtime pins.
pub(crate) fn has_pinned_thread(process: &str) -> io::Result<bool> {
    let main = fs::read_to_string(format!("/proc/{process}/status"))?;
    let threads = threads(process)?;
    let mut lists = threads.iter().map(|(_, status)| field(status, CPUS));
    Ok(lists.any(|allowed| allowed != field(&main, CPUS)))
}

/// The field of a status that lists the CPUs of a thread.
const CPUS: &str = "Cpus_allowed_list";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_are_found_among_the_fields() {
        let sched = "server (7, #threads: 4)\n----\nse.nr_migrations             :        2\n\
            nr_switches          :       10\nnuma_pages_migrated     :     0\n";
        assert_eq!(migrations(sched), Some(2));
        assert_eq!(migrations("nr_switches : 10\n"), None);
        assert_eq!(migrations(""), None);
    }

    #[test]
    fn threads_add_up_to_what_is_new() {
        let switches = |voluntary, involuntary, migrations: u64| Switches {
            voluntary,
            involuntary,
            migrations: knows_migrations().then_some(migrations),
        };
        let look =
            |threads: &[(libc::pid_t, Switches)]| ThreadSwitches(threads.iter().copied().collect());
        let begin = look(&[(1, switches(10, 5, 1)), (2, switches(7, 7, 7))]);
        // The second has ended, and the third begun.
        let end = look(&[(1, switches(30, 6, 4)), (3, switches(100, 10, 1))]);
        assert_eq!(end.since(&begin), switches(120, 11, 4));
        assert_eq!(end.since(&look(&[])), switches(130, 16, 5));
        assert_eq!(look(&[]).since(&begin), switches(0, 0, 0));
    }

    #[test]
    fn this_process_has_switches_and_cpus() {
        let own = ThreadSwitches::of("self").unwrap();
        assert!(!own.0.is_empty());
        let known = own.0.values().map(|each| each.migrations.is_some());
        assert!(known.into_iter().all(|known| known == knows_migrations()));
        assert!(!allowed_cpus("self").unwrap().is_empty());
    }

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let status = "Name:\tserver\nCpus_allowed:\t3\nCpus_allowed_list:\t0-1\nThreads:\t4\n";
        assert_eq!(field(status, "Cpus_allowed_list"), Some("0-1"));
        assert_eq!(field(status, "Cpus_allowed"), Some("3"));
        assert_eq!(field(status, "Cpus"), None);
    }

    #[test]
    fn the_switches_of_a_thread_are_read() {
        let status = "Threads:\t4\nvoluntary_ctxt_switches:\t150\nnonvoluntary_ctxt_switches:\t7\n";
        assert_eq!(switches(status), Some((150, 7)));
        assert_eq!(switches("Threads:\t4\n"), None);
    }

    #[test]
    fn a_process_has_threads_until_it_is_gone() {
        let own = threads("self").unwrap();
        assert!(own.iter().any(|(_, status)| switches(status).is_some()));
        let mut process = std::process::Command::new("true").spawn().unwrap();
        let id = process.id().to_string();
        process.wait().unwrap();
        assert!(threads(&id).is_err());
    }
}
