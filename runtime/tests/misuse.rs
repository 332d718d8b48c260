//! Bad use gets an error that says what to do, and no use leads to a wait without end.

mod support;

use evenkeel::net::UdpSocket;
use evenkeel::runtime::{Builder, Handle, Pinning, TakeoverPolicy};
use evenkeel::task::JoinSet;
use evenkeel::time::{Instant, sleep};
use std::future::{Future, pending};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::thread;
use std::time::Duration;
use support::{
    Gate, Live, assert_all_workers_work, builder, foreign_block_on, on_runtime, runtime, watchdog,
};

/// The message of the panic that `f` ends with.
#[track_caller]
fn panic_of<R>(f: impl FnOnce() -> R) -> String {
    let Err(panic) = catch_unwind(AssertUnwindSafe(f)) else {
        panic!("it did not panic")
    };
    panic
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or(panic.downcast_ref().cloned())
        .unwrap()
}

fn names_the_remedy(message: &str) -> bool {
    ["block_on", "enter", "main"]
        .iter()
        .all(|word| message.contains(word))
}

// ---- outside a runtime ----

#[test]
fn outside_a_runtime_the_panic_names_the_remedy() {
    type Panics = Box<dyn FnOnce() -> String>;
    let panics: [(&str, Panics); 13] = [
        ("spawn", Box::new(|| panic_of(|| evenkeel::spawn(async {})))),
        (
            "spawn_blocking",
            Box::new(|| panic_of(|| evenkeel::spawn_blocking(|| ()))),
        ),
        (
            "spawn_compute",
            Box::new(|| panic_of(|| evenkeel::spawn_compute(|| ()))),
        ),
        (
            "compute::spawn",
            Box::new(|| panic_of(|| evenkeel::compute::spawn(async {}))),
        ),
        (
            "JoinSet::spawn",
            Box::new(|| panic_of(|| JoinSet::new().spawn(async {}))),
        ),
        ("Handle::current", Box::new(|| panic_of(Handle::current))),
        ("sleep", Box::new(|| panic_of(|| sleep(Duration::ZERO)))),
        (
            "sleep_until",
            Box::new(|| panic_of(|| evenkeel::time::sleep_until(Instant::now()))),
        ),
        (
            "timeout",
            Box::new(|| panic_of(|| evenkeel::time::timeout(Duration::MAX, async {}))),
        ),
        (
            "interval",
            Box::new(|| panic_of(|| evenkeel::time::interval(Duration::from_secs(1)))),
        ),
        (
            "TcpListener::bind",
            Box::new(|| {
                panic_of(|| foreign_block_on(evenkeel::net::TcpListener::bind("127.0.0.1:0")))
            }),
        ),
        (
            "TcpStream::connect",
            Box::new(|| {
                panic_of(|| foreign_block_on(evenkeel::net::TcpStream::connect("127.0.0.1:1")))
            }),
        ),
        (
            "UdpSocket::bind",
            Box::new(|| {
                panic_of(|| foreign_block_on(evenkeel::net::UdpSocket::bind("127.0.0.1:0")))
            }),
        ),
    ];
    for (what, panic) in panics {
        let message = panic();
        assert!(names_the_remedy(&message), "{what}: {message}");
    }
    assert!(names_the_remedy(
        &Handle::try_current().unwrap_err().to_string()
    ));
}

fn std_socket() -> std::net::UdpSocket {
    std::net::UdpSocket::bind("127.0.0.1:0").unwrap()
}

