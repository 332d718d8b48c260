//! The timers of one thread.
//!
//! Each IO worker, each thread in `block_on`, and the driver thread own one shard. The owner fires
//! its timers; the driver thread fires those of workers that are stuck in a poll. There is no
//! global lock.
//!
//! Only the owner ([`OwnTimers`]) and latency-critical threads ([`LatencyCritical`]) take the lock.
//! Other threads, which may have low priority and be preempted at any point, push an operation that
//! the owner carries out.
//!
//! # Publishing the next deadline
//!
//! ```text
//! owner, before it sleeps                   remote insert
//! 1. carry out the operations, fire         1. push the operation (SeqCst)
//! 2. publish the earliest deadline,         2. fence; read the published deadline
//!    still under the lock                   3. ours is earlier: wake the owner
//! 3. fence; an operation is there: again
//! 4. sleep until the deadline
//! ```
//!
//! If the remote side reads a deadline that is about to be replaced by a later one, then its push
//! came before the owner's step 2, and step 3 finds it (tokio#6682 published after the lock). A new
//! deadline for a timer takes the same way. The published deadline may be too early, where the
//! earliest timer has been removed or the wheel does not look closer, but never too late. Loom
//! model: `models::timers`.

use super::wheel::{Key, NEVER, Wheel};
use crate::latency_critical::LatencyCritical;
use evenkeel_sync::Mutex;
use evenkeel_sync::Stack;
use evenkeel_sync::atomic::{AtomicU64, AtomicUsize, Ordering, fence};
use evenkeel_sync::panics::drop_quietly;
use std::collections::BTreeMap;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::task::Waker;

/// The owner is woken every time that this many more operations wait.
const OPS_MAX: u64 = 1024;

/// What other threads ask for.
enum Op {
    Insert(RemoteId, u64, Waker),
    /// Takes over a timer of another shard, with a new deadline.
    Adopt(RemoteId, u64, Arc<TimerShard>, Key),
    Reset(RemoteId, u64),
    Forget(RemoteId),
    Remove(Key),
}

/// Names a timer that was set from another thread, which has no key for it yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RemoteId(u64);

/// The timers of one thread. On cache lines of its own, since a worker writes to its shard all the
/// time.
#[repr(align(128))]
pub(crate) struct TimerShard {
    timers: Mutex<Timers>,
    ops: Stack<Op>,
    ops_waiting: AtomicU64,
    /// No timer is due before this moment. Written under the lock.
    next_ns: AtomicU64,
    len: AtomicUsize,
    remote_ids: AtomicU64,
}

struct Timers {
    wheel: Wheel<Waker>,
    /// The keys of the timers that were set from other threads, until those threads forget them.
    remote: BTreeMap<RemoteId, Key>,
}

// No foreign code runs while anything in here is half done.
impl UnwindSafe for TimerShard {}
impl RefUnwindSafe for TimerShard {}

impl TimerShard {
    pub(crate) fn new() -> Self {
        TimerShard {
            timers: Mutex::new(Timers {
                wheel: Wheel::new(),
                remote: BTreeMap::new(),
            }),
            ops: Stack::new(),
            ops_waiting: AtomicU64::new(0),
            next_ns: AtomicU64::new(NEVER),
            len: AtomicUsize::new(0),
            remote_ids: AtomicU64::new(0),
        }
    }

    /// No timer is due before this, as last published.
    pub(crate) fn next_ns(&self) -> u64 {
        self.next_ns.load(Ordering::Relaxed)
    }

    /// The number of timers, for dumps.
    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// Others have asked for something that the owner has not carried out yet.
    #[cfg(all(feature = "test-util", not(evenkeel_loom)))]
    pub(crate) fn has_operations(&self) -> bool {
        !self.ops.is_empty()
    }

    /// True if more operations wait than should, because the owner sleeps.
    pub(crate) fn is_crowded(&self) -> bool {
        self.ops_waiting.load(Ordering::Relaxed) >= OPS_MAX
    }

    // ---- for threads that never pause for long ----

