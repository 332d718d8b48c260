//! The clock of a runtime, which may be paused, and moved on by hand.
//!
//! Timers go by it. It is the system's clock, later or earlier by what it has stood still or was
//! moved on.
//!
//! # Moving on by itself
//!
//! While it is paused it moves on to the next timer as soon as all is quiet: no task runs or waits
//! for a thread, and no closure is on its way. Who finds that out is one thread, the *keeper*: the
//! supervisor; or, in a runtime of the current-thread flavour, the thread that drives it, right
//! before it sleeps. Only the keeper polls the driver then.
//!
//! ```text
//! every other thread of the runtime         keeper
//! 1. says that it sleeps                    1. remember `wake_ups`
//! 2. looks for work once more               2. nobody is awake, or was unparked; no queue has
//! 3. tells the keeper, and sleeps              anything; no timer is due
//! 4. wake_ups += 1                          3. look for events
//! 5. says that it is awake                  4. the same again as in step 2
//!                                           5. `wake_ups` is the same: all is quiet
//! ```
//!
//! If a thread was awake at any moment of step 2, and yet was seen asleep, it fell asleep in the
//! midst of that. What it did before, for a thread that had been looked at already, is seen in step
//! 4; what it wrote to a socket, in step 3; unless somebody has woken up since, which step 5 shows.
//! After step 2 nobody is left who could do anything.
//!
//! Everything here is sequentially consistent: nothing needs to be fast while the clock is paused.

use super::clock;
use super::shard::TimerShard;
use super::wheel::NEVER;
use parking_lot::Mutex;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Some clock of the process has been paused: before that nobody has to ask which one is his.
static EVER_PAUSED: AtomicBool = AtomicBool::new(false);

pub(crate) fn was_ever_paused() -> bool {
    EVER_PAUSED.load(Ordering::Relaxed)
}

/// What a runtime does for its clock.
pub(crate) trait Keeper: Send + Sync {
    /// Has the keeper look whether all is quiet.
    fn look(&self);

    /// For the keeper: moves the clock on if all is quiet, and `look` finds no event. True if it
    /// has.
    fn advance_if_quiet(&self, look: &mut dyn FnMut()) -> bool;

    /// The clock was changed: all threads have to look at their timers.
    fn changed(&self);
}

pub(crate) struct Clock {
    /// While it is paused, the time that it shows; else [`NEVER`].
    paused_at_ns: AtomicU64,
    /// While it runs, how far it is ahead of the system's; wraps around, since it may be behind.
    ahead_ns: AtomicU64,
    keeper: OnceLock<Box<dyn Keeper>>,
    /// How often a thread has woken up while the clock was paused.
    wake_ups: AtomicU64,
    /// How many closures are in the blocking pool or on the way there.
    in_flight: AtomicUsize,
    /// Threads that are no workers.
    sleepers: Mutex<Vec<Arc<Entry>>>,
}

/// The clock was to be changed in a way that its state does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    IsPaused,
    IsNotPaused,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refused::IsPaused => "the clock of this runtime is paused already",
            Refused::IsNotPaused => {
                "the clock of this runtime is not paused: call `time::pause` first"
            }
        })
    }
}

impl Default for Clock {
    fn default() -> Self {
        Clock {
            paused_at_ns: AtomicU64::new(NEVER),
            ahead_ns: AtomicU64::new(0),
            keeper: OnceLock::new(),
            wake_ups: AtomicU64::new(0),
            in_flight: AtomicUsize::new(0),
            sleepers: Mutex::new(Vec::new()),
        }
    }
}

impl Clock {
    /// What it shows when the system's clock shows `system_ns`.
    #[inline]
    pub(crate) fn at(&self, system_ns: u64) -> u64 {
        match self.paused_at_ns.load(Ordering::Acquire) {
            NEVER => system_ns.wrapping_add(self.ahead_ns.load(Ordering::Relaxed)),
            paused_at_ns => paused_at_ns,
        }
    }

    pub(crate) fn now_ns(&self) -> u64 {
        self.at(clock::now_ns())
    }

    /// When this clock will show `deadline_ns`, in the system's time; [`NEVER`] while it stands
    /// still.
    #[inline]
    pub(crate) fn to_system(&self, deadline_ns: u64) -> u64 {
        if deadline_ns == NEVER || self.is_paused() {
            return NEVER;
        }
        let ahead_ns = self.ahead_ns.load(Ordering::Relaxed);
        // What has passed may be before the system's clock began.
        let is_behind = ahead_ns > NEVER / 2;
        if is_behind {
            deadline_ns.saturating_add(ahead_ns.wrapping_neg())
        } else {
            deadline_ns.saturating_sub(ahead_ns)
        }
    }

