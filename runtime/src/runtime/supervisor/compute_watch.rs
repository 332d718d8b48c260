//! Whether the compute lane gets on.

use super::look::Look;
use crate::runtime::shared::Shared;
use evenkeel_topology::{thread_cpu_time, thread_is_asleep};
use std::mem;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// The compute lane does not get on if it has begun nothing for this long, though something waits
/// there.
const STALLED: Duration = Duration::from_millis(100);

pub(super) struct ComputeWatch {
    /// How many polls the lane had begun by the last look.
    polls: u64,
    /// Since when it has begun none while a task of the IO lane waited there.
    waits_since: Option<Instant>,
    /// When the CPU time of its workers was looked at, and what it was.
    used: (Instant, Duration),
}

impl ComputeWatch {
    pub(super) fn new() -> Self {
        ComputeWatch {
            polls: 0,
            waits_since: None,
            used: (Instant::now(), Duration::ZERO),
        }
    }

    /// Finds out whether the compute lane gets on. If it does not, tasks of the IO lane are not to
    /// wait there: its closures may be waiting for them.
    pub(super) fn look(&mut self, look: Look<'_>) {
        let Look {
            shared,
            caller,
            now,
        } = look;
        let (takeover, compute) = (&shared.takeover, &shared.compute);
        let polls = compute.polls_in_all();
        let gets_on = mem::replace(&mut self.polls, polls) != polls;
        let pauses = compute.governor.is_anybody_pausing();
        if gets_on || pauses || !compute.has_offloaded() || self.is_starved(shared, now) {
            self.waits_since = None;
            takeover.compute_stalled.store(false, Ordering::Relaxed);
            return;
        }
        let since = *self.waits_since.get_or_insert(now);
        if now - since >= STALLED {
            takeover.compute_stalled.store(true, Ordering::Relaxed);
            let sent = compute.send_home(caller, &shared.io);
            takeover
                .counts
                .moved_back
                .fetch_add(sent, Ordering::Relaxed);
        }
    }

    /// The compute lane has begun nothing because it has got next to nothing of the CPU since it
    /// was last asked, and not because of what its workers are in: then those that wait there do so
    /// for the IO lane, as they should.
    fn is_starved(&mut self, shared: &Shared, now: Instant) -> bool {
        if now - self.used.0 < STALLED / 2 {
            return false;
        }
        let threads =
            (0..shared.compute.workers()).filter_map(|worker| shared.compute.thread_id(worker));
        let asleep = threads
            .clone()
            .any(|thread| thread_is_asleep(thread) == Some(true));
        let used: Duration = threads.filter_map(thread_cpu_time).sum();
        let (since, before) = mem::replace(&mut self.used, (now, used));
        !asleep && used.saturating_sub(before) < (now - since) / 4
    }
}