#[test]
fn the_panic_outside_a_runtime_tells_the_place_of_the_call() {
    let place = Arc::new(Mutex::new(String::new()));
    let panics = move || {
        let (me, here) = (thread::current().id(), place.clone());
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if thread::current().id() == me {
                *here.lock().unwrap() = info.location().unwrap().file().to_owned();
            } else {
                before(info);
            }
        }));
        let place_of = |f: &dyn Fn()| {
            panic_of(f);
            place.lock().unwrap().clone()
        };
        [
            place_of(&|| drop(evenkeel::spawn(async {}))),
            place_of(&|| drop(evenkeel::spawn_blocking(|| ()))),
            place_of(&|| drop(sleep(Duration::ZERO))),
            place_of(&|| drop(Handle::current())),
            place_of(&|| drop(UdpSocket::from_std(std_socket()))),
            #[cfg(unix)]
            place_of(&|| drop(evenkeel::net::UnixStream::pair())),
            #[cfg(unix)]
            place_of(&|| drop(evenkeel::io::AsyncFd::new(std_socket()))),
        ]
    };
    let places = thread::spawn(panics).join().unwrap();
    assert!(
        places.iter().all(|place| place.ends_with("misuse.rs")),
        "{places:?}"
    );
}

#[test]
fn an_interval_of_no_time_panics() {
    on_runtime(1, |runtime| {
        let _entered = runtime.enter();
        assert!(panic_of(|| evenkeel::time::interval(Duration::ZERO)).contains("zero"));
    });
}

// ---- block_on where one must not block ----

#[test]
fn block_on_where_others_would_wait_panics() {
    on_runtime(1, |runtime| {
        let handle = runtime.handle().clone();
        let inner = || {
            let handle = handle.clone();
            move || panic_of(|| handle.block_on(async {}))
        };
        let (a, b, c, d) = (inner(), inner(), inner(), inner());
        let messages = runtime.block_on(async {
            [
                a(),
                evenkeel::spawn(async move { b() }).await.unwrap(),
                evenkeel::spawn_compute(c).await.unwrap(),
                evenkeel::compute::spawn(async move { d() }).await.unwrap(),
            ]
        });
        for message in messages {
            assert!(
                message.contains("spawn_blocking") && message.contains(".await"),
                "{message}"
            );
        }
        let other = support::runtime_with(1);
        assert!(
            panic_of(|| runtime.block_on(async { other.block_on(async {}) })).contains(".await")
        );
        assert_all_workers_work(runtime.handle());
        assert_eq!(runtime.block_on(async { 1 }), 1);
    });
}

#[test]
fn block_on_in_a_blocking_closure_works() {
    on_runtime(1, |runtime| {
        let handle = runtime.handle().clone();
        let task = runtime.spawn_blocking(move || {
            handle.block_on(async {
                sleep(Duration::from_millis(1)).await;
                evenkeel::spawn(async { 3 }).await.unwrap()
            })
        });
        assert_eq!(foreign_block_on(task).unwrap(), 3);
        let task = runtime.spawn_blocking(|| Handle::current().block_on(async { 4 }));
        assert_eq!(foreign_block_on(task).unwrap(), 4);
    });
}

#[test]
fn a_handle_polled_after_its_result_panics() {
    on_runtime(1, |runtime| {
        let mut task = runtime.spawn(async {});
        foreign_block_on(&mut task).unwrap();
        assert!(panic_of(|| foreign_block_on(&mut task)).contains("JoinHandle"));
    });
}

// ---- the builder ----

#[track_caller]
fn refused(builder: &mut Builder, words: &[&str]) {
    let error = builder.build().expect_err("a bad argument");
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    let message = error.to_string();
    assert!(words.iter().all(|word| message.contains(word)), "{message}");
}

#[test]
fn zero_threads_and_too_many_are_refused_by_name() {
    refused(Builder::new().worker_threads(0), &["worker_threads"]);
    refused(Builder::new().worker_threads(5_000), &["5000", "4094"]);
    refused(Builder::new().compute_threads(0), &["compute_threads"]);
    refused(
        Builder::new().max_blocking_threads(0),
        &["max_blocking_threads"],
    );
}

#[test]
fn taking_polls_over_at_once_is_refused() {
    let policy = TakeoverPolicy {
        after: Duration::ZERO,
        ..TakeoverPolicy::default()
    };
    refused(Builder::new().takeover(policy), &["TakeoverPolicy::after"]);
}