    #[inline]
    pub(crate) fn is_paused(&self) -> bool {
        self.paused_at_ns.load(Ordering::SeqCst) != NEVER
    }

    /// The time that it shows, if that is not the system's.
    pub(crate) fn own_now_ns(&self) -> Option<u64> {
        let system_ns = clock::now_ns();
        let now_ns = self.at(system_ns);
        (now_ns != system_ns).then_some(now_ns)
    }

    pub(crate) fn pause(&self) -> Result<(), Refused> {
        EVER_PAUSED.store(true, Ordering::SeqCst);
        let paused = self.replace(NEVER, self.now_ns());
        paused.then_some(()).ok_or(Refused::IsPaused)
    }

    pub(crate) fn resume(&self) -> Result<(), Refused> {
        loop {
            let paused_at_ns = self.paused_at_ns.load(Ordering::SeqCst);
            if paused_at_ns == NEVER {
                return Err(Refused::IsNotPaused);
            }
            let ahead_ns = paused_at_ns.wrapping_sub(clock::now_ns());
            self.ahead_ns.store(ahead_ns, Ordering::SeqCst);
            // Not if it was moved on meanwhile.
            if self.replace(paused_at_ns, NEVER) {
                return Ok(());
            }
        }
    }

    pub(crate) fn advance(&self, by: Duration) -> Result<(), Refused> {
        let by_ns = clock::saturating_ns(by);
        let later = |now_ns: u64| {
            let later_ns = now_ns.saturating_add(by_ns).min(NEVER - 1);
            (now_ns != NEVER).then_some(later_ns)
        };
        let update = self
            .paused_at_ns
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, later);
        update.map_err(|_| Refused::IsNotPaused)?;
        self.changed();
        Ok(())
    }

    /// For the keeper, when all is quiet: shows `deadline_ns` from now on.
    pub(crate) fn advance_to(&self, deadline_ns: u64) -> bool {
        let later = |now_ns: u64| (now_ns < deadline_ns).then_some(deadline_ns);
        self.paused_at_ns
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, later)
            .is_ok()
    }

    fn replace(&self, from_ns: u64, to_ns: u64) -> bool {
        let replaced =
            self.paused_at_ns
                .compare_exchange(from_ns, to_ns, Ordering::SeqCst, Ordering::SeqCst);
        if replaced.is_ok() {
            self.changed();
        }
        replaced.is_ok()
    }

    fn changed(&self) {
        self.keeper
            .get()
            .into_iter()
            .for_each(|keeper| keeper.changed());
    }

    /// To be called once, when the runtime is there.
    pub(crate) fn set_keeper(&self, keeper: Box<dyn Keeper>) {
        let _ = self.keeper.set(keeper);
    }

    // ---- for the threads of the runtime ----

    /// The calling thread has said that it sleeps, and is about to.
    pub(crate) fn tell_quiet(&self) {
        if self.is_paused() {
            self.keeper
                .get()
                .into_iter()
                .for_each(|keeper| keeper.look());
        }
    }

    /// The calling thread has woken up, and says so after this.
    pub(crate) fn woken_up(&self) {
        if self.is_paused() {
            self.wake_ups.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// For the keeper: true if it was moved on.
    pub(crate) fn advance_if_quiet(&self, mut look: impl FnMut()) -> bool {
        self.keeper
            .get()
            .is_some_and(|keeper| keeper.advance_if_quiet(&mut look))
    }

    // ---- for the keeper ----

    pub(crate) fn wake_ups(&self) -> u64 {
        self.wake_ups.load(Ordering::SeqCst)
    }

    pub(crate) fn is_in_flight(&self) -> bool {
        self.in_flight.load(Ordering::SeqCst) > 0
    }

    pub(crate) fn sleepers(&self) -> Vec<Arc<Entry>> {
        self.sleepers.lock().clone()
    }
}

/// Where a thread sleeps.
pub(crate) trait Sleeps: Send + Sync {
    /// The thread there has been woken for something, and has not acknowledged that.
    fn is_notified(&self) -> bool;

    fn unpark(&self);

    /// The thread has said that it is awake, and sees to what there is after this.
    fn acknowledge(&self);
}

/// A thread that is no worker, as the keeper sees it.
pub(crate) struct Entry {
    place: Arc<dyn Sleeps>,
    sleeps: AtomicBool,
    timers: Arc<TimerShard>,
}

impl Entry {
    pub(crate) fn is_quiet(&self) -> bool {
        self.sleeps.load(Ordering::SeqCst) && !self.place.is_notified()
    }

    pub(crate) fn timers(&self) -> &TimerShard {
        &self.timers
    }

    pub(crate) fn unpark(&self) {
        self.place.unpark();
    }
}

/// A thread that is no worker, for as long as this lives.
pub(crate) struct Sleeper {
    clock: Arc<Clock>,
    entry: Arc<Entry>,
}

impl Sleeper {
    /// It sleeps at `place`, and keeps these timers.
    pub(crate) fn new<S: Sleeps + 'static>(
        clock: &Arc<Clock>,
        place: &Arc<S>,
        timers: &Arc<TimerShard>,
    ) -> Sleeper {
        let entry = Arc::new(Entry {
            place: place.clone(),
            sleeps: AtomicBool::new(false),
            timers: timers.clone(),
        });
        clock.sleepers.lock().push(entry.clone());
        Sleeper {
            clock: clock.clone(),
            entry,
        }
    }

    /// Calls `park`, which returns at once if the thread was woken before.
    pub(crate) fn sleep<R>(&self, park: impl FnOnce() -> R) -> R {
        let result = if self.clock.is_paused() {
            self.entry.sleeps.store(true, Ordering::SeqCst);
            self.clock.tell_quiet();
            let result = park();
            self.clock.woken_up();
            self.entry.sleeps.store(false, Ordering::SeqCst);
            result
        } else {
            park()
        };
        self.entry.place.acknowledge();
        result
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let is_other = |other: &Arc<Entry>| !Arc::ptr_eq(other, &self.entry);
        self.clock.sleepers.lock().retain(is_other);
        self.clock.tell_quiet();
    }
}

