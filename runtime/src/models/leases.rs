//! Who has a worker's seat: `scheduler::lease`.
//!
//! Of the steps of `scheduler::{seat, run, takeover}` the models keep those that touch the seat.
//! The thread that takes it sits down there itself; in the runtime a spare does, which is called
//! under a lock.

use super::explore;
use super::inboxes::{run, task};
use crate::scheduler::lease::Lease;
use crate::tasks::SlotOwner;
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use loom::thread;

/// What belongs to a seat.
struct Seat {
    /// The owner's end of the deque: loom reports two who are there at once, or one who does not
    /// see what the other did.
    owned: UnsafeCell<u32>,
    /// As in `scheduler::seat::Status`: the number of the poll, and its task, which is zero between
    /// polls.
    polls: AtomicU64,
    task: AtomicU64,
}

// SAFETY: `owned` is used by whoever has the seat, which is what the models are about.
unsafe impl Sync for Seat {}

impl Seat {
    fn new() -> Arc<Seat> {
        Arc::new(Seat {
            owned: UnsafeCell::new(0),
            polls: AtomicU64::new(0),
            task: AtomicU64::new(0),
        })
    }

    /// For whoever has the seat.
    fn use_it(&self) {
        self.owned.with_mut(|owned| {
            // SAFETY: if `Lease` is right, nobody else is here.
            unsafe { *owned += 1 };
        });
    }

    fn begin_poll(&self) -> u64 {
        let number = self.polls.load(Ordering::Relaxed) + 1;
        self.polls.store(number, Ordering::Relaxed);
        self.task.store(100 + number, Ordering::Relaxed);
        number
    }

    fn end_poll(&self) {
        self.task.store(0, Ordering::Relaxed);
    }

    fn current_poll(&self) -> Option<(u64, u64)> {
        let number = self.polls.load(Ordering::Relaxed);
        let task = self.task.load(Ordering::Relaxed);
        (task != 0).then_some((number, task))
    }
}

/// Of a thread that holds the seat.
fn held() -> Arc<Lease> {
    let lease = Arc::new(Lease::new());
    assert!(lease.acquire());
    lease
}

/// Takes the seat if it can, and uses it. True if it did.
fn take_and_use(lease: &Lease, seat: &Seat) -> bool {
    let taken = lease.try_revoke(|| true);
    if taken {
        seat.use_it();
    }
    taken
}

/// The same, on a thread of its own.
fn taker(lease: &Arc<Lease>, seat: &Arc<Seat>) -> thread::JoinHandle<bool> {
    let (lease, seat) = (lease.clone(), seat.clone());
    thread::spawn(move || take_and_use(&lease, &seat))
}

/// Uses the seat, if the thread can acquire it. True if it could.
fn use_held(lease: &Lease, seat: &Seat) -> bool {
    let held = lease.acquire();
    if held {
        seat.use_it();
    }
    held
}

/// The code in a poll uses the seat `times`, and then the poll returns. True if the thread has the
/// seat for good.
fn poll(lease: &Lease, seat: &Seat, times: u32) -> bool {
    lease.release();
    for _ in 0..times {
        if use_held(lease, seat) {
            lease.release();
        }
    }
    use_held(lease, seat)
}

/// A poll in which the seat is used is taken over, and the taker uses it: never both at once, each
/// sees what the other did, and in the end one of them has it.
///
/// Caught: `acquire` without its fence; `try_revoke` without its fence; `try_revoke` that does not
/// look whether the seat is held; one that stores LOST in place of the exchange; `refuse` that
/// answers true without the exchange; `release` with Relaxed; `held` read with Relaxed in
/// `try_revoke`. And only here: `refuse` that does not release what is lost.
#[test]
fn a_poll_that_uses_the_seat_against_a_taker() {
    explore(None, || {
        let (lease, seat) = (held(), Seat::new());
        let taker = taker(&lease, &seat);
        seat.use_it();
        let kept = poll(&lease, &seat, 1);
        assert_ne!(kept, taker.join().unwrap(), "one of the two has the seat");
        assert_eq!(lease.is_lost(), !kept);
    });
}

/// The poll just returns at the moment of the takeover.
///
/// Caught: the mutations of the first model, but for those about releasing and the Relaxed read of
/// `held`.
#[test]
fn the_end_of_a_poll_against_a_taker() {
    explore(None, || {
        let (lease, seat) = (Arc::new(Lease::new()), Seat::new());
        let taker = taker(&lease, &seat);
        let kept = use_held(&lease, &seat);
        assert_ne!(kept, taker.join().unwrap(), "one of the two has the seat");
    });
}

/// What the taker notes before it takes the seat is seen by who finds that it is lost, before it
/// acquires.
///
/// Caught: `is_lost` with Relaxed.
#[test]
fn the_verdict_of_a_takeover() {
    explore(None, || {
        let lease = Arc::new(Lease::new());
        let verdict = Arc::new(AtomicUsize::new(0));
        let taker = thread::spawn({
            let (lease, verdict) = (lease.clone(), verdict.clone());
            move || {
                verdict.store(1, Ordering::Relaxed);
                lease.try_revoke(|| true)
            }
        });
        if lease.is_lost() {
            assert_eq!(verdict.load(Ordering::Relaxed), 1);
        }
        taker.join().unwrap();
    });
}

