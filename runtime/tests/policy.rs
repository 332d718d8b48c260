//! Workers that sleep beside one who gets through short tasks leave little work to it. These tests
//! are about the other side of that: when the worker that was relied upon is stuck, another comes
//! for its work.

#![cfg(unix)]

mod support;

use evenkeel::net::UnixStream;
use evenkeel::task::yield_now;
use std::sync::mpsc;
use std::thread;
use support::{Gate, foreign_block_on, on_runtime};

const ROUNDS: usize = 60;

/// Many short polls on this worker, and now and then something for the other one, which goes back
/// to sleep beside a lane that it knows to be quick.
async fn work_in_short_polls() {
    for _ in 0..60 {
        let children: Vec<_> = (0..4).map(|_| evenkeel::spawn(yield_now())).collect();
        for _ in 0..64 {
            yield_now().await;
        }
        for child in children {
            child.await.unwrap();
        }
    }
}

/// Takes the LIFO slot, which is not shared, so that what was woken or spawned before can be
/// stolen.
fn fill_the_next_slot() {
    drop(evenkeel::spawn(async {}));
}

fn blocks_for<F: Future<Output = ()> + Send + 'static>(round: impl Fn() -> F + Send + 'static) {
    on_runtime(2, move |runtime| {
        for _ in 0..ROUNDS {
            foreign_block_on(runtime.spawn(round())).unwrap();
        }
    });
}

/// A task blocks its worker until the one it has just spawned has run.
#[test]
fn a_task_behind_one_that_blocks_runs_elsewhere() {
    blocks_for(|| async {
        work_in_short_polls().await;
        let (ran, run) = mpsc::channel();
        evenkeel::spawn(async move { ran.send(()).unwrap() });
        fill_the_next_slot();
        run.recv().unwrap();
    });
}

/// A task blocks its worker until those it has just woken have run, which yield as well.
#[test]
fn tasks_that_were_woken_by_one_that_blocks_run_elsewhere() {
    blocks_for(|| async {
        let (ran, run) = mpsc::channel();
        let gate = Gate::new();
        for _ in 0..5 {
            let (ran, gate) = (ran.clone(), gate.clone());
            evenkeel::spawn(async move {
                gate.wait().await;
                yield_now().await;
                ran.send(()).unwrap();
            });
        }
        work_in_short_polls().await;
        gate.open();
        fill_the_next_slot();
        (0..5).for_each(|_| run.recv().unwrap());
    });
}

/// A task blocks its worker, and then comes the work, from a thread outside.
#[test]
fn a_task_from_outside_runs_beside_one_that_blocks() {
    on_runtime(2, |runtime| {
        for _ in 0..ROUNDS {
            let (begun, release) = (Gate::new(), Gate::new());
            let inside = (begun.clone(), release.clone());
            let blocks = runtime.spawn(async move {
                work_in_short_polls().await;
                inside.0.open();
                inside.1.block();
            });
            begun.block();
            foreign_block_on(runtime.spawn(async move { release.open() })).unwrap();
            foreign_block_on(blocks).unwrap();
        }
    });
}

/// A task blocks its worker until a socket that is written to only then has been read by another
/// task.
#[test]
fn an_event_that_comes_while_the_only_awake_worker_is_stuck_is_handled() {
    on_runtime(2, |runtime| {
        let _entered = runtime.enter();
        for _ in 0..ROUNDS {
            let (reader, writer) = UnixStream::pair().unwrap();
            foreign_block_on(writer.writable()).unwrap();
            let (begun, begins) = mpsc::channel();
            let writes = thread::spawn(move || {
                begins.recv().unwrap();
                assert_eq!(writer.try_write(&[1]).unwrap(), 1);
            });
            let blocks = runtime.spawn(async move {
                let (read, was_read) = mpsc::channel();
                evenkeel::spawn(async move {
                    reader.readable().await.unwrap();
                    read.send(reader.try_read(&mut [0]).unwrap()).unwrap();
                });
                work_in_short_polls().await;
                begun.send(()).unwrap();
                assert_eq!(was_read.recv().unwrap(), 1);
            });
            foreign_block_on(blocks).unwrap();
            writes.join().unwrap();
        }
    });
}
