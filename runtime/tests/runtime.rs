//! The runtime, its builder and its handles, by behaviour.

mod support;

use evenkeel::runtime::{Builder, EnterGuard, Handle, Pinning, Runtime};
use std::cell::RefCell;
use std::collections::HashSet;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::thread;
use std::time::Duration;
use support::{
    Gate, assert_all_workers_work, builder, foreign_block_on, in_block_on, on_runtime, runtime,
    runtime_with, thread_name, watchdog,
};

/// A runtime whose threads tell by their names that they are its own.
fn named(name: &str) -> Runtime {
    builder(1)
        .compute_threads(1)
        .thread_name(name)
        .build()
        .unwrap()
}

#[test]
fn block_on_gives_the_output() {
    watchdog(|| assert_eq!(runtime().block_on(async { 42 }), 42));
}

#[test]
fn block_on_runs_on_the_calling_thread_with_values_that_are_not_send() {
    on_runtime(1, |runtime| {
        let caller = thread::current().id();
        let shared = Rc::new(RefCell::new(0));
        let inside = shared.clone();
        let output = runtime.block_on(async move {
            evenkeel::spawn(async {}).await.unwrap();
            *inside.borrow_mut() += 1;
            assert_eq!(thread::current().id(), caller);
            inside
        });
        assert_eq!(*output.borrow(), 1);
        assert!(Rc::ptr_eq(&output, &shared));
    });
}

#[test]
fn block_on_borrows_from_the_stack() {
    on_runtime(1, |runtime| {
        let mut log = Vec::new();
        runtime.block_on(async {
            log.push(1);
            evenkeel::task::yield_now().await;
            log.push(2);
        });
        assert_eq!(log, [1, 2]);
    });
}

#[test]
fn several_threads_are_in_block_on_at_once() {
    on_runtime(2, |runtime| {
        let barrier = Barrier::new(4);
        thread::scope(|scope| {
            for i in 0..4 {
                let barrier = &barrier;
                scope.spawn(move || {
                    runtime.block_on(async {
                        barrier.wait();
                        let spawned = evenkeel::spawn(async move {
                            evenkeel::time::sleep(Duration::from_millis(1)).await;
                            i
                        });
                        evenkeel::time::sleep(Duration::from_millis(1)).await;
                        assert_eq!(spawned.await.unwrap(), i);
                        barrier.wait();
                    });
                });
            }
        });
    });
}

#[test]
fn a_panic_leaves_block_on_as_it_was() {
    on_runtime(1, |runtime| {
        for _ in 0..3 {
            let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                runtime.block_on(async {
                    evenkeel::task::yield_now().await;
                    panic!("in block_on")
                })
            }));
            assert_eq!(panic.unwrap_err().downcast_ref(), Some(&"in block_on"));
            assert!(Handle::try_current().is_err(), "block_on was left");
        }
        assert_eq!(runtime.block_on(async { 1 }), 1);
        assert_all_workers_work(runtime.handle());
    });
}

#[test]
fn a_handle_drives_futures_too() {
    on_runtime(1, |runtime| {
        let handle = runtime.handle().clone();
        let output =
            thread::spawn(move || handle.block_on(async { evenkeel::spawn(async { 5 }).await }));
        assert_eq!(output.join().unwrap().unwrap(), 5);
    });
}

#[test]
fn current_is_known_in_every_kind_of_work_and_nowhere_else() {
    on_runtime(2, |runtime| {
        assert!(Handle::try_current().is_err());
        let handle = runtime.handle().clone();
        let current = || Handle::try_current().is_ok();
        assert!(runtime.block_on(async move { current() }));
        assert!(Handle::try_current().is_err());
        assert!(foreign_block_on(handle.spawn(async move { current() })).unwrap());
        assert!(foreign_block_on(handle.spawn_compute(current)).unwrap());
        assert!(foreign_block_on(handle.spawn_blocking(current)).unwrap());
        let nested = handle.spawn_blocking(|| evenkeel::compute::spawn(async { thread_name() }));
        let name = foreign_block_on(foreign_block_on(nested).unwrap()).unwrap();
        assert!(name.contains("-cpu-"), "{name}");
    });
}

