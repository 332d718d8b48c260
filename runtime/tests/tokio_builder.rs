//! What the builder, the handle and the metrics have by tokio's names.

mod support;

use evenkeel::net::UdpSocket;
use evenkeel::runtime::{
    Builder, Handle, Pinning, RuntimeFlavor, TakeoverPolicy, is_rt_shutdown_err, worker_index,
};
use evenkeel::task;
use std::collections::HashSet;
use std::future::Future;
use std::io::ErrorKind;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::task::{Context, Wake, Waker};
use std::thread;
use support::{Gate, builder, in_block_on, on_built, on_runtime, runtime, watchdog};

fn name_of_thread() -> String {
    thread::current().name().unwrap_or_default().to_owned()
}

#[test]
fn a_task_knows_its_id_wherever_it_runs() {
    in_block_on(2, || async {
        assert_eq!(task::try_id(), None);
        let futures = [
            evenkeel::spawn(async {
                let before = task::id();
                task::yield_now().await;
                assert_eq!(task::id(), before);
                before
            }),
            evenkeel::compute::spawn(async { task::id() }),
            evenkeel::spawn_blocking(task::id),
            evenkeel::spawn_compute(task::id),
            // Its thread is displaced meanwhile.
            evenkeel::spawn(async { task::block_in_place(task::id) }),
        ];
        let mut seen = HashSet::new();
        for future in futures {
            let id = future.id();
            assert_eq!(future.await.unwrap(), id);
            assert!(seen.insert(id));
        }
        assert_eq!(task::try_id(), None);
    });
}

#[test]
fn a_future_that_is_dropped_is_still_in_its_task() {
    struct Note(Arc<Mutex<Vec<Option<task::Id>>>>);
    impl Drop for Note {
        fn drop(&mut self) {
            self.0.lock().unwrap().push(task::try_id());
        }
    }
    let notes = Arc::new(Mutex::default());
    let (one, two) = (Note(notes.clone()), Note(notes.clone()));
    let ids = watchdog(|| {
        let runtime = runtime();
        let ended = runtime.spawn(async move { drop(one) });
        let id = ended.id();
        runtime.block_on(ended).unwrap();
        let aborted = runtime.spawn(async move {
            let _two = two;
            std::future::pending::<()>().await;
        });
        aborted.abort();
        let ids = [Some(id), Some(aborted.id())];
        assert!(runtime.block_on(aborted).unwrap_err().is_cancelled());
        ids
    });
    assert_eq!(*notes.lock().unwrap(), ids);
}

#[test]
fn an_output_that_nobody_takes_is_dropped_in_its_task() {
    struct Output(mpsc::Sender<Option<task::Id>>);
    impl Drop for Output {
        fn drop(&mut self) {
            self.0.send(task::try_id()).unwrap();
        }
    }
    on_runtime(1, |runtime| {
        let (dropped, drops) = mpsc::channel();
        let has_ended = Gate::new();
        let task = runtime.spawn({
            let (output, has_ended) = (Output(dropped.clone()), has_ended.clone());
            async move {
                let _opens = Open(has_ended);
                output
            }
        });
        let id = task.id();
        has_ended.block();
        while !task.is_finished() {
            thread::yield_now();
        }
        drop(task);
        assert_eq!(drops.recv().unwrap(), Some(id));

        let held = Gate::new();
        let task = runtime.spawn({
            let (output, held) = (Output(dropped), held.clone());
            async move {
                held.wait().await;
                output
            }
        });
        let id = task.id();
        drop(task);
        held.open();
        assert_eq!(drops.recv().unwrap(), Some(id));
        assert_eq!(task::try_id(), None);
    });
}

/// Opens the gate when it is dropped.
struct Open(Gate);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open();
    }
}

#[test]
fn a_name_of_the_users_is_the_whole_name_of_each_thread() {
    let mut builder = Builder::new_multi_thread();
    builder.enable_all().enable_io().enable_time();
    builder.worker_threads(2).pinning(Pinning::None);
    let numbers = AtomicUsize::new(0);
    builder.thread_name_fn(move || format!("mine-{}", numbers.fetch_add(1, Ordering::Relaxed)));
    on_built(builder, |runtime| {
        runtime.block_on(async {
            for task in [
                evenkeel::spawn(async { name_of_thread() }),
                evenkeel::spawn_blocking(name_of_thread),
                evenkeel::spawn_compute(name_of_thread),
            ] {
                let name = task.await.unwrap();
                assert!(name.starts_with("mine-"), "{name}");
            }
        });
    });
}

#[test]
fn a_name_that_no_thread_can_have_is_not_taken() {
    let saying: [fn() -> String; 2] = [|| "a\0b".to_owned(), || panic!("no name")];
    for name in saying {
        let mut builder = builder(1);
        builder.thread_name_fn(name);
        on_built(builder, |runtime| {
            let name = runtime.block_on(runtime.spawn(async { name_of_thread() }));
            assert_eq!(name.unwrap(), "evenkeel-io-0");
        });
    }
}

