//! The timers of one thread.
//!
//! Every IO worker, every thread in `block_on`, and the driver thread own one shard each. Its owner fires
//! it; the driver thread fires those of workers that are stuck in a poll. There is no global lock.
//!
//! Rule: only IO workers, the owner and the driver thread take the lock. All others, which may be of
//! low priority and preempted at any point, push an operation that the owner carries out.
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
//! If the remote side reads a deadline that is about to be replaced by a later one, its push came before
//! the owner's step 2, so step 3 finds it (tokio#6682 published after the lock). Loom model:
//! `models::timers`.

use crate::panics::{contain, drop_quietly};
use crate::stack::Stack;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering, fence};
use std::collections::BTreeMap;
use std::task::Waker;

/// No deadline at all.
pub(crate) const NEVER: u64 = u64::MAX;

/// More operations than this waiting, and the owner is woken to clear them away.
const OPS_MAX: u64 = 1024;

/// A timer in a shard: its deadline in nanoseconds of the [`clock`](super::clock), and a number that
/// tells timers of the same deadline apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) deadline_ns: u64,
    number: u64,
}

enum Op {
    Insert(Key, Waker),
    Remove(Key),
}

pub(crate) struct Shard {
    timers: Mutex<BTreeMap<Key, Waker>>,
    ops: Stack<Op>,
    ops_waiting: AtomicU64,
    /// The earliest deadline, or `NEVER`. Written under the lock.
    next_ns: AtomicU64,
    len: AtomicUsize,
    numbers: AtomicU64,
}

impl Shard {
    pub(crate) fn new() -> Self {
        Shard {
            timers: Mutex::new(BTreeMap::new()),
            ops: Stack::new(),
            ops_waiting: AtomicU64::new(0),
            next_ns: AtomicU64::new(NEVER),
            len: AtomicUsize::new(0),
            numbers: AtomicU64::new(0),
        }
    }

    /// The earliest deadline as last published.
    pub(crate) fn next_ns(&self) -> u64 {
        self.next_ns.load(Ordering::Relaxed)
    }

    /// The number of timers, for dumps.
    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// More operations wait than should, because the owner sleeps.
    pub(crate) fn is_crowded(&self) -> bool {
        self.ops_waiting.load(Ordering::Relaxed) >= OPS_MAX
    }

