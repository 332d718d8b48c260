//! seastar#1488: a sequentially consistent load without a fence: the submitter saw no sleeper and
//! the sleeper saw no work. The loom models of the sleep protocol are beside the code; this is the
//! same shape on real threads.

use crate::support::{foreign_block_on, on_runtime};

/// One task at a time, from a thread that looks on, to workers that fall asleep between two of
/// them.
#[test]
fn a_push_against_a_worker_that_falls_asleep() {
    on_runtime(2, |runtime| {
        for round in 0..20_000_u32 {
            // Some time for the worker to get at a different point of its way to sleep.
            for _ in 0..(round.wrapping_mul(2_654_435_761) >> 22) {
                std::hint::spin_loop();
            }
            match round % 2 {
                0 => foreign_block_on(runtime.spawn(async {})).unwrap(),
                _ => foreign_block_on(runtime.spawn_compute(|| ())).unwrap(),
            }
        }
    });
}

#[test]
fn pushes_from_two_threads_at_once() {
    on_runtime(2, |runtime| {
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..5_000 {
                        foreign_block_on(runtime.spawn(async {})).unwrap();
                        foreign_block_on(runtime.spawn_compute(|| ())).unwrap();
                    }
                });
            }
        });
    });
}
