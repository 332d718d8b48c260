//! tokio#5686 and #5712: two tasks that kept waking each other passed the LIFO slot to and fro, and
//! the queue of their worker starved.

use crate::support::{Gate, foreign_block_on, on_runtime};
use evenkeel::time::{Duration, sleep};
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::thread;

/// A task that wakes the other one in every poll, until the end.
async fn one_of_a_pair(me: usize, end: Arc<AtomicBool>, wakers: Arc<[Mutex<Option<Waker>>; 2]>) {
    poll_fn(|cx| {
        *wakers[me].lock().unwrap() = Some(cx.waker().clone());
        let other = wakers[1 - me].lock().unwrap().clone();
        // Until the other has its first poll, there is nobody else to wake this one.
        other.as_ref().unwrap_or(cx.waker()).wake_by_ref();
        if end.load(Ordering::SeqCst) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

/// A task that spawns the next of its kind, until the end.
fn respawn(end: Arc<AtomicBool>) {
    if !end.load(Ordering::SeqCst) {
        evenkeel::spawn(async move { respawn(end) });
    }
}

#[test]
fn a_pair_that_wakes_each_other_leaves_others_their_turn() {
    on_runtime(1, |runtime| {
        let end = Arc::new(AtomicBool::new(false));
        let wakers: Arc<[Mutex<Option<Waker>>; 2]> = Arc::default();
        let pair = [0, 1].map(|me| runtime.spawn(one_of_a_pair(me, end.clone(), wakers.clone())));
        for _ in 0..20 {
            // Behind the pair, in the inbox and in the queue.
            let nested = runtime.spawn(async { evenkeel::spawn(async { 1 }).await.unwrap() });
            assert_eq!(foreign_block_on(nested).unwrap(), 1);
        }
        end.store(true, Ordering::SeqCst);
        pair.into_iter()
            .for_each(|task| foreign_block_on(task).unwrap());
    });
}

#[test]
fn a_chain_of_tasks_leaves_others_their_turn() {
    on_runtime(1, |runtime| {
        let end = Arc::new(AtomicBool::new(false));
        let _entered = runtime.enter();
        respawn(end.clone());
        for _ in 0..20 {
            foreign_block_on(runtime.spawn(evenkeel::task::yield_now())).unwrap();
        }
        end.store(true, Ordering::SeqCst);
    });
}

/// Two chains of tasks, each link of which spawns the next: one is in the LIFO slot and the other
/// behind it, for ever. A timer, and wakes from every kind of thread, reach a task of the same
/// worker.
#[test]
fn timers_and_wakes_from_elsewhere_arrive_beside_a_pair_that_respawns_itself() {
    async fn wake_from(open: impl FnOnce(Gate)) {
        let gate = Gate::new();
        open(gate.clone());
        gate.wait().await;
    }
    on_runtime(1, |runtime| {
        let end = Arc::new(AtomicBool::new(false));
        let respawning = end.clone();
        let waits = async move {
            respawn(respawning.clone());
            respawn(respawning);
            for _ in 0..20 {
                sleep(Duration::from_millis(1)).await;
                wake_from(|gate| drop(thread::spawn(move || gate.open()))).await;
                wake_from(|gate| drop(evenkeel::spawn_blocking(move || gate.open()))).await;
            }
            // Once: beside busy IO workers that lane has little.
            wake_from(|gate| drop(evenkeel::spawn_compute(move || gate.open()))).await;
        };
        foreign_block_on(runtime.spawn(waits)).unwrap();
        end.store(true, Ordering::SeqCst);
    });
}

/// As above, with two tasks that wake each other and are all that there is on their worker: the
/// LIFO slot is theirs for as long as nobody else is queued.
#[test]
fn timers_and_wakes_from_elsewhere_arrive_beside_a_pair_alone_in_the_next_slot() {
    on_runtime(1, |runtime| {
        let end = Arc::new(AtomicBool::new(false));
        let wakers: Arc<[Mutex<Option<Waker>>; 2]> = Arc::default();
        let pair = [0, 1].map(|me| runtime.spawn(one_of_a_pair(me, end.clone(), wakers.clone())));
        let (gate, opened) = (Gate::new(), Gate::new());
        let (waited, opens) = (gate.clone(), opened.clone());
        let sleeps = runtime.spawn(async {
            for _ in 0..20 {
                sleep(Duration::from_millis(1)).await;
            }
        });
        let waits = runtime.spawn(async move {
            waited.wait().await;
            opens.open();
        });
        foreign_block_on(sleeps).unwrap();
        foreign_block_on(runtime.spawn_compute(move || gate.open())).unwrap();
        opened.block();
        foreign_block_on(waits).unwrap();
        end.store(true, Ordering::SeqCst);
        pair.into_iter()
            .for_each(|task| foreign_block_on(task).unwrap());
    });
}
