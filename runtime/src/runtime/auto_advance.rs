//! Moving a paused clock on by itself: what [`timers`](crate::timers)' clock asks of its runtime.

use super::hooks::{Runtime, upgrade};
use super::shared::Shared;
use crate::scheduler::worker::Caller;
use crate::timers::{Keeper, NEVER};
use std::sync::atomic::Ordering;

pub(super) struct RuntimeKeeper(pub(super) Runtime);

impl Keeper for RuntimeKeeper {
    fn look(&self) {
        if let Some(shared) = upgrade(&self.0) {
            match shared.current_thread {
                Some(_) => Caller::with(|caller| shared.io.unpark_driving(caller)),
                None => shared.watch.unpark(),
            }
        }
    }

    fn advance_if_quiet(&self, look: &mut dyn FnMut()) -> bool {
        upgrade(&self.0).is_some_and(|shared| shared.advance_if_quiet(look))
    }

    fn changed(&self) {
        if let Some(shared) = upgrade(&self.0) {
            shared.io.unpark_all();
            shared.compute.unpark_all();
            shared.watch.unpark();
            let sleepers = shared.clock.sleepers();
            sleepers.iter().for_each(|sleeper| sleeper.unpark());
        }
    }
}

impl Shared {
    fn advance_if_quiet(&self, look: &mut dyn FnMut()) -> bool {
        let clock = &self.clock;
        if self.driver_timers.has_operations() {
            // It was not woken for what need not be done soon. It tells when that is done.
            self.watch.unpark();
            return false;
        }
        let wake_ups = clock.wake_ups();
        let mut is_quiet = self.is_quiet();
        if is_quiet {
            look();
            is_quiet = self.is_quiet() && clock.wake_ups() == wake_ups;
        }
        if !is_quiet || !clock.is_paused() {
            return false;
        }
        let sleepers = clock.sleepers();
        let of_workers = (0..self.io.workers()).map(|worker| self.io.timers(worker).next_ns());
        let of_sleepers = sleepers.iter().map(|sleeper| sleeper.timers().next_ns());
        let next_ns = of_workers
            .chain(of_sleepers)
            .fold(self.driver_timers.next_ns(), u64::min);
        if next_ns == NEVER || !clock.advance_to(next_ns) {
            return false;
        }
        self.io.unpark_due(next_ns);
        for sleeper in sleepers {
            if sleeper.timers().next_ns() <= next_ns {
                sleeper.unpark();
            }
        }
        if self.driver_timers.next_ns() <= next_ns {
            self.watch.unpark();
        }
        true
    }

    /// Nobody but the keeper is awake or about to be, as far as one look tells.
    fn is_quiet(&self) -> bool {
        let now_ns = self.clock.now_ns();
        let sleepers = self.clock.sleepers();
        let mut shards = sleepers.iter().map(|sleeper| sleeper.timers());
        !self.clock.is_in_flight()
            && self.takeover.counts.displaced.load(Ordering::SeqCst) == 0
            && self.io.is_quiet(now_ns)
            && self.compute.is_quiet(now_ns)
            && sleepers.iter().all(|sleeper| sleeper.is_quiet())
            && shards.all(|shard| shard.next_ns() > now_ns)
            && self.driver_timers.next_ns() > now_ns
            && !self.driver_timers.has_operations()
    }
}
