//! The inbox and the LIFO slot: `tasks::{inbox, slot}`.

use super::explore;
use crate::tasks::{
    Completed, DeferredWake, Id, Inbox, Registered, Schedule, Shard, SlotOwner, Task, new,
};
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;
use std::panic::Location;

struct Nowhere;

impl Schedule for Nowhere {
    type Caller<'a> = ();

    fn with_caller<R>(f: impl FnOnce(&()) -> R) -> R {
        f(&())
    }

    fn schedule(&self, (): &(), _: Task) {}

    fn may_wake(&self, (): &()) -> bool {
        true
    }

    fn defer(&self, (): &(), _: DeferredWake) {}

    fn may_settle(&self, (): &()) -> bool {
        true
    }

    fn hand_back(&self, (): &(), task: Task) -> Result<(), Task> {
        Err(task)
    }

    fn register(&self, (): &(), _: Registered) -> Option<Shard> {
        None
    }

    unsafe fn unregister(&self, _: &Completed) -> Option<Registered> {
        None
    }
}

pub(super) fn task(runs: &Arc<AtomicUsize>) -> Task {
    let runs = runs.clone();
    let future = async move {
        runs.fetch_add(1, Ordering::SeqCst);
    };
    new(future, Nowhere, Id::next(), Location::caller()).0
}

/// A task that reads, without synchronisation of its own, what its pusher wrote before the push.
fn published_task(runs: &Arc<AtomicUsize>) -> Task {
    struct Written(UnsafeCell<u32>);
    // SAFETY: the push publishes it, which is what the model is about: loom reports a race.
    unsafe impl Send for Written {}
    let (runs, written) = (runs.clone(), Written(UnsafeCell::new(0)));
    written.0.with_mut(|value| {
        // SAFETY: nobody else has it yet.
        unsafe { *value = 1 };
    });
    let future = async move {
        let written = written;
        written.0.with(|value| {
            // SAFETY: nobody writes it any more.
            assert_eq!(unsafe { *value }, 1);
        });
        runs.fetch_add(1, Ordering::SeqCst);
    };
    new(future, Nowhere, Id::next(), Location::caller()).0
}

/// Two pushers against two takers: every task comes out exactly once.
///
/// Caught: `push` that stores the head in place of the compare-exchange.
#[test]
fn push_against_take() {
    explore(Some(3), || {
        let inbox = Arc::new(Inbox::new());
        let runs = Arc::new(AtomicUsize::new(0));
        let pushers: Vec<_> = (0..2)
            .map(|_| {
                let (inbox, runs) = (inbox.clone(), runs.clone());
                thread::spawn(move || inbox.push(task(&runs)).unwrap())
            })
            .collect();
        let take = |inbox: &Inbox| {
            inbox
                .take_all()
                .for_each(|task| assert!(task.run().is_none()));
        };
        take(&inbox);
        pushers
            .into_iter()
            .for_each(|pusher| pusher.join().unwrap());
        take(&inbox);
        assert_eq!(runs.load(Ordering::SeqCst), 2);
    });
}

/// A push against the close: the task is in the batch, or comes back to the pusher.
///
/// Caught: `take_all` that swaps null in without regard for CLOSED; `push` with Relaxed.
#[test]
fn push_and_take_against_close() {
    explore(Some(3), || {
        let inbox = Arc::new(Inbox::new());
        let runs = Arc::new(AtomicUsize::new(0));
        let refused = Arc::new(AtomicUsize::new(0));
        let pusher = thread::spawn({
            let (inbox, refused, runs) = (inbox.clone(), refused.clone(), runs.clone());
            move || {
                if let Err(task) = inbox.push(published_task(&runs)) {
                    refused.fetch_add(1, Ordering::SeqCst);
                    drop(task);
                }
            }
        });
        let taker = thread::spawn({
            let inbox = inbox.clone();
            move || {
                inbox
                    .take_all()
                    .for_each(|task| assert!(task.run().is_none()))
            }
        });
        inbox.close().for_each(|task| assert!(task.run().is_none()));
        pusher.join().unwrap();
        taker.join().unwrap();
        assert!(inbox.push(task(&runs)).is_err(), "the inbox opened again");
        assert_eq!(
            runs.load(Ordering::SeqCst) + refused.load(Ordering::SeqCst),
            1
        );
    });
}

/// The owner of a LIFO slot puts two tasks in and takes what is left, while a shutdown empties it:
/// each task comes out once, and whoever has it sees what the owner wrote before.
///
/// Caught: `put` that stores where it should swap; `put` without its release; `take` that loads and
/// then stores.
#[test]
fn next_slot_against_shutdown() {
    explore(None, || {
        let owner = SlotOwner::new();
        let runs = Arc::new(AtomicUsize::new(0));
        let shutdown = thread::spawn({
            let slot = owner.slot().clone();
            move || slot.take().into_iter().for_each(run)
        });
        for _ in 0..2 {
            owner.put(published_task(&runs)).into_iter().for_each(run);
        }
        owner.slot().take().into_iter().for_each(run);
        shutdown.join().unwrap();
        assert_eq!(runs.load(Ordering::SeqCst), 2);
    });
}

pub(super) fn run(task: Task) {
    assert!(task.run().is_none());
}