    fn key(&self, deadline_ns: u64) -> Key {
        Key {
            deadline_ns,
            number: self.numbers.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// Sets a timer. For threads that may take the lock.
    pub(crate) fn insert(&self, deadline_ns: u64, waker: Waker) -> Key {
        let key = self.key(deadline_ns);
        let mut timers = self.timers.lock();
        timers.insert(key, waker);
        self.publish(&timers);
        key
    }

    /// Sets a timer from any thread. True if the owner must be woken, because it sleeps for longer.
    pub(crate) fn insert_remote(&self, deadline_ns: u64, waker: Waker) -> (Key, bool) {
        let key = self.key(deadline_ns);
        let crowded = self.push_op(Op::Insert(key, waker));
        fence(Ordering::SeqCst);
        (key, crowded || deadline_ns < self.next_ns())
    }

    /// Replaces the waker of a timer. False if it has fired.
    pub(crate) fn update(&self, key: Key, waker: Waker) -> bool {
        let mut dropped = Vec::new();
        let mut timers = self.timers.lock();
        self.carry_out(&mut timers, &mut dropped);
        let slot = timers.get_mut(&key);
        let known = slot.is_some();
        dropped.extend(slot.map(|slot| std::mem::replace(slot, waker)));
        self.publish(&timers);
        drop(timers);
        dropped.into_iter().for_each(drop_quietly);
        known
    }

    /// Forgets a timer. For threads that may take the lock.
    pub(crate) fn remove(&self, key: Key) {
        let mut dropped = Vec::new();
        let mut timers = self.timers.lock();
        self.carry_out(&mut timers, &mut dropped);
        dropped.extend(timers.remove(&key));
        self.publish(&timers);
        drop(timers);
        dropped.into_iter().for_each(drop_quietly);
    }

    /// Forgets a timer, from any thread. True if the owner should be woken to clear up.
    pub(crate) fn remove_remote(&self, key: Key) -> bool {
        self.push_op(Op::Remove(key))
    }

    fn push_op(&self, op: Op) -> bool {
        // Counted first: the owner takes off what it has taken out.
        let waiting = self.ops_waiting.fetch_add(1, Ordering::Relaxed) + 1;
        self.ops.push(op);
        waiting.is_multiple_of(OPS_MAX)
    }

    /// True if [`fire`](Shard::fire) has something to do at `now_ns`.
    pub(crate) fn is_due(&self, now_ns: impl FnOnce() -> u64) -> bool {
        let next = self.next_ns();
        (next != NEVER && next <= now_ns()) || !self.ops.is_empty()
    }

    /// Carries out what others have asked for, and returns the wakers of the timers that are due. They
    /// are to be woken by the caller, who holds no lock.
    #[must_use = "the wakers are to be woken"]
    pub(crate) fn fire(&self, now_ns: u64) -> Vec<Waker> {
        let mut dropped = Vec::new();
        let mut timers = self.timers.lock();
        self.carry_out(&mut timers, &mut dropped);
        let mut due = Vec::new();
        while let Some(first) = timers.first_entry() {
            if first.key().deadline_ns > now_ns {
                break;
            }
            due.push(first.remove());
        }
        self.publish(&timers);
        drop(timers);
        dropped.into_iter().for_each(drop_quietly);
        due
    }

    /// Does what others have asked for. Under the lock, so that whoever has it knows all timers that
    /// were set before.
    fn carry_out(&self, timers: &mut BTreeMap<Key, Waker>, dropped: &mut Vec<Waker>) {
        if self.ops.is_empty() {
            return;
        }
        let ops = self.ops.take_all();
        self.ops_waiting
            .fetch_sub(ops.len() as u64, Ordering::Relaxed);
        for op in ops {
            match op {
                Op::Insert(key, waker) => dropped.extend(timers.insert(key, waker)),
                Op::Remove(key) => dropped.extend(timers.remove(&key)),
            }
        }
    }

    /// Fires and publishes until no operation is left; then the caller may sleep until the deadline
    /// that is returned (nanoseconds of the clock, or `NEVER`).
    pub(crate) fn prepare_sleep(&self, now_ns: u64, mut wake: impl FnMut(Waker)) -> u64 {
        loop {
            self.fire(now_ns).into_iter().for_each(&mut wake);
            fence(Ordering::SeqCst);
            if self.ops.is_empty() {
                return self.next_ns();
            }
        }
    }

    /// Takes every waker out: the owner is going away, and each timer must find another shard.
    pub(crate) fn drain(&self) -> Vec<Waker> {
        self.fire(NEVER)
    }

    /// Called with the lock held.
    fn publish(&self, timers: &BTreeMap<Key, Waker>) {
        let next = timers
            .first_key_value()
            .map_or(NEVER, |(key, _)| key.deadline_ns);
        self.next_ns.store(next, Ordering::Relaxed);
        self.len.store(timers.len(), Ordering::Relaxed);
    }
}

/// Wakes, and keeps a panic of the waker, which may be any executor's, from the runtime's thread.
pub(crate) fn wake(waker: Waker) {
    if !contain(|| waker.wake()) {
        tracing::error!("a waker panicked");
    }
}

#[cfg(all(test, not(evenkeel_loom)))]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;
    use std::time::Duration;

    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn fire(shard: &Shard, now_ns: u64) -> usize {
        let due = shard.fire(now_ns);
        let count = due.len();
        due.into_iter().for_each(wake);
        count
    }

    fn noop() -> Waker {
        Waker::noop().clone()
    }

    /// The boundaries at which timer wheels and timeouts of 32 bits have wrapped: tokio#8334 (12 days),
    /// mio#1948 (24.8 days), and the ends of the range.
    #[test]
    fn deadlines_at_every_boundary() {
        const DAY: u64 = 86_400_000_000_000;
        let days = [0, 1, 12, 13, 24, 25, 49, 50, 365, 200 * 365];
        let exact = days.iter().map(|day| day * DAY);
        let powers = (0..63).map(|bit| 1_u64 << bit);
        for deadline in exact
            .chain(powers)
            .flat_map(|at| [at.saturating_sub(1), at, at + 1])
        {
            let shard = Shard::new();
            shard.insert(deadline, noop());
            assert_eq!(shard.next_ns(), deadline);
            if deadline > 0 {
                assert_eq!(fire(&shard, deadline - 1), 0, "{deadline} ns fired early");
            }
            assert_eq!(fire(&shard, deadline), 1, "{deadline} ns did not fire");
            assert_eq!(shard.next_ns(), NEVER);
        }
    }

    /// A clock that jumps ahead fires all that is due, in order; one that stands still fires nothing.
    #[test]
    fn a_clock_that_jumps() {
        let shard = Shard::new();
        for deadline in [30, 10, 20, 40] {
            shard.insert(deadline, noop());
        }
        assert_eq!(fire(&shard, 5), 0);
        assert_eq!(fire(&shard, 5), 0);
        assert_eq!(fire(&shard, 35), 3);
        assert_eq!(shard.next_ns(), 40);
    }

    #[test]
    fn equal_deadlines_are_different_timers() {
        let shard = Shard::new();
        let first = shard.insert(10, noop());
        let second = shard.insert(10, noop());
        assert_ne!(first, second);
        shard.remove(first);
        assert_eq!(fire(&shard, 10), 1);
        shard.remove(second);
    }

    #[test]
    fn the_waker_that_was_set_last_is_woken() {
        let (old, new) = (Arc::new(Count(0.into())), Arc::new(Count(0.into())));
        let shard = Shard::new();
        let key = shard.insert(10, old.clone().into());
        assert!(shard.update(key, new.clone().into()));
        assert_eq!(fire(&shard, 10), 1);
        assert_eq!(
            (old.0.load(Ordering::SeqCst), new.0.load(Ordering::SeqCst)),
            (0, 1)
        );
        assert!(
            !shard.update(key, noop()),
            "a timer that has fired is not there"
        );
    }

    #[test]
    fn operations_of_other_threads_are_carried_out_in_their_order() {
        let shard = Shard::new();
        let (key, wake) = shard.insert_remote(10, noop());
        assert!(wake, "the owner sleeps for ever");
        shard.remove_remote(key);
        assert_eq!(fire(&shard, 100), 0);
        shard.insert(50, noop());
        let (_, wake) = shard.insert_remote(60, noop());
        assert!(!wake, "the owner wakes up before that by itself");
    }

    /// An owner that sleeps for long is woken before the operations of others pile up.
    #[test]
    fn operations_do_not_pile_up() {
        let shard = Shard::new();
        shard.insert(1, noop());
        let wakes = (0..5 * OPS_MAX)
            .filter(|_| {
                let (key, wake) = shard.insert_remote(1000, noop());
                let wake = wake | shard.remove_remote(key);
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
        struct Reenter(Arc<Shard>);
        impl Wake for Reenter {
            fn wake(self: Arc<Self>) {
                self.0.insert(u64::MAX - 1, noop());
            }
        }
        impl Drop for Reenter {
            fn drop(&mut self) {
                self.0.insert(u64::MAX - 1, noop());
            }
        }
        let shard = Arc::new(Shard::new());
        let waker = || Waker::from(Arc::new(Reenter(shard.clone())));
        let removed = shard.insert(10, waker());
        shard.remove(removed);
        let updated = shard.insert(10, waker());
        shard.update(updated, waker());
        shard.remove_remote(updated);
        shard.insert(10, waker());
        assert_eq!(fire(&shard, 20), 1);
        assert!(shard.len() >= 4);
    }

    #[test]
    fn a_waker_that_panics_is_kept_from_the_owner() {
        struct Panics;
        impl Wake for Panics {
            fn wake(self: Arc<Self>) {
                panic!("from a waker");
            }
        }
        wake(Waker::from(Arc::new(Panics)));
    }

    #[test]
    fn the_clock_takes_every_instant() {
        use crate::time::clock;
        let now = std::time::Instant::now();
        assert!(clock::to_ns(now) <= clock::now_ns());
        let year = Duration::from_secs(365 * 86_400);
        assert!(clock::to_ns(now + 500 * year) > clock::to_ns(now + 499 * year));
        if let Some(before) = now.checked_sub(year) {
            assert_eq!(
                clock::to_ns(before),
                0,
                "what lies before the start is due at once"
            );
        }
        assert_eq!(clock::until(0), Duration::ZERO);
    }
}
