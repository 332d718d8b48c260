//! The CPUs of a process are changed from outside while a runtime runs.
//!
//! They belong to the whole process, hence a binary of its own, and one test.

#![cfg(target_os = "linux")]

mod support;

use evenkeel::runtime::{Builder, Pinning, Runtime};
use evenkeel_topology::{CpuSet, allowed_cpus, set_thread_affinity, thread_cpus};
use std::fs;
use support::{Gate, until, watchdog};

fn threads() -> Vec<u32> {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.map(|task| task.unwrap().file_name().into_string().unwrap());
    names.map(|name| name.parse().unwrap()).collect()
}

/// As `taskset -a -p` does it; again if a thread was made meanwhile.
fn restrict_all(cpus: &CpuSet) {
    until(|| {
        for thread in threads() {
            // It may have ended.
            let _ = set_thread_affinity(thread, cpus);
        }
        used() == *cpus
    });
}

/// What the threads of the process may run on, all together.
fn used() -> CpuSet {
    let cpus = threads().into_iter().filter_map(thread_cpus);
    cpus.flat_map(|cpus| cpus.iter().collect::<Vec<_>>())
        .collect()
}

/// Has workers replaced, and waits until others sit in their places.
fn take_over(runtime: &Runtime) {
    let before = runtime.metrics().takeovers();
    let gate = Gate::new();
    let blocked: Vec<_> = (0..2)
        .map(|_| {
            let gate = gate.clone();
            runtime.spawn(async move { gate.block() })
        })
        .collect();
    runtime.block_on(async { evenkeel::spawn(async {}).await.unwrap() });
    until(|| runtime.metrics().takeovers() > before);
    gate.open();
    runtime.block_on(async {
        for task in blocked {
            task.await.unwrap();
        }
    });
}

#[test]
fn nobody_leaves_the_cpus_that_the_process_may_use_now() {
    watchdog(|| {
        let before = allowed_cpus();
        let cpus: Vec<_> = before.iter().collect();
        let [first, .., last] = cpus[..] else {
            return eprintln!("skipped: there is one CPU");
        };
        let runtime = Builder::new()
            .worker_threads(2)
            .pinning(Pinning::Custom(vec![first, last]))
            .build()
            .unwrap();
        take_over(&runtime);
        assert_eq!(runtime.handle().pinned_cpus(), [Some(first), Some(last)]);
        // The workers of the compute lane and of another runtime have had no task yet, before which
        // nobody is pinned.
        let unused = Builder::new()
            .worker_threads(2)
            .pinning(Pinning::Custom(vec![last]))
            .build()
            .unwrap();
        let narrow: CpuSet = [first].into_iter().collect();
        restrict_all(&narrow);
        support::assert_all_workers_work(unused.handle());
        for _ in 0..3 {
            take_over(&runtime);
        }
        assert_eq!(used(), narrow);
        assert_eq!(runtime.handle().pinned_cpus(), [Some(first), None]);
        // And back: the workers are pinned again, and one of them alone to the last.
        restrict_all(&before);
        let alone: CpuSet = [last].into_iter().collect();
        until(|| {
            runtime.block_on(async { evenkeel::spawn(async {}).await.unwrap() });
            let pinned = threads().into_iter().filter_map(thread_cpus);
            pinned.into_iter().any(|cpus| cpus == alone)
        });
        assert_eq!(runtime.handle().pinned_cpus(), [Some(first), Some(last)]);
    });
}
