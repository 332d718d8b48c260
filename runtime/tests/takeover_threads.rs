//! The threads of a process come back to what they were before a storm of takeovers.
//!
//! They belong to the whole process, hence a binary of its own, and one test.

#![cfg(target_os = "linux")]

mod support;
mod takeover_support;

use evenkeel::time::{Duration, sleep};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use support::{Gate, foreign_block_on, until};
use takeover_support::{
    End, Stuck, builder_without_own_lanes, join_all, on, stick_all_but, threads,
    threads_after_first_task,
};

#[test]
fn after_a_storm_of_takeovers_the_threads_are_those_of_before() {
    let (started, stopped) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (starts, stops) = (started.clone(), stopped.clone());
    let mut builder = builder_without_own_lanes(2);
    builder
        .thread_keep_alive(Duration::from_millis(50))
        .on_thread_start(move || {
            starts.fetch_add(1, Ordering::SeqCst);
        })
        .on_thread_stop(move || {
            stops.fetch_add(1, Ordering::SeqCst);
        });
    on(builder, move |runtime| {
        let before = threads_after_first_task(&runtime);
        until(|| started.load(Ordering::SeqCst) >= 2);
        for how in [Stuck::Blocks, Stuck::Computes, Stuck::Blocks] {
            // Thirty polls at once, with thirty threads more to follow them.
            let (end, mut stuck) = (End::new(), Vec::new());
            for _ in 0..15 {
                stuck.extend(stick_all_but(0, &runtime, how, &end));
            }
            foreign_block_on(runtime.spawn(async { sleep(Duration::from_millis(1)).await }))
                .unwrap();
            assert!(threads() >= before + 28, "{} threads", threads());
            end.come();
            join_all(stuck);
            // Together they were many, and all are needed again at once, before they have ended.
            let gate = Gate::new();
            let tasks = (0..20).map(|_| {
                let gate = gate.clone();
                runtime.spawn(async move { gate.block() })
            });
            let tasks = tasks.collect();
            gate.open();
            join_all(tasks);
            // One spare stays; and somebody may have left the seat that it was made for.
            until(|| threads() <= before + 1);
            assert_eq!(runtime.metrics().num_displaced_threads(), 0);
        }
        // And they can work.
        support::assert_all_workers_work(runtime.handle());
        drop(runtime);
        // Each thread that has called the one hook has called the other.
        let (started, stopped) = (
            started.load(Ordering::SeqCst),
            stopped.load(Ordering::SeqCst),
        );
        assert_eq!(started, stopped);
        assert!(started >= 30, "{started}");
        until(|| threads() < before);
    });
}
