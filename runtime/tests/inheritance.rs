//! What threads and processes that user code starts inherit from the threads of a runtime: the
//! CPUs, the priority and the timer slack that they would have had without it.

#![cfg(target_os = "linux")]

mod support;

use evenkeel::runtime::{Builder, Pinning, Runtime, TakeoverPolicy, unpinned};
use evenkeel_topology::{allowed_cpus, unpin_current_thread};
use std::num::NonZeroU64;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::thread;
use support::{foreign_block_on, on_built, until};

/// What is inherited.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Inherited {
    cpus: String,
    policy: u32,
    nice: i32,
    slack: u64,
}

/// Of the calling thread.
fn own() -> Inherited {
    Inherited {
        cpus: support::cpus_allowed(),
        policy: support::sched_policy(),
        nice: support::nice(),
        slack: rustix::thread::current_timer_slack().unwrap(),
    }
}

/// Of a thread that the calling one starts.
fn of_thread() -> Inherited {
    thread::spawn(own).join().unwrap()
}

/// Has a process say what it has inherited.
const SCRIPT: &str = "cat /proc/self/stat; grep Cpus_allowed_list /proc/self/status; \
    cat /proc/self/timerslack_ns";

/// Of a process that the calling thread starts.
fn of_process() -> Inherited {
    let output = Command::new("sh").args(["-c", SCRIPT]).output().unwrap();
    parse(&String::from_utf8(output.stdout).unwrap())
}

/// What the script above has written.
fn parse(text: &str) -> Inherited {
    let [stat, status, slack] = text.lines().collect::<Vec<_>>()[..] else {
        panic!("{text}");
    };
    // Counted from the third. See proc_pid_stat(5).
    let fields: Vec<_> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    Inherited {
        cpus: status.split_whitespace().last().unwrap().to_owned(),
        policy: fields[41 - 3].parse().unwrap(),
        nice: fields[19 - 3].parse().unwrap(),
        slack: slack.trim().parse().unwrap(),
    }
}

/// The workers of both lanes on one CPU, whatever the machine.
fn pinned() -> Builder {
    let mut builder = Builder::new();
    let cpu = support::some_cpu();
    builder
        .worker_threads(2)
        .pinning(Pinning::Custom(vec![cpu]));
    builder
}

/// The same from a task, from a closure that computes, and from one that blocks.
fn in_each<T: Send + 'static>(runtime: &Runtime, f: fn() -> T) -> [(&'static str, T); 3] {
    [
        (
            "spawn",
            foreign_block_on(runtime.spawn(async move { f() })).unwrap(),
        ),
        (
            "spawn_compute",
            foreign_block_on(runtime.spawn_compute(f)).unwrap(),
        ),
        (
            "spawn_blocking",
            foreign_block_on(runtime.spawn_blocking(f)).unwrap(),
        ),
    ]
}

#[test]
fn what_is_started_unpinned_is_as_the_program_starts_it() {
    on_built(pinned(), |runtime| {
        let (program, of_child) = (own(), of_process());
        assert_eq!((&of_thread(), &of_child), (&program, &program));
        for (place, found) in in_each(runtime, || unpinned(of_thread)) {
            assert_eq!(found, program, "{place}");
        }
        for (place, found) in in_each(runtime, || unpinned(of_process)) {
            assert_eq!(found, program, "{place}");
        }
        for (place, found) in in_each(runtime, || unpinned(own)) {
            assert_eq!(found, program, "{place}");
        }
    });
}

/// A future, which `unpinned` cannot take.
#[cfg(feature = "tokio-rt")]
#[test]
fn what_is_started_on_the_small_runtime_of_tokios_is_as_the_program_starts_it() {
    on_built(pinned(), |runtime| {
        let program = own();
        let there = || tokio::spawn(async { of_thread() });
        for (place, found) in in_each(runtime, there) {
            assert_eq!(foreign_block_on(found).unwrap(), program, "{place}");
        }
    });
}

/// The first task may run before all threads of the runtime have started.
#[test]
fn the_first_task_of_a_new_runtime_is_no_exception() {
    on_built(pinned(), |_| {
        let program = own();
        for _ in 0..200 {
            let runtime = pinned().build().unwrap();
            let found = foreign_block_on(runtime.spawn(async { unpinned(own) }));
            assert_eq!(found.unwrap(), program);
        }
    });
}

#[test]
fn a_program_that_has_other_slack_gets_that() {
    on_built(pinned(), |_| {
        rustix::thread::set_current_timer_slack(NonZeroU64::new(7_000)).unwrap();
        let runtime = pinned().build().unwrap();
        for (place, found) in in_each(&runtime, || unpinned(of_thread)) {
            assert_eq!(found.slack, 7_000, "{place}");
        }
    });
}

