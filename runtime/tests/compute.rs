//! The compute lane, by behaviour.

mod support;

use evenkeel::compute::should_yield;
use evenkeel::net::{TcpListener, TcpStream};
use evenkeel::runtime::{ComputePriority, TakeoverPolicy};
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
        // A worker in the place of the one that blocks would sleep.
        let runtime = builder(1)
            .compute_threads(1)
            .takeover(TakeoverPolicy::disabled())
            .build()
            .unwrap();
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

mod first_use {
    use super::*;
    use evenkeel::runtime::{Handle, Runtime};
    use evenkeel::task::JoinHandle;
    use evenkeel::time::Sleep;
    use std::future::poll_fn;
    use std::pin::Pin;
    use std::sync::mpsc;
    use std::task::{Context, Poll, Wake, Waker};
    use support::{Live, on_built, until};

    /// A waker that runs a closure.
    struct Call<F>(F);

    impl<F: Fn() + Send + Sync> Wake for Call<F> {
        fn wake(self: Arc<Self>) {
            (self.0)();
        }
    }

    /// Runs `f` on the driver thread, which wakes the timers of threads that have none of their
    /// own. What is returned has to be kept until then.
    #[must_use]
    fn on_driver_thread(
        runtime: &Runtime,
        f: impl Fn() + Send + Sync + 'static,
    ) -> Pin<Box<Sleep>> {
        let _entered = runtime.enter();
        let waker = Waker::from(Arc::new(Call(move || {
            assert!(thread_name().ends_with("-driver"), "{}", thread_name());
            f();
        })));
        let mut timer = Box::pin(sleep(Duration::from_millis(1)));
        while timer
            .as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_ready()
        {
            // This thread was off its CPU for longer than that.
            timer = Box::pin(sleep(Duration::from_millis(1)));
        }
        timer
    }

    fn assert_is_compute(name: String) {
        assert!(is_compute(&name), "{name}");
    }

    #[test]
    fn may_come_from_every_kind_of_thread() {
        type Spawn = fn() -> JoinHandle<String>;
        watchdog(|| {
            let closure: Spawn = || evenkeel::spawn_compute(thread_name);
            let future: Spawn = || evenkeel::compute::spawn(async { thread_name() });
            for spawn in [closure, future] {
                for kind in 0..5 {
                    let runtime = builder(2).build().unwrap();
                    let spawned = match kind {
                        0 => {
                            let _entered = runtime.enter();
                            spawn()
                        }
                        1 => runtime.block_on(poll_fn(|_| Poll::Ready(spawn()))),
                        2 => {
                            let task = runtime.spawn(poll_fn(move |_| Poll::Ready(spawn())));
                            foreign_block_on(task).unwrap()
                        }
                        3 => foreign_block_on(runtime.spawn_blocking(spawn)).unwrap(),
                        _ => {
                            // A compute worker of another runtime, of low priority.
                            let other = builder(1).build().unwrap();
                            let handle = runtime.handle().clone();
                            let elsewhere = other.spawn_compute(move || {
                                let _entered = handle.enter();
                                spawn()
                            });
                            foreign_block_on(elsewhere).unwrap()
                        }
                    };
                    assert_is_compute(foreign_block_on(spawned).unwrap());
                }
            }
        });
    }

    #[test]
    fn by_a_waker_on_the_driver_thread() {
        on_runtime(1, |runtime| {
            let (name, named) = mpsc::channel();
            let handle = runtime.handle().clone();
            let _timer = on_driver_thread(runtime, move || {
                let name = name.clone();
                handle.spawn_compute(move || name.send(thread_name()).unwrap());
            });
            assert_is_compute(named.recv().unwrap());
        });
    }

    /// Nobody but the one who spawns wakes the driver thread then.
    #[test]
    fn in_a_runtime_that_rests() {
        let mut builder = builder(1);
        builder.thread_name("rests");
        on_built(builder, |runtime| {
            until_threads_rest("rests");
            let name = foreign_block_on(runtime.spawn_compute(thread_name)).unwrap();
            assert!(name.contains("-cpu-"), "{name}");
        });
    }

