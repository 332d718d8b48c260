//! Starting the compute workers, when the lane is first used ([`FirstUse`]).
//!
//! A runtime that never computes then has no threads for it, and starts and ends in half the time.
//! A worker looks for work before it sleeps (see `scheduler::idle`), and so finds what was queued
//! before there was a worker.

use super::first_use::FirstUse;
use super::workers_alive::WorkersAlive;
use evenkeel_topology::ComputePriority;
use parking_lot::{Condvar, Mutex};
use std::sync::{Arc, OnceLock};

pub(super) struct ComputeStart {
    pub(super) first_use: FirstUse,
    /// What is left to start. Taken by supervisors and by a shutdown.
    pub(super) left: Mutex<Option<Left>>,
    in_force: OnceLock<ComputePriority>,
    /// The system has refused the first thread.
    refused: Mutex<bool>,
    /// One of the two above has.
    changed: Condvar,
}

pub(super) struct Left {
    pub(super) wanted: ComputePriority,
    pub(super) alive: Arc<WorkersAlive>,
}

impl ComputeStart {
    pub(super) fn new(wanted: ComputePriority, alive: Arc<WorkersAlive>) -> Self {
        ComputeStart {
            first_use: FirstUse::new(),
            left: Mutex::new(Some(Left { wanted, alive })),
            in_force: OnceLock::new(),
            refused: Mutex::new(false),
            changed: Condvar::new(),
        }
    }

    /// Starts no more threads. Those that were started see the shutdown.
    pub(super) fn close(&self) {
        drop(self.left.lock().take());
        self.first_use.set_over();
        // For whoever waits to know it.
        self.set_priority(ComputePriority::Normal);
    }

    pub(super) fn known_priority(&self) -> Option<ComputePriority> {
        self.in_force.get().copied()
    }

    /// Waits for the first thread, or for the system to refuse it: then there is none of a lower
    /// priority.
    pub(super) fn wait_for_priority(&self) -> ComputePriority {
        let mut refused = self.refused.lock();
        loop {
            match self.known_priority() {
                Some(priority) => return priority,
                None if *refused => return ComputePriority::Normal,
                None => self.changed.wait(&mut refused),
            }
        }
    }

    /// False if it is known already.
    pub(super) fn set_priority(&self, in_force: ComputePriority) -> bool {
        let first = self.in_force.set(in_force).is_ok();
        if first {
            // Who is about to wait has the lock, and so hears of it.
            drop(self.refused.lock());
            self.changed.notify_all();
        }
        first
    }

    pub(super) fn set_refused(&self) {
        *self.refused.lock() = true;
        self.changed.notify_all();
    }
}
