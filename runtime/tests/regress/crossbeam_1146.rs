//! crossbeam#1146: a large element was built on the stack on its way into a queue, and overflowed
//! it.

use crate::support::{foreign_block_on, runtime, watchdog_of};
use evenkeel::JoinError;
use evenkeel::runtime::Handle;
use evenkeel::task::JoinSet;
use std::future::Future;
use std::hint::black_box;
use std::pin::Pin;
use std::thread;

const MIB: usize = 1 << 20;

/// On a stack that is large enough for the caller's own copies; the workers have the usual 2 MiB.
fn on_a_large_stack(body: fn()) {
    watchdog_of(thread::Builder::new().stack_size(64 * MIB), move |_| body());
}

fn sum(bytes: &[u8]) -> usize {
    black_box(bytes).iter().map(|&byte| usize::from(byte)).sum()
}

#[test]
fn a_closure_that_captures_a_mebibyte() {
    on_a_large_stack(|| {
        let runtime = runtime();
        let large = [1_u8; MIB];
        assert_eq!(
            foreign_block_on(runtime.spawn_blocking(move || sum(&large))).unwrap(),
            MIB
        );
        assert_eq!(
            foreign_block_on(runtime.spawn_compute(move || sum(&large))).unwrap(),
            MIB
        );
        // Dropped unrun.
        let handle = runtime.handle().clone();
        drop(runtime);
        let closure = handle.spawn_compute(move || sum(&large));
        assert!(foreign_block_on(closure).unwrap_err().is_cancelled());
    });
}

#[test]
fn a_future_of_32_kibibytes() {
    on_a_large_stack(|| {
        let runtime = runtime();
        let future = || {
            let large = [1_u8; 32 << 10];
            async move {
                evenkeel::task::yield_now().await;
                sum(&large)
            }
        };
        assert!(size_of_val(&future()) >= 32 << 10);
        let _entered = runtime.enter();
        let tasks: Vec<_> = (0..50)
            .flat_map(|_| [runtime.spawn(future()), evenkeel::compute::spawn(future())])
            .collect();
        for task in tasks {
            assert_eq!(foreign_block_on(task).unwrap(), 32 << 10);
        }
        assert_eq!(runtime.block_on(future()), 32 << 10);
        // Spawned by a task, on the stack of a worker.
        let nested = runtime.spawn(async move { evenkeel::spawn(future()).await.unwrap() });
        assert_eq!(foreign_block_on(nested).unwrap(), 32 << 10);
    });
}

#[test]
fn a_future_of_a_mebibyte() {
    on_a_large_stack(|| {
        let runtime = runtime();
        let large = [1_u8; MIB];
        let task = runtime.spawn(async move {
            evenkeel::task::yield_now().await;
            sum(&large)
        });
        assert_eq!(foreign_block_on(task).unwrap(), MIB);
    });
}

#[test]
fn an_output_of_64_kibibytes() {
    on_a_large_stack(|| {
        let runtime = runtime();
        let task = runtime.spawn(async { [1_u8; 64 << 10] });
        assert_eq!(sum(&foreign_block_on(task).unwrap()), 64 << 10);
        let task = runtime.spawn_compute(|| [1_u8; 64 << 10]);
        assert_eq!(sum(&foreign_block_on(task).unwrap()), 64 << 10);
    });
}

/// As large as what fits into the stack of a worker twice, but not three times.
const LARGE: usize = 900_000;

async fn large() -> usize {
    let bytes = [1_u8; LARGE];
    std::future::ready(()).await;
    black_box(&bytes).len()
}

type Boxed = Pin<Box<dyn Future<Output = Result<usize, JoinError>> + Send>>;

/// Without optimisation each call that hands a value on copies it, and the stack of a worker has 2
/// MiB.
#[test]
fn large_futures_spawned_by_a_worker_fit_into_its_stack() {
    on_a_large_stack(|| {
        let runtime = runtime();
        let spawns: [Boxed; 5] = [
            Box::pin(async { evenkeel::spawn(large()).await }),
            Box::pin(async { evenkeel::compute::spawn(large()).await }),
            Box::pin(async { Handle::current().spawn(large()).await }),
            Box::pin(async {
                let mut set = JoinSet::new();
                set.spawn(large());
                set.join_next().await.unwrap()
            }),
            Box::pin(async {
                let handle = Handle::current();
                evenkeel::spawn_blocking(move || handle.block_on(large())).await
            }),
        ];
        for spawn in spawns {
            let spawned = foreign_block_on(runtime.spawn(spawn)).unwrap();
            assert_eq!(spawned.unwrap(), LARGE);
        }
    });
}
