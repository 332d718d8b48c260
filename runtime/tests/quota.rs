//! The compute lane under a CPU quota, in a group that the test makes where it may. Where it may
//! not, it says so and ends.

#![cfg(target_os = "linux")]

#[path = "../../topology/tests/groups/mod.rs"]
mod groups;
mod support;

use evenkeel::runtime::Runtime;
use evenkeel::time::{Duration, Instant};
use evenkeel_topology::{allowed_cpus, unpin_current_thread};
use groups::{Group, join};
use support::watchdog;

/// Computes for a millisecond or two.
fn compute() {
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(1) {
        std::hint::spin_loop();
    }
}

/// What a child does that the test starts; nothing else: it computes as much as it may.
#[test]
fn in_a_child() {
    if !join() {
        return;
    }
    watchdog(|| {
        // Each CPU keeps a little of a quota that it was given.
        let cpus = allowed_cpus().iter().take(2).collect();
        assert!(unpin_current_thread(&cpus));
        let runtime = Runtime::new().unwrap();
        runtime.block_on(async {
            let start = Instant::now();
            let busy = (0..4).map(|_| {
                evenkeel::spawn(async move {
                    let mut jobs = 0;
                    while start.elapsed() < Duration::from_secs(2) {
                        evenkeel::spawn_compute(compute).await.unwrap();
                        jobs += 1;
                    }
                    jobs
                })
            });
            let busy: Vec<_> = busy.collect();
            let mut jobs = 0;
            for task in busy {
                jobs += task.await.unwrap();
            }
            println!("found: {jobs}");
        });
    });
}

/// Without the pauses, nearly every period ends with everybody standing still.
#[test]
fn computing_does_not_use_a_quota_up() {
    let group = match Group::at_the_root() {
        Ok(group) => group,
        Err(error) => return eprintln!("skipped: no group can be made here: {error}"),
    };
    group.set_quota(Some(50_000)).unwrap();
    let jobs: u64 = group.found_by("in_a_child").parse().unwrap();
    let (periods, throttled) = (group.stat("nr_periods "), group.stat("nr_throttled "));
    assert!(jobs > 100, "{jobs} jobs");
    assert!(
        throttled * 4 <= periods,
        "{throttled} of {periods} periods were throttled; {jobs} jobs"
    );
}
