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
//! `models::timer_publish`.

use crate::stack::Stack;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU64, Ordering, fence};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
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
    numbers: AtomicU64,
}

impl Shard {
    pub(crate) fn new() -> Self {
        Shard {
            timers: Mutex::new(BTreeMap::new()),
            ops: Stack::new(),
            ops_waiting: AtomicU64::new(0),
            next_ns: AtomicU64::new(NEVER),
            numbers: AtomicU64::new(0),
        }
    }

    /// The earliest deadline as last published.
    pub(crate) fn next_ns(&self) -> u64 {
        self.next_ns.load(Ordering::Relaxed)
    }

    /// The number of timers, for dumps.
    pub(crate) fn len(&self) -> usize {
        self.timers.lock().len()
    }

    fn key(&self, deadline_ns: u64) -> Key {
        Key { deadline_ns, number: self.numbers.fetch_add(1, Ordering::Relaxed) }
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

    /// Replaces the waker of a timer. False if it has fired, or is not there yet.
    pub(crate) fn update(&self, key: Key, waker: Waker) -> bool {
        let mut timers = self.timers.lock();
        let slot = timers.get_mut(&key);
        let known = slot.is_some();
        let old = slot.map(|slot| std::mem::replace(slot, waker));
        drop(timers);
        drop(old);
        known
    }

    /// Forgets a timer. For threads that may take the lock.
    pub(crate) fn remove(&self, key: Key) {
        let mut timers = self.timers.lock();
        let waker = timers.remove(&key);
        self.publish(&timers);
        drop(timers);
        drop(waker);
    }

    /// Forgets a timer, from any thread. True if the owner should be woken to clear up.
    pub(crate) fn remove_remote(&self, key: Key) -> bool {
        self.push_op(Op::Remove(key))
    }

    fn push_op(&self, op: Op) -> bool {
        self.ops.push(op);
        self.ops_waiting.fetch_add(1, Ordering::Relaxed) == OPS_MAX
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
        let ops = if self.ops.is_empty() { Vec::new() } else { self.ops.take_all() };
        self.ops_waiting.fetch_sub(ops.len() as u64, Ordering::Relaxed);
        let mut timers = self.timers.lock();
        for op in ops {
            match op {
                Op::Insert(key, waker) => dropped.extend(timers.insert(key, waker)),
                Op::Remove(key) => dropped.extend(timers.remove(&key)),
            }
        }
        let mut due = Vec::new();
        while let Some(first) = timers.first_entry() {
            if first.key().deadline_ns > now_ns {
                break;
            }
            due.push(first.remove());
        }
        self.publish(&timers);
        drop(timers);
        drop(dropped);
        due
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
        let next = timers.first_key_value().map_or(NEVER, |(key, _)| key.deadline_ns);
        self.next_ns.store(next, Ordering::Relaxed);
    }
}

/// Wakes, and keeps a panic of the waker, which may be any executor's, from the runtime's thread.
pub(crate) fn wake(waker: Waker) {
    if catch_unwind(AssertUnwindSafe(|| waker.wake())).is_err() {
        tracing::error!("a waker panicked when a timer fired");
    }
}
