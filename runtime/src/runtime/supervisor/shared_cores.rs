//! Whose the cores are: which workers are in reserve.
//!
//! A pinned worker cannot make way for a program that uses its core, as an unpinned thread would;
//! and the program is pushed off the core again and again by work that another worker could have
//! done meanwhile. (An echo server with its client beside it, on two cores: 100,000 requests a
//! second with both workers at it, 180,000 with one.) So the supervisor measures what others take
//! of each core, while the runtime is awake, and puts the workers of such cores in
//! [reserve](crate::scheduler).
//!
//! "Others" is everything but the pinned workers, by the kernel's own count: other processes, and
//! threads of this one that the runtime does not pin.

use super::look::Look;
use crate::runtime::shared::Shared;
use crate::scheduler::lane::Lane;
use evenkeel_topology::{busy_times, thread_cpu_time};
use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Time between two measurements. The kernel counts in steps of 10 ms.
const INTERVAL: Duration = Duration::from_millis(100);

/// The pause after a measurement is this many times what the measurement took, so that many cores
/// cost no more than few.
const REST_FACTOR: u32 = 200;

/// But no longer than this.
const INTERVAL_MAX: Duration = Duration::from_secs(10);

/// Two measurements that are more than ten intervals apart say nothing about now.
const AGE_MAX: u32 = 10;

/// A worker is put in reserve when others have more than this of its core,
const ENTER_OTHERS: f64 = 0.4;

/// and there is nothing left of it: the compute lane, which gives way, does not count.
const ENTER_BUSY: f64 = 0.95;

/// It is taken out when others have less than this.
const LEAVE_OTHERS: f64 = 0.3;

/// The measuring of the cores.
pub(super) struct SharedCores {
    /// The CPU of each IO worker; empty if they are not pinned, or there is but one.
    cpus: Vec<usize>,
    reserve: Vec<bool>,
    /// How many takeovers there had been.
    takeovers: u64,
    last: Option<Sample>,
    interval: Duration,
    next: Instant,
}

/// The time that the CPU of each IO worker was busy until now: with anything, and with workers of
/// the lanes.
struct Sample {
    at: Instant,
    busy: Vec<Duration>,
    io: Vec<Duration>,
    compute: Vec<Duration>,
}

/// The shares of a core between two samples.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Use {
    io: f64,
    others: f64,
}

impl SharedCores {
    pub(super) fn new(shared: &Shared) -> Self {
        let workers = shared.io.workers();
        let cpus: Option<Vec<_>> = (0..workers)
            .map(|worker| shared.cpus.of_worker(worker))
            .collect();
        SharedCores {
            cpus: cpus.filter(|_| workers > 1).unwrap_or_default(),
            reserve: vec![false; workers],
            takeovers: 0,
            last: None,
            interval: INTERVAL,
            next: Instant::now(),
        }
    }

    /// Measures, if it is time to, and tells the workers.
    pub(super) fn look(&mut self, look: Look<'_>) {
        let shared = look.shared;
        let start = Instant::now();
        if self.cpus.is_empty() || start < self.next || !shared.tuning.reserve {
            return;
        }
        // What a worker's thread has used says little if it is not the same thread, or has company.
        let counts = &shared.takeover.counts;
        let takeovers = counts.takeovers.load(Ordering::Relaxed);
        let settled = takeovers == std::mem::replace(&mut self.takeovers, takeovers)
            && counts.displaced.load(Ordering::Relaxed) == 0;
        let sample = self.sample(shared).filter(|_| settled);
        let age_max = self.interval * AGE_MAX;
        match (&self.last, &sample) {
            (Some(last), Some(sample)) if sample.at - last.at < age_max => {
                judge(&mut self.reserve, &uses(last, sample));
            }
            // Not known, so nobody is.
            _ => self.reserve.fill(false),
        }
        for (worker, &reserve) in self.reserve.iter().enumerate() {
            shared.io.set_reserve(worker, reserve);
        }
        self.last = sample;
        self.interval = (start.elapsed() * REST_FACTOR).clamp(INTERVAL, INTERVAL_MAX);
        self.next = Instant::now() + self.interval;
    }