#[test]
fn current_in_block_on_and_in_tasks_is_the_runtime_itself() {
    watchdog(|| {
        let (a, b) = (named("first"), named("second"));
        let on = |handle: Handle| foreign_block_on(handle.spawn(async { thread_name() })).unwrap();
        for (runtime, name) in [(&a, "first-io-0"), (&b, "second-io-0")] {
            assert_eq!(on(runtime.block_on(async { Handle::current() })), name);
            let current = runtime.spawn(async { Handle::current() });
            assert_eq!(on(foreign_block_on(current).unwrap()), name);
            let current = runtime.spawn_blocking(Handle::current);
            assert_eq!(on(foreign_block_on(current).unwrap()), name);
        }
    });
}

#[test]
fn entered_runtimes_nest() {
    watchdog(|| {
        let (a, b) = (named("first"), named("second"));
        let where_spawned = || foreign_block_on(evenkeel::spawn(async { thread_name() })).unwrap();
        {
            let _a = a.enter();
            assert_eq!(where_spawned(), "first-io-0");
            {
                let _b = b.handle().enter();
                assert_eq!(where_spawned(), "second-io-0");
                a.block_on(async {
                    let task = evenkeel::spawn(async { thread_name() });
                    assert_eq!(task.await.unwrap(), "first-io-0");
                });
                assert_eq!(where_spawned(), "second-io-0");
            }
            assert_eq!(where_spawned(), "first-io-0");
        }
        assert!(Handle::try_current().is_err());
    });
}

#[test]
fn guards_dropped_in_the_wrong_order_break_nothing() {
    watchdog(|| {
        let (a, b) = (named("first"), named("second"));
        let guard_a: EnterGuard<'_> = a.enter();
        let guard_b = b.enter();
        drop(guard_a);
        drop(guard_b);
        assert_eq!(foreign_block_on(a.spawn(async { 1 })).unwrap(), 1);
        assert_eq!(foreign_block_on(b.spawn(async { 2 })).unwrap(), 2);
    });
}

#[test]
fn a_guard_outlives_its_runtime() {
    watchdog(|| {
        let runtime = runtime();
        let guard = runtime.handle().clone();
        let guard = guard.enter();
        drop(runtime);
        assert!(
            foreign_block_on(evenkeel::spawn(async {}))
                .unwrap_err()
                .is_cancelled()
        );
        drop(guard);
        assert!(Handle::try_current().is_err());
    });
}

#[test]
fn a_runtime_entered_inside_a_task_of_another_is_the_current_one() {
    watchdog(|| {
        let (a, b) = (named("first"), named("second"));
        let inner = b.handle().clone();
        let names = a.spawn(async move {
            let tasks = {
                let _entered = inner.enter();
                [
                    evenkeel::spawn(async { thread_name() }),
                    evenkeel::spawn_compute(thread_name),
                    evenkeel::spawn_blocking(thread_name),
                ]
            };
            let mut names = Vec::new();
            for task in tasks {
                names.push(task.await.unwrap());
            }
            names.push(evenkeel::spawn(async { thread_name() }).await.unwrap());
            names
        });
        let names = foreign_block_on(names).unwrap();
        assert_eq!(
            names,
            ["second-io-0", "second-cpu-0", "second-blk-0", "first-io-0"]
        );
    });
}

#[test]
fn thread_names_tell_what_the_threads_are() {
    watchdog(|| {
        let runtime = builder(2)
            .compute_threads(1)
            .thread_name("svc")
            .build()
            .unwrap();
        runtime.block_on(async {
            let io = evenkeel::spawn(async { thread_name() }).await.unwrap();
            assert!(io == "svc-io-0" || io == "svc-io-1", "{io}");
            assert_eq!(
                evenkeel::spawn_compute(thread_name).await.unwrap(),
                "svc-cpu-0"
            );
            assert_eq!(
                evenkeel::spawn_blocking(thread_name).await.unwrap(),
                "svc-blk-0"
            );
        });
    });
}

#[test]
fn there_are_as_many_workers_as_asked_for() {
    watchdog(|| {
        for (io, compute) in [(1, 1), (1, 3), (3, 1), (5, 5)] {
            let runtime = builder(io).compute_threads(compute).build().unwrap();
            assert_eq!(runtime.handle().worker_threads(), io);
            assert_eq!(runtime.handle().compute_threads(), compute);
            // That these many are there, and with the count of threads below that no more are.
            assert_all_workers_work(runtime.handle());
        }
        assert_eq!(
            runtime_with(3).handle().compute_threads(),
            3,
            "by default as many as IO workers"
        );
    });
}

#[test]
fn more_workers_than_bits_in_a_word() {
    watchdog(|| {
        let runtime = builder(70).compute_threads(2).build().unwrap();
        assert_all_workers_work(runtime.handle());
    });
}