/// A closure that is in the blocking pool, or on its way there.
pub(crate) struct InFlight(Arc<Clock>);

impl InFlight {
    pub(crate) fn new(clock: &Arc<Clock>) -> InFlight {
        clock.in_flight.fetch_add(1, Ordering::SeqCst);
        InFlight(clock.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::SeqCst);
        self.0.tell_quiet();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const HOUR_NS: u64 = 3_600_000_000_000;

    #[test]
    fn a_clock_that_was_never_paused_is_the_systems() {
        let clock = Clock::default();
        for ns in [0, 1, HOUR_NS, NEVER - 1] {
            assert_eq!((clock.at(ns), clock.to_system(ns)), (ns, ns));
        }
        assert_eq!(clock.to_system(NEVER), NEVER);
        assert_eq!(clock.resume(), Err(Refused::IsNotPaused));
        assert_eq!(clock.advance(HOUR), Err(Refused::IsNotPaused));
        assert!(!clock.advance_to(NEVER - 1));
    }

    #[test]
    fn while_it_is_paused_it_only_moves_on_by_hand() {
        let clock = Clock::default();
        clock.pause().unwrap();
        assert_eq!(clock.pause(), Err(Refused::IsPaused));
        let paused_at_ns = clock.now_ns();
        assert_eq!(clock.at(NEVER - 1), paused_at_ns);
        assert_eq!(clock.to_system(paused_at_ns), NEVER);
        clock.advance(HOUR).unwrap();
        assert_eq!(clock.now_ns(), paused_at_ns + HOUR_NS);
        assert!(!clock.advance_to(paused_at_ns), "it never goes back");
        assert!(clock.advance_to(paused_at_ns + HOUR_NS + 1));
        assert_eq!(clock.now_ns(), paused_at_ns + HOUR_NS + 1);
        clock.advance(Duration::MAX).unwrap();
        assert!(clock.is_paused());
    }

    #[test]
    fn it_goes_on_ahead_of_the_system_or_behind_it() {
        for ahead_ns in [HOUR_NS, HOUR_NS.wrapping_neg()] {
            let clock = Clock::default();
            clock.ahead_ns.store(ahead_ns, Ordering::Relaxed);
            let system_ns = 5 * HOUR_NS;
            let shown_ns = clock.at(system_ns);
            assert_eq!(shown_ns, system_ns.wrapping_add(ahead_ns));
            assert_eq!(clock.to_system(shown_ns), system_ns);
        }
        let clock = Clock::default();
        clock.pause().unwrap();
        clock.advance(HOUR).unwrap();
        clock.resume().unwrap();
        assert!(clock.now_ns() >= HOUR_NS);
        assert_eq!(clock.to_system(1), 0, "what has passed is due at once");
    }
}