    fn sample(&self, shared: &Shared) -> Option<Sample> {
        let busy = busy_times(&self.cpus)?;
        Some(Sample {
            at: Instant::now(),
            busy,
            io: self.times(&shared.io),
            compute: self.times(&shared.compute),
        })
    }

    /// What the workers of a lane have used of the CPU of each IO worker.
    fn times(&self, lane: &Lane) -> Vec<Duration> {
        let mut times = HashMap::<usize, Duration>::new();
        // Compute workers go round the cores of the IO workers.
        for (worker, &cpu) in (0..lane.workers()).zip(self.cpus.iter().cycle()) {
            let time = lane.thread_id(worker).and_then(thread_cpu_time);
            *times.entry(cpu).or_default() += time.unwrap_or_default();
        }
        let time = |cpu| times.get(cpu).copied().unwrap_or_default();
        self.cpus.iter().map(time).collect()
    }
}

/// Who has used the cores between two samples.
fn uses(from: &Sample, to: &Sample) -> Vec<Use> {
    let wall = (to.at - from.at).as_secs_f64();
    let share = |from: &[Duration], to: &[Duration], worker: usize| {
        to[worker].saturating_sub(from[worker]).as_secs_f64() / wall
    };
    let of_worker = |worker| {
        let io = share(&from.io, &to.io, worker);
        let compute = share(&from.compute, &to.compute, worker);
        let others = share(&from.busy, &to.busy, worker) - io - compute;
        Use { io, others }
    };
    (0..to.busy.len()).map(of_worker).collect()
}

/// Who is in reserve from now on. Never all: somebody has to do the work, on the core where others
/// take the least.
fn judge(reserve: &mut [bool], uses: &[Use]) {
    for (reserve, Use { io, others }) in reserve.iter_mut().zip(uses) {
        *reserve = if *reserve {
            *others > LEAVE_OTHERS
        } else {
            *others > ENTER_OTHERS && others + io > ENTER_BUSY
        };
    }
    if reserve.iter().all(|reserve| *reserve) {
        let others = uses.iter().map(|of_core| of_core.others).enumerate();
        let least = others.min_by(|(_, one), (_, other)| one.total_cmp(other));
        if let Some((least, _)) = least {
            reserve[least] = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_ours_is_others() {
        let at = Instant::now();
        let seconds = |times: [f64; 2]| times.map(Duration::from_secs_f64).to_vec();
        let from = Sample {
            at,
            busy: seconds([10.0, 20.0]),
            io: seconds([1.0, 2.0]),
            compute: seconds([0.0, 7.0]),
        };
        let to = Sample {
            at: at + Duration::from_secs(2),
            busy: seconds([12.0, 22.0]),
            io: seconds([1.5, 3.0]),
            compute: seconds([0.0, 8.0]),
        };
        let use_of = |io, others| Use { io, others };
        assert_eq!(uses(&from, &to), [use_of(0.25, 0.75), use_of(0.5, 0.0)]);
    }

    #[test]
    fn a_worker_enters_when_two_want_the_core_and_leaves_when_it_is_free() {
        let mut reserve = [false, false];
        let mut after = |io, others| {
            let first = Use {
                io: 1.0,
                others: 0.0,
            };
            judge(&mut reserve, &[first, Use { io, others }]);
            assert!(!reserve[0]);
            reserve[1]
        };
        assert!(!after(0.4, 0.5), "something is left of the core");
        assert!(!after(0.8, 0.2), "others want little");
        assert!(after(0.5, 0.5));
        assert!(after(0.0, 0.35));
        assert!(!after(0.0, 0.2));
    }

    #[test]
    fn somebody_is_left() {
        let mut reserve = [false, false, true];
        let contended = |others| Use { io: 0.5, others };
        judge(&mut reserve, &[0.6, 0.5, 0.7].map(contended));
        assert_eq!(reserve, [true, false, true]);
    }
}