#[test]
fn hooks_are_called_once_for_each_thread() {
    watchdog(|| {
        let started = Arc::new(Mutex::new(Vec::new()));
        let stopped = Arc::new(Mutex::new(Vec::new()));
        let (start, stop) = (started.clone(), stopped.clone());
        let runtime = builder(2)
            .compute_threads(3)
            .thread_name("hooked")
            .on_thread_start(move || start.lock().unwrap().push(thread_name()))
            .on_thread_stop(move || stop.lock().unwrap().push(thread_name()))
            .build()
            .unwrap();
        // Two blocking threads at the same time.
        let barrier = Arc::new(Barrier::new(2));
        let blocking = [barrier.clone(), barrier].map(|b| {
            runtime.spawn_blocking(move || {
                b.wait();
            })
        });
        blocking
            .into_iter()
            .for_each(|task| foreign_block_on(task).unwrap());
        assert_all_workers_work(runtime.handle());
        drop(runtime);
        let sorted = |names: &Mutex<Vec<String>>| {
            let mut names = names.lock().unwrap().clone();
            names.sort();
            names
        };
        // The third blocking thread is there if the check above came before the two were idle.
        let (started, stopped) = (sorted(&started), sorted(&stopped));
        assert_eq!(started, stopped);
        let unique: HashSet<_> = started.iter().collect();
        assert_eq!(unique.len(), started.len(), "{started:?}");
        let of = |kind: &str| started.iter().filter(|name| name.contains(kind)).count();
        assert_eq!((of("-io-"), of("-cpu-")), (2, 3), "{started:?}");
        assert!((2..=3).contains(&of("-blk-")), "{started:?}");
    });
}

#[test]
fn hooks_can_use_the_runtime() {
    watchdog(|| {
        let (spawned_by, names) = mpsc::channel();
        let runtime = builder(1)
            .compute_threads(1)
            .on_thread_start(move || {
                let (name, spawned_by) = (thread_name(), spawned_by.clone());
                evenkeel::spawn(async move { spawned_by.send(name) });
            })
            .on_thread_stop(|| {
                evenkeel::spawn(async {});
            })
            .build()
            .unwrap();
        foreign_block_on(runtime.spawn_blocking(|| ())).unwrap();
        foreign_block_on(runtime.spawn_compute(|| ())).unwrap();
        // A spare, or another blocking thread, may start as well.
        let mut missing = vec!["-io-", "-cpu-", "-blk-"];
        while !missing.is_empty() {
            let name = names.recv().unwrap();
            missing.retain(|kind| !name.contains(kind));
        }
    });
}

/// Uses about `kib` KiB of stack.
fn recurse(kib: usize) -> usize {
    let page = std::hint::black_box([1_u8; 1024]);
    if kib == 0 {
        0
    } else {
        recurse(kib - 1) + usize::from(page[kib % 1024])
    }
}

#[test]
fn the_stack_size_is_honoured_on_all_threads() {
    watchdog(|| {
        // Four times what a thread has by default.
        let runtime = builder(1)
            .compute_threads(1)
            .thread_stack_size(32 << 20)
            .build()
            .unwrap();
        runtime.block_on(async {
            assert_eq!(
                evenkeel::spawn(async { recurse(8 << 10) }).await.unwrap(),
                8 << 10
            );
            assert_eq!(
                evenkeel::spawn_compute(|| recurse(8 << 10)).await.unwrap(),
                8 << 10
            );
            assert_eq!(
                evenkeel::spawn_blocking(|| recurse(8 << 10)).await.unwrap(),
                8 << 10
            );
        });
    });
}

#[cfg(target_os = "linux")]
mod pinning {
    use super::*;
    use support::{cpus_allowed, some_cpu};

    fn where_tasks_may_run(runtime: &Runtime) -> [String; 3] {
        [
            foreign_block_on(runtime.spawn(async { cpus_allowed() })).unwrap(),
            foreign_block_on(runtime.spawn_compute(cpus_allowed)).unwrap(),
            foreign_block_on(runtime.spawn_blocking(cpus_allowed)).unwrap(),
        ]
    }

    #[test]
    fn none_leaves_the_threads_where_they_may_be() {
        watchdog(|| {
            let runtime = builder(2).build().unwrap();
            let all = cpus_allowed();
            assert_eq!(
                where_tasks_may_run(&runtime),
                [all.clone(), all.clone(), all]
            );
            assert_eq!(runtime.handle().pinned_cpus(), [None, None]);
        });
    }

