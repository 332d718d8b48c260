//! The wakers that wait for one half of a source, behind a lock that nobody ever waits for.
//!
//! # Protocol
//! A preempted low-priority thread may hold the lock at any time, so the driver and the workers
//! only try it. Who fails leaves a request in `pending`, and whoever unlocks looks there:
//!
//! Requester (`request`)                       Holder
//! 1. `pending |= what` (RMW)                  1. try the lock: got it
//! 2. try the lock; failed: done               2. change the waiters
//! 3. got it: take `pending`, carry it out     3. unlock
//! 4. unlock, wake, then holder's step 4       4. `pending.swap(0)` (RMW); not 0: `request` it
//!
//! Both touch `pending` with a read-modify-write, so one comes first. If the requester's is first,
//! the holder's step 4 sees the request. If the holder's is first, the requester's step 1 reads
//! from it, and so sees the unlock that came before it: its try fails only for another, later
//! holder, whose step 4 is yet to come. A plain load in step 4 could miss the request.
//!
//! Readiness against a new waiter: the driver sets the readiness (in `half.rs`) before it tries the
//! lock, and a registrant looks at the readiness again after its step 4. If the driver got the lock
//! first, the registrant's look sees the readiness, through the lock. If the registrant got it
//! first, the driver takes its waker, or has its request carried out by the holder.
//!
//! A request outlives the slot's owner: one left by a late event may be carried out for the next
//! owner. That is why requests may only wake or remove what was cancelled: a wake too many is
//! harmless, a waker too few is not.
//!
//! Models: `loom_tests.rs`.

use std::sync::Arc;
use std::task::Waker;

use evenkeel_sync::TryLock;
use evenkeel_sync::atomic::{AtomicBool, AtomicU8, Ordering};
use evenkeel_sync::panics::{contain, drop_quietly, log};
use slab::Slab;

/// Request: wake every waiter.
const WAKE: u8 = 1;
/// Request: remove the waiters whose future is gone.
const SWEEP: u8 = 1 << 1;

/// The lock was taken: the caller must not wait, but try again later.
#[derive(Debug)]
pub(crate) struct Contended;

#[derive(Debug, Default)]
pub(crate) struct Waiters {
    queue: TryLock<Queue>,
    /// What is to be done by whoever holds `queue`.
    pending: AtomicU8,
}

#[derive(Debug, Default)]
struct Queue {
    /// The last caller of a `poll_*` method.
    poller: Option<Waker>,
    /// The readiness futures.
    futures: Slab<Entry>,
}

#[derive(Debug)]
struct Entry {
    ticket: Arc<Ticket>,
    waker: Waker,
}

/// Shared by a readiness future and its entries.
#[derive(Debug, Default)]
pub(crate) struct Ticket {
    cancelled: AtomicBool,
}

impl Waiters {
    /// Makes `waker` the one that `poll_*` callers wait with.
    pub(crate) fn set_poller(&self, waker: Waker) -> Result<(), Contended> {
        let mut queue = self.queue.try_lock().ok_or(Contended)?;
        let replaced = queue.poller.replace(waker);
        drop(queue);
        self.settle();
        drop_quietly(replaced);
        Ok(())
    }

    /// Puts the future that holds `ticket` into the queue, or renews its waker there. `key` is
    /// where it is; it may be out of date, as every wake empties the queue.
    pub(crate) fn set_future(
        &self,
        ticket: &Arc<Ticket>,
        key: &mut Option<usize>,
        waker: Waker,
    ) -> Result<(), Contended> {
        let mut queue = self.queue.try_lock().ok_or(Contended)?;
        let replaced = match queue.entry_of(ticket, *key) {
            Some(entry) => Some(std::mem::replace(&mut entry.waker, waker)),
            None => {
                *key = Some(queue.futures.insert(Entry {
                    ticket: Arc::clone(ticket),
                    waker,
                }));
                None
            }
        };
        drop(queue);
        self.settle();
        drop_quietly(replaced);
        Ok(())
    }

    /// Takes the future that holds `ticket` out, at once or, if the lock is taken, by its holder.
    pub(crate) fn remove_future(&self, ticket: &Arc<Ticket>, key: usize) {
        let Some(mut queue) = self.queue.try_lock() else {
            ticket.cancelled.store(true, Ordering::Release);
            return self.request(SWEEP);
        };
        let removed = queue
            .entry_of(ticket, Some(key))
            .is_some()
            .then(|| queue.futures.remove(key));
        drop(queue);
        self.settle();
        drop_quietly(removed);
    }

