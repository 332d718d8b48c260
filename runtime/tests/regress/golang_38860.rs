//! golang#38860 and #38119: while every processor had work, timers were looked at late or by
//! nobody, and programs with busy goroutines saw them fire tens of milliseconds after their time.

use crate::support::{foreign_block_on, on_runtime, until};
use evenkeel::runtime::Runtime;
use evenkeel::task::{JoinHandle, yield_now};
use evenkeel::time::{Duration, sleep};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const WORKERS: usize = 2;

/// Tasks that are never without work, two for each worker of a lane.
struct Spinners {
    end: Arc<AtomicBool>,
    turns: Arc<[AtomicU64; 2 * WORKERS]>,
    tasks: Vec<JoinHandle<()>>,
}

impl Spinners {
    fn new(mut spawn: impl FnMut(Spinner) -> JoinHandle<()>) -> Spinners {
        let (end, turns) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let tasks = (0..2 * WORKERS)
            .map(|me| {
                let (end, turns) = (Arc::clone(&end), Arc::clone(&turns));
                spawn(Spinner { end, turns, me })
            })
            .collect();
        Spinners { end, turns, tasks }
    }

    /// Each of them gets on.
    fn assert_progress(&self) {
        for turns in &*self.turns {
            let before = turns.load(Ordering::SeqCst);
            until(|| turns.load(Ordering::SeqCst) > before);
        }
    }

    fn end(self) {
        self.end.store(true, Ordering::SeqCst);
        self.tasks
            .into_iter()
            .for_each(|task| foreign_block_on(task).unwrap());
    }
}

struct Spinner {
    end: Arc<AtomicBool>,
    turns: Arc<[AtomicU64; 2 * WORKERS]>,
    me: usize,
}

impl Spinner {
    async fn spin(self) {
        while !self.end.load(Ordering::SeqCst) {
            self.turns[self.me].fetch_add(1, Ordering::SeqCst);
            for _ in 0..100 {
                std::hint::spin_loop();
            }
            yield_now().await;
        }
    }
}

async fn sleep_often() {
    for _ in 0..50 {
        sleep(Duration::from_millis(1)).await;
    }
}

/// In `block_on`, and in several tasks at once. Not in the compute lane: beside busy IO workers
/// it has only what they leave.
fn assert_timers_fire(runtime: &Runtime) {
    runtime.block_on(sleep_often());
    let tasks: Vec<_> = (0..2 * WORKERS)
        .map(|_| runtime.spawn(sleep_often()))
        .collect();
    tasks
        .into_iter()
        .for_each(|task| foreign_block_on(task).unwrap());
}

#[test]
fn timers_fire_beside_busy_io_workers() {
    on_runtime(WORKERS, |runtime| {
        let _entered = runtime.enter();
        let spinners = Spinners::new(|spinner| runtime.spawn(spinner.spin()));
        assert_timers_fire(runtime);
        spinners.assert_progress();
        spinners.end();
    });
}

#[test]
fn timers_fire_beside_busy_workers_of_both_lanes() {
    on_runtime(WORKERS, |runtime| {
        let _entered = runtime.enter();
        let io = Spinners::new(|spinner| runtime.spawn(spinner.spin()));
        let compute = Spinners::new(|spinner| evenkeel::compute::spawn(spinner.spin()));
        assert_timers_fire(runtime);
        io.assert_progress();
        compute.assert_progress();
        io.end();
        compute.end();
    });
}