    #[test]
    fn custom_pins_both_lanes_and_no_blocking_thread() {
        watchdog(|| {
            let cpu = some_cpu();
            let mut builder = Builder::new();
            let runtime = builder
                .worker_threads(2)
                .pinning(Pinning::Custom(vec![cpu]))
                .build()
                .unwrap();
            let one = cpu.to_string();
            assert_eq!(
                where_tasks_may_run(&runtime),
                [one.clone(), one, cpus_allowed()]
            );
            assert_eq!(runtime.handle().pinned_cpus(), [Some(cpu), Some(cpu)]);
            assert_eq!(cpus_allowed(), support::cpus_allowed());
        });
    }

    #[test]
    fn per_core_pins_each_worker_to_one_cpu() {
        watchdog(|| {
            let mut builder = Builder::new();
            let runtime = builder
                .worker_threads(3)
                .pinning(Pinning::PerCore)
                .build()
                .unwrap();
            let pinned = runtime.handle().pinned_cpus();
            assert_eq!(pinned.len(), 3);
            let barrier = Arc::new(Barrier::new(3));
            let spawn = |_| {
                let barrier = barrier.clone();
                runtime.spawn(async move {
                    // All workers have one of these tasks each.
                    barrier.wait();
                    let worker: usize = thread_name().rsplit('-').next().unwrap().parse().unwrap();
                    (worker, cpus_allowed())
                })
            };
            let tasks: Vec<_> = (0..3).map(spawn).collect();
            for task in tasks {
                let (worker, cpus) = foreign_block_on(task).unwrap();
                assert_eq!(pinned[worker].unwrap().to_string(), cpus);
            }
            let blocking = foreign_block_on(runtime.spawn_blocking(cpus_allowed)).unwrap();
            assert_eq!(blocking, cpus_allowed());
        });
    }
}

#[test]
fn drop_waits_for_code_that_runs() {
    watchdog(|| {
        let runtime = runtime();
        let ended = Arc::new(AtomicUsize::new(0));
        let begun = Arc::new(Barrier::new(4));
        let release = Gate::new();
        let work = || {
            let (ended, begun, release) = (ended.clone(), begun.clone(), release.clone());
            move || {
                begun.wait();
                release.block();
                ended.fetch_add(1, Ordering::SeqCst);
            }
        };
        let poll = work();
        runtime.spawn(async move { poll() });
        runtime.spawn_compute(work());
        runtime.spawn_blocking(work());
        begun.wait();
        let opener = thread::spawn(move || release.open());
        drop(runtime);
        assert_eq!(ended.load(Ordering::SeqCst), 3);
        opener.join().unwrap();
    });
}

#[test]
fn a_dump_shows_every_worker_and_the_place_of_the_spawn() {
    on_runtime(2, |runtime| {
        let (begun, release) = (Gate::new(), Gate::new());
        let inside = (begun.clone(), release.clone());
        let task = runtime.spawn(async move {
            inside.0.open();
            inside.1.block();
        });
        begun.block();
        let dump = runtime.handle().dump().to_string();
        release.open();
        assert!(
            dump.contains("worker 0") && dump.contains("worker 1"),
            "{dump}"
        );
        assert!(dump.contains(file!()), "{dump}");
        assert!(dump.contains(&task.id().to_string()), "{dump}");
    });
}

#[test]
fn the_default_runtime_works() {
    watchdog(|| {
        let runtime = Runtime::new().unwrap();
        assert!(runtime.handle().worker_threads() >= 1);
        assert_all_workers_work(runtime.handle());
        assert!(!format!("{runtime:?} {:?} {:?}", runtime.handle(), Builder::new()).is_empty());
    });
}

#[test]
fn many_runtimes_at_once() {
    watchdog(|| {
        let runtimes: Vec<_> = (0..20).map(|_| runtime()).collect();
        let tasks: Vec<_> = runtimes
            .iter()
            .map(|runtime| runtime.spawn(async { 1 }))
            .collect();
        let sum: usize = tasks
            .into_iter()
            .map(|task| foreign_block_on(task).unwrap())
            .sum();
        assert_eq!(sum, 20);
    });
}

#[test]
fn spawned_futures_are_boxed_when_large_and_run() {
    in_block_on(2, || async {
        let large = [7_u8; 100_000];
        let task = evenkeel::spawn(async move {
            evenkeel::task::yield_now().await;
            large.iter().map(|&byte| usize::from(byte)).sum::<usize>()
        });
        assert_eq!(task.await.unwrap(), 700_000);
    });
}
