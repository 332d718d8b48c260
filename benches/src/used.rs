//! What a process used while something was done.

use std::io;
use std::time::{Duration, Instant};

use crate::proc::{Switches, ThreadSwitches};
use crate::sys;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Used {
    pub(crate) elapsed: Duration,
    pub(crate) cpu: Duration,
    pub(crate) switches: Switches,
}

impl Used {
    /// CPU time for each of so many units, in microseconds.
    pub(crate) fn cpu_us(&self, units: f64) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / units
    }

    /// How often a thread went to sleep, for each of so many units.
    pub(crate) fn switches(&self, units: f64) -> f64 {
        self.switches.voluntary as f64 / units
    }

    /// All there is for each of so many units: microseconds of CPU, voluntary and involuntary
    /// switches, and migrations where the kernel tells.
    pub(crate) fn each(&self, units: f64) -> Vec<f64> {
        let Switches {
            voluntary,
            involuntary,
            migrations,
        } = self.switches;
        let counts = [Some(voluntary), Some(involuntary), migrations];
        let counts = counts.into_iter().flatten();
        let mut each = vec![self.cpu_us(units)];
        each.extend(counts.map(|count| count as f64 / units));
        each
    }
}

/// Does something, and says what the process with this id used meanwhile.
pub(crate) fn watched<T>(
    process: u32,
    what: impl FnOnce() -> io::Result<T>,
) -> io::Result<(T, Used)> {
    let begin = Mark::of(process)?;
    let found = what()?;
    let end = Mark::of(process)?;
    let used = Used {
        elapsed: end.at - begin.at,
        cpu: end.cpu.saturating_sub(begin.cpu),
        switches: end.switches.since(&begin.switches),
    };
    Ok((found, used))
}

/// What a process had used at a time.
struct Mark {
    at: Instant,
    cpu: Duration,
    switches: ThreadSwitches,
}

impl Mark {
    fn of(process: u32) -> io::Result<Self> {
        Ok(Self {
            at: Instant::now(),
            cpu: sys::cpu_time_of(process)?,
            switches: ThreadSwitches::of(&process.to_string())?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_of_this_process_grows() {
        let process = std::process::id();
        let begin = Mark::of(process).unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        // The clock of a running thread is brought up to date now and then.
        while Mark::of(process).unwrap().cpu <= begin.cpu {
            assert!(Instant::now() < deadline, "the clock stands still");
        }
    }

    #[test]
    fn a_process_that_is_gone_has_no_mark() {
        let mut process = std::process::Command::new("true").spawn().unwrap();
        let id = process.id();
        process.wait().unwrap();
        assert!(Mark::of(id).is_err());
    }

    #[test]
    fn what_is_not_told_has_no_number() {
        let used = |migrations| Used {
            elapsed: Duration::from_secs(1),
            cpu: Duration::from_millis(2),
            switches: Switches {
                voluntary: 10,
                involuntary: 5,
                migrations,
            },
        };
        assert_eq!(used(Some(1)).each(10.0), [200.0, 1.0, 0.5, 0.1]);
        assert_eq!(used(None).each(10.0), [200.0, 1.0, 0.5]);
    }
}