#[test]
fn a_pinning_that_cannot_be_is_refused() {
    refused(
        Builder::new().pinning(Pinning::Custom(Vec::new())),
        &["Custom"],
    );
    // No machine has this one.
    refused(
        Builder::new().pinning(Pinning::Custom(vec![1_000_000])),
        &["1000000", "allowed"],
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_refused_pinning_names_the_allowed_set() {
    let allowed = support::cpus_allowed();
    refused(
        Builder::new().pinning(Pinning::Custom(vec![1_000_000])),
        &["1000000", &allowed],
    );
    let list = vec![support::some_cpu(), 1_000_001];
    refused(
        Builder::new().pinning(Pinning::Custom(list)),
        &["1000001", &allowed],
    );
}

#[test]
fn a_stack_that_the_system_refuses_is_an_error() {
    watchdog(|| {
        let mut builder = builder(2);
        assert!(builder.thread_stack_size(1 << 60).build().is_err());
        let runtime = builder.thread_stack_size(1 << 20).build().unwrap();
        assert_all_workers_work(runtime.handle());
    });
}

#[test]
fn a_refused_builder_can_be_used_again() {
    watchdog(|| {
        let mut builder = Builder::new();
        refused(builder.worker_threads(0), &["worker_threads"]);
        let runtime = builder.worker_threads(1).build().unwrap();
        assert_eq!(runtime.block_on(async { 1 }), 1);
        let again = builder.build().unwrap();
        assert_eq!(again.block_on(async { 2 }), 2);
    });
}

// ---- a runtime that is gone ----

#[test]
fn what_is_spawned_on_a_dropped_runtime_is_cancelled() {
    watchdog(|| {
        let runtime = runtime();
        let handle = runtime.handle().clone();
        drop(runtime);
        let live = Live::new();
        let (a, b, c, d) = (live.clone(), live.clone(), live.clone(), live.clone());
        let _entered = handle.enter();
        let tasks = [
            handle.spawn(async move { drop(a) }),
            handle.spawn_blocking(move || drop(b)),
            handle.spawn_compute(move || drop(c)),
            evenkeel::compute::spawn(async move { drop(d) }),
        ];
        assert_eq!(live.others(), 0, "dropped at once");
        for task in tasks {
            assert!(foreign_block_on(task).unwrap_err().is_cancelled());
        }
        assert!(handle.dump().to_string().contains("shut down"));
        assert_eq!(handle.block_on(async { 1 }), 1);
    });
}

#[test]
fn tasks_that_wait_when_their_runtime_is_dropped_are_cancelled() {
    watchdog(|| {
        let runtime = runtime();
        let live = Live::new();
        let _entered = runtime.enter();
        let mut tasks = Vec::new();
        for i in 0..60 {
            let (held, begun) = (live.clone(), Gate::new());
            let inside = begun.clone();
            let future = async move {
                let _held = held;
                inside.open();
                if i % 3 == 0 {
                    sleep(Duration::from_secs(3600)).await
                } else {
                    pending().await
                }
            };
            tasks.push(match i % 2 {
                0 => evenkeel::spawn(future),
                _ => evenkeel::compute::spawn(future),
            });
            begun.block();
        }
        let waiters: Vec<_> = tasks
            .into_iter()
            .map(|task| thread::spawn(move || foreign_block_on(task)))
            .collect();
        drop(runtime);
        assert_eq!(live.others(), 0);
        for waiter in waiters {
            assert!(waiter.join().unwrap().unwrap_err().is_cancelled());
        }
    });
}

#[test]
fn a_task_that_no_worker_has_begun_is_cancelled_by_a_shutdown() {
    watchdog(|| {
        let runtime = builder(1)
            .compute_threads(1)
            .max_blocking_threads(1)
            .build()
            .unwrap();
        let (begun, release) = ([Gate::new(), Gate::new(), Gate::new()], Gate::new());
        let busy = |i: usize| {
            let (begun, release) = (begun[i].clone(), release.clone());
            move || {
                begun.open();
                release.block();
            }
        };
        let (a, b, c) = (busy(0), busy(1), busy(2));
        runtime.spawn(async move { a() });
        runtime.spawn_compute(b);
        runtime.spawn_blocking(c);
        begun.iter().for_each(Gate::block);
        let live = Live::new();
        let [a, b, c] = [live.clone(), live.clone(), live.clone()];
        let queued = [
            runtime.spawn(async move { drop(a) }),
            runtime.spawn_compute(move || drop(b)),
        ];
        let runs = runtime.spawn_blocking(move || drop(c));
        runtime.shutdown_timeout(Duration::from_millis(1));
        for task in queued {
            assert!(foreign_block_on(task).unwrap_err().is_cancelled());
        }
        assert_eq!(live.others(), 1, "blocking closures are not cancelled");
        release.open();
        foreign_block_on(runs).unwrap();
        assert_eq!(live.others(), 0);
    });
}

#[test]
fn the_child_of_a_stuck_task_is_cancelled_by_a_shutdown() {
    watchdog(|| {
        let runtime = support::runtime_with(1);
        let (children, child) = std::sync::mpsc::channel();
        let release = Gate::new();
        let inside = release.clone();
        runtime.spawn(async move {
            let _ = children.send(evenkeel::spawn(async {}));
            inside.block();
        });
        let child = child.recv().unwrap();
        runtime.shutdown_background();
        assert!(foreign_block_on(child).unwrap_err().is_cancelled());
        release.open();
    });
}

#[test]
fn a_sleep_of_a_dropped_runtime_panics_when_polled() {
    watchdog(|| {
        let runtime = runtime();
        let mut slept = {
            let _entered = runtime.enter();
            sleep(Duration::from_secs(3600))
        };
        let mut polled = {
            let _entered = runtime.enter();
            sleep(Duration::from_secs(3600))
        };
        let poll = |sleep: &mut evenkeel::time::Sleep| {
            Pin::new(sleep)
                .poll(&mut Context::from_waker(Waker::noop()))
                .is_ready()
        };
        assert!(!poll(&mut polled));
        drop(runtime);
        for sleep in [&mut slept, &mut polled] {
            let message = panic_of(|| poll(sleep));
            assert!(
                message.contains("runtime") && message.contains("shut down"),
                "{message}"
            );
        }
    });
}

#[test]
fn a_sleep_awaited_elsewhere_is_told_of_the_shutdown() {
    watchdog(|| {
        let runtime = runtime();
        let sleep = {
            let _entered = runtime.enter();
            sleep(Duration::from_secs(3600))
        };
        let polled = Gate::new();
        let inside = polled.clone();
        let thread = thread::spawn(move || {
            let mut sleep = pin!(sleep);
            panic_of(|| {
                foreign_block_on(std::future::poll_fn(|cx| {
                    let polled = sleep.as_mut().poll(cx);
                    inside.open();
                    polled
                }));
            })
        });
        polled.block();
        drop(runtime);
        assert!(thread.join().unwrap().contains("shut down"));
    });
}

#[test]
fn a_past_sleep_of_a_dropped_runtime_is_ready() {
    watchdog(|| {
        let runtime = runtime();
        let past = {
            let _entered = runtime.enter();
            sleep(Duration::ZERO)
        };
        drop(runtime);
        foreign_block_on(past);
    });
}

#[test]
fn block_on_goes_on_when_its_runtime_is_dropped() {
    watchdog(|| {
        let runtime = runtime();
        let handle = runtime.handle().clone();
        let (inside, dropped) = (Gate::new(), Gate::new());
        let gates = (inside.clone(), dropped.clone());
        let thread = thread::spawn(move || {
            handle.block_on(async move {
                let task = evenkeel::spawn(pending::<()>());
                gates.0.open();
                assert!(task.await.unwrap_err().is_cancelled());
                gates.1.wait().await;
                5
            })
        });
        inside.block();
        drop(runtime);
        dropped.open();
        assert_eq!(thread.join().unwrap(), 5);
    });
}
