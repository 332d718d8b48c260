//! What `/proc` says of the threads of a process.

use std::{fs, io};

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

#[cfg(test)]
mod tests {
    use super::*;

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
