//! The compute lane, by behaviour.

mod support;

use evenkeel::compute::should_yield;
use evenkeel::net::{TcpListener, TcpStream};
use evenkeel::runtime::ComputePriority;
use evenkeel::task::yield_now;
use evenkeel::time::{Duration, sleep};
use std::sync::{Arc, Barrier};
use std::thread;
use support::{Gate, builder, foreign_block_on, in_block_on, on_runtime, thread_name, watchdog};

fn is_compute(name: &str) -> bool {
    name.contains("-cpu-")
}

#[test]
fn closures_run_on_the_compute_lane() {
    on_runtime(2, |runtime| {
        let name = foreign_block_on(runtime.spawn_compute(thread_name)).unwrap();
        assert!(is_compute(&name), "{name}");
    });
}

#[test]
fn a_future_is_woken_back_to_the_compute_lane() {
    in_block_on(2, || async {
        let gate = Gate::new();
        let inside = gate.clone();
        let task = evenkeel::compute::spawn(async move {
            let mut names = vec![thread_name()];
            yield_now().await;
            names.push(thread_name());
            sleep(Duration::from_millis(1)).await;
            names.push(thread_name());
            // Woken by a task of the IO lane, and by a plain thread.
            evenkeel::spawn(async {}).await.unwrap();
            names.push(thread_name());
            inside.wait().await;
            names.push(thread_name());
            names
        });
        thread::spawn(move || gate.open()).join().unwrap();
        let names = task.await.unwrap();
        assert!(names.iter().all(|name| is_compute(name)), "{names:?}");
    });
}

#[test]
fn sockets_work_on_the_compute_lane() {
    in_block_on(1, || async {
        let task = evenkeel::compute::spawn(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let client = TcpStream::connect(listener.local_addr().unwrap())
                .await
                .unwrap();
            let (server, _) = listener.accept().await.unwrap();
            let reader = evenkeel::compute::spawn(async move {
                let mut byte = [0];
                loop {
                    server.readable().await.unwrap();
                    match server.try_read(&mut byte) {
                        Ok(1) => return byte[0],
                        Ok(_) => panic!("the end of the stream"),
                        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
                    }
                }
            });
            yield_now().await;
            client.writable().await.unwrap();
            assert_eq!(client.try_write(&[9]).unwrap(), 1);
            (reader.await.unwrap(), thread_name())
        });
        let (byte, name) = task.await.unwrap();
        assert_eq!(byte, 9);
        assert!(is_compute(&name), "{name}");
    });
}

