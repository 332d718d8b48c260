//! rayon#592 and #1174: a job held a lock while it waited for another one, and the thread that
//! waited ran some third job meanwhile, which wanted the same lock.
//!
//! A thread that waits in a poll or closure of Evenkeel runs nothing else. Other threads come for
//! what is queued behind it, and those that then wait for the lock are replaced as well.

use crate::support::{Gate, foreign_block_on, on_runtime};
use evenkeel::JoinHandle;
use evenkeel::runtime::Handle;
use evenkeel::task::{block_in_place, yield_now};
use std::cell::Cell;
use std::sync::{Arc, Mutex, mpsc};

thread_local!(static WAITS: Cell<bool> = const { Cell::new(false) });

/// Waits in one of several ways; nothing else must run on this thread meanwhile.
fn wait(way: usize, task: JoinHandle<()>) {
    WAITS.set(true);
    match way {
        0 => foreign_block_on(task).unwrap(),
        1 => block_in_place(|| foreign_block_on(task)).unwrap(),
        2 => block_in_place(|| Handle::current().block_on(task)).unwrap(),
        _ => {
            let (ended, end) = mpsc::channel();
            evenkeel::spawn(async move {
                task.await.unwrap();
                ended.send(()).unwrap();
            });
            end.recv().unwrap();
        }
    }
    WAITS.set(false);
}

/// The lock is held by one that waits for a task, in front of which others are queued that take the
/// lock.
fn holds_the_lock(lock: Arc<Mutex<u32>>, way: usize) -> Vec<JoinHandle<()>> {
    let mut held = lock.lock().unwrap();
    let others = (0..5)
        .map(|_| {
            let lock = lock.clone();
            evenkeel::spawn(async move {
                assert!(!WAITS.get());
                *lock.lock().unwrap() += 1;
                yield_now().await;
                assert!(!WAITS.get());
                *lock.lock().unwrap() += 1;
            })
        })
        .collect();
    let awaited = evenkeel::spawn(async {
        assert!(!WAITS.get());
        yield_now().await;
    });
    wait(way, awaited);
    *held += 1;
    others
}

fn check(lock: &Mutex<u32>, others: Vec<JoinHandle<()>>) {
    for other in others {
        foreign_block_on(other).unwrap();
    }
    assert_eq!(*lock.lock().unwrap(), 11);
}

#[test]
fn a_task_that_waits_with_a_lock_held() {
    for workers in [1, 2] {
        on_runtime(workers, |runtime| {
            for way in 0..4 {
                let lock = Arc::new(Mutex::new(0));
                let inside = lock.clone();
                let holder = runtime.spawn(async move { holds_the_lock(inside, way) });
                check(&lock, foreign_block_on(holder).unwrap());
            }
        });
    }
}

#[test]
fn closures_and_block_on_that_wait_with_a_lock_held() {
    on_runtime(1, |runtime| {
        for way in [0, 1, 3] {
            let lock = Arc::new(Mutex::new(0));
            let inside = lock.clone();
            let holder = runtime.spawn_blocking(move || holds_the_lock(inside, way));
            check(&lock, foreign_block_on(holder).unwrap());

            let lock = Arc::new(Mutex::new(0));
            let inside = lock.clone();
            let holder = runtime.spawn_compute(move || holds_the_lock(inside, way));
            check(&lock, foreign_block_on(holder).unwrap());

            let lock = Arc::new(Mutex::new(0));
            let inside = lock.clone();
            check(
                &lock,
                runtime.block_on(async move { holds_the_lock(inside, way) }),
            );
        }
    });
}

/// The lock is a plain thread's, and all of the compute lane waits for it: the IO lane goes on.
#[test]
fn compute_closures_that_wait_for_a_lock_do_not_hold_up_the_io_lane() {
    on_runtime(2, |runtime| {
        let lock = Arc::new(Mutex::new(0));
        let (begun, inside) = (Gate::new(), lock.clone());
        let begins = begun.clone();
        let held = lock.lock().unwrap();
        let outer = runtime.spawn(async move {
            let closures: Vec<_> = (0..4)
                .map(|_| {
                    let (lock, begins) = (inside.clone(), begins.clone());
                    evenkeel::spawn_compute(move || {
                        assert!(!WAITS.get());
                        begins.open();
                        *lock.lock().unwrap() += 1;
                    })
                })
                .collect();
            for closure in closures {
                closure.await.unwrap();
            }
        });
        begun.block();
        // All of the compute lane may be waiting for the lock; the IO lane is not.
        foreign_block_on(runtime.spawn(yield_now())).unwrap();
        drop(held);
        foreign_block_on(outer).unwrap();
        assert_eq!(*lock.lock().unwrap(), 4);
    });
}
