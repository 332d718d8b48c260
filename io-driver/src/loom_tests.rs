//! Models of the protocols in `waiters.rs`, `half.rs`, `slots.rs` and `bell.rs`.
//!
//! `RUSTFLAGS="--cfg evenkeel_loom" cargo test --release -p evenkeel-io-driver --lib loom_`
//!
//! A wake that is lost is a thread that sleeps for ever, which loom reports as a deadlock. Each
//! model names the mutations that were tried against it and that make it fail.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use evenkeel_sync::atomic::Ordering::Relaxed;
use loom::future::block_on;
use loom::sync::atomic::AtomicBool;
use loom::sync::{Condvar, Mutex};
use loom::thread;

use crate::bell::Bell;
use crate::half::{Half, Seen};
use crate::ready::Ready;
use crate::slots::{Claim, Slots};
use crate::waiters::{Ticket, Waiters};

/// Explores every schedule with up to `preemptions` of them.
fn model(preemptions: usize, body: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(body);
}

fn poll_readable(half: &Half, cx: &mut Context<'_>) -> Poll<io::Result<Seen>> {
    half.poll(cx, Ready::READABLE, Ready::READ_SIDE)
}

fn wait_readable(half: &Half) -> io::Result<Seen> {
    block_on(poll_fn(|cx| poll_readable(half, cx)))
}

/// As a readiness future does it.
fn wait_readable_as_future(half: &Half) -> io::Result<Seen> {
    let (ticket, mut key) = (Arc::new(Ticket::default()), None);
    let seen = block_on(poll_fn(|cx| {
        let registered = half.wait(cx, &ticket, &mut key);
        match half.look(Ready::READ_SIDE) {
            Ok((ready, _)) if ready.is_empty() => {
                if registered.is_err() {
                    crate::half::come_back(cx);
                }
                Poll::Pending
            }
            seen => Poll::Ready(seen),
        }
    }));
    if let Some(key) = key {
        half.waiters.remove_future(&ticket, key);
    }
    seen
}

/// Mutations that fail: no second look in `Half::poll`; a load in place of the swap in `settle`.
#[test]
fn loom_event_reaches_a_registering_poller() {
    model(3, || {
        let half = Arc::new(Half::default());
        let driver = {
            let half = Arc::clone(&half);
            thread::spawn(move || assert!(half.deliver(0, Ready::READABLE)))
        };
        assert_eq!(wait_readable(&half).unwrap().0, Ready::READABLE);
        driver.join().unwrap();
    });
}

/// Mutation that fails: `wake_all` returns without a request when the lock is taken.
#[test]
fn loom_event_reaches_everybody_who_contends_for_the_lock() {
    model(2, || {
        let half = Arc::new(Half::default());
        let driver = {
            let half = Arc::clone(&half);
            thread::spawn(move || assert!(half.deliver(0, Ready::READABLE)))
        };
        let future = {
            let half = Arc::clone(&half);
            thread::spawn(move || wait_readable_as_future(&half).unwrap())
        };
        wait_readable(&half).unwrap();
        future.join().unwrap();
        driver.join().unwrap();
    });
}

/// Mutations that fail: a load in place of the swap in `settle`; `remove_future` without a request.
#[test]
fn loom_dropped_future_is_removed_though_the_lock_was_taken() {
    model(3, || {
        let waiters = Arc::new(Waiters::default());
        let (ticket, mut key) = (Arc::new(Ticket::default()), None);
        waiters
            .set_future(&ticket, &mut key, Waker::noop().clone())
            .unwrap();
        let other = {
            let waiters = Arc::clone(&waiters);
            thread::spawn(move || drop(waiters.set_poller(Waker::noop().clone())))
        };
        waiters.remove_future(&ticket, key.unwrap());
        other.join().unwrap();
        assert_eq!(Arc::strong_count(&ticket), 1, "its entry is still there");
    });
}

/// Mutation that fails: `request` does not look at `pending` again after its unlock.
#[test]
fn loom_a_request_during_a_request_is_carried_out() {
    model(3, || {
        let waiters = Arc::new(Waiters::default());
        let futures = [0, 1].map(|_| {
            let (ticket, mut key) = (Arc::new(Ticket::default()), None);
            waiters
                .set_future(&ticket, &mut key, Waker::noop().clone())
                .unwrap();
            (ticket, key.unwrap())
        });
        let [poller, remover] = [0, 1].map(|n| {
            let (waiters, (ticket, key)) = (Arc::clone(&waiters), futures[1].clone());
            thread::spawn(move || match n {
                0 => drop(waiters.set_poller(Waker::noop().clone())),
                _ => waiters.remove_future(&ticket, key),
            })
        });
        waiters.remove_future(&futures[0].0, futures[0].1);
        poller.join().unwrap();
        remover.join().unwrap();
        let left = futures
            .iter()
            .filter(|(ticket, _)| Arc::strong_count(ticket) > 1);
        assert_eq!(left.count(), 0, "entries are still there");
    });
}

