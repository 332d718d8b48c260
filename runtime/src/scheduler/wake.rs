//! Waking workers of a lane.

use super::bits;
use super::idle::Search;
use super::kind::Kind;
use super::lane::Lane;
#[cfg(all(feature = "test-util", not(evenkeel_loom)))]
use super::seat::Seat;
use super::seat::WorkerThread;
use super::tuning::Tuning;
use super::worker::{Caller, Origin};
use crate::timers::clock;
use std::sync::atomic::Ordering;

impl Lane {
    /// To be called after about so many tasks were put where any worker of the lane can find them.
    pub(super) fn notify(&self, origin: Origin<'_>, tasks: usize) {
        let search = Search {
            first: origin.near,
            // A compute worker gets nowhere beside a busy IO worker.
            also: (self.kind == Kind::Compute && self.tuning.free_core).then_some(&*self.partner),
            is_little: self.is_little(tasks),
        };
        match self.idle.notify(search, origin.critical) {
            Some(worker) => self.unpark(worker),
            None if self.all_stuck.tell() => self.hooks.wake_supervisor(),
            None => {}
        }
    }

    /// So few tasks are done sooner by the workers who are awake.
    fn is_little(&self, tasks: usize) -> bool {
        let Tuning {
            hold_back,
            poll_time,
            ..
        } = self.tuning;
        self.kind == Kind::Io && hold_back && poll_time && self.poll_time.is_little(tasks)
    }

    /// To be called after a long task was queued, or a core has become free of them.
    pub(super) fn notify_long(&self, origin: Origin<'_>) {
        let free = |word| self.long.free_from(word * bits::PER_WORD);
        if let Some(worker) = self.idle.notify_among(origin.near, free, origin.critical) {
            self.unpark(worker);
        }
    }

    /// Wakes a worker that is not in reserve, for the place of the calling one. False if there is
    /// none that sleeps.
    pub(super) fn wake_another(&self, origin: Origin<'_>) -> bool {
        let worker = self.idle.notify_another(origin.near, origin.critical);
        worker.into_iter().for_each(|worker| self.unpark(worker));
        worker.is_some()
    }

    /// Wakes a worker that sleeps, if there is one and none is on its way already. It finds its
    /// work itself.
    pub(crate) fn wake_somebody(&self, caller: &Caller<'_>) {
        self.notify(caller.origin(), usize::MAX);
    }

    /// The thread's poll does not count as a long one any more.
    pub(crate) fn end_long(&self, caller: &Caller<'_>, thread: &WorkerThread) {
        if self.long.leave(&thread.counted) {
            self.notify_long(caller.origin());
        }
    }

    /// Wakes a worker, if there is one that sleeps beside a compute worker that does not, and
    /// beside nobody else. Claimed by nobody, it looks, and sleeps again.
    pub(crate) fn wake_beside_compute(&self) -> bool {
        let is_beside_compute = |worker| {
            let in_reserve = self.seat(worker).reserve.load(Ordering::Relaxed);
            self.is_asleep(worker) && self.partner_is_awake(worker) && !in_reserve
        };
        let worker = (0..self.workers()).find(|&worker| is_beside_compute(worker));
        worker.into_iter().for_each(|worker| self.unpark(worker));
        worker.is_some()
    }

    /// Wakes the thread that drives a lane of the current-thread kind, if one does and sleeps.
    pub(crate) fn unpark_driving(&self, caller: &Caller<'_>) {
        match caller.worker_of(self) {
            // It does not sleep, but may be about to.
            Some(worker) => worker.seat().parker.keep_awake(),
            None => self.unpark(0),
        }
    }

    /// Has every worker look for what there is to do.
    #[cfg(all(feature = "test-util", not(evenkeel_loom)))]
    pub(crate) fn unpark_all(&self) {
        // Nobody would take notice of it in the seat of a thread that is not there yet.
        (0..self.started()).for_each(|worker| self.unpark(worker));
    }

    /// Wakes every worker that has a timer by then.
    #[cfg(all(feature = "test-util", not(evenkeel_loom)))]
    pub(crate) fn unpark_due(&self, now_ns: u64) {
        (0..self.workers())
            .filter(|&worker| self.timers(worker).next_ns() <= now_ns)
            .for_each(|worker| self.unpark(worker));
    }

    /// Nobody is awake or about to be, nothing is queued, and no timer is due, as far as one look
    /// tells.
    #[cfg(all(feature = "test-util", not(evenkeel_loom)))]
    pub(crate) fn is_quiet(&self, now_ns: u64) -> bool {
        let rests = |seat: &Seat| {
            self.idle.is_resting(seat.index)
                && !seat.parker.is_notified()
                && seat.queued() == 0
                && seat.timers.next_ns() > now_ns
        };
        !self.has_injected()
            && self.long_polls() == (0, 0)
            && !self.has_offloaded()
            && self.seats().all(rests)
    }

    /// The one place where a worker is woken.
    pub(super) fn unpark(&self, worker: usize) {
        let driver = self.driver.as_ref().map(|driver| driver.handle());
        let mut beside_compute = false;
        self.seat(worker).parker.unpark_noting(driver, || {
            if let Some(wake_ups) = self.wake_ups.get(worker) {
                beside_compute = self.partner_is_awake(worker);
                wake_ups.stamp(clock::now_ns(), beside_compute);
            }
        });
        if beside_compute && self.kick.is_on() {
            self.kick(worker);
        }
    }
}
