//! Which CPU quota there is.

use super::look::{Look, PATIENCE, SELDOM};
use evenkeel_topology::{QuotaGroups, allowed_cpus};
use std::time::Instant;

pub(super) struct QuotaWatch {
    /// Found at the first look.
    groups: Option<QuotaGroups>,
    next: Instant,
}

impl QuotaWatch {
    pub(super) fn new() -> Self {
        QuotaWatch {
            groups: None,
            // A runtime may not live long.
            next: Instant::now() + PATIENCE,
        }
    }

    /// Looks if the compute workers are about to be started: their first tasks could use up a whole
    /// period.
    pub(super) fn look_before_compute(&mut self, look: Look<'_>) {
        if self.groups.is_none() && look.shared.compute_start.first_use.is_wanted() {
            self.look_now(look);
        }
    }

    /// Looks, if it is time to, and tells the compute lane.
    pub(super) fn look(&mut self, look: Look<'_>) {
        if look.now >= self.next {
            self.look_now(look);
        }
    }

    fn look_now(&mut self, look: Look<'_>) {
        let groups = self.groups.get_or_insert_with(QuotaGroups::of_process);
        let cpus = allowed_cpus().len() as f64;
        let quota = groups.tightest().filter(|(quota, _)| quota.cpus < cpus);
        let is_set = look.shared.compute.governor.set_quota(quota);
        self.next = look.now + if is_set { SELDOM } else { PATIENCE };
    }
}
