//! Another program on the same machine, which computes and does nothing else. It has a session of
//! its own, as a program has that somebody else has started.

use std::thread;
use std::time::Duration;

use evenkeel_topology::CpuSet;

use crate::child::{self, Child};
use crate::{cpus, spin, sys};

/// Said when all threads compute.
const COMPUTING: &str = "computing";

/// How long it may take to start, with all CPUs busy.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the program is told.
#[derive(Debug)]
pub(crate) struct ForeignOptions {
    pub(crate) threads: usize,
    /// Those that it is confined to.
    pub(crate) cpus: Option<CpuSet>,
}

/// The program, as another process. It ends on drop.
pub(crate) struct Foreign {
    _process: Child,
}

impl Foreign {
    /// Starts it, and returns when it computes.
    pub(crate) fn start(options: &ForeignOptions) -> Result<Self, String> {
        let threads = options.threads.to_string();
        let mut arguments = vec!["--threads".to_owned(), threads];
        if let Some(cpus) = &options.cpus {
            arguments.extend(["--cpus".to_owned(), cpus.to_string()]);
        }
        let process = Child::start("foreign", &arguments).map_err(|error| error.to_string());
        let mut process = process?;
        process.expect(COMPUTING, PATIENCE)?;
        Ok(Self { _process: process })
    }
}

/// The program's side: computes until the parent closes its end.
pub(crate) fn compute(options: &ForeignOptions) -> Result<(), String> {
    child::tie_to_parent().map_err(|error| error.to_string())?;
    sys::leave_session().map_err(|error| error.to_string())?;
    // Before there is any other thread, which would keep the CPUs that it has.
    options.cpus.as_ref().map_or(Ok(()), cpus::confine)?;
    for _ in 0..options.threads {
        thread::spawn(|| spin::without_end());
    }
    let wait = || {
        child::say(COMPUTING)?;
        while child::next_command()?.is_some() {}
        Ok::<(), std::io::Error>(())
    };
    wait().map_err(|error| error.to_string())?;
    std::process::exit(0)
}
