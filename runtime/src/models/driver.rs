//! Parking and watching: `scheduler::{park_state, watch}`.

use super::explore;
use crate::latency_critical::LatencyCritical;
use crate::scheduler::idle::{Idle, Search};
use crate::scheduler::park_state::{ParkState, Place};
use crate::scheduler::watch::Watching;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::sync::{Arc, Notify};
use loom::thread;

/// Two wakers against a thread that parks twice, in the futex and in the driver (each a sticky
/// token). It leaves the second park only if it was woken, and one of the wakers may be preempted
/// for ever between its two steps, as long as the other is not.
///
/// Caught: `notify` that leaves it at the mark of another waker; `begin` that overwrites a mark.
#[test]
fn parking() {
    explore(Some(3), || {
        for place in [Place::Futex, Place::Driver] {
            let state = Arc::new(ParkState::new());
            let (futex, driver) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
            // Preempted after its mark: its system call never comes.
            let preempted = thread::spawn({
                let state = state.clone();
                move || {
                    state.notify();
                }
            });
            let prompt = thread::spawn({
                let (state, futex, driver) = (state.clone(), futex.clone(), driver.clone());
                move || {
                    let to_wake = state.notify();
                    if to_wake.futex {
                        futex.notify();
                    }
                    if to_wake.driver {
                        driver.notify();
                    }
                }
            });
            if state.begin(place) {
                match place {
                    Place::Futex => {
                        // A futex does not sleep on a word that has changed.
                        if state.is_parked() {
                            futex.wait();
                        }
                    }
                    Place::Driver => driver.wait(),
                }
            }
            state.end();
            preempted.join().unwrap();
            prompt.join().unwrap();
        }
    });
}

/// A worker wakes up while the supervisor goes to rest: the supervisor does not rest for good.
///
/// Caught: the fence of `try_rest` left out; that of `worker_awake` left out.
#[test]
fn resting() {
    explore(None, || {
        let sleep = Arc::new(Idle::new(1));
        let watching = Arc::new(Watching::new());
        let unpark = Arc::new(Notify::new());
        sleep.fall_asleep(0, false);
        let worker = thread::spawn({
            let (sleep, watching, unpark) = (sleep.clone(), watching.clone(), unpark.clone());
            move || {
                sleep.wake_up(0);
                if watching.worker_awake() {
                    unpark.notify();
                }
            }
        });
        if watching.try_rest(|| sleep.awake_count() > 0) {
            // Sleeps until the worker wakes it: a deadlock if it does not.
            unpark.wait();
        }
        worker.join().unwrap();
    });
}

/// A task is queued while the supervisor goes to rest because all workers are in long polls: it is
/// told.
///
/// Caught: the fence of `try_rest` left out; a last look before `watching` is false.
#[test]
fn resting_beside_stuck_workers() {
    explore(None, || {
        let sleep = Arc::new(Idle::new(1));
        let watching = Arc::new(Watching::new());
        let (queue, unpark) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let submitter = thread::spawn({
            let (sleep, watching) = (sleep.clone(), watching.clone());
            let (queue, unpark) = (queue.clone(), unpark.clone());
            move || {
                queue.fetch_add(1, Ordering::Relaxed);
                // With a fence in it.
                assert_eq!(
                    sleep.notify(Search::default(), Some(LatencyCritical::assume())),
                    None
                );
                if watching.tell() {
                    unpark.notify();
                }
            }
        });
        if watching.try_rest(|| queue.load(Ordering::Relaxed) > 0) {
            // A deadlock if it is not told.
            unpark.wait();
        }
        submitter.join().unwrap();
    });
}