    /// Removes a timer, and returns its waker if it has not fired.
    pub(crate) fn remove(&self, key: Key, _proof: LatencyCritical<'_>) -> Option<Waker> {
        self.take(key)
    }

    /// As [`OwnTimers::fire`].
    #[must_use = "the wakers are to be woken"]
    pub(crate) fn fire(&self, now_ns: u64, _proof: LatencyCritical<'_>) -> Vec<Waker> {
        self.take_due(now_ns)
    }

    // ---- for all threads ----

    /// Sets a timer. True if the owner must be woken, because it sleeps for longer.
    pub(crate) fn insert_remote(&self, deadline_ns: u64, waker: Waker) -> (RemoteId, bool) {
        let id = self.remote_id();
        let crowded = self.push_op(Op::Insert(id, deadline_ns, waker));
        (id, crowded || self.sleeps_beyond(deadline_ns))
    }

    /// Takes over a timer of another shard with a new deadline, unless it has fired. The owner must
    /// be the driver thread, and must be woken.
    pub(crate) fn adopt_remote(
        &self,
        deadline_ns: u64,
        from: Arc<TimerShard>,
        key: Key,
    ) -> RemoteId {
        let id = self.remote_id();
        self.push_op(Op::Adopt(id, deadline_ns, from, key));
        id
    }

    /// Gives a timer another deadline, unless it has fired. True if the owner must be woken.
    pub(crate) fn reset_remote(&self, id: RemoteId, deadline_ns: u64) -> bool {
        let crowded = self.push_op(Op::Reset(id, deadline_ns));
        crowded || self.sleeps_beyond(deadline_ns)
    }

    /// Removes a timer that was set by such an operation. To be called for each of them, fired or
    /// not. True if the owner should be woken to clear up.
    pub(crate) fn forget_remote(&self, id: RemoteId) -> bool {
        self.push_op(Op::Forget(id))
    }

    /// Removes a timer that the owner has set. True if the owner should be woken to clear up.
    pub(crate) fn remove_remote(&self, key: Key) -> bool {
        self.push_op(Op::Remove(key))
    }

    fn remote_id(&self) -> RemoteId {
        RemoteId(self.remote_ids.fetch_add(1, Ordering::Relaxed))
    }

    /// True if the owner may look at the operation that was just pushed only after `deadline_ns`.
    fn sleeps_beyond(&self, deadline_ns: u64) -> bool {
        fence(Ordering::SeqCst);
        deadline_ns < self.next_ns()
    }

    fn push_op(&self, op: Op) -> bool {
        // Counted first: the owner subtracts what it has taken out.
        let waiting = self.ops_waiting.fetch_add(1, Ordering::Relaxed) + 1;
        self.ops.push(op);
        waiting.is_multiple_of(OPS_MAX)
    }

    // ---- under the lock ----

    /// Takes out all wakers: the owner goes away, and each timer must find another shard.
    pub(crate) fn drain(&self) -> Vec<Waker> {
        self.take_out(Wheel::drain)
    }

    fn take(&self, key: Key) -> Option<Waker> {
        let mut timers = self.timers.lock();
        let waker = timers.wheel.remove(key);
        self.publish(&timers.wheel);
        waker
    }

    fn take_due(&self, now_ns: u64) -> Vec<Waker> {
        self.take_out(|wheel| wheel.advance(now_ns))
    }

    fn take_out(&self, wakers: impl FnOnce(&mut Wheel<Waker>) -> Vec<Waker>) -> Vec<Waker> {
        let mut dropped = Vec::new();
        let mut timers = self.timers.lock();
        self.carry_out(&mut timers, &mut dropped);
        let wakers = wakers(&mut timers.wheel);
        // The earliest timer is looked for here only, where it is about to be needed.
        timers.wheel.earliest_ns();
        self.publish(&timers.wheel);
        drop(timers);
        dropped.into_iter().for_each(drop_quietly);
        wakers
    }

    /// Does what others have asked for. Under the lock, so that the operations keep their order.
    fn carry_out(&self, timers: &mut Timers, dropped: &mut Vec<Waker>) {
        if self.ops.is_empty() {
            return;
        }
        let ops = self.ops.take_all();
        self.ops_waiting
            .fetch_sub(ops.len() as u64, Ordering::Relaxed);
        for op in ops {
            dropped.extend(timers.carry_out(op));
        }
    }

