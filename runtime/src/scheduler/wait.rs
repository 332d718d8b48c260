//! What a worker does that has found nothing: it spins briefly, then sleeps; one is on standby
//! while others are busy, one parks in the IO driver.
//!
//! The choice between these is [`idle_policy`](super::idle_policy)'s. The protocol with those who
//! wake it is in [`idle`](super::idle).

use super::driver_lock::DriverGuard;
use super::idle_policy::{Seen, SpinSeen, Wait, how_to_wait, may_spin};
use super::kind::Kind;
use super::poll_time::WAKE_UP_NS;
use super::worker::Worker;
use crate::panics::wake;
use crate::timers::{NEVER, clock};
use evenkeel_sync::spin_pause;
use evenkeel_sync::thread::yield_in_model;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// So long a worker sleeps in the driver at a time, where the kernel has to be helped. With 250
/// ticks a second it waited for 2.3 ms in the median, and waits for 0.25.
const NAP: Duration = Duration::from_micros(250);

/// How often somebody on standby looks whether the others get on.
const STANDBY: Duration = Duration::from_millis(1);

impl Worker<'_> {
    /// Steps 1 to 5 of the worker that found nothing (see [`idle`](super::idle)).
    pub(super) fn wait(&self) {
        yield_in_model();
        let slept_ns = clock::now_ns();
        self.end_stretch(slept_ns);
        let Some(deadline_ns) = self.prepare_sleep(slept_ns) else {
            return;
        };
        if self.spin(slept_ns, deadline_ns) {
            self.stretch.begin(clock::now_ns(), self.polls());
            return;
        }
        let lane = self.lane();
        if lane.kind == Kind::Io {
            // What it spawns is queued here, and found below, and so is what has yielded in it.
            self.batch_quietly(|| {
                lane.hooks.parks();
                self.wake_yielded();
            });
        }
        lane.idle
            .fall_asleep(self.index(), self.is_searching.take());
        let (mut unpolled, mut has_slept) = (false, false);
        if !lane.has_work(self.index()) && !lane.is_shut_down() {
            // What it has sorted just now, and may not begin.
            self.tell_of_long();
            lane.note_cpu(self.index());
            let status = &self.seat().status;
            status.begin_sleep(slept_ns.saturating_sub(self.awake_ns.get()));
            unpolled = if lane.clock.is_paused() {
                self.sleep_out_of_time();
                false
            } else {
                self.sleep(deadline_ns)
            };
            status.end_sleep();
            has_slept = true;
        }
        lane.clock.woken_up();
        lane.idle.wake_up(self.index());
        self.is_searching.set(true);
        if lane.kind == Kind::Io {
            lane.hooks.worker_awake();
            self.batch_quietly(|| lane.hooks.unparks());
        }
        let now_ns = clock::now_ns();
        if let Some(wake_ups) = lane.wake_ups.get(self.index()) {
            wake_ups.record(slept_ns, now_ns);
        }
        if has_slept {
            self.awake_ns.set(now_ns);
        }
        self.stretch.begin(now_ns, self.polls());
        self.looked_ns.set(now_ns);
        if unpolled && self.look_for_events() > 0 {
            lane.rescues.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn end_stretch(&self, now_ns: u64) {
        let poll_time = &self.lane().poll_time;
        self.stretch.end(now_ns, self.polls(), poll_time);
    }

    /// Fires the timers that are due, and publishes when the next one will be, which is the result,
    /// in the system's time. `None` if that has given this worker something to do.
    fn prepare_sleep(&self, now_ns: u64) -> Option<u64> {
        let (timers, clock) = (self.held().timers(), &self.lane().clock);
        let now_ns = clock.at(now_ns);
        let deadline_ns = self.batch_quietly(|| timers.prepare_sleep(now_ns, wake));
        if self.held().queue().is_empty() {
            return Some(clock.to_system(deadline_ns));
        }
        // To be announced like what a searcher has found.
        if !self.is_searching.get() {
            self.notify();
        }
        None
    }

    /// Looks for work a little longer, if that has been of use lately: for what sleeping and being
    /// woken would cost, so that it never costs much more than twice the best. True if there is
    /// some.
    fn spin(&self, now_ns: u64, deadline_ns: u64) -> bool {
        let end_ns = now_ns.saturating_add(WAKE_UP_NS).min(deadline_ns);
        let seen = SpinSeen {
            is_searching: self.is_searching.get(),
            in_reserve: self.is_in_reserve(),
            is_low_priority: self.kind() == Kind::Compute,
            has_worked: self.polls() > 0,
        };
        self.lane().tuning.spin
            && now_ns < end_ns
            && may_spin(seen)
            && self.spin.try_with(|| self.spin_until(end_ns))
    }

    fn spin_until(&self, end_ns: u64) -> bool {
        loop {
            if self.lane().has_work(self.index()) || self.lane().is_shut_down() {
                return true;
            }
            // The compute worker of this core has something to do.
            if self.partner_is_awake() || clock::now_ns() >= end_ns {
                return false;
            }
            spin_pause();
        }
    }

    /// Sleeps while the clock is paused: until it is woken, or the clock has moved on. Only the
    /// clock's keeper polls the driver then.
    fn sleep_out_of_time(&self) {
        let lane = self.lane();
        if lane.arrivals.is_none() {
            lane.clock.tell_quiet();
            self.seat().parker.park(None);
            return;
        }
        // This thread is the keeper.
        let look = || {
            if let Some(mut driver) = lane.driver.as_ref().and_then(|lock| lock.try_lock()) {
                self.batch_quietly(|| driver.look());
            }
        };
        // An event may have woken tasks.
        if !lane.clock.advance_if_quiet(look) && self.held().queue().is_empty() {
            self.park(None);
        }
    }

    /// True if nobody has polled the driver meanwhile.
    fn sleep(&self, deadline_ns: u64) -> bool {
        let seen = Seen {
            others_get_on: self.others_get_on(),
            on_standby: self.lane().idle.anybody_on_standby(),
            in_reserve: self.is_in_reserve(),
        };
        let parker = &self.seat().parker;
        let timeout = clock::timeout(deadline_ns);
        let unpolled = match how_to_wait(seen) {
            Wait::InDriver if seen.in_reserve => {
                self.park_in_reserve(timeout);
                return false;
            }
            Wait::InDriver => {
                self.park(timeout);
                // Nothing new is known of the others.
                return false;
            }
            Wait::Parked => {
                parker.park(timeout);
                false
            }
            Wait::OnStandby => self.stand_by(deadline_ns, seen.in_reserve),
        };
        let stuck_at = unpolled.then(|| self.lane().polls_beside(self.index()));
        self.stuck_at.set(stuck_at);
        unpolled
    }

    /// True if this worker, whose bit is set, need not be ready at once: another one is awake, and
    /// will soon be at the driver again.
    fn others_get_on(&self) -> bool {
        let lane = self.lane();
        let stuck = self.stuck_at.get();
        lane.kind == Kind::Io
            && lane.tuning.standby
            && lane.polls_are_short()
            && lane.idle.anybody_awake()
            && stuck.is_none_or(|polls| polls != lane.polls_beside(self.index()))
    }

    /// Others use this worker's core, and the tasks are short, so that another worker gets through
    /// them. Long ones are worth a core that is shared.
    fn is_in_reserve(&self) -> bool {
        self.seat().reserve.load(Ordering::Relaxed) && self.lane().polls_are_short()
    }

    fn stand_by(&self, deadline_ns: u64, in_reserve: bool) -> bool {
        let idle = &self.lane().idle;
        idle.begin_standby(self.index(), in_reserve);
        let unpolled = self.watch_others(deadline_ns);
        idle.end_standby(self.index());
        unpolled
    }

    /// Sleeps, and looks every [`STANDBY`] whether the others get on: until they do not, or there
    /// is something for this worker to do. True if nobody has polled the driver.
    fn watch_others(&self, deadline_ns: u64) -> bool {
        let lane = self.lane();
        let mut before = lane.progress();
        while self.others_get_on() {
            // Those who are on standby share the looks.
            let pause = STANDBY * lane.idle.standby_count();
            let timeout = pause.min(clock::until(deadline_ns));
            if self.seat().parker.park(Some(timeout)) || clock::now_ns() >= deadline_ns {
                return false;
            }
            let now = lane.progress();
            let suspicion = before.suspicion(&now);
            if suspicion.is_any() {
                lane.hooks.worker_stuck();
                return suspicion.unpolled;
            }
            before = now;
        }
        false
    }

    /// Leaves the driver to another worker, which others do not keep from its core, and sleeps
    /// until nobody else is left to wake.
    fn park_in_reserve(&self, timeout: Option<Duration>) {
        let lane = self.lane();
        lane.idle.begin_reserve(self.index());
        let is_free = lane
            .driver
            .as_ref()
            .is_some_and(|lock| lock.try_lock().is_some());
        if is_free && !lane.wake_another(self.origin()) {
            lane.idle.end_standby(self.index());
            return self.park(timeout);
        }
        self.seat().parker.park(timeout);
        lane.idle.end_standby(self.index());
    }

    /// Sleeps: in the IO driver if nobody else is there, which makes this the worker that handles
    /// the next event.
    fn park(&self, timeout: Option<Duration>) {
        let parker = &self.seat().parker;
        match self.lane().driver.as_ref().and_then(|lock| lock.try_lock()) {
            // Quietly, because this worker still counts as asleep. It becomes a searcher next, and
            // wakes another one if more than one task has come.
            Some(mut driver) => {
                let poll = || self.poll_in_naps(&mut driver, timeout);
                self.batch_quietly(|| parker.park_in_driver(poll));
            }
            None => {
                parker.park(timeout);
            }
        }
    }

    /// Polls the driver until there are events, somebody wakes this worker, or `timeout` is over.
    /// In naps where the kernel would leave it waiting when it has an event
    /// ([`kick`](super::kick)): the end of each interrupts its CPU.
    fn poll_in_naps(&self, driver: &mut DriverGuard<'_>, timeout: Option<Duration>) {
        let mut left = timeout;
        if self.has_to_nap() {
            let now_ns = clock::now_ns();
            let end_ns = timeout.map_or(NEVER, |timeout| {
                now_ns.saturating_add(timeout.as_nanos() as u64)
            });
            while self.has_to_nap() && clock::until(end_ns) > NAP {
                if driver.poll(Some(NAP)) > 0 || self.seat().parker.is_notified() {
                    return;
                }
            }
            left = clock::timeout(end_ns);
        }
        driver.poll(left);
    }

    fn has_to_nap(&self) -> bool {
        self.lane().kick.is_on() && self.partner_is_awake()
    }
}