    /// Wakes every waiter.
    pub(crate) fn wake_all(&self) {
        let Some(mut queue) = self.queue.try_lock() else {
            return self.request(WAKE);
        };
        let taken = queue.take_all();
        drop(queue);
        self.settle();
        taken.for_each(wake);
    }

    /// Forgets every waiter; the owner of the slot is gone. With the lock taken they are woken
    /// instead, for no other request may outlive the owner.
    pub(crate) fn forget_all(&self) {
        let Some(mut queue) = self.queue.try_lock() else {
            return self.request(WAKE);
        };
        let taken = queue.take_all();
        // What the last owner's futures needed is not kept for an owner that may have none.
        let room = std::mem::take(&mut queue.futures);
        drop(queue);
        self.settle();
        taken.for_each(drop_quietly);
        drop(room);
    }

    /// Holds the lock while `during` runs: what a thread preempted there would do.
    #[cfg(all(test, not(evenkeel_loom)))]
    pub(crate) fn hold(&self, during: impl FnOnce()) {
        let queue = self.queue.try_lock();
        during();
        drop(queue);
        self.settle();
    }

    /// The holder's step 4; every unlock is followed by it.
    fn settle(&self) {
        let left = self.pending.swap(0, Ordering::AcqRel);
        if left != 0 {
            self.request(left);
        }
    }

    fn request(&self, what: u8) {
        let mut what = what;
        while what != 0 {
            self.pending.fetch_or(what, Ordering::AcqRel);
            let Some(mut queue) = self.queue.try_lock() else {
                return;
            };
            let asked = self.pending.swap(0, Ordering::AcqRel);
            let (woken, swept) = queue.carry_out(asked);
            drop(queue);
            woken.for_each(wake);
            swept.into_iter().for_each(drop_quietly);
            what = self.pending.swap(0, Ordering::AcqRel);
        }
    }
}

impl Queue {
    fn entry_of(&mut self, ticket: &Arc<Ticket>, key: Option<usize>) -> Option<&mut Entry> {
        self.futures
            .get_mut(key?)
            .filter(|entry| Arc::ptr_eq(&entry.ticket, ticket))
    }

    fn take_all(&mut self) -> Taken {
        let mut taken = Taken {
            first: self.poller.take(),
            rest: Vec::new(),
        };
        for entry in self.futures.drain() {
            taken.push(entry.waker);
        }
        taken
    }

    /// Returns whom to wake and what to drop, for after the unlock.
    fn carry_out(&mut self, asked: u8) -> (Taken, Vec<Entry>) {
        let swept = if asked & SWEEP != 0 {
            self.take_cancelled()
        } else {
            Vec::new()
        };
        let woken = if asked & WAKE != 0 {
            self.take_all()
        } else {
            Taken::default()
        };
        (woken, swept)
    }

    fn take_cancelled(&mut self) -> Vec<Entry> {
        let cancelled = |(key, entry): (usize, &Entry)| {
            entry
                .ticket
                .cancelled
                .load(Ordering::Acquire)
                .then_some(key)
        };
        let keys: Vec<usize> = self.futures.iter().filter_map(cancelled).collect();
        keys.into_iter()
            .map(|key| self.futures.remove(key))
            .collect()
    }
}

/// Wakers on their way out of the lock. The first needs no allocation: mostly there is one.
#[derive(Default)]
struct Taken {
    first: Option<Waker>,
    rest: Vec<Waker>,
}

impl Taken {
    fn push(&mut self, waker: Waker) {
        match self.first {
            None => self.first = Some(waker),
            Some(_) => self.rest.push(waker),
        }
    }

    fn for_each(self, f: impl FnMut(Waker)) {
        self.first.into_iter().chain(self.rest).for_each(f);
    }
}

/// Wakes, and keeps a panic of the waker, which may be any executor's, from the driver and from the
/// other waiters.
fn wake(waker: Waker) {
    if !contain(|| waker.wake()) {
        log(|| tracing::error!("a waker panicked when its source became ready"));
    }
}