/// Both for what comes (there is something to read) and for what ends (a FIFO that was opened again
/// is closed again, while a read that would block takes back that it is closed).
///
/// Mutation that fails: `Half::clear` without its look at the tick.
#[test]
fn loom_clear_keeps_a_fresh_event() {
    for event in [Ready::READABLE, Ready::READ_CLOSED] {
        model(3, move || {
            let half = Arc::new(Half::default());
            // What the system would say, which the system locks.
            let true_again = Arc::new(Mutex::new(false));
            half.deliver(0, event);
            let driver = {
                let (half, true_again) = (Arc::clone(&half), Arc::clone(&true_again));
                thread::spawn(move || {
                    *true_again.lock().unwrap() = true;
                    half.deliver(0, event);
                })
            };
            loop {
                let (ready, tick) = block_on(poll_fn(|cx| half.poll(cx, event, event))).unwrap();
                if *true_again.lock().unwrap() {
                    break;
                }
                half.clear_unless(Ready::EMPTY, tick, ready);
            }
            driver.join().unwrap();
        });
    }
}

/// A short read takes readability back, but not where the urgent mark may have ended it: of what
/// came behind the mark, the driver reports nothing more.
///
/// Mutations that fail: `clear_unless` without its look at `unless`, or at the tick.
#[test]
fn loom_a_read_that_ended_at_the_mark_keeps_the_half_ready() {
    model(3, || {
        let half = Arc::new(Half::default());
        // Bytes before the mark, and behind it.
        let data = Arc::new(Mutex::new([1, 0]));
        half.deliver(0, Ready::READABLE);
        let reader = {
            let (half, data) = (Arc::clone(&half), Arc::clone(&data));
            thread::spawn(move || {
                let mut read = 0;
                while read < 2 {
                    let (ready, tick) = wait_readable(&half).unwrap();
                    let mut data = data.lock().unwrap();
                    let n = data.iter_mut().find(|part| **part > 0).map(std::mem::take);
                    drop(data);
                    match n {
                        Some(_) => half.clear_unless(Ready::MARKED, tick, ready),
                        None => half.clear_unless(Ready::EMPTY, tick, ready),
                    }
                    read += n.unwrap_or(0);
                }
            })
        };
        data.lock().unwrap()[1] = 1;
        half.deliver(0, Ready::READABLE | Ready::PRIORITY);
        reader.join().unwrap();
    });
}

/// Mutation that fails: `Half::deliver` without its look at the generation.
#[test]
fn loom_late_event_misses_the_next_owner() {
    model(3, || {
        let slots = Arc::new(Slots::new());
        let old = slots.claim().unwrap();
        let driver = {
            let (slots, token) = (Arc::clone(&slots), old.token());
            thread::spawn(move || slots.deliver(token, Ready::READABLE))
        };
        slots.release(&old);
        let new = slots.claim().unwrap();
        assert_eq!(new.index(), old.index());
        driver.join().unwrap();
        let (ready, _) = new.slot().read.look(Ready::ALL).unwrap();
        assert_eq!(ready, Ready::EMPTY);
    });
}

/// What a late event does to the new owner's waiters costs it no wake.
///
/// Mutation that fails: no second look in `Half::poll`.
#[test]
fn loom_late_event_costs_the_next_owner_no_wake() {
    model(2, || {
        let slots = Arc::new(Slots::new());
        let old = slots.claim().unwrap();
        slots.release(&old);
        let new = slots.claim().unwrap();
        let driver = {
            let (slots, tokens) = (Arc::clone(&slots), [old.token(), new.token()]);
            thread::spawn(move || {
                assert!(!slots.deliver(tokens[0], Ready::READABLE));
                assert!(slots.deliver(tokens[1], Ready::READABLE));
            })
        };
        wait_readable(&new.slot().read).unwrap();
        driver.join().unwrap();
    });
}

fn wait_for_shutdown(claimed: io::Result<Claim>) {
    if let Ok(claim) = claimed {
        assert!(wait_readable(&claim.slot().read).is_err());
    }
}

fn shut_down_beside(slots: &Arc<Slots>, registrant: impl FnOnce(&Slots)) {
    let driver = {
        let slots = Arc::clone(slots);
        thread::spawn(move || slots.shut_down())
    };
    registrant(slots);
    driver.join().unwrap();
}

/// Mutation that fails: no second look in `Half::poll`.
#[test]
fn loom_shutdown_reaches_a_waiter() {
    model(3, || {
        let slots = Arc::new(Slots::new());
        let key = slots.claim();
        shut_down_beside(&slots, |_| wait_for_shutdown(key));
    });
}

