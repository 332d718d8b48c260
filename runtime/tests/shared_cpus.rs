//! Other programs use the CPUs that a runtime has pinned its workers to.
//!
//! Which CPUs are whose is a matter of the whole machine, hence a binary of its own, and one test.

#![cfg(target_os = "linux")]

mod support;

use evenkeel::runtime::{Builder, Pinning, Runtime};
use evenkeel::task::yield_now;
use evenkeel_topology::{CpuSet, allowed_cpus, current_thread_id, set_thread_affinity};
use std::hint;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use support::{until, watchdog};

/// A thread on each CPU that uses what it gets of it, as other programs would.
struct Others {
    is_over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Others {
    fn begin(cpus: &CpuSet) -> Others {
        let is_over = Arc::new(AtomicBool::new(false));
        let thread = |cpu| {
            let is_over = is_over.clone();
            thread::spawn(move || {
                let alone: CpuSet = [cpu].into_iter().collect();
                set_thread_affinity(current_thread_id(), &alone).unwrap();
                while !is_over.load(Ordering::Relaxed) {
                    hint::spin_loop();
                }
            })
        };
        let threads = cpus.iter().map(thread).collect();
        Others { is_over, threads }
    }

    fn end(self) {
        self.is_over.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().unwrap();
        }
    }
}

/// Keeps the IO workers busy with short polls.
fn work(runtime: &Runtime, workers: usize) {
    for _ in 0..2 * workers {
        runtime.spawn(async {
            loop {
                yield_now().await;
            }
        });
    }
}

fn are_pinned(runtime: &Runtime) -> bool {
    let cpus = runtime.handle().pinned_cpus();
    cpus.iter().all(Option::is_some)
}

#[test]
fn pins_of_auto_are_let_go_of_while_others_use_the_cpus_and_those_that_were_asked_for_are_kept() {
    watchdog(|| {
        let cpus = allowed_cpus();
        let automatic = Builder::new().build().unwrap();
        if cpus.len() < 2 || !are_pinned(&automatic) {
            return eprintln!("skipped: workers are not pinned here");
        }
        let others = Others::begin(&cpus);
        work(&automatic, cpus.len());
        until(|| !are_pinned(&automatic));
        automatic.shutdown_background();

        let wanted = Builder::new().pinning(Pinning::PerCore).build().unwrap();
        work(&wanted, cpus.len());
        // By then the other one had let go.
        let automatic = Builder::new().build().unwrap();
        work(&automatic, cpus.len());
        until(|| !are_pinned(&automatic));
        assert!(are_pinned(&wanted));
        wanted.shutdown_background();

        others.end();
        until(|| are_pinned(&automatic));
    });
}