    /// Waits until no thread with this name has run from one look to the next, as one would that
    /// sleeps with a timeout.
    #[cfg(target_os = "linux")]
    fn until_threads_rest(name: &str) {
        // How often each has given up its CPU, and has lost it.
        let switches = || -> Vec<String> {
            let threads = std::fs::read_dir("/proc/self/task").unwrap();
            let statuses = threads.filter_map(|thread| {
                std::fs::read_to_string(thread.ok()?.path().join("status")).ok()
            });
            let named = statuses.filter(|status| status.starts_with(&format!("Name:\t{name}")));
            let mut switches: Vec<_> = named
                .map(|status| {
                    let of =
                        |line: &&str| line.starts_with("Pid:") || line.contains("_ctxt_switches");
                    status.lines().filter(of).collect()
                })
                .collect();
            switches.sort();
            switches
        };
        let mut before = Vec::new();
        until(|| {
            let now = switches();
            let rests = !now.is_empty() && now == before;
            before = now;
            thread::sleep(Duration::from_millis(100));
            rests
        });
    }

    #[cfg(not(target_os = "linux"))]
    fn until_threads_rest(_: &str) {}

    #[test]
    fn by_many_threads_at_once_starts_every_worker_once() {
        watchdog(|| {
            for _ in 0..30 {
                let started = Arc::new(std::sync::Mutex::new(Vec::new()));
                let names = started.clone();
                let runtime = builder(1)
                    .compute_threads(3)
                    .on_thread_start(move || names.lock().unwrap().push(thread_name()))
                    .build()
                    .unwrap();
                let begin = Barrier::new(8);
                thread::scope(|scope| {
                    for _ in 0..8 {
                        scope.spawn(|| {
                            begin.wait();
                            let tasks: Vec<_> = (0..20)
                                .map(|_| runtime.spawn_compute(thread_name))
                                .collect();
                            for task in tasks {
                                assert_is_compute(foreign_block_on(task).unwrap());
                            }
                        });
                    }
                });
                support::assert_all_workers_work(runtime.handle());
                drop(runtime);
                let mut names = started.lock().unwrap().clone();
                names.retain(|name| is_compute(name));
                names.sort();
                assert_eq!(names, [0, 1, 2].map(|n| format!("evenkeel-cpu-{n}")));
            }
        });
    }

    #[test]
    fn against_a_shutdown_runs_or_cancels_every_task() {
        watchdog(|| {
            let live = Live::new();
            for round in 0..300 {
                let runtime = builder(1).compute_threads(2).build().unwrap();
                let begin = Arc::new(Barrier::new(2));
                let (handle, begun, inside) =
                    (runtime.handle().clone(), begin.clone(), live.clone());
                let spawner = thread::spawn(move || {
                    begun.wait();
                    let tasks = [(); 4].map(|()| {
                        let inside = inside.clone();
                        handle.spawn_compute(move || drop(inside))
                    });
                    tasks.map(foreign_block_on)
                });
                begin.wait();
                // From a drop at once to one in the middle of the threads' start.
                for _ in 0..round {
                    std::hint::spin_loop();
                }
                drop(runtime);
                for outcome in spawner.join().unwrap() {
                    assert!(outcome.is_ok() || outcome.unwrap_err().is_cancelled());
                }
                assert_eq!(live.others(), 0);
            }
        });
    }

