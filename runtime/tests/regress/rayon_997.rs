//! rayon#997: code that waited for a job inside some guarded section (a mutex, the initialisation
//! of a cell, a borrow of a thread-local) ran other jobs of the pool while it waited, and one of
//! them entered the same section again.

use crate::support::{foreign_block_on, on_runtime};
use evenkeel::runtime::Handle;
use evenkeel::task::{block_in_place, yield_now};
use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// The first task initialises a cell with the help of another one, behind many that want the cell's
/// value.
#[test]
fn a_cell_whose_initialisation_waits_for_a_task() {
    for workers in [1, 2] {
        on_runtime(workers, |runtime| {
            for in_place in [false, true] {
                let (cell, calls) = (Arc::new(OnceLock::new()), Arc::new(AtomicUsize::new(0)));
                let tasks: Vec<_> = (0..8)
                    .map(|_| {
                        let (cell, calls) = (cell.clone(), calls.clone());
                        runtime.spawn(async move {
                            *cell.get_or_init(|| {
                                calls.fetch_add(1, Ordering::SeqCst);
                                let value = evenkeel::spawn(async {
                                    yield_now().await;
                                    7
                                });
                                match in_place {
                                    true => block_in_place(|| Handle::current().block_on(value)),
                                    false => foreign_block_on(value),
                                }
                                .unwrap()
                            })
                        })
                    })
                    .collect();
                for task in tasks {
                    assert_eq!(foreign_block_on(task).unwrap(), 7);
                }
                assert_eq!(calls.load(Ordering::SeqCst), 1);
            }
        });
    }
}

/// On the compute lane the others block its threads; the task that is awaited is not there.
#[test]
fn a_cell_that_compute_closures_initialise_with_a_task() {
    on_runtime(2, |runtime| {
        let cell = Arc::new(OnceLock::new());
        let closures: Vec<_> = (0..8)
            .map(|_| {
                let cell = cell.clone();
                runtime.spawn_compute(move || {
                    *cell.get_or_init(|| foreign_block_on(evenkeel::spawn(async { 3 })).unwrap())
                })
            })
            .collect();
        for closure in closures {
            assert_eq!(foreign_block_on(closure).unwrap(), 3);
        }
    });
}

/// A borrow of the thread's own, held while others are polled: on other threads.
#[test]
fn a_thread_local_that_is_borrowed_while_its_task_waits() {
    thread_local!(static LOCAL: RefCell<usize> = const { RefCell::new(0) });
    for workers in [1, 2] {
        on_runtime(workers, |runtime| {
            let tasks: Vec<_> = (0..20)
                .map(|i| {
                    runtime.spawn(async move {
                        LOCAL.with_borrow_mut(|value| {
                            *value += 1;
                            let child = evenkeel::spawn(async {
                                LOCAL.with_borrow_mut(|value| *value += 1);
                                yield_now().await;
                                LOCAL.with_borrow_mut(|value| *value += 1);
                            });
                            match i % 3 {
                                0 => block_in_place(|| foreign_block_on(child)),
                                1 => block_in_place(|| Handle::current().block_on(child)),
                                _ => foreign_block_on(child),
                            }
                            .unwrap();
                        });
                    })
                })
                .collect();
            for task in tasks {
                foreign_block_on(task).unwrap();
            }
        });
    }
}