    /// Publishes the earliest deadline. Called with the lock held.
    fn publish(&self, wheel: &Wheel<Waker>) {
        self.next_ns
            .store(wheel.earliest_known_ns(), Ordering::Relaxed);
        self.len.store(wheel.len(), Ordering::Relaxed);
    }
}

/// The timers of the calling thread: what their owner alone may do.
#[derive(Clone, Copy)]
pub(crate) struct OwnTimers<'a>(&'a Arc<TimerShard>);

impl<'a> OwnTimers<'a> {
    /// For those who know whose they are: a thread that holds its seat, one in `block_on`, the
    /// supervisor; and for tests.
    pub(crate) fn assume(shard: &'a Arc<TimerShard>) -> Self {
        OwnTimers(shard)
    }

    pub(crate) fn are(self, shard: &Arc<TimerShard>) -> bool {
        Arc::ptr_eq(self.0, shard)
    }

    pub(crate) fn shard(self) -> &'a Arc<TimerShard> {
        self.0
    }

    /// Sets a timer.
    pub(crate) fn insert(self, deadline_ns: u64, waker: Waker) -> Key {
        let mut timers = self.0.timers.lock();
        let key = timers.wheel.insert(deadline_ns, waker);
        self.0.publish(&timers.wheel);
        key
    }

    /// Replaces the waker of a timer. False if the timer has fired.
    pub(crate) fn update(self, key: Key, waker: &Waker) -> bool {
        match self.0.timers.lock().wheel.get_mut(key) {
            None => return false,
            Some(present) if present.will_wake(waker) => return true,
            Some(_) => {}
        }
        // Cloned while the lock is free; the timer may fire meanwhile.
        let mut waker = waker.clone();
        let mut timers = self.0.timers.lock();
        let present = timers.wheel.get_mut(key);
        let known = present.is_some();
        if let Some(present) = present {
            std::mem::swap(present, &mut waker);
        }
        drop(timers);
        drop_quietly(waker);
        known
    }

    /// Gives a timer another deadline, unless it has fired.
    pub(crate) fn reset(self, key: Key, deadline_ns: u64) {
        let mut timers = self.0.timers.lock();
        timers.wheel.reset(key, deadline_ns);
        self.0.publish(&timers.wheel);
    }

    /// Removes a timer, and returns its waker if it has not fired.
    pub(crate) fn remove(self, key: Key) -> Option<Waker> {
        self.0.take(key)
    }

    /// True if [`fire`](OwnTimers::fire) has something to do at `now_ns`.
    pub(crate) fn is_due(self, now_ns: impl FnOnce() -> u64) -> bool {
        let next = self.0.next_ns();
        (next != NEVER && next <= now_ns()) || !self.0.ops.is_empty()
    }

    /// Carries out what others have asked for, and returns the wakers of the timers that are due.
    /// The caller has to wake them while it holds no lock.
    #[must_use = "the wakers are to be woken"]
    pub(crate) fn fire(self, now_ns: u64) -> Vec<Waker> {
        self.0.take_due(now_ns)
    }

    /// Fires and publishes until no operation is left. Then the caller may sleep until the moment
    /// that is returned, in nanoseconds of the clock, or [`NEVER`].
    pub(crate) fn prepare_sleep(self, now_ns: u64, mut wake: impl FnMut(Waker)) -> u64 {
        loop {
            self.fire(now_ns).into_iter().for_each(&mut wake);
            fence(Ordering::SeqCst);
            if self.0.ops.is_empty() {
                return self.0.next_ns();
            }
        }
    }
}

/// What the calling thread may do with timers.
#[derive(Clone, Copy)]
pub(crate) struct ThreadTimers<'a> {
    /// Those that it keeps itself.
    pub(crate) own: Option<OwnTimers<'a>>,
    /// It may take the lock of others.
    pub(crate) critical: Option<LatencyCritical<'a>>,
}

