//! Threads that never pause for long.

use std::marker::PhantomData;

/// Proof that the calling thread never pauses for long: it is an IO worker that holds its seat, or
/// the supervisor.
///
/// Only such threads take the locks that IO workers take, and mark what they then have to finish.
/// Any other may be preempted at every instruction for as long as its core is busy.
#[derive(Clone, Copy)]
pub(crate) struct LatencyCritical<'a>(PhantomData<&'a *const ()>);

impl LatencyCritical<'_> {
    /// For `scheduler::worker`, which knows what the thread is; and for tests of what takes such a
    /// proof.
    pub(crate) fn assume() -> Self {
        LatencyCritical(PhantomData)
    }
}
