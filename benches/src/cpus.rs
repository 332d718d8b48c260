//! Which CPUs this program has, and how they are shared out.

use evenkeel_topology::parallelism;

/// The CPUs of a measurement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cpus {
    /// How many CPUs' worth of time a server has. Loads are made for so many.
    pub(crate) of_server: usize,
}

impl Cpus {
    /// Those that this process may use, its quota included.
    pub(crate) fn of_process() -> Self {
        Self {
            of_server: parallelism(),
        }
    }
}