#[cfg(all(test, not(evenkeel_loom)))]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Count {
        fn woken(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn holder_wakes_for_whom_the_lock_was_taken() {
        let (waiters, count) = (Waiters::default(), Arc::new(Count::default()));
        waiters.set_poller(Arc::clone(&count).into()).unwrap();
        waiters.hold(|| {
            waiters.wake_all();
            assert_eq!(count.woken(), 0);
            assert!(waiters.set_poller(Waker::noop().clone()).is_err());
        });
        assert_eq!(count.woken(), 1);
    }

    #[test]
    fn holder_removes_a_future_dropped_meanwhile_and_no_other() {
        let (waiters, count) = (Waiters::default(), Arc::new(Count::default()));
        let gone = Arc::new(Ticket::default());
        let stays = Arc::new(Ticket::default());
        let mut key = None;
        waiters
            .set_future(&gone, &mut key, Waker::noop().clone())
            .unwrap();
        waiters
            .set_future(&stays, &mut None, Arc::clone(&count).into())
            .unwrap();
        waiters.hold(|| waiters.remove_future(&gone, key.unwrap()));
        assert_eq!(
            Arc::strong_count(&gone),
            1,
            "the entry still holds its ticket"
        );
        waiters.wake_all();
        assert_eq!(count.woken(), 1);
    }

    #[test]
    fn a_key_that_has_gone_to_another_future_is_not_touched() {
        let (waiters, count) = (Waiters::default(), Arc::new(Count::default()));
        let (first, second) = (Arc::new(Ticket::default()), Arc::new(Ticket::default()));
        let (mut old, mut new) = (None, None);
        waiters
            .set_future(&first, &mut old, Waker::noop().clone())
            .unwrap();
        waiters.wake_all();
        waiters
            .set_future(&second, &mut new, Arc::clone(&count).into())
            .unwrap();
        assert_eq!(old, new, "the test wants the same place used again");
        waiters.remove_future(&first, old.unwrap());
        waiters.wake_all();
        assert_eq!(count.woken(), 1);
    }

    /// On whatever thread, in a turn of the driver too: several at once, with payloads that panic
    /// as well.
    #[test]
    fn wakers_that_panic_when_they_are_dropped_harm_nobody() {
        struct Payload;
        impl Drop for Payload {
            fn drop(&mut self) {
                panic!("the payload");
            }
        }
        struct Explode;
        impl Wake for Explode {
            fn wake(self: Arc<Self>) {}
        }
        impl Drop for Explode {
            fn drop(&mut self) {
                std::panic::panic_any(Payload);
            }
        }
        let (waiters, count) = (Waiters::default(), Arc::new(Count::default()));
        let futures = [(); 3].map(|()| {
            let (ticket, mut key) = (Arc::new(Ticket::default()), None);
            let waker = Waker::from(Arc::new(Explode));
            waiters.set_future(&ticket, &mut key, waker).unwrap();
            (ticket, key.unwrap())
        });
        waiters.set_poller(Arc::new(Explode).into()).unwrap();
        waiters.set_poller(Arc::clone(&count).into()).unwrap();
        // Swept together.
        waiters.hold(|| {
            for (ticket, key) in &futures[..2] {
                waiters.remove_future(ticket, *key);
            }
        });
        waiters.remove_future(&futures[2].0, futures[2].1);
        waiters.wake_all();
        assert_eq!(count.woken(), 1);
        waiters.set_poller(Arc::new(Explode).into()).unwrap();
        waiters.forget_all();
    }

    #[test]
    fn what_the_last_owners_futures_needed_is_given_back() {
        let waiters = Waiters::default();
        for _ in 0..100 {
            let (ticket, waker) = (Arc::new(Ticket::default()), Waker::noop().clone());
            waiters.set_future(&ticket, &mut None, waker).unwrap();
        }
        waiters.forget_all();
        let queue = waiters.queue.try_lock().unwrap();
        assert_eq!(queue.futures.capacity(), 0);
    }

    #[test]
    fn a_waker_that_panics_harms_nobody_else() {
        struct Panics;
        impl Wake for Panics {
            fn wake(self: Arc<Self>) {
                panic!("from a waker");
            }
        }
        let (waiters, count) = (Waiters::default(), Arc::new(Count::default()));
        waiters.set_poller(Arc::new(Panics).into()).unwrap();
        let ticket = Arc::new(Ticket::default());
        waiters
            .set_future(&ticket, &mut None, Arc::clone(&count).into())
            .unwrap();
        waiters.wake_all();
        assert_eq!(count.woken(), 1);
    }
}
