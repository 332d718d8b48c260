//! Each strategy of pinning, as the threads of a runtime have it.

#![cfg(target_os = "linux")]

mod support;

use evenkeel::runtime::{Builder, Fence, Pinning, Runtime};
use evenkeel_topology::{
    CpuSet, Placement, Topology, allowed_cpus, current_thread_id, thread_cpus,
};
use std::sync::{Arc, Barrier};
use support::{foreign_block_on, on_built, until};

const WORKERS: usize = 3;

/// The number of each worker of a lane, with the CPUs that it may run on.
fn workers_of(runtime: &Runtime, is_compute: bool) -> Vec<(usize, CpuSet)> {
    // All workers have one of these tasks each.
    let barrier = Arc::new(Barrier::new(WORKERS));
    let tasks: Vec<_> = (0..WORKERS)
        .map(|_| {
            let barrier = barrier.clone();
            let task = move || {
                barrier.wait();
                let name = support::thread_name();
                let worker = name.rsplit('-').next().unwrap().parse().unwrap();
                (worker, allowed_cpus())
            };
            match is_compute {
                true => runtime.spawn_compute(task),
                false => runtime.spawn(async move { task() }),
            }
        })
        .collect();
    tasks
        .into_iter()
        .map(|task| foreign_block_on(task).unwrap())
        .collect()
}

fn builder(pinning: Pinning) -> Builder {
    let mut builder = Builder::new();
    builder.worker_threads(WORKERS).pinning(pinning);
    // Nobody is replaced while the workers wait for each other.
    builder.takeover(evenkeel::runtime::TakeoverPolicy::disabled());
    builder
}

fn strategies() -> Vec<Pinning> {
    let first = allowed_cpus().iter().take(1).collect();
    vec![
        Pinning::None,
        Pinning::PerCore,
        Pinning::Compact,
        Pinning::Scatter,
        Pinning::ComputeOnly,
        Pinning::Fence(Fence::Cluster),
        Pinning::Fence(Fence::L3),
        Pinning::Fence(Fence::Node),
        Pinning::Fence(Fence::Cpus(first)),
    ]
}

#[test]
fn the_threads_are_where_the_placement_has_them_and_blocking_ones_are_free() {
    for pinning in strategies() {
        let topology = Topology::detect();
        let placement = Placement::new(&topology, 1, [WORKERS; 2], &pinning).unwrap();
        on_built(builder(pinning.clone()), move |runtime| {
            let all = allowed_cpus();
            for (plan, is_compute) in [(&placement.io, false), (&placement.compute, true)] {
                for (worker, cpus) in workers_of(runtime, is_compute) {
                    let expected = plan.mask(worker).unwrap_or(&all);
                    assert_eq!(&cpus, expected, "{pinning}, worker {worker}");
                }
            }
            let blocking = foreign_block_on(runtime.spawn_blocking(allowed_cpus));
            assert_eq!(blocking.unwrap(), all, "{pinning}");
            let pinned = (0..WORKERS).map(|worker| placement.io.cpu(worker));
            assert!(
                runtime.handle().pinned_cpus().into_iter().eq(pinned),
                "{pinning}"
            );
        });
    }
}

#[test]
fn a_dump_says_what_was_chosen_and_where_the_workers_are() {
    let cpu = support::some_cpu();
    let fence = Pinning::Fence(Fence::Cpus(vec![cpu]));
    on_built(builder(fence), move |runtime| {
        let dump = runtime.handle().dump().to_string();
        assert!(
            dump.starts_with(&format!("pinning: fence:{cpu}\n")),
            "{dump}"
        );
        assert!(dump.contains(&format!("worker 0 (CPU {cpu}): ")), "{dump}");
    });
    // More workers than CPUs.
    let mut auto = Builder::new();
    auto.worker_threads(allowed_cpus().len() + 1);
    on_built(auto, |runtime| {
        let dump = runtime.handle().dump().to_string();
        let expected = "pinning: auto, which is none here: ";
        assert!(dump.starts_with(expected), "{dump}");
        assert!(dump.contains("worker 0: "), "{dump}");
    });
}

#[test]
fn a_thread_that_takes_a_fenced_workers_place_is_in_the_fence() {
    let cpu = support::some_cpu();
    let mut fenced = Builder::new();
    let fence = Pinning::Fence(Fence::Cpus(vec![cpu]));
    fenced.worker_threads(1).pinning(fence);
    on_built(fenced, move |runtime| {
        let gate = support::Gate::new();
        let blocked = gate.clone();
        let stuck = runtime.spawn(async move {
            blocked.block();
            current_thread_id()
        });
        until(|| runtime.metrics().takeovers() > 0);
        let where_it_is = || async { (allowed_cpus(), current_thread_id()) };
        let (cpus, thread) = foreign_block_on(runtime.spawn(where_it_is())).unwrap();
        assert_eq!(cpus.as_slice(), [cpu]);
        assert_eq!(thread_cpus(thread), Some(cpus));
        gate.open();
        assert_ne!(foreign_block_on(stuck).unwrap(), thread);
    });
}
