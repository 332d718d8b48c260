//! The threads of a runtime have the scheduling class and the nice value of the thread that builds
//! it, those that are made later included.
//!
//! They are read for the whole process, hence a binary of its own, and one test.

#![cfg(target_os = "linux")]

mod support;

use evenkeel::runtime::{Builder, Pinning};
use std::collections::HashMap;
use std::fs;
use support::{Gate, until, watchdog};

/// At least this nice.
const NICE: i32 = 5;

/// Makes the calling thread one of the batch class, and a nice one; returns how nice. `None` where
/// the system does not allow that.
fn be_a_batch_thread() -> Option<i32> {
    let no_priority: libc::c_int = 0;
    // The call itself, since not every C library passes it on.
    // SAFETY: the pointer is to the parameter, which outlives the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_sched_setscheduler,
            0,
            libc::SCHED_BATCH,
            &raw const no_priority,
        )
    };
    // SAFETY: no pointers.
    let nice = unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) }.max(NICE);
    // SAFETY: no pointers.
    let is_set = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) } == 0;
    (result == 0 && is_set).then_some(nice)
}

/// The class and the nice value of each of the runtime's threads, by its name.
fn threads() -> HashMap<String, (i32, i32)> {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let of_thread = tasks.filter_map(|task| {
        // It may have ended.
        let stat = fs::read_to_string(task.ok()?.path().join("stat")).ok()?;
        let (start, end) = stat.rsplit_once(") ")?;
        let name = start.split_once('(')?.1;
        // Counted from the third. See proc_pid_stat(5).
        let fields: Vec<i32> = end
            .split(' ')
            .map(|field| field.trim().parse().unwrap_or(0))
            .collect();
        let about = (fields[41 - 3], fields[19 - 3]);
        name.starts_with("prio-").then(|| (name.to_owned(), about))
    });
    of_thread.collect()
}

#[test]
fn threads_have_the_class_and_the_nice_value_of_who_builds_the_runtime() {
    watchdog(|| {
        let Some(nice_of_builder) = be_a_batch_thread() else {
            return eprintln!("skipped: the system does not allow the batch class");
        };
        let runtime = Builder::new()
            .thread_name("prio")
            .worker_threads(2)
            .pinning(Pinning::None)
            .build()
            .unwrap();
        let gate = Gate::new();
        // More than there are workers, so that others take the places of these.
        let blocked: Vec<_> = (0..3)
            .map(|_| {
                let gate = gate.clone();
                runtime.spawn(async move { gate.block() })
            })
            .collect();
        runtime.block_on(async {
            evenkeel::spawn_blocking(|| ()).await.unwrap();
            evenkeel::spawn_compute(|| ()).await.unwrap();
        });
        let has = |kind: &str| threads().keys().any(|name| name.contains(kind));
        until(|| has("-spr-") && has("-blk-"));
        let lowered = |class| class == libc::SCHED_IDLE;
        for (name, (class, nice)) in threads() {
            let as_built = (class, nice) == (libc::SCHED_BATCH, nice_of_builder);
            assert!(
                as_built || lowered(class),
                "{name}: class {class}, nice {nice}"
            );
            assert!(!lowered(class) || name.contains("-cpu-"), "{name}");
        }
        gate.open();
        runtime.block_on(async {
            for task in blocked {
                task.await.unwrap();
            }
        });
    });
}
