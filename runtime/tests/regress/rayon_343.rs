//! rayon#343 and #642: workers without work kept looking for some, and a pool that did nothing took
//! whole CPUs.

#![cfg(target_os = "linux")]

use crate::support::{Live, assert_all_workers_work, builder, foreign_block_on, watchdog};
use evenkeel::time::{Duration, sleep};
use std::fs;
use std::sync::{Arc, Mutex};

/// The CPU time that a thread of this process has used, in ticks of 10 ms.
fn ticks(thread: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/self/task/{thread}/stat")).unwrap();
    let (_, rest) = stat.rsplit_once(") ").unwrap();
    // Fields 14 and 15, of which the first here is number 3.
    rest.split(' ')
        .skip(11)
        .take(2)
        .map(|field| field.parse::<u64>().unwrap())
        .sum()
}

fn thread_id() -> u32 {
    let link = fs::read_link("/proc/thread-self").unwrap();
    link.file_name().unwrap().to_str().unwrap().parse().unwrap()
}

/// The ids of the threads whose names begin with `name`.
fn threads_named(name: &str) -> Vec<u32> {
    let all = fs::read_dir("/proc/self/task").unwrap();
    let ids = all.map(|entry| {
        entry
            .unwrap()
            .file_name()
            .to_str()
            .unwrap()
            .parse::<u32>()
            .unwrap()
    });
    ids.filter(|id| {
        fs::read_to_string(format!("/proc/self/task/{id}/comm"))
            .is_ok_and(|comm| comm.starts_with(name))
    })
    .collect()
}

#[test]
fn an_idle_runtime_uses_no_cpu() {
    watchdog(|| {
        let workers = Arc::new(Mutex::new(Vec::new()));
        let started = workers.clone();
        let runtime = builder(4)
            .thread_name("idle343")
            .on_thread_start(move || started.lock().unwrap().push(thread_id()))
            .build()
            .unwrap();
        // It has worked, has tasks and timers that wait, and then has nothing to do.
        assert_all_workers_work(runtime.handle());
        let live = Live::new();
        let held = live.clone();
        let waits = runtime.spawn(async move {
            let _held = held;
            sleep(Duration::from_secs(3600)).await;
        });
        let mut threads = workers.lock().unwrap().clone();
        threads.extend(threads_named("idle343-driver"));
        assert!(threads.len() > 4 + 4, "{threads:?}");
        let all = |threads: &[u32]| threads.iter().map(|&thread| ticks(thread)).sum::<u64>();
        std::thread::sleep(Duration::from_millis(500));
        let before = all(&threads);
        std::thread::sleep(Duration::from_secs(1));
        let used = all(&threads) - before;
        // A single spinning thread takes its share of a CPU: 100 ticks, or some 10 on a busy
        // machine.
        assert!(used <= 4, "{used} ticks of 10 ms in a second");
        waits.abort();
        assert!(foreign_block_on(waits).unwrap_err().is_cancelled());
        assert_eq!(live.others(), 0);
    });
}