/// A taker that withdraws, because the poll is another one, and asks again: the thread in the seat
/// may answer the first question when there is a second, or none. Who has lost the seat cannot lose
/// it again.
///
/// Caught: `try_revoke` that leaves ASKED behind when it withdraws; the mutations of the first
/// model.
#[test]
fn a_taker_that_withdraws_and_asks_again() {
    explore(Some(4), || {
        let (lease, seat) = (held(), Seat::new());
        let taker = thread::spawn({
            let (lease, seat) = (lease.clone(), seat.clone());
            move || {
                assert!(!lease.try_revoke(|| false), "another poll");
                let taken = take_and_use(&lease, &seat);
                assert!(!taken || !lease.try_revoke(|| true), "taken twice");
                taken
            }
        });
        let kept = poll(&lease, &seat, 1);
        assert_ne!(kept, taker.join().unwrap(), "one of the two has the seat");
        if kept {
            lease.release();
            assert!(lease.try_revoke(|| true), "nobody can take it any more");
        }
        assert!(!use_held(&lease, &seat), "it came back");
    });
}

/// The seat is taken from the thread that was sent to take the place of another: at any time one of
/// the three has it.
///
/// Caught: the mutations of the first model.
#[test]
fn two_takeovers_in_a_row() {
    explore(Some(2), || {
        let (first, seat) = (held(), Seat::new());
        let taker = thread::spawn({
            let (first, seat) = (first.clone(), seat.clone());
            move || {
                if !first.try_revoke(|| true) {
                    return 0;
                }
                let second = held();
                let thread_of_second = thread::spawn({
                    let (second, seat) = (second.clone(), seat.clone());
                    move || {
                        seat.use_it();
                        poll(&second, &seat, 0)
                    }
                });
                let taken = take_and_use(&second, &seat);
                assert_ne!(thread_of_second.join().unwrap(), taken);
                1
            }
        });
        seat.use_it();
        let kept = poll(&first, &seat, 1);
        assert_eq!(u32::from(kept) + taker.join().unwrap(), 1);
    });
}

/// The worker goes from one poll to the next while it is looked at: the poll that is taken over is
/// the one that was seen. `held` is released after the poll was noted, so who sees that sees the
/// poll as well.
///
/// Caught: `try_revoke` that does not ask `is_same_poll`; one that asks before it looks whether the
/// seat is held; the mutations of the first model.
#[test]
fn a_later_poll_is_left_alone() {
    explore(Some(4), || {
        let (lease, seat) = (held(), Seat::new());
        let taker = thread::spawn({
            let (lease, seat) = (lease.clone(), seat.clone());
            move || {
                let seen = seat.current_poll()?;
                let taken = lease.try_revoke(|| seat.current_poll() == Some(seen));
                if taken {
                    seat.end_poll();
                    seat.use_it();
                }
                taken.then_some(seen.0)
            }
        });
        let mut lost_in = None;
        while lost_in.is_none() && seat.polls.load(Ordering::Relaxed) < 2 {
            let number = seat.begin_poll();
            if poll(&lease, &seat, 0) {
                seat.end_poll();
            } else {
                lost_in = Some(number);
            }
        }
        assert_eq!(taker.join().unwrap(), lost_in);
    });
}

/// The thread surrenders its seat in the midst of a poll, and another one sits down, while the seat
/// is about to be taken: one of the two has it, and the thread that had it has it no more.
///
/// Caught: `surrender` that does not say LOST; one that releases before it says so; `try_revoke`
/// that withdraws by a store. (A store of LOST in `surrender` would do as well as the exchange, but
/// loom lets the taker's exchange overtake it.)
#[test]
fn surrendering_against_a_taker() {
    explore(None, || {
        let (lease, seat) = (Arc::new(Lease::new()), Seat::new());
        let taker = taker(&lease, &seat);
        let given = use_held(&lease, &seat);
        if given {
            lease.surrender();
            lease.release();
            let spare = thread::spawn({
                let seat = seat.clone();
                move || seat.use_it()
            });
            spare.join().unwrap();
        }
        assert!(!use_held(&lease, &seat), "it still has the seat");
        assert_ne!(given, taker.join().unwrap(), "one of the two gives it away");
    });
}

/// The owner's end of a LIFO slot, as in `scheduler::seat`.
struct Lifo(SlotOwner);

// SAFETY: it is used by whoever has the seat, which is what the model is about.
unsafe impl Sync for Lifo {}

/// The code of a poll wakes two tasks, while its seat is taken: they go into the LIFO slot or, once
/// the seat is gone, to the inbox. The next owner of the slot wakes one as well, and then takes
/// what is there. Each task comes out once.
///
/// Caught: the mutations of the first model: an owner that takes a full slot for an empty one loses
/// a task.
#[test]
fn the_lifo_slot_of_a_seat_that_is_taken() {
    explore(Some(3), || {
        let (lease, slot) = (Arc::new(Lease::new()), Arc::new(Lifo(SlotOwner::new())));
        let runs = Arc::new(AtomicUsize::new(0));
        let taker = thread::spawn({
            let (lease, slot, runs) = (lease.clone(), slot.clone(), runs.clone());
            move || {
                if lease.try_revoke(|| true) {
                    slot.0.put(task(&runs)).into_iter().for_each(run);
                    slot.0.slot().take().into_iter().for_each(run);
                } else {
                    run(task(&runs));
                }
            }
        });
        for _ in 0..2 {
            let task = task(&runs);
            if lease.acquire() {
                slot.0.put(task).into_iter().for_each(run);
                lease.release();
            } else {
                run(task);
            }
        }
        if lease.acquire() {
            slot.0.slot().take().into_iter().for_each(run);
        }
        taker.join().unwrap();
        assert_eq!(runs.load(Ordering::SeqCst), 3, "a task was lost");
    });
}