#[test]
fn the_later_of_two_ways_to_name_threads_is_taken() {
    let mut builder = builder(1);
    builder
        .thread_name_fn(|| "one".to_owned())
        .thread_name("two");
    on_built(builder, |runtime| {
        let name = runtime.block_on(runtime.spawn(async { name_of_thread() }));
        assert_eq!(name.unwrap(), "two-io-0");
    });
}

#[test]
fn workers_tell_when_they_park_and_unpark() {
    let counts = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
    let (parks, unparks, parked) = (counts.clone(), counts.clone(), Gate::new());
    let mut builder = builder(1);
    let at_park = parked.clone();
    builder
        .on_thread_park(move || {
            parks[0].fetch_add(1, Ordering::SeqCst);
            at_park.open();
        })
        .on_thread_unpark(move || {
            unparks[1].fetch_add(1, Ordering::SeqCst);
        });
    on_built(builder, move |runtime| {
        parked.block();
        // It wakes up for this.
        runtime.block_on(runtime.spawn(async {})).unwrap();
        let unparks = counts[1].load(Ordering::SeqCst);
        let parks = counts[0].load(Ordering::SeqCst);
        assert!(unparks >= 1);
        // It may be asleep again.
        assert!(
            parks == unparks || parks == unparks + 1,
            "{parks} {unparks}"
        );
    });
}

#[test]
fn what_is_spawned_while_parking_runs() {
    static HANDLE: OnceLock<Handle> = OnceLock::new();
    static SPAWNED: AtomicUsize = AtomicUsize::new(0);
    let ran = Gate::new();
    let mut builder = builder(1);
    let run = ran.clone();
    builder.on_thread_park(move || {
        if let Some(handle) = HANDLE.get()
            && SPAWNED.fetch_add(1, Ordering::SeqCst) == 0
        {
            let run = run.clone();
            handle.spawn(async move { run.open() });
        }
    });
    on_built(builder, move |runtime| {
        HANDLE.set(runtime.handle().clone()).unwrap();
        runtime.block_on(runtime.spawn(async {})).unwrap();
        ran.block();
    });
}

/// What is woken there need not be a task.
#[test]
fn what_yields_while_parking_is_woken() {
    for mut builder in [Builder::new_current_thread(), builder(1)] {
        let (once, woken) = (AtomicUsize::new(0), Gate::new());
        let waker = Waker::from(Arc::new(WakesGate(woken.clone())));
        builder.on_thread_park(move || {
            if once.fetch_add(1, Ordering::SeqCst) == 0 {
                let mut cx = Context::from_waker(&waker);
                assert!(pin!(task::yield_now()).poll(&mut cx).is_pending());
            }
        });
        on_built(builder, move |runtime| runtime.block_on(woken.wait()));
    }
}

struct WakesGate(Gate);

impl Wake for WakesGate {
    fn wake(self: Arc<Self>) {
        self.0.open();
    }
}

#[test]
fn the_thread_that_drives_counts_as_busy_while_it_does() {
    let builder = Builder::new_current_thread();
    on_built(builder, |runtime| {
        assert_eq!(worker_index(), None);
        let busy = || runtime.metrics().worker_total_busy_duration(0);
        for _ in 0..2 {
            let before = busy();
            // It never sleeps.
            runtime.block_on(async { assert_eq!(worker_index(), Some(0)) });
            assert!(busy() > before);
        }
    });
}

#[test]
fn a_worker_knows_its_number_and_no_other_thread_has_one() {
    on_runtime(2, |runtime| {
        runtime.block_on(async {
            assert_eq!(worker_index(), None);
            let on_worker = evenkeel::spawn(async {
                let before = worker_index();
                // Another thread may have the seat by then.
                task::block_in_place(|| ());
                before
            });
            assert!(on_worker.await.unwrap().unwrap() < 2);
            for elsewhere in [
                evenkeel::spawn_blocking(worker_index),
                evenkeel::spawn_compute(worker_index),
            ] {
                assert_eq!(elsewhere.await.unwrap(), None);
            }
        });
    });
}

#[test]
fn a_hook_that_panics_while_parking_costs_nothing() {
    let mut builder = builder(1);
    builder
        .on_thread_park(|| panic!("park"))
        .on_thread_unpark(|| panic!("unpark"));
    on_built(builder, |runtime| {
        for _ in 0..10 {
            runtime.block_on(runtime.spawn(async {})).unwrap();
        }
    });
}

#[test]
fn intervals_of_one_work_and_of_zero_are_refused() {
    let set: [fn(&mut Builder, u32); 3] = [
        |builder, n| _ = builder.event_interval(n),
        |builder, n| _ = builder.global_queue_interval(n),
        |builder, n| _ = builder.max_io_events_per_tick(n as usize),
    ];
    for set in set {
        let mut zero = builder(1);
        set(&mut zero, 0);
        assert_eq!(zero.build().unwrap_err().kind(), ErrorKind::InvalidInput);
        let mut one = builder(2);
        set(&mut one, 1);
        on_built(one, |runtime| {
            let tasks = (0..1000).map(|n| runtime.spawn(async move { n }));
            let tasks: Vec<_> = tasks.collect();
            let sum = runtime.block_on(async {
                let mut sum = 0;
                for task in tasks {
                    sum += task.await.unwrap();
                }
                sum
            });
            assert_eq!(sum, 499_500);
        });
    }
}