impl ThreadTimers<'_> {
    /// Those of `shard`, if they are the thread's own.
    pub(crate) fn own(&self, shard: &Arc<TimerShard>) -> Option<OwnTimers<'_>> {
        self.own.filter(|own| own.are(shard))
    }

    /// Removes a timer, and gives its waker if it has not fired. An error if the thread may not.
    pub(crate) fn remove(&self, shard: &Arc<TimerShard>, key: Key) -> Result<Option<Waker>, ()> {
        match (self.own(shard), self.critical) {
            (Some(own), _) => Ok(own.remove(key)),
            (None, Some(proof)) => Ok(shard.remove(key, proof)),
            (None, None) => Err(()),
        }
    }
}

impl Timers {
    /// Returns the waker that is not needed any more.
    fn carry_out(&mut self, op: Op) -> Option<Waker> {
        match op {
            Op::Insert(id, deadline_ns, waker) => self.insert(id, deadline_ns, waker),
            Op::Adopt(id, deadline_ns, from, key) => {
                // A lock under a lock: that of the driver thread's shard, and that of one that
                // never adopts. This may be the last reference to that other shard, which then has
                // no timers left.
                if let Some(waker) = from.take(key) {
                    self.insert(id, deadline_ns, waker);
                }
            }
            Op::Reset(id, deadline_ns) => {
                if let Some(key) = self.remote.get(&id) {
                    self.wheel.reset(*key, deadline_ns);
                }
            }
            Op::Forget(id) => {
                let key = self.remote.remove(&id)?;
                return self.wheel.remove(key);
            }
            Op::Remove(key) => return self.wheel.remove(key),
        }
        None
    }

    fn insert(&mut self, id: RemoteId, deadline_ns: u64, waker: Waker) {
        let key = self.wheel.insert(deadline_ns, waker);
        self.remote.insert(id, key);
    }
}

