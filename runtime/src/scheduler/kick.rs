//! A kick for the CPU on which a worker was woken, where the kernel would leave it waiting.
//!
//! With lazy preemption (`PREEMPT_LAZY`, the default from Linux 7.0 on) a thread that is woken from
//! another CPU waits for the next tick there if a compute thread runs, for up to 4 ms with 250
//! ticks a second. An interrupt ends that (see [`evenkeel_topology::kick`]). It costs the waker
//! some microseconds, so it is only used where it was seen to help: the supervisor decides
//! (`supervisor::kick_watch`).
//!
//! The kernel itself wakes a worker for an event, and nobody can kick then. So where kicks help,
//! the worker at the driver sleeps in naps while a compute thread has its core: the timer that ends
//! a nap is an interrupt on that CPU. (A timer that fires periodically without waking anybody
//! cannot be had: a timerfd that is not read fires once.)
//!
//! Only those kick who are not kept from their CPU: in the kernel, kicks wait for each other. A
//! compute thread wakes the IO worker of its own CPU first, which needs no kick, since the kernel
//! looks whom to run when the system call of the wake-up ends.

use super::kind::Kind;
use super::lane::Lane;
use super::worker::WorkerState;
use evenkeel_topology::{current_cpu, kick, prepare_kicks};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

const OFF: u8 = 0;
const ON: u8 = 1;
const REFUSED: u8 = 2;

/// Whether a lane kicks.
#[derive(Default)]
pub(crate) struct Kick {
    state: AtomicU8,
    /// How often it has.
    count: AtomicU64,
}

impl Kick {
    pub(crate) fn is_on(&self) -> bool {
        self.state.load(Ordering::Relaxed) == ON
    }

    /// The system has refused what a kick takes.
    pub(crate) fn is_refused(&self) -> bool {
        self.state.load(Ordering::Relaxed) == REFUSED
    }

    /// May take milliseconds, for the system's consent.
    pub(crate) fn turn_on(&self) {
        let state = if prepare_kicks() { ON } else { REFUSED };
        self.state.store(state, Ordering::Relaxed);
    }

    pub(crate) fn turn_off(&self) {
        self.state.store(OFF, Ordering::Relaxed);
    }

    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

/// What is known once a worker has been woken beside compute.
#[derive(Clone, Copy, Debug)]
struct Seen {
    /// Where it fell asleep.
    worker_cpu: Option<usize>,
    waker_cpu: Option<usize>,
    /// The waker may be preempted for long.
    waker_is_low: bool,
}

/// The CPU to kick.
fn whom(seen: Seen) -> Option<usize> {
    let elsewhere = seen.waker_cpu != seen.worker_cpu;
    seen.worker_cpu.filter(|_| elsewhere && !seen.waker_is_low)
}

/// The calling thread computes, or did until its priority was lowered.
fn is_low() -> bool {
    WorkerState::of_thread(|state| {
        state.is_some_and(|state| state.kind() == Kind::Compute || state.thread().is_lowered())
    })
}

impl Lane {
    /// To be called after a worker was woken beside compute, where the lane kicks.
    pub(super) fn kick(&self, worker: usize) {
        let seen = Seen {
            worker_cpu: self.wake_ups[worker].cpu(),
            waker_cpu: current_cpu(),
            waker_is_low: is_low(),
        };
        if let Some(cpu) = whom(seen)
            && kick(cpu)
        {
            self.kick.count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// To be called by a worker that is about to sleep.
    pub(super) fn note_cpu(&self, worker: usize) {
        if self.kick.is_on()
            && let Some(wake_ups) = self.wake_ups.get(worker)
        {
            wake_ups.set_cpu(current_cpu());
        }
    }
}

#[cfg(all(test, not(evenkeel_loom)))]
mod tests {
    use super::*;

    #[test]
    fn only_another_cpu_is_kicked_and_only_by_who_is_not_kept_from_its_own() {
        let table = [
            (Some(1), Some(0), false, Some(1)),
            (Some(1), None, false, Some(1)),
            (Some(1), Some(1), false, None),
            (Some(1), Some(0), true, None),
            // It has not slept since the lane began to kick.
            (None, Some(0), false, None),
            (None, None, false, None),
        ];
        for (worker_cpu, waker_cpu, waker_is_low, expected) in table {
            let seen = Seen {
                worker_cpu,
                waker_cpu,
                waker_is_low,
            };
            assert_eq!(whom(seen), expected, "{seen:?}");
        }
    }
}
