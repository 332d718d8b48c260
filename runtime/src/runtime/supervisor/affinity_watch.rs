//! Keeps workers where they may and shall run: the CPUs that the process may use are changed from
//! outside, and IO workers are let go of where others use them
//! ([`shared_cores`](super::shared_cores)). Who loses its seat, or sits down in one, goes by what
//! is so at that moment.

use super::look::{Look, SELDOM, log_elsewhere};
use crate::scheduler::kind::Kind;
use evenkeel_topology::{CpuSet, set_thread_affinity, thread_cpus};
use std::mem;
use std::time::Instant;

pub(super) struct AffinityWatch {
    /// What the process might use at the last look.
    before: CpuSet,
    /// Whether IO workers were pinned then.
    let_io_go: bool,
    next: Instant,
}

impl AffinityWatch {
    pub(super) fn new() -> Self {
        AffinityWatch {
            before: CpuSet::default(),
            let_io_go: false,
            next: Instant::now() + SELDOM,
        }
    }

    /// Looks, if it is time to: workers are pinned again where they may be, and the others run
    /// where the process may.
    pub(super) fn look(&mut self, look: Look<'_>) {
        let Look { shared, now, .. } = look;
        let let_io_go = shared.cpus.let_io_go();
        let has_changed = mem::replace(&mut self.let_io_go, let_io_go) != let_io_go;
        if now < self.next && !has_changed {
            return;
        }
        self.next = now + SELDOM;
        let Some(allowed) = shared.cpus.allowed() else {
            return;
        };
        for (kind, lane) in [(Kind::Io, &shared.io), (Kind::Compute, &shared.compute)] {
            if !shared.cpus.is_pinned(kind) {
                continue;
            }
            for worker in 0..lane.workers() {
                let cpus = shared.cpus.of_worker_within(kind, worker, Some(&allowed));
                let anywhere = [&allowed, &self.before];
                lane.if_placeable(worker, |thread| {
                    if let Some(cpus) = wanted(cpus, anywhere, thread_cpus(thread)) {
                        let _ = set_thread_affinity(thread, &cpus);
                        log_elsewhere(shared, move || {
                            tracing::debug!(thread, %cpus, "a worker runs on other CPUs from now on");
                        });
                    }
                });
            }
        }
        self.before = allowed;
    }
}

/// Where a worker's thread is to run, if that is not where it may now. Unpinned it runs where the
/// process may, or might until now. A part of that which somebody has chosen for it stays.
fn wanted(
    cpus: Option<CpuSet>,
    [allowed, before]: [&CpuSet; 2],
    now: Option<CpuSet>,
) -> Option<CpuSet> {
    let now = now?;
    let runs_anywhere = now == *allowed || now == *before;
    match cpus {
        Some(cpus) if runs_anywhere => Some(cpus),
        None => Some(allowed.clone()),
        _ => None,
    }
    .filter(|cpus| *cpus != now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_that_was_lost_is_put_back_and_one_that_may_not_be_is_let_go() {
        let cpus = |list: &str| -> CpuSet { list.parse().unwrap() };
        let table = [
            (Some("1"), "0-3", "0-3", "0-3", Some("1")),
            (Some("1"), "0-3", "0-3", "1", None),
            (Some("1"), "1", "1", "1", None),
            (Some("0-1"), "0-3", "0-3", "0-3", Some("0-1")),
            (Some("0-1"), "0-3", "0-3", "0-1", None),
            // A fence that is as large as what the process may use.
            (Some("0-3"), "0-3", "0-3", "0-3", None),
            // Its thread was unpinned while the process might use less.
            (Some("3"), "0-3", "0-1", "0-1", Some("3")),
            (None, "0", "0-1", "1", Some("0")),
            (None, "0-3", "0-3", "0-3", None),
            // Somebody has chosen that.
            (Some("1"), "0-3", "0-3", "2-3", None),
        ];
        for (mask, allowed, before, now, expected) in table {
            let anywhere = [&cpus(allowed), &cpus(before)];
            let found = wanted(mask.map(cpus), anywhere, Some(cpus(now)));
            assert_eq!(
                found,
                expected.map(cpus),
                "{mask:?} {allowed} {before} {now}"
            );
        }
        let all = cpus("0-3");
        assert_eq!(wanted(Some(cpus("1")), [&all, &all], None), None);
    }
}