#[test]
fn all_compute_workers_take_part() {
    watchdog(|| {
        let runtime = builder(1).compute_threads(4).build().unwrap();
        for _ in 0..50 {
            let barrier = Arc::new(Barrier::new(4));
            // Spawned by one of them: the others have to steal.
            let spawner = runtime.spawn_compute(move || {
                (0..4)
                    .map(|_| {
                        let barrier = barrier.clone();
                        evenkeel::spawn_compute(move || {
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
fn a_busy_compute_lane_leaves_the_other_work_alone() {
    on_runtime(2, |runtime| {
        let (begun, release) = (Arc::new(Barrier::new(3)), Gate::new());
        let stuck = [0, 1].map(|_| {
            let (begun, release) = (begun.clone(), release.clone());
            runtime.spawn_compute(move || {
                begun.wait();
                release.block();
            })
        });
        begun.wait();
        runtime.block_on(async {
            sleep(Duration::from_millis(1)).await;
            evenkeel::spawn(sleep(Duration::from_millis(1)))
                .await
                .unwrap();
            evenkeel::spawn_blocking(|| ()).await.unwrap();
        });
        release.open();
        stuck
            .into_iter()
            .for_each(|task| foreign_block_on(task).unwrap());
    });
}

#[test]
fn should_yield_tells_of_io_work_on_the_same_core() {
    watchdog(|| {
        let runtime = builder(1).compute_threads(1).build().unwrap();
        assert!(should_yield(), "this thread is no compute worker");
        assert!(foreign_block_on(runtime.spawn(async { should_yield() })).unwrap());
        let (begun, release) = (Gate::new(), Gate::new());
        let inside = (begun.clone(), release.clone());
        let busy = runtime.spawn(async move {
            inside.0.open();
            inside.1.block();
        });
        begun.block();
        assert!(foreign_block_on(runtime.spawn_compute(should_yield)).unwrap());
        release.open();
        foreign_block_on(busy).unwrap();
        // Once the IO worker sleeps there is nobody to yield to.
        let alone = runtime.spawn_compute(|| support::until(|| !should_yield()));
        foreign_block_on(alone).unwrap();
    });
}

#[test]
fn the_priority_in_force_can_be_asked_for_at_once() {
    watchdog(|| {
        let runtime = builder(1)
            .compute_priority(ComputePriority::Normal)
            .build()
            .unwrap();
        assert_eq!(runtime.handle().compute_priority(), ComputePriority::Normal);
    });
}

#[cfg(target_os = "linux")]
mod priority {
    use super::*;
    use evenkeel::runtime::{Builder, Pinning};
    use support::{cpus_allowed, nice, sched_policy, some_cpu};

    const SCHED_IDLE: u32 = 5;

    #[test]
    fn the_priority_in_force_is_that_of_the_threads() {
        watchdog(|| {
            let my_nice = nice();
            for wanted in [
                ComputePriority::Idle,
                ComputePriority::Low,
                ComputePriority::Normal,
            ] {
                let runtime = builder(2)
                    .compute_threads(2)
                    .compute_priority(wanted)
                    .build()
                    .unwrap();
                let in_force = runtime.handle().compute_priority();
                let barrier = Arc::new(Barrier::new(2));
                let tasks = [0, 1].map(|_| {
                    let barrier = barrier.clone();
                    runtime.spawn_compute(move || {
                        barrier.wait();
                        (sched_policy(), nice())
                    })
                });
                for task in tasks {
                    let seen = foreign_block_on(task).unwrap();
                    match in_force {
                        ComputePriority::Idle => assert_eq!(seen.0, SCHED_IDLE),
                        ComputePriority::Low => assert_eq!(seen, (0, 19)),
                        _ => assert_eq!(seen, (0, my_nice)),
                    }
                }
            }
        });
    }

    #[test]
    fn other_threads_keep_the_normal_priority() {
        on_runtime(2, |runtime| {
            let normal = (sched_policy(), nice());
            let seen = || (sched_policy(), nice());
            assert_eq!(
                foreign_block_on(runtime.spawn(async move { seen() })).unwrap(),
                normal
            );
            assert_eq!(
                foreign_block_on(runtime.spawn_blocking(seen)).unwrap(),
                normal
            );
        });
    }

    #[test]
    fn a_blocking_thread_inherits_nothing_from_the_compute_thread_that_asked_for_it() {
        watchdog(|| {
            let mut builder = Builder::new();
            let runtime = builder
                .worker_threads(1)
                .compute_threads(1)
                .pinning(Pinning::Custom(vec![some_cpu()]))
                .build()
                .unwrap();
            let expected = (sched_policy(), nice(), cpus_allowed());
            let seen = || (sched_policy(), nice(), cpus_allowed());
            let from_compute = runtime.spawn_compute(move || evenkeel::spawn_blocking(seen));
            let blocking = foreign_block_on(from_compute).unwrap();
            assert_eq!(foreign_block_on(blocking).unwrap(), expected);
            let from_io = runtime.spawn(async move {
                // Both at the same time, so that a new thread is made for one of them.
                let barrier = Arc::new(Barrier::new(2));
                let both = [barrier.clone(), barrier].map(|barrier| {
                    evenkeel::spawn_blocking(move || {
                        barrier.wait();
                        seen()
                    })
                });
                let [a, b] = both;
                [a.await.unwrap(), b.await.unwrap()]
            });
            for seen in foreign_block_on(from_io).unwrap() {
                assert_eq!(seen, expected);
            }
        });
    }
}