/// Mutation that fails: no fence in `claim`.
#[test]
fn loom_shutdown_reaches_a_registrant_in_a_new_chunk() {
    model(3, || {
        let slots = Arc::new(Slots::new());
        // All of the first chunk.
        (0..4).for_each(|_| assert!(slots.claim().is_ok()));
        shut_down_beside(&slots, |slots| wait_for_shutdown(slots.claim()));
    });
}

/// Mutation that fails: no look at `shutdown` in `claim`.
#[test]
fn loom_shutdown_reaches_a_registrant_in_a_used_slot() {
    model(3, || {
        let slots = Arc::new(Slots::new());
        let old = slots.claim().unwrap();
        shut_down_beside(&slots, |slots| {
            slots.release(&old);
            wait_for_shutdown(slots.claim());
        });
    });
}

/// Mutation that fails: `swap_free` does not raise the count.
#[test]
fn loom_a_slot_has_one_owner() {
    model(3, || {
        let slots = Arc::new(Slots::new());
        let (a, b) = (slots.claim().unwrap(), slots.claim().unwrap());
        slots.release(&a);
        slots.release(&b);
        let other = {
            let slots = Arc::clone(&slots);
            thread::spawn(move || slots.claim().unwrap())
        };
        // Takes both and gives the upper one back: the head is as it was, what is below is not.
        let (upper, lower) = (slots.claim().unwrap(), slots.claim().unwrap());
        slots.release(&upper);
        let own = slots.claim().unwrap();
        let other = other.join().unwrap();
        assert!(own.index() != lower.index() && own.index() != other.index());
        assert_ne!(lower.index(), other.index());
    });
}

/// The last source of a chunk goes, and the chunk with it, while another comes.
///
/// Mutations that fail: `retire` stores without a look at `live`; a tombstone that does not
/// remember the generation; `make_chunk` puts the new chunk there whatever is there (a `swap`).
#[test]
fn loom_a_slot_is_of_a_chunk_that_is_in_the_table() {
    model(3, || {
        let slots = Arc::new(Slots::new());
        // All of the first chunk.
        (0..4).for_each(|_| assert!(slots.claim().is_ok()));
        let old = slots.claim().unwrap();
        let late = old.token();
        let others = [0, 1].map(|n| {
            let (slots, old) = (Arc::clone(&slots), old.clone());
            thread::spawn(move || match n {
                0 => slots.release(&old),
                _ => {
                    let new = slots.claim().unwrap();
                    assert!(slots.deliver(new.token(), Ready::READABLE));
                    let (ready, _) = new.slot().read.look(Ready::ALL).unwrap();
                    assert_eq!(ready, Ready::READABLE);
                }
            })
        });
        let new = slots.claim().unwrap();
        assert!(slots.deliver(new.token(), Ready::WRITABLE));
        assert!(new.token() != late && new.index() >= 4);
        let (ready, _) = new.slot().write.look(Ready::ALL).unwrap();
        assert_eq!(ready, Ready::WRITABLE);
        others.into_iter().for_each(|other| other.join().unwrap());
        assert!(
            !slots.deliver(late, Ready::READABLE),
            "the old source's event"
        );
        assert!(slots.deliver(new.token(), Ready::READABLE));
    });
}

/// Mutation that fails: no fence in `claim`.
#[test]
fn loom_shutdown_reaches_a_registrant_in_a_chunk_that_was_made_again() {
    model(3, || {
        let slots = Arc::new(Slots::new());
        (0..4).for_each(|_| assert!(slots.claim().is_ok()));
        let old = slots.claim().unwrap();
        slots.release(&old);
        shut_down_beside(&slots, |slots| wait_for_shutdown(slots.claim()));
    });
}

/// Mutations that fail: a load in place of the read-modify-write in `Bell::ring`; `RUNG` set
/// without a look at the turn.
#[test]
fn loom_bell_ends_a_turn_after_each_change() {
    model(3, || {
        let bell = Arc::new(Bell::default());
        let eventfd = Arc::new((Mutex::new(false), Condvar::new()));
        let changes = Arc::new([AtomicBool::new(false), AtomicBool::new(false)]);
        let ringers = [0, 1].map(|n| {
            let (bell, eventfd) = (Arc::clone(&bell), Arc::clone(&eventfd));
            let changes = Arc::clone(&changes);
            thread::spawn(move || {
                changes[n].store(true, Relaxed);
                let ring = || {
                    *eventfd.0.lock().unwrap() = true;
                    eventfd.1.notify_one();
                    Ok::<(), ()>(())
                };
                bell.ring(ring).unwrap();
            })
        });
        while !changes.iter().all(|change| change.load(Relaxed)) {
            let mut written = eventfd.0.lock().unwrap();
            while !*written {
                written = eventfd.1.wait(written).unwrap();
            }
            *written = false;
            drop(written);
            bell.next_turn();
        }
        ringers
            .into_iter()
            .for_each(|ringer| ringer.join().unwrap());
    });
}
