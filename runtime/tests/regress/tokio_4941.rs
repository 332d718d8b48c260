//! tokio#4941: the task in a worker's LIFO slot could not be stolen. A task spawned a child, which
//! went into that slot, and then blocked its thread until the child had run, which it never did.

use crate::support::{Gate, foreign_block_on, on_runtime};
use evenkeel::task::{block_in_place, yield_now};
use std::sync::mpsc;

#[test]
fn a_child_runs_while_its_parent_blocks_the_thread() {
    for workers in [1, 2] {
        on_runtime(workers, |runtime| {
            for round in 0..30 {
                let parent = runtime.spawn(async move {
                    let child = evenkeel::spawn(async move { round });
                    match round % 3 {
                        0 => foreign_block_on(child).unwrap(),
                        1 => block_in_place(|| foreign_block_on(child)).unwrap(),
                        _ => {
                            while !child.is_finished() {
                                std::hint::spin_loop();
                            }
                            child.await.unwrap()
                        }
                    }
                });
                assert_eq!(foreign_block_on(parent).unwrap(), round);
            }
        });
    }
}

/// Each blocks until the one in its slot has ended, which does the same.
#[test]
fn a_chain_of_parents_that_block() {
    async fn link(depth: usize) -> usize {
        if depth == 0 {
            return 0;
        }
        1 + foreign_block_on(evenkeel::spawn(boxed(depth - 1))).unwrap()
    }
    fn boxed(depth: usize) -> std::pin::Pin<Box<dyn Future<Output = usize> + Send>> {
        Box::pin(link(depth))
    }
    for workers in [1, 2] {
        on_runtime(workers, |runtime| {
            assert_eq!(foreign_block_on(runtime.spawn(link(20))).unwrap(), 20);
        });
    }
}

/// What is in the slot was woken, not spawned.
#[test]
fn a_task_runs_while_the_one_that_woke_it_blocks_the_thread() {
    for workers in [1, 2] {
        on_runtime(workers, |runtime| {
            for _ in 0..20 {
                let wakes = runtime.spawn(async {
                    let (gate, (ran, run)) = (Gate::new(), mpsc::channel());
                    let inside = gate.clone();
                    let woken = evenkeel::spawn(async move {
                        inside.wait().await;
                        ran.send(()).unwrap();
                    });
                    yield_now().await;
                    gate.open();
                    run.recv().unwrap();
                    woken.await.unwrap();
                });
                foreign_block_on(wakes).unwrap();
            }
        });
    }
}
