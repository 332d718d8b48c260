//! rayon's global pool, which there is once in a process: hence one test.

#![cfg(all(target_os = "linux", feature = "rayon"))]

mod support;

use evenkeel::runtime::{Builder, Pinning};
use evenkeel_topology::{allowed_cpus, parallelism};
use support::{cpus_allowed, foreign_block_on, on_built, sched_policy};

#[test]
fn the_pool_that_a_task_finds_is_as_large_and_as_free_as_the_program() {
    let mut pinned = Builder::new();
    pinned.pinning(Pinning::Custom(vec![support::some_cpu()]));
    let (threads, cpus) = (parallelism(), allowed_cpus().to_string());
    on_built(pinned, move |runtime| {
        let seen = || {
            let broadcast = rayon_core::broadcast(|_| (cpus_allowed(), sched_policy()));
            (rayon_core::current_num_threads(), broadcast)
        };
        let expected = (threads, vec![(cpus, 0); threads]);
        let in_task = foreign_block_on(runtime.spawn(async move { seen() }));
        assert_eq!(in_task.unwrap(), expected);
        let in_closure = foreign_block_on(runtime.spawn_compute(seen));
        assert_eq!(in_closure.unwrap(), expected);
    });
    // A second runtime leaves it alone.
    let runtime = Builder::new().worker_threads(1).build().unwrap();
    let threads_now = || async { rayon_core::current_num_threads() };
    assert_eq!(runtime.block_on(threads_now()), threads);
}
