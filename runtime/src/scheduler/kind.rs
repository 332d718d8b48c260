/// Which of the two lanes of a runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Futures that wait for IO and time; LIFO slot, timers, normal priority.
    Io,
    /// Closures and futures that compute; SCHED_IDLE.
    Compute,
}
