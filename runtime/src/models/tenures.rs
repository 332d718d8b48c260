//! Who has a worker's seat: `lane::tenure`.
//!
//! Of the steps of `lane::worker`, `lane::hold` and `lane::takeover` the models keep those that touch the seat. The thread
//! that takes it sits down there itself; in the runtime a spare does, which is called under a lock.

use super::explore;
use super::inboxes::{run, task};
use crate::lane::tenure::Tenure;
use crate::tasks::SlotOwner;
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use loom::thread;

/// What belongs to a seat.
struct Seat {
    /// The owner's end of the deque: loom reports two who are there at once, or one who does not see what the other did.
    owned: UnsafeCell<u32>,
    /// As in `lane::seat::Status`: the number of the poll, and its task, which is zero between polls.
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
            // SAFETY: if `Tenure` is right, nobody else is here.
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

/// Takes the seat if it can, and uses it. True if it did.
fn take_and_use(tenure: &Tenure, seat: &Seat) -> bool {
    let taken = tenure.try_take(|| true);
    if taken {
        seat.use_it();
    }
    taken
}

/// The same, on a thread of its own.
fn taker(tenure: &Arc<Tenure>, seat: &Arc<Seat>) -> thread::JoinHandle<bool> {
    let (tenure, seat) = (tenure.clone(), seat.clone());
    thread::spawn(move || take_and_use(&tenure, &seat))
}

/// Uses the seat, if the thread has hold of it. True if it had.
fn use_held(tenure: &Tenure, seat: &Seat) -> bool {
    let held = tenure.take_hold();
    if held {
        seat.use_it();
    }
    held
}

/// The code in a poll uses the seat `times`, and then the poll returns. True if the thread has the seat for good.
fn poll(tenure: &Tenure, seat: &Seat, times: u32) -> bool {
    tenure.let_go();
    for _ in 0..times {
        if use_held(tenure, seat) {
            tenure.let_go();
        }
    }
    use_held(tenure, seat)
}

/// A poll in which the seat is used is taken over, and the taker uses it: never both at once, each sees what the other did,
/// and in the end one of them has it.
///
/// Caught: `take_hold` without its fence; `try_take` without its fence; `try_take` that does not look whether the seat is
/// held; one that stores LOST in place of the exchange; `refuse` that answers true without the exchange; `let_go` with Relaxed;
/// `held` read with Relaxed in `try_take`. And only here: `refuse` that does not let go of what is lost.
#[test]
fn a_poll_that_uses_the_seat_against_a_taker() {
    explore(None, || {
        let (tenure, seat) = (Arc::new(Tenure::new()), Seat::new());
        let taker = taker(&tenure, &seat);
        seat.use_it();
        let kept = poll(&tenure, &seat, 1);
        assert_ne!(kept, taker.join().unwrap(), "one of the two has the seat");
        assert_eq!((tenure.is_held(), tenure.is_lost()), (kept, !kept));
    });
}

/// The poll just returns at the moment of the takeover.
///
/// Caught: the mutations of the first model, but for those about letting go and the Relaxed read of `held`.
#[test]
fn the_end_of_a_poll_against_a_taker() {
    explore(None, || {
        let (tenure, seat) = (Arc::new(Tenure::new()), Seat::new());
        tenure.let_go();
        let taker = taker(&tenure, &seat);
        let kept = use_held(&tenure, &seat);
        assert_ne!(kept, taker.join().unwrap(), "one of the two has the seat");
    });
}

/// What the taker notes before it takes the seat is seen by who finds that it is lost, before it takes hold.
///
/// Caught: `is_lost` with Relaxed.
#[test]
fn the_verdict_of_a_takeover() {
    explore(None, || {
        let tenure = Arc::new(Tenure::new());
        let verdict = Arc::new(AtomicUsize::new(0));
        tenure.let_go();
        let taker = thread::spawn({
            let (tenure, verdict) = (tenure.clone(), verdict.clone());
            move || {
                verdict.store(1, Ordering::Relaxed);
                tenure.try_take(|| true)
            }
        });
        if tenure.is_lost() {
            assert_eq!(verdict.load(Ordering::Relaxed), 1);
        }
        taker.join().unwrap();
    });
}

/// A taker that withdraws, because the poll is another one, and asks again: the thread in the seat may answer the first
/// question when there is a second, or none. Who has lost the seat cannot lose it again.
///
/// Caught: `try_take` that leaves ASKED behind when it withdraws; the mutations of the first model.
#[test]
fn a_taker_that_withdraws_and_asks_again() {
    explore(Some(4), || {
        let (tenure, seat) = (Arc::new(Tenure::new()), Seat::new());
        let taker = thread::spawn({
            let (tenure, seat) = (tenure.clone(), seat.clone());
            move || {
                assert!(!tenure.try_take(|| false), "another poll");
                let taken = take_and_use(&tenure, &seat);
                assert!(!taken || !tenure.try_take(|| true), "taken twice");
                taken
            }
        });
        let kept = poll(&tenure, &seat, 1);
        assert_ne!(kept, taker.join().unwrap(), "one of the two has the seat");
        if kept {
            tenure.let_go();
            assert!(tenure.try_take(|| true), "nobody can take it any more");
        }
        assert!(!use_held(&tenure, &seat), "it came back");
    });
}

/// The seat is taken from the thread that was sent to take the place of another: at any time one of the three has it.
///
/// Caught: the mutations of the first model.
#[test]
fn two_takeovers_in_a_row() {
    explore(Some(2), || {
        let (first, seat) = (Arc::new(Tenure::new()), Seat::new());
        let taker = thread::spawn({
            let (first, seat) = (first.clone(), seat.clone());
            move || {
                if !first.try_take(|| true) {
                    return 0;
                }
                let second = Arc::new(Tenure::new());
                let tenant = thread::spawn({
                    let (second, seat) = (second.clone(), seat.clone());
                    move || {
                        seat.use_it();
                        poll(&second, &seat, 0)
                    }
                });
                let taken = take_and_use(&second, &seat);
                assert_ne!(tenant.join().unwrap(), taken);
                1
            }
        });
        seat.use_it();
        let kept = poll(&first, &seat, 1);
        assert_eq!(u32::from(kept) + taker.join().unwrap(), 1);
    });
}

/// The worker goes from one poll to the next while it is looked at: the poll that is taken over is the one that was seen.
/// `held` is let go of after the poll was noted, so who sees that sees the poll as well.
///
/// Caught: `try_take` that does not ask `is_same_poll`; one that asks before it looks whether the seat is held; the mutations of
/// the first model.
#[test]
fn a_later_poll_is_left_alone() {
    explore(Some(4), || {
        let (tenure, seat) = (Arc::new(Tenure::new()), Seat::new());
        let taker = thread::spawn({
            let (tenure, seat) = (tenure.clone(), seat.clone());
            move || {
                let seen = seat.current_poll()?;
                let taken = tenure.try_take(|| seat.current_poll() == Some(seen));
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
            if poll(&tenure, &seat, 0) {
                seat.end_poll();
            } else {
                lost_in = Some(number);
            }
        }
        assert_eq!(taker.join().unwrap(), lost_in);
    });
}

/// The thread gives its seat up in the midst of a poll, and another one sits down, while the seat is about to be taken: one
/// of the two has it, and the thread that had it has it no more.
///
/// Caught: `give_up` that does not say LOST; one that lets go before it says so; `try_take` that withdraws by a store. (A store of
/// LOST in `give_up` would do as well as the exchange, but loom lets the taker's exchange overtake it.)
#[test]
fn giving_up_against_a_taker() {
    explore(None, || {
        let (tenure, seat) = (Arc::new(Tenure::new()), Seat::new());
        let taker = taker(&tenure, &seat);
        tenure.let_go();
        let given = use_held(&tenure, &seat);
        if given {
            tenure.give_up();
            let spare = thread::spawn({
                let seat = seat.clone();
                move || seat.use_it()
            });
            spare.join().unwrap();
        }
        assert!(!use_held(&tenure, &seat), "it still has the seat");
        assert_ne!(given, taker.join().unwrap(), "one of the two gives it away");
    });
}

/// The owner's end of a next-slot, as in `lane::seat::Queue`.
struct Next(SlotOwner);

// SAFETY: it is used by whoever has the seat, which is what the model is about.
unsafe impl Sync for Next {}

/// The code of a poll wakes two tasks, while its seat is taken: they go into the next-slot or, once the seat is gone, to the
/// inbox. The next owner of the slot wakes one as well, and then takes what is there. Each task comes out once.
///
/// Caught: the mutations of the first model: an owner that takes a full slot for an empty one loses a task.
#[test]
fn the_next_slot_of_a_seat_that_is_taken() {
    explore(Some(3), || {
        let (tenure, next) = (Arc::new(Tenure::new()), Arc::new(Next(SlotOwner::new())));
        let runs = Arc::new(AtomicUsize::new(0));
        tenure.let_go();
        let taker = thread::spawn({
            let (tenure, next, runs) = (tenure.clone(), next.clone(), runs.clone());
            move || {
                if tenure.try_take(|| true) {
                    next.0.put(task(&runs)).into_iter().for_each(run);
                    next.0.slot().take().into_iter().for_each(run);
                } else {
                    run(task(&runs));
                }
            }
        });
        for _ in 0..2 {
            let task = task(&runs);
            if tenure.take_hold() {
                next.0.put(task).into_iter().for_each(run);
                tenure.let_go();
            } else {
                run(task);
            }
        }
        if tenure.take_hold() {
            next.0.slot().take().into_iter().for_each(run);
        }
        taker.join().unwrap();
        assert_eq!(runs.load(Ordering::SeqCst), 3, "a task was lost");
    });
}
