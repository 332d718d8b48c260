//! tokio#8056: the count of idle blocking threads went down only when a thread had woken up, so a
//! second job was given to a thread that was already taken, and waited behind a job that blocked.

use crate::support::{builder, foreign_block_on, watchdog};
use std::sync::{Arc, Barrier};

#[test]
fn two_blockers_after_quick_jobs_both_run() {
    watchdog(|| {
        for round in 0..512 {
            let runtime = builder(1).compute_threads(1).build().unwrap();
            let quick: Vec<_> = (0..1 + round % 4)
                .map(|_| runtime.spawn_blocking(|| ()))
                .collect();
            quick
                .into_iter()
                .for_each(|task| foreign_block_on(task).unwrap());
            // Each waits for the other, so a stranded one is never run.
            let barrier = Arc::new(Barrier::new(2));
            let blockers = [barrier.clone(), barrier].map(|barrier| {
                runtime.spawn_blocking(move || {
                    barrier.wait();
                })
            });
            blockers
                .into_iter()
                .for_each(|task| foreign_block_on(task).unwrap());
        }
    });
}

#[test]
fn two_compute_closures_after_quick_ones_both_run() {
    watchdog(|| {
        for round in 0..256 {
            let runtime = builder(1).compute_threads(2).build().unwrap();
            let quick: Vec<_> = (0..1 + round % 4)
                .map(|_| runtime.spawn_compute(|| ()))
                .collect();
            quick
                .into_iter()
                .for_each(|task| foreign_block_on(task).unwrap());
            let barrier = Arc::new(Barrier::new(2));
            let blockers = [barrier.clone(), barrier].map(|barrier| {
                runtime.spawn_compute(move || {
                    barrier.wait();
                })
            });
            blockers
                .into_iter()
                .for_each(|task| foreign_block_on(task).unwrap());
        }
    });
}