    /// While the driver thread is held up, the lane has a task and no thread. A shutdown then is
    /// the only one who can cancel the task, and has to before it waits for the poll that waits for
    /// the task.
    #[test]
    fn that_never_got_a_thread_is_cancelled_for_the_poll_that_waits_for_it() {
        watchdog(|| {
            let runtime = builder(1).compute_threads(1).build().unwrap();
            let (held, release) = (Gate::new(), Gate::new());
            let inside = (held.clone(), release.clone());
            let _timer = on_driver_thread(&runtime, move || {
                inside.0.open();
                inside.1.block();
            });
            held.block();
            let (queued, is_queued) = mpsc::channel();
            let poll = runtime.spawn(async move {
                let (sender, receiver) = mpsc::channel::<()>();
                let task = evenkeel::spawn_compute(move || sender.send(()).unwrap());
                queued.send(task).unwrap();
                let gone = receiver.recv().is_err();
                release.open();
                assert!(gone, "it was run by nobody");
            });
            let task = is_queued.recv().unwrap();
            let dump = runtime.handle().dump().to_string();
            assert!(dump.contains("has no thread yet"), "{dump}");
            assert!(dump.contains("tasks wait in its inbox"), "{dump}");
            drop(runtime);
            foreign_block_on(poll).unwrap();
            assert!(foreign_block_on(task).unwrap_err().is_cancelled());
        });
    }

    #[test]
    fn the_priority_can_be_asked_for_from_every_thread() {
        watchdog(|| {
            let ask = || Handle::current().compute_priority();
            for kind in 0..6 {
                let runtime = builder(1).compute_threads(2).build().unwrap();
                let handle = runtime.handle().clone();
                let answer = match kind {
                    0 => handle.compute_priority(),
                    1 => runtime.block_on(async move { ask() }),
                    2 => foreign_block_on(runtime.spawn(async move { ask() })).unwrap(),
                    3 => foreign_block_on(runtime.spawn_blocking(ask)).unwrap(),
                    4 => foreign_block_on(runtime.spawn_compute(ask)).unwrap(),
                    _ => {
                        let (answer, answered) = mpsc::channel();
                        let _timer = on_driver_thread(&runtime, move || {
                            answer.send(handle.compute_priority()).unwrap();
                        });
                        answered.recv().unwrap()
                    }
                };
                assert_eq!(runtime.handle().compute_priority(), answer);
                support::assert_all_workers_work(runtime.handle());
            }
        });
    }

    #[test]
    fn a_priority_asked_for_too_late_is_normal() {
        watchdog(|| {
            let runtime = builder(1).build().unwrap();
            let handle = runtime.handle().clone();
            drop(runtime);
            assert_eq!(handle.compute_priority(), ComputePriority::Normal);
        });
    }

    /// The names of this process's threads that begin with `prefix`, as the kernel has them.
    #[cfg(target_os = "linux")]
    fn thread_names(prefix: &str) -> Vec<String> {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap();
        let mut names: Vec<_> = tasks
            .filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).ok())
            .map(|name| name.trim_end().to_owned())
            .filter(|name| name.starts_with(prefix))
            .collect();
        names.sort();
        names
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn is_what_makes_the_threads() {
        watchdog(|| {
            let runtime = builder(2)
                .compute_threads(2)
                .thread_name("lazy")
                .build()
                .unwrap();
            runtime.block_on(async {
                sleep(Duration::from_millis(1)).await;
                evenkeel::spawn(sleep(Duration::from_millis(1)))
                    .await
                    .unwrap();
                evenkeel::spawn_blocking(|| ()).await.unwrap();
            });
            // A thread gives itself its name.
            let mut without = vec!["lazy-blk-0", "lazy-driver", "lazy-io-0", "lazy-io-1"];
            if cfg!(feature = "tokio-rt") {
                without.push("lazy-tokio");
            }
            until(|| {
                let mut names = thread_names("lazy");
                // There is a spare if the driver thread has seen a worker in a poll.
                names.retain(|name| !name.starts_with("lazy-spr-"));
                names == without
            });
            let dump = runtime.handle().dump().to_string();
            assert_eq!(dump.matches("has no thread yet").count(), 2, "{dump}");

            foreign_block_on(runtime.spawn_compute(|| ())).unwrap();
            until(|| thread_names("lazy-cpu") == ["lazy-cpu-0", "lazy-cpu-1"]);
            let dump = runtime.handle().dump().to_string();
            assert!(!dump.contains("has no thread yet"), "{dump}");
            drop(runtime);
            until(|| thread_names("lazy").is_empty());
        });
    }
}
