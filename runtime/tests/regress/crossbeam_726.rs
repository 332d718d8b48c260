//! crossbeam#726 (CVE-2021-32810): a stealer read from the buffer that the deque had just outgrown,
//! and the same task was popped twice. Here: deques that grow while they are stolen from; each task
//! runs exactly once.

use crate::support::{foreign_block_on, on_runtime};
use evenkeel::task::yield_now;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

#[test]
fn each_task_runs_exactly_once_while_queues_grow() {
    on_runtime(4, |runtime| {
        for round in 0..30 {
            const TASKS: usize = 3_000;
            let runs: Arc<Vec<AtomicU32>> =
                Arc::new((0..TASKS).map(|_| AtomicU32::new(0)).collect());
            let counted = runs.clone();
            let spawner = async move {
                (0..TASKS)
                    .map(|i| {
                        let runs = counted.clone();
                        let once = async move {
                            runs[i].fetch_add(1, Ordering::SeqCst);
                            if i % 16 == 0 {
                                yield_now().await;
                            }
                        };
                        if round % 2 == 0 {
                            evenkeel::spawn(once)
                        } else {
                            evenkeel::compute::spawn(once)
                        }
                    })
                    .collect::<Vec<_>>()
            };
            let _entered = runtime.enter();
            let spawner = match round % 2 {
                0 => evenkeel::spawn(spawner),
                _ => evenkeel::compute::spawn(spawner),
            };
            for task in foreign_block_on(spawner).unwrap() {
                foreign_block_on(task).unwrap();
            }
            assert!(runs.iter().all(|runs| runs.load(Ordering::SeqCst) == 1));
        }
    });
}
