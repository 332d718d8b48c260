//! Interrupting a CPU, so that its kernel looks whom to run.
//!
//! A kernel with lazy preemption (`PREEMPT_LAZY`, the default from Linux 7.0 on) does not interrupt
//! the thread that runs on a CPU when another one wakes up there, woken from elsewhere: that one
//! waits until the thread enters the kernel, or for the next tick of the timer. Not even a
//! `SCHED_IDLE` thread gives way at once. Any interrupt is an entry to the kernel, and
//! `membarrier` makes one, on one CPU: Linux 5.10 and later can restart the restartable sequences
//! (`rseq`) that run there. Where there are none, the interrupt does nothing else.

use crate::sys;
use std::fs;
use std::sync::OnceLock;

/// The first version of Linux that can preempt lazily.
const FIRST: (u32, u32) = (6, 13);

/// False if the kernel is known not to preempt lazily: an older one, or one that was built without.
/// Which way one preempts that was built with several is chosen when it boots, and only root can
/// read it.
pub fn may_preempt_lazily() -> bool {
    static MAY: OnceLock<bool> = OnceLock::new();
    let read = || fs::read_to_string("/proc/version");
    *MAY.get_or_init(|| read().is_ok_and(|version| is_built_lazy(&version)))
}

/// From a line `Linux version 6.18.15+deb13-amd64 (...) #1 SMP PREEMPT_DYNAMIC Debian ...`.
fn is_built_lazy(version: &str) -> bool {
    let is_kind = |word| matches!(word, "PREEMPT_DYNAMIC" | "PREEMPT_LAZY");
    let release = version.split_whitespace().nth(2).unwrap_or_default();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    let mut number = || numbers.next()?.parse().ok();
    let is_new = number().zip(number()).is_some_and(|found| found >= FIRST);
    is_new && version.split_whitespace().any(is_kind)
}

/// Whether [`kick`] may be used from now on. The first call of a process with many threads waits
/// until each CPU has switched threads, which takes some milliseconds.
pub fn prepare_kicks() -> bool {
    sys::register_kicks()
}

/// Interrupts the CPU if a thread of this process runs there, and waits until that is done; some
/// microseconds. Says whether the system could do that.
///
/// Callers wait for each other in the kernel, as those of [`heavy_fence`](crate::heavy_fence) do: a
/// thread of low priority that is preempted in here may make others wait.
pub fn kick(cpu: usize) -> bool {
    sys::kick(cpu)
}

/// The CPU that the calling thread runs on at the moment, where the system tells.
pub fn current_cpu() -> Option<usize> {
    sys::current_cpu()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::{allowed_cpus, pin_current_thread};
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use std::sync::mpsc;

    #[test]
    fn a_kernel_that_is_old_or_built_without_does_not_preempt_lazily() {
        let table = [
            ("6.18.15+deb13-amd64", "SMP PREEMPT_DYNAMIC", true),
            ("7.2.13-amd64", "SMP PREEMPT_LAZY", true),
            ("7.0-rc1", "SMP PREEMPT_DYNAMIC", true),
            ("6.12.3", "SMP PREEMPT_DYNAMIC", false),
            ("5.10.0-30-cloud-amd64", "SMP PREEMPT_DYNAMIC", false),
            ("6.18.44", "SMP", false),
            ("7.2.0", "SMP PREEMPT_RT", false),
            ("", "", false),
        ];
        for (release, kind, expected) in table {
            let version = format!("Linux version {release} (gcc 14.2) #1 {kind} Debian 1 (2026)");
            assert_eq!(is_built_lazy(&version), expected, "{version}");
        }
    }

    #[test]
    fn the_current_cpu_is_the_one_of_the_pin() {
        for cpu in allowed_cpus().iter() {
            let found = std::thread::scope(|scope| {
                let pinned = || pin_current_thread(cpu).then(current_cpu);
                scope.spawn(pinned).join().unwrap()
            });
            assert!(found.is_none_or(|found| found == Some(cpu)), "{found:?}");
        }
    }

    /// How often the kernel has interrupted each CPU for a call of a function, as `/proc` counts.
    fn function_calls(cpu: usize) -> Option<u64> {
        let interrupts = std::fs::read_to_string("/proc/interrupts").ok()?;
        let header = interrupts.lines().next()?;
        let wanted = format!("CPU{cpu}");
        let column = header.split_whitespace().position(|name| name == wanted)?;
        let line = interrupts
            .lines()
            .find(|line| line.trim_start().starts_with("CAL:"))?;
        line.split_whitespace().nth(column + 1)?.parse().ok()
    }

    #[test]
    fn a_kick_interrupts_the_cpu_on_which_a_thread_of_this_process_runs() {
        let cpus: Vec<_> = allowed_cpus().iter().collect();
        let [here, there, ..] = cpus[..] else {
            return println!("skipped: one CPU");
        };
        let (end, turns) = (AtomicBool::new(false), AtomicU64::new(0));
        std::thread::scope(|scope| {
            let (begun, begin) = mpsc::channel();
            let (end, turns) = (&end, &turns);
            scope.spawn(move || {
                let is_pinned = pin_current_thread(there);
                begun.send(is_pinned).unwrap();
                while !end.load(Ordering::Relaxed) {
                    turns.fetch_add(1, Ordering::Relaxed);
                }
            });
            let is_pinned = begin.recv().unwrap() && pin_current_thread(here);
            let before = function_calls(there);
            if !is_pinned || before.is_none() || !prepare_kicks() {
                println!("skipped: the system does not let this be tried");
            } else {
                // The thread may be off its CPU for some of them.
                for _ in 0..100 {
                    assert!(kick(there));
                }
                assert!(function_calls(there) > before);
            }
            end.store(true, Ordering::Relaxed);
        });
    }
}
