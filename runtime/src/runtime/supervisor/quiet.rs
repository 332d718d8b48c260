//! Whether there is anybody to look after.

use super::look::PATIENCE;
use crate::runtime::shared::Shared;
use std::time::Instant;

/// For how long no worker has been awake.
#[derive(Default)]
pub(super) struct Quiet {
    since: Option<Instant>,
}

impl Quiet {
    /// True if there is an IO worker to look after, or has been lately; false if the supervisor may
    /// sleep until somebody unparks it.
    pub(super) fn keep_looking(&mut self, shared: &Shared) -> bool {
        let watching = &shared.watch.watching;
        if is_anybody_watched(shared) {
            watching.resume();
            self.since = None;
            return true;
        }
        if self.since.get_or_insert_with(Instant::now).elapsed() < 2 * PATIENCE {
            return true;
        }
        let rest = watching.try_rest(|| is_anybody_watched(shared));
        if !rest {
            self.since = None;
        }
        !rest
    }
}

/// An IO worker is awake, or a thread whose seat was taken computes and may have to be lowered, or
/// a task of the IO lane waits in the compute lane.
fn is_anybody_watched(shared: &Shared) -> bool {
    let io = &shared.io;
    io.awake_count() > 0 || io.is_in_long_polls() || shared.compute.has_offloaded()
}