#[test]
fn closures_have_the_slack_of_the_program_and_start_threads_with_it() {
    on_built(pinned(), |runtime| {
        let slack = own().slack;
        for (place, found) in in_each(runtime, || [own(), of_thread()]) {
            // Tasks wake on time; what they start is for `unpinned`.
            let expected = if place == "spawn" { 1 } else { slack };
            assert_eq!(found.map(|found| found.slack), [expected; 2], "{place}");
        }
    });
}

#[test]
fn the_thread_is_afterwards_what_it_was() {
    // To print a panic takes long, and this is about workers that are not replaced.
    let mut builder = pinned();
    builder.takeover(TakeoverPolicy::disabled());
    on_built(builder, |runtime| {
        let around = || {
            let before = own();
            let nested = unpinned(|| (own(), unpinned(own), own()));
            assert_eq!(nested.0, nested.1);
            assert_eq!(
                nested.0, nested.2,
                "the inner one does not end the outer one"
            );
            let panicked = catch_unwind(AssertUnwindSafe(|| unpinned(|| panic!("on purpose"))));
            assert_eq!(panicked.unwrap_err().downcast_ref(), Some(&"on purpose"));
            (before, own())
        };
        for (place, (before, after)) in in_each(runtime, around) {
            assert_eq!(before, after, "{place}");
        }
    });
}

#[test]
fn what_the_closure_borrows_is_used_where_it_runs() {
    on_built(pinned(), |runtime| {
        let borrowing = || {
            let (text, mut list) = ("a".to_owned(), Vec::new());
            let length = unpinned(|| {
                list.push(text.as_str());
                list.len()
            });
            assert_eq!((length, list), (1, vec!["a"]));
        };
        in_each(runtime, borrowing);
    });
}

#[test]
fn the_cpus_are_those_of_now() {
    on_built(pinned(), |_| {
        let all = allowed_cpus();
        let last = all.iter().skip(all.len() - 1).collect();
        // As `taskset` leaves a thread.
        assert!(unpin_current_thread(&last));
        let runtime = Runtime::new().unwrap();
        let cpus = || unpinned(|| thread::spawn(allowed_cpus).join().unwrap());
        for (place, found) in in_each(&runtime, cpus) {
            assert_eq!(found, last, "{place}");
        }
    });
}

#[test]
fn outside_a_runtime_and_on_other_threads_it_only_calls_the_closure() {
    let thread = thread::current().id();
    let here = || (thread::current().id(), own());
    assert_eq!(unpinned(here), (thread, own()));
    let runtime = pinned().build().unwrap();
    assert_eq!(runtime.block_on(async { unpinned(here) }), (thread, own()));
    let _entered = runtime.enter();
    assert_eq!(unpinned(here), (thread, own()));
}

#[test]
fn a_runtime_that_is_built_in_a_task_is_as_one_built_outside() {
    on_built(pinned(), |runtime| {
        let program = own();
        let threads = Runtime::new().unwrap().handle().worker_threads();
        let build = || {
            let inner = Runtime::new().unwrap();
            let blocking = foreign_block_on(inner.spawn_blocking(own)).unwrap();
            (inner.handle().worker_threads(), blocking)
        };
        for (place, found) in in_each(runtime, build) {
            assert_eq!(found, (threads, program.clone()), "{place}");
        }
    });
}

#[test]
fn a_worker_that_is_replaced_meanwhile_stays_where_it_is() {
    let mut one = Builder::new();
    let cpu = support::some_cpu();
    one.worker_threads(1).pinning(Pinning::Custom(vec![cpu]));
    on_built(one, |runtime| {
        let (program, handle) = (own(), runtime.handle().clone());
        let found = runtime.spawn(async move {
            unpinned(|| {
                until(|| handle.metrics().takeovers() > 0);
                of_thread()
            })
        });
        assert_eq!(foreign_block_on(found).unwrap(), program);
        // Whoever has its place is where it should be.
        let cpus = foreign_block_on(runtime.spawn(async { support::cpus_allowed() }));
        assert_eq!(cpus.unwrap(), support::some_cpu().to_string());
    });
}

#[cfg(feature = "process")]
#[test]
fn processes_are_as_the_program_starts_them() {
    on_built(pinned(), |runtime| {
        let program = of_process();
        let found = || async {
            let script = ["-c", SCRIPT];
            let output = evenkeel::process::Command::new("sh").args(script).output();
            parse(&String::from_utf8(output.await.unwrap().stdout).unwrap())
        };
        let in_task = foreign_block_on(runtime.spawn(found()));
        assert_eq!(in_task.unwrap(), program);
        let _entered = runtime.enter();
        let in_compute = foreign_block_on(evenkeel::compute::spawn(found()));
        assert_eq!(in_compute.unwrap(), program);
        let in_closure = foreign_block_on(runtime.spawn_compute(move || {
            // Another executor, on a thread of the compute lane.
            foreign_block_on(found())
        }));
        assert_eq!(in_closure.unwrap(), program);
        let blocking = foreign_block_on(runtime.spawn_blocking(move || foreign_block_on(found())));
        assert_eq!(blocking.unwrap(), program);
    });
}
