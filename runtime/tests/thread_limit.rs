//! What happens when the system refuses a thread: a runtime is not built without the driver thread
//! and its IO workers; tasks of the compute lane wait for theirs, and nothing else breaks. Not even
//! if whoever receives the log, which tells of it on the driver thread, panics.
//!
//! The limit belongs to the whole process, hence a binary of its own, and one test at a time.
#![cfg(target_os = "linux")]

mod log_support;
mod support;

use evenkeel::runtime::{ComputePriority, Handle, Runtime};
use log_support::{have_the_log_panic, lines};
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use support::{assert_all_workers_work, builder, foreign_block_on, thread_name, watchdog};

fn limit() -> libc::rlimit {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the pointer is to a limit that outlives the call.
    let outcome = unsafe { libc::getrlimit(libc::RLIMIT_AS, &mut limit) };
    assert_eq!(outcome, 0, "{}", io::Error::last_os_error());
    limit
}

fn set_limit(limit: libc::rlimit) {
    // SAFETY: the pointer is to a limit that outlives the call.
    let outcome = unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) };
    assert_eq!(outcome, 0, "{}", io::Error::last_os_error());
}

fn address_space() -> libc::rlim_t {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: libc::rlim_t = statm.split(' ').next().unwrap().parse().unwrap();
    pages * 4096
}

/// So large that no thread fits into what is left below the limit, and everything else does. (The C
/// library's malloc maps 128 MiB at a time.) It is address space, not memory.
const STACK_BYTES: usize = 1 << 30;

/// Runs `f` with room for so many more stacks, and a half.
fn with_room_for<R>(stacks: libc::rlim_t, f: impl FnOnce() -> R) -> R {
    let before = limit();
    set_limit(libc::rlimit {
        rlim_cur: address_space() + (2 * stacks + 1) * STACK_BYTES as libc::rlim_t / 2,
        ..before
    });
    let result = f();
    set_limit(before);
    result
}

fn begin() -> impl Drop {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    have_the_log_panic();
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn a_runtime_is_not_built_with_fewer_threads() {
    let _alone = begin();
    watchdog(|| {
        for threads_made in 0..3 {
            let mut builder = builder(2);
            builder.thread_stack_size(STACK_BYTES);
            let built = with_room_for(threads_made, || builder.build());
            assert!(built.is_err(), "with {threads_made} of three threads");
        }
    });
}

#[cfg(feature = "tokio-rt")]
#[test]
fn a_runtime_that_is_not_built_can_be_tried_for_in_a_task_of_tokios() {
    let _alone = begin();
    watchdog(|| {
        let tokio = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        for threads_made in 0..3 {
            tokio.block_on(async {
                let mut builder = builder(2);
                builder.thread_stack_size(STACK_BYTES);
                assert!(with_room_for(threads_made, || builder.build()).is_err());
            });
        }
    });
}

#[cfg(feature = "tokio-rt")]
#[test]
fn what_needs_tokios_thread_waits_until_it_can_be_made() {
    let _alone = begin();
    watchdog(|| {
        let mut builder = builder(1);
        builder.thread_stack_size(STACK_BYTES);
        let runtime = builder.build().unwrap();
        let unused = builder.build().unwrap();
        let (begun, wait) = std::sync::mpsc::channel();
        let before = limit();
        set_limit(libc::rlimit {
            rlim_cur: address_space() + STACK_BYTES as libc::rlim_t / 2,
            ..before
        });
        let task = runtime.spawn(async move {
            begun.send(()).unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
            tokio::spawn(async { thread_name() }).await.unwrap()
        });
        wait.recv().unwrap();
        // Everything else goes on, and a runtime without that thread can be dropped.
        assert_runs(&runtime);
        assert_runs(&unused);
        drop(unused);
        assert!(!task.is_finished());
        set_limit(before);
        assert!(foreign_block_on(task).unwrap().ends_with("-tokio"));
    });
}

/// The timer is the driver thread's: when it has fired, that thread and a worker have started.
fn assert_runs(runtime: &Runtime) {
    let _entered = runtime.enter();
    foreign_block_on(evenkeel::time::sleep(Duration::from_millis(1)));
    let spawned = runtime.spawn(evenkeel::time::sleep(Duration::from_millis(1)));
    foreign_block_on(spawned).unwrap();
}

#[test]
fn tasks_wait_until_a_thread_can_be_made() {
    let _alone = begin();
    watchdog(|| {
        let [runtime, dropped] = [(); 2].map(|()| {
            let mut builder = builder(1);
            builder.compute_threads(2).thread_stack_size(STACK_BYTES);
            let runtime = builder.build().unwrap();
            assert_runs(&runtime);
            runtime
        });
        let before = limit();
        set_limit(libc::rlimit {
            rlim_cur: address_space() + STACK_BYTES as libc::rlim_t / 2,
            ..before
        });

        let task = runtime.spawn_compute(thread_name);
        assert_eq!(runtime.handle().compute_priority(), ComputePriority::Normal);
        let dump = runtime.handle().dump().to_string();
        assert_eq!(dump.matches("has no thread yet").count(), 2, "{dump}");
        assert!(!task.is_finished());
        // The other lane is not held up, not even if it asks.
        assert_runs(&runtime);
        let asked = runtime.spawn(async { Handle::current().compute_priority() });
        assert_eq!(foreign_block_on(asked).unwrap(), ComputePriority::Normal);

        // A runtime that is shut down meanwhile cancels its tasks.
        let cancelled = dropped.spawn_compute(thread_name);
        assert_eq!(dropped.handle().compute_priority(), ComputePriority::Normal);
        drop(dropped);
        assert!(foreign_block_on(cancelled).unwrap_err().is_cancelled());

        assert!(lines() > 0, "that was logged");
        set_limit(before);
        let name = foreign_block_on(task).unwrap();
        assert!(name.contains("-cpu-"), "{name}");
        assert_all_workers_work(runtime.handle());
    });
}

/// They wait for a thread. Only in a shutdown they wait no longer.
#[test]
fn closures_that_block_are_cancelled_if_no_thread_can_be_made_before_the_end() {
    let _alone = begin();
    watchdog(|| {
        let [runtime, dropped] = [(); 2].map(|()| {
            let mut builder = builder(1);
            builder.thread_stack_size(STACK_BYTES);
            let runtime = builder.build().unwrap();
            assert_runs(&runtime);
            runtime
        });
        let [kept, cancelled] = with_room_for(0, || {
            let tasks = [&runtime, &dropped].map(|runtime| runtime.spawn_blocking(thread_name));
            drop(dropped);
            assert_runs(&runtime);
            tasks
        });
        assert!(foreign_block_on(cancelled).unwrap_err().is_cancelled());
        let name = foreign_block_on(kept).unwrap();
        assert!(name.contains("-blk-"), "{name}");
        assert_all_workers_work(runtime.handle());
    });
}
