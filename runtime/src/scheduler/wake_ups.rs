//! How long after a worker was unparked it runs: what the kernel makes of a wake-up.
//!
//! Whoever wakes a sleeping worker stamps the time just before its system call, and the worker
//! subtracts that from the time at which it goes on. The stamp is a plain store: there is one
//! waker that finds the worker asleep (see [`park_state`](super::park_state)), and only such a one
//! stamps. One that is slow may do so after the sleep that it meant was over; a stamp from before
//! the worker's last sleep is not counted.

use super::latency::{Latencies, LatencyHistogram};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Set in a stamp if the compute worker of that core was awake. (The time loses that bit.)
const BESIDE_COMPUTE: u64 = 1;

/// Of one worker.
pub(super) struct WakeUps {
    /// When the last waker began to wake it, in nanoseconds, and [`BESIDE_COMPUTE`]. Zero if nobody
    /// has.
    stamp: AtomicU64,
    /// On which CPU it fell asleep, and one more, while somebody may have to know; otherwise zero.
    cpu: AtomicUsize,
    alone: Latencies,
    beside_compute: Latencies,
}

/// How long after they were unparked workers ran.
#[derive(Clone)]
pub(crate) struct WakeToRun {
    /// Where the compute worker of that core slept.
    pub(crate) alone: LatencyHistogram,
    /// Where it was awake, so that it had to give way.
    pub(crate) beside_compute: LatencyHistogram,
}

impl WakeUps {
    pub(super) fn new() -> Self {
        WakeUps {
            stamp: AtomicU64::new(0),
            cpu: AtomicUsize::new(0),
            alone: Latencies::new(),
            beside_compute: Latencies::new(),
        }
    }

    /// For the waker, at `now_ns`.
    pub(super) fn stamp(&self, now_ns: u64, beside_compute: bool) {
        let beside_compute = if beside_compute { BESIDE_COMPUTE } else { 0 };
        self.stamp
            .store(now_ns & !BESIDE_COMPUTE | beside_compute, Ordering::Relaxed);
    }

    /// For the worker, which began to sleep at `slept_ns` or later, and runs at `now_ns`.
    pub(super) fn record(&self, slept_ns: u64, now_ns: u64) {
        let stamp = self.stamp.load(Ordering::Relaxed);
        if stamp <= slept_ns {
            return;
        }
        let latencies = if stamp & BESIDE_COMPUTE == 0 {
            &self.alone
        } else {
            &self.beside_compute
        };
        latencies.record(now_ns.saturating_sub(stamp));
    }

    /// For the worker.
    pub(super) fn set_cpu(&self, cpu: Option<usize>) {
        self.cpu
            .store(cpu.map_or(0, |cpu| cpu + 1), Ordering::Relaxed);
    }

    pub(super) fn cpu(&self) -> Option<usize> {
        self.cpu.load(Ordering::Relaxed).checked_sub(1)
    }

    pub(super) fn add_to(&self, sum: &mut WakeToRun) {
        self.alone.add_to(&mut sum.alone);
        self.beside_compute.add_to(&mut sum.beside_compute);
    }
}

impl WakeToRun {
    pub(crate) const fn new() -> Self {
        WakeToRun {
            alone: LatencyHistogram::new(),
            beside_compute: LatencyHistogram::new(),
        }
    }

    /// What has been counted since it was `before`.
    pub(crate) fn since(&self, before: &WakeToRun) -> WakeToRun {
        WakeToRun {
            alone: self.alone.since(&before.alone),
            beside_compute: self.beside_compute.since(&before.beside_compute),
        }
    }
}

#[cfg(all(test, not(evenkeel_loom)))]
mod tests {
    use super::*;
    use std::time::Duration;

    fn counts(wake_ups: &WakeUps) -> (u64, u64) {
        let mut sum = WakeToRun::new();
        wake_ups.add_to(&mut sum);
        (sum.alone.count(), sum.beside_compute.count())
    }

    #[test]
    fn a_wake_up_is_counted_by_what_was_beside_it() {
        let wake_ups = WakeUps::new();
        wake_ups.stamp(2_001, false);
        wake_ups.record(1_000, 12_000);
        assert_eq!(counts(&wake_ups), (1, 0));
        wake_ups.stamp(20_000, true);
        wake_ups.record(13_000, 1_020_000);
        assert_eq!(counts(&wake_ups), (1, 1));
        let mut sum = WakeToRun::new();
        wake_ups.add_to(&mut sum);
        let alone = sum.alone.quantile(0.5).unwrap();
        let beside_compute = sum.beside_compute.quantile(0.5).unwrap();
        assert!(Duration::from_micros(10) <= alone && alone < Duration::from_micros(13));
        assert!(beside_compute >= Duration::from_micros(1_000));
    }

    #[test]
    fn a_sleep_that_nobody_ended_counts_for_nothing() {
        let wake_ups = WakeUps::new();
        wake_ups.record(1_000, 2_000);
        assert_eq!(counts(&wake_ups), (0, 0), "never woken");
        wake_ups.stamp(2_500, true);
        wake_ups.record(3_000, 4_000);
        assert_eq!(counts(&wake_ups), (0, 0), "woken before that");
    }
}