/// With no other worker, and none that takes its place. (By default there would be some 60 polls.)
#[test]
fn after_how_many_tasks_events_are_looked_for_is_what_was_set() {
    let mut builder = builder(1);
    builder
        .event_interval(2)
        .takeover(TakeoverPolicy::disabled());
    on_built(builder, |runtime| {
        let task = runtime.spawn(async {
            let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let address = socket.local_addr().unwrap();
            let reading = evenkeel::spawn(async move { socket.recv(&mut [0; 8]).await });
            task::yield_now().await;
            task::yield_now().await;
            let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
            sender.send_to(b"x", address).unwrap();
            let mut polls = 0;
            while !reading.is_finished() {
                polls += 1;
                task::yield_now().await;
            }
            polls
        });
        let polls = runtime.block_on(task).unwrap();
        assert!(polls <= 4, "{polls}");
    });
}

#[test]
fn a_handle_knows_its_runtime() {
    watchdog(|| {
        let mut named = builder(1);
        let (one, two) = (named.name("first").build().unwrap(), runtime());
        assert_eq!(one.handle().name(), Some("first"));
        assert_eq!(two.handle().name(), None);
        assert_eq!(one.handle().runtime_flavor(), RuntimeFlavor::MultiThread);
        let other = Builder::new_current_thread().build().unwrap();
        assert_eq!(
            other.handle().runtime_flavor(),
            RuntimeFlavor::CurrentThread
        );
        let inside = one.block_on(async { Handle::current().id() });
        assert_eq!(inside, one.handle().id());
        assert_ne!(inside, two.handle().id());
        assert!(!inside.to_string().is_empty());
    });
}

#[test]
fn why_there_is_no_runtime_is_told() {
    let error = Handle::try_current().unwrap_err();
    assert!(error.is_missing_context() && !error.is_thread_local_destroyed());
}

#[test]
fn metrics_count_tasks_that_wait() {
    on_runtime(1, |runtime| {
        let metrics = runtime.metrics();
        assert_eq!(metrics.num_workers(), 1);
        assert_eq!(
            (metrics.num_alive_tasks(), metrics.global_queue_depth()),
            (0, 0)
        );
        let gate = Gate::new();
        let waiting: Vec<_> = (0..10)
            .map(|_| {
                let gate = gate.clone();
                runtime.spawn(async move { gate.wait().await })
            })
            .collect();
        // It comes after them, and is alive while it looks.
        let alive = runtime.spawn(async { Handle::current().metrics().num_alive_tasks() });
        assert_eq!(runtime.block_on(alive).unwrap(), 11);
        gate.open();
        runtime.block_on(async {
            for task in waiting {
                task.await.unwrap();
            }
        });
        while metrics.num_alive_tasks() > 0 {
            thread::yield_now();
        }
    });
}

#[test]
fn metrics_count_tasks_that_are_queued_behind_one() {
    on_runtime(1, |runtime| {
        let depth = runtime.spawn(async {
            for _ in 0..5 {
                evenkeel::spawn(async {});
            }
            Handle::current().metrics().global_queue_depth()
        });
        assert_eq!(runtime.block_on(depth).unwrap(), 5);
    });
}

#[test]
fn metrics_count_parks() {
    on_runtime(1, |runtime| {
        let metrics = runtime.metrics();
        let before = loop {
            let count = metrics.worker_park_unpark_count(0);
            if count % 2 == 1 {
                break count;
            }
            thread::yield_now();
        };
        runtime.block_on(runtime.spawn(async {})).unwrap();
        assert!(metrics.worker_park_unpark_count(0) > before);
        while metrics.worker_park_unpark_count(0) < before + 2 {
            thread::yield_now();
        }
        assert!(metrics.worker_park_count(0) >= 2);
        assert!(!metrics.worker_total_busy_duration(0).is_zero());
    });
}

#[cfg(unix)]
#[test]
fn an_operation_of_a_runtime_that_is_gone_says_so() {
    use evenkeel::net::TcpListener;
    watchdog(|| {
        let (gone, here) = (runtime(), runtime());
        let listener = gone.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        drop(gone);
        let error = here.block_on(listener.accept()).unwrap_err();
        assert!(is_rt_shutdown_err(&error), "{error:?}");
        assert!(!is_rt_shutdown_err(&ErrorKind::NotFound.into()));
        assert!(!is_rt_shutdown_err(&std::io::Error::other("else")));
    });
}

#[cfg(unix)]
#[test]
fn what_cannot_be_watched_is_given_back() {
    use evenkeel::io::AsyncFd;
    in_block_on(1, || async {
        let file = std::fs::File::open("Cargo.toml").unwrap();
        let error = AsyncFd::try_new(file).unwrap_err();
        let (file, error) = error.into_parts();
        assert!(file.metadata().unwrap().is_file());
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    });
}