#[cfg(all(test, not(evenkeel_loom)))]
mod tests {
    use super::*;
    use crate::panics::wake;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn own(shard: &Arc<TimerShard>) -> OwnTimers<'_> {
        OwnTimers::assume(shard)
    }

    fn fire(shard: &Arc<TimerShard>, now_ns: u64) -> usize {
        let due = own(shard).fire(now_ns);
        let count = due.len();
        due.into_iter().for_each(wake);
        count
    }

    fn noop() -> Waker {
        Waker::noop().clone()
    }

    #[test]
    fn the_deadline_that_is_published_is_never_too_late() {
        let shard = Arc::new(TimerShard::new());
        for deadline in [30, 10, 20, 40] {
            own(&shard).insert(deadline, noop());
        }
        assert_eq!(shard.next_ns(), 10);
        assert_eq!(fire(&shard, 5), 0);
        assert_eq!(fire(&shard, 35), 3);
        assert_eq!(shard.next_ns(), 40);
        let first = own(&shard).insert(38, noop());
        own(&shard).remove(first);
        assert!(shard.next_ns() <= 40);
        assert_eq!(own(&shard).prepare_sleep(36, wake), 40);
    }

    #[test]
    fn equal_deadlines_are_different_timers() {
        let shard = Arc::new(TimerShard::new());
        let first = own(&shard).insert(10, noop());
        let second = own(&shard).insert(10, noop());
        assert_ne!(first, second);
        assert!(own(&shard).remove(first).is_some());
        assert_eq!(fire(&shard, 10), 1);
        assert!(own(&shard).remove(second).is_none());
    }

    #[test]
    fn the_waker_that_was_set_last_is_woken() {
        let (old, new) = (Arc::new(Count(0.into())), Arc::new(Count(0.into())));
        let shard = Arc::new(TimerShard::new());
        let key = own(&shard).insert(10, old.clone().into());
        assert!(own(&shard).update(key, &new.clone().into()));
        assert_eq!(fire(&shard, 10), 1);
        assert_eq!(
            (old.0.load(Ordering::SeqCst), new.0.load(Ordering::SeqCst)),
            (0, 1)
        );
        assert!(
            !own(&shard).update(key, Waker::noop()),
            "a timer that has fired is not there"
        );
    }

    #[test]
    fn the_same_waker_again_is_not_cloned() {
        let count = Arc::new(Count(0.into()));
        let waker = Waker::from(count.clone());
        let shard = Arc::new(TimerShard::new());
        let key = own(&shard).insert(10, waker.clone());
        let before = Arc::strong_count(&count);
        assert!(own(&shard).update(key, &waker));
        assert_eq!(Arc::strong_count(&count), before);
    }

    #[test]
    fn operations_of_other_threads_are_carried_out_in_their_order() {
        let shard = Arc::new(TimerShard::new());
        let (id, wake) = shard.insert_remote(10, noop());
        assert!(wake, "the owner sleeps for ever");
        shard.forget_remote(id);
        assert_eq!(fire(&shard, 100), 0);
        own(&shard).insert(150, noop());
        let (id, wake) = shard.insert_remote(160, noop());
        assert!(!wake, "the owner wakes up before that by itself");
        assert!(!shard.reset_remote(id, 170));
        assert!(shard.reset_remote(id, 140));
        assert_eq!(fire(&shard, 139), 0);
        assert_eq!(fire(&shard, 140), 1);
        // Not one that has fired.
        shard.reset_remote(id, 1);
        shard.forget_remote(id);
        assert_eq!(fire(&shard, 149), 0);
        assert!(shard.timers.lock().remote.is_empty());
    }

    #[test]
    fn a_timer_that_is_adopted_fires_once_and_at_its_new_deadline() {
        let (old, new) = (Arc::new(TimerShard::new()), Arc::new(TimerShard::new()));
        let count = Arc::new(Count(0.into()));
        for fires_first in [false, true] {
            let key = own(&old).insert(10, count.clone().into());
            if fires_first {
                assert_eq!(fire(&old, 10), 1);
            }
            let id = new.adopt_remote(20, old.clone(), key);
            let before = count.0.load(Ordering::SeqCst);
            assert_eq!(fire(&new, 19), 0);
            assert_eq!((old.len(), fire(&old, 30)), (0, 0));
            assert_eq!(fire(&new, 20), usize::from(!fires_first));
            new.forget_remote(id);
            assert_eq!(fire(&new, 30), 0);
            assert_eq!(
                count.0.load(Ordering::SeqCst),
                before + usize::from(!fires_first)
            );
        }
    }

    /// An owner that sleeps for long is woken before operations pile up.
    #[test]
    fn operations_do_not_pile_up() {
        let shard = Arc::new(TimerShard::new());
        own(&shard).insert(1, noop());
        let wakes = (0..5 * OPS_MAX)
            .filter(|_| {
                let (id, wake) = shard.insert_remote(1000, noop());
                let wake = wake | shard.forget_remote(id);
                if wake {
                    assert_eq!(fire(&shard, 0), 0);
                }
                wake
            })
            .count();
        assert!((5..=10).contains(&wakes), "{wakes} wakes");
        assert_eq!(shard.len(), 1);
    }

    /// tokio#4129, #5578: a waker that calls back while it is dropped or woken.
    #[test]
    fn wakers_are_dropped_and_woken_outside_the_lock() {
        struct Reenter(Arc<TimerShard>);
        impl Wake for Reenter {
            fn wake(self: Arc<Self>) {
                own(&self.0).insert(u64::MAX - 1, noop());
            }
        }
        impl Drop for Reenter {
            fn drop(&mut self) {
                own(&self.0).insert(u64::MAX - 1, noop());
            }
        }
        let shard = Arc::new(TimerShard::new());
        let waker = || Waker::from(Arc::new(Reenter(shard.clone())));
        let removed = own(&shard).insert(10, waker());
        own(&shard).remove(removed);
        let updated = own(&shard).insert(10, waker());
        own(&shard).update(updated, &waker());
        shard.remove_remote(updated);
        let (forgotten, _) = shard.insert_remote(10, waker());
        shard.forget_remote(forgotten);
        own(&shard).insert(10, waker());
        assert_eq!(fire(&shard, 20), 1);
        assert!(shard.len() >= 5);
    }
}
