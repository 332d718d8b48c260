//! golang#45867: a goroutine was ready to run while a thread slept beside it. As many tasks that
//! wait for each other as there are workers find every wake-up that is one too few.

use crate::support::{Gate, foreign_block_on, on_runtime};
use evenkeel::net::{UnixDatagram, UnixStream};
use evenkeel::task::JoinHandle;
use evenkeel::time::{Duration, Instant, sleep_until};
use std::sync::{Arc, Barrier};

const WORKERS: usize = 3;

/// The tasks of one round meet on the workers' threads.
fn meet(mut spawn: impl FnMut(Arc<Barrier>) -> JoinHandle<()>) {
    let barrier = Arc::new(Barrier::new(WORKERS));
    let tasks: Vec<_> = (0..WORKERS).map(|_| spawn(barrier.clone())).collect();
    tasks
        .into_iter()
        .for_each(|task| foreign_block_on(task).unwrap());
}

#[test]
fn tasks_from_outside_meet() {
    on_runtime(WORKERS, |runtime| {
        for _ in 0..1_000 {
            meet(|barrier| {
                runtime.spawn(async move {
                    barrier.wait();
                })
            });
            meet(|barrier| {
                runtime.spawn_compute(move || {
                    barrier.wait();
                })
            });
        }
    });
}

#[test]
fn tasks_spawned_by_a_task_meet() {
    on_runtime(WORKERS, |runtime| {
        for _ in 0..1_000 {
            let spawner = runtime.spawn(async {
                let barrier = Arc::new(Barrier::new(WORKERS));
                (0..WORKERS)
                    .map(|_| {
                        let barrier = barrier.clone();
                        evenkeel::spawn(async move {
                            barrier.wait();
                        })
                    })
                    .collect::<Vec<_>>()
            });
            for task in foreign_block_on(spawner).unwrap() {
                foreign_block_on(task).unwrap();
            }
        }
    });
}

#[test]
fn tasks_woken_all_at_once_meet() {
    on_runtime(WORKERS, |runtime| {
        for round in 0..1_000 {
            let gate = Gate::new();
            let wake = gate.clone();
            // The last one wakes the others: from a worker or from here.
            let mut left = WORKERS;
            let barrier_tasks = |barrier: Arc<Barrier>| {
                left -= 1;
                let gate = gate.clone();
                let opens = left == 0 && round % 2 == 0;
                runtime.spawn(async move {
                    if opens {
                        gate.open();
                        // What it woke last is in its LIFO slot, which is not shared.
                        evenkeel::task::yield_now().await;
                    }
                    gate.wait().await;
                    barrier.wait();
                })
            };
            if round % 2 == 1 {
                wake.open();
            }
            meet(barrier_tasks);
        }
    });
}

#[test]
fn tasks_woken_by_timers_meet() {
    on_runtime(WORKERS, |runtime| {
        for _ in 0..300 {
            let due = Instant::now() + Duration::from_micros(500);
            meet(|barrier| {
                runtime.spawn(async move {
                    sleep_until(due).await;
                    barrier.wait();
                })
            });
        }
    });
}

/// All timers on one worker: it fires them together, and the others must come for theirs.
#[test]
fn tasks_woken_by_the_timers_of_one_worker_meet() {
    on_runtime(WORKERS, |runtime| {
        for _ in 0..300 {
            let due = Instant::now() + Duration::from_micros(500);
            let one = runtime.spawn(async move {
                let barrier = Arc::new(Barrier::new(WORKERS));
                let tasks = (0..WORKERS)
                    .map(|_| {
                        let barrier = barrier.clone();
                        evenkeel::spawn(async move {
                            sleep_until(due).await;
                            barrier.wait();
                        })
                    })
                    .collect::<Vec<_>>();
                for task in tasks {
                    task.await.unwrap();
                }
            });
            foreign_block_on(one).unwrap();
        }
    });
}

#[test]
fn tasks_woken_by_io_meet() {
    on_runtime(WORKERS, |runtime| {
        let _entered = runtime.enter();
        for _ in 0..200 {
            let mut writers = Vec::new();
            let barrier = Arc::new(Barrier::new(WORKERS));
            let tasks: Vec<_> = (0..WORKERS)
                .map(|i| {
                    let barrier = barrier.clone();
                    if i % 2 == 0 {
                        let (reader, writer) = UnixStream::pair().unwrap();
                        foreign_block_on(writer.writable()).unwrap();
                        writers.push(Box::new(move || writer.try_write(&[1]).unwrap())
                            as Box<dyn FnOnce() -> usize>);
                        runtime.spawn(async move {
                            reader.readable().await.unwrap();
                            barrier.wait();
                        })
                    } else {
                        let (reader, writer) = UnixDatagram::pair().unwrap();
                        foreign_block_on(writer.writable()).unwrap();
                        writers.push(Box::new(move || writer.try_send(&[1]).unwrap()));
                        runtime.spawn(async move {
                            reader.readable().await.unwrap();
                            barrier.wait();
                        })
                    }
                })
                .collect();
            // The writers' ends live until all have been written to: dropped, they would be
            // readable.
            for write in writers {
                assert_eq!(write(), 1);
            }
            tasks
                .into_iter()
                .for_each(|task| foreign_block_on(task).unwrap());
        }
    });
}
