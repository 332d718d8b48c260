//! How a worker rests that has found nothing: it looks on for a moment, then dozes beside the others or sleeps, in the IO
//! driver if nobody else is there. The protocol with those who wake it is in [`sleep`](super::sleep).

use super::Kind;
use super::patience::Patience;
use super::worker::Local;
use crate::timers::clock;
use std::cell::Cell;
use std::hint;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// For so long a worker that found nothing looks on before it sleeps, if that has been of use: about what
/// sleeping and being woken would cost, so that it never costs much more than twice of what is best.
const LOOK_ON_NS: u64 = 20_000;

/// Pauses of the CPU between two such looks, so that a hyperthread beside this one is not slowed down.
const LOOK_ON_PAUSE: u32 = 16;

/// How often somebody who dozes looks whether the others get on.
const DOZE: Duration = Duration::from_millis(1);

/// What a worker remembers from one rest to the next.
pub(super) struct Rest {
    patience: Patience,
    /// It dozed when work called it away, and somebody else should doze in its place.
    left_doze: Cell<bool>,
    /// The polls of the others when a doze ended because nobody had polled the driver: until one of them
    /// begins another poll, it is stuck, and does not get on.
    stuck_at: Cell<Option<u64>>,
    /// When the stretch of work began that is measured, and how many polls there had been.
    stretch: Cell<(u64, u64)>,
}

impl Rest {
    pub(super) fn new(now_ns: u64, polls: u64) -> Self {
        Rest {
            patience: Patience::default(),
            left_doze: Cell::new(false),
            stuck_at: Cell::new(None),
            stretch: Cell::new((now_ns, polls)),
        }
    }

    /// True once after a doze that work has ended.
    #[inline]
    pub(super) fn take_left_doze(&self) -> bool {
        self.left_doze.take()
    }
}

impl Local {
    /// Steps 1 to 5 of the worker that found nothing (see [`sleep`](super::sleep)).
    pub(super) fn sleep(&self) {
        let now_ns = clock::now_ns();
        self.end_stretch(now_ns);
        let Some(deadline_ns) = self.prepare_sleep(now_ns) else {
            return;
        };
        if self.look_on(now_ns, deadline_ns) {
            self.begin_stretch(clock::now_ns());
            return;
        }
        let sleep = &self.lane().sleep;
        sleep.fall_asleep(self.index(), self.searching.take());
        let mut unpolled = false;
        if !self.lane().has_work(self.index()) && !self.lane().is_shut_down() {
            // What it has sorted just now, and may not begin.
            self.lane().tell_of_long();
            if self.others_get_on() {
                unpolled = self.sleep_beside_others(deadline_ns);
                self.rest
                    .stuck_at
                    .set(unpolled.then(|| self.lane().polls_beside(self.index())));
            } else {
                self.rest.left_doze.set(false);
                self.park(clock::timeout(deadline_ns));
            }
        }
        sleep.wake_up(self.index());
        self.searching.set(true);
        if self.lane().kind == Kind::Io {
            self.lane().host.worker_awake();
        }
        let now_ns = clock::now_ns();
        self.begin_stretch(now_ns);
        self.looked_ns.set(now_ns);
        if unpolled && self.look_for_events() > 0 {
            self.lane().rescues.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn begin_stretch(&self, now_ns: u64) {
        self.rest.stretch.set((now_ns, self.polls()));
    }

    pub(super) fn end_stretch(&self, now_ns: u64) {
        let (start_ns, polls_before) = self.rest.stretch.get();
        let polls = self.polls() - polls_before;
        self.lane()
            .pace
            .record(polls, now_ns.saturating_sub(start_ns));
        self.begin_stretch(now_ns);
    }

    fn polls(&self) -> u64 {
        self.seat().status.polls()
    }

    /// True if this worker, whose bit is set, need not be ready at once: another one is awake, and will soon be
    /// at the driver again.
    fn others_get_on(&self) -> bool {
        let lane = self.lane();
        let stuck = self.rest.stuck_at.get();
        lane.kind == Kind::Io
            && lane.pace.polls_are_short()
            && lane.sleep.anybody_awake()
            && stuck.is_none_or(|polls| polls != lane.polls_beside(self.index()))
    }

    /// Sleeps beside others who are awake; dozing, if it is to come last or nobody else does. True if
    /// nobody has polled the driver meanwhile.
    fn sleep_beside_others(&self, deadline_ns: u64) -> bool {
        let sleep = &self.lane().sleep;
        if !self.is_in_reserve() && sleep.anybody_dozes() {
            self.seat().parker.park(clock::timeout(deadline_ns));
            return false;
        }
        sleep.doze(self.index(), self.is_in_reserve());
        let unpolled = self.doze(deadline_ns);
        self.rest.left_doze.set(true);
        sleep.end_doze(self.index());
        unpolled
    }

    /// Others use this worker's core, and the tasks are short, so that another worker gets through them. Long
    /// ones are worth a core that is shared.
    fn is_in_reserve(&self) -> bool {
        self.seat().reserve.load(Ordering::Relaxed) && self.lane().pace.polls_are_short()
    }

    /// Sleeps, and looks every [`DOZE`] whether the others get on: until they do not, or there is something for
    /// this worker to do. True if nobody has polled the driver.
    fn doze(&self, deadline_ns: u64) -> bool {
        let lane = self.lane();
        let mut before = lane.progress();
        while self.others_get_on() {
            // Those who doze share the looks.
            let doze = DOZE * lane.sleep.dozing_count();
            let timeout = doze.min(clock::until(deadline_ns));
            if self.seat().parker.park(Some(timeout)) || clock::now_ns() >= deadline_ns {
                return false;
            }
            let now = lane.progress();
            let unpolled = before.driver_polls == now.driver_polls;
            if unpolled || before.is_stuck(&now) {
                lane.host.worker_stuck();
                return unpolled;
            }
            before = now;
        }
        false
    }

    /// Looks for work a little longer, if that has been of use lately. True if there is some. A compute worker
    /// does not: it may be preempted meanwhile, and others would rely on it as a searcher. Nor does a worker
    /// that has had no task yet: its runtime is just being started, and may need the core for that.
    fn look_on(&self, now_ns: u64, deadline_ns: u64) -> bool {
        let end_ns = now_ns.saturating_add(LOOK_ON_NS).min(deadline_ns);
        self.lane().kind == Kind::Io
            && self.searching.get()
            && !self.is_in_reserve()
            && now_ns < end_ns
            && self.polls() > 0
            && self.rest.patience.try_with(|| self.look_until(end_ns))
    }

    fn look_until(&self, end_ns: u64) -> bool {
        loop {
            if self.lane().has_work(self.index()) || self.lane().is_shut_down() {
                return true;
            }
            // The compute worker of this core has something to do.
            if self.partner_is_awake() || clock::now_ns() >= end_ns {
                return false;
            }
            for _ in 0..LOOK_ON_PAUSE {
                hint::spin_loop();
            }
        }
    }

    /// Sleeps: in the IO driver if nobody else is there, which makes this the worker that handles the
    /// next event.
    fn park(&self, timeout: Option<Duration>) {
        let parker = &self.seat().parker;
        match self.lane().turn.as_ref().and_then(|turn| turn.try_take()) {
            Some(mut my_turn) => {
                // Quietly, because this worker still counts as asleep. It becomes a searcher next, and
                // wakes another one if more than one task has come.
                self.gather_quietly(|| my_turn.wait(parker, timeout));
            }
            None => {
                parker.park(timeout);
            }
        }
    }
}
