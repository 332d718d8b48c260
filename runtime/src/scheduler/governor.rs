//! How much of a CPU quota the compute lane may use.
//!
//! `SCHED_IDLE` ranks threads, but a quota counts the CPU time of all of them: a group that has
//! used it up stands still until the period is over, its IO workers too. So compute workers keep
//! for IO what it has used of late, and pause between tasks once they have had what is left. What
//! they had too much of is paid back by pausing, so tasks of any length are allowed.
//!
//! What is left is a token bucket. The quota, less what the rest of the process uses, flows in
//! evenly; what compute workers use flows out. It holds very little, since a period in which
//! nothing was used does not lend to the next.
//!
//! The lock is only ever tried: a compute thread may be stopped while it has it. Who does not get
//! it goes by what was found out last.

use crate::timers::clock;
use evenkeel_topology::CpuQuota;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// This part of the quota is left unused: the kernel hands a quota out to the CPUs in slices, and
/// some of it is on a CPU where nobody wants it.
const MARGIN: f64 = 0.05;

/// Compute gets this part of the quota, whatever IO uses.
const LEAST: f64 = 0.02;

/// What IO has used for a while is forgotten in this time, about.
const MEMORY_S: f64 = 1.0;

/// The clocks are not read more often than this.
const READ_INTERVAL_NS: u64 = 1_000_000;

/// After this a pause is looked at again: IO may use less by then, and the quota may be another.
const PAUSE_MAX_NS: u64 = 100_000_000;

/// What had been used of the CPU by a moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Used {
    pub(super) at_ns: u64,
    pub(super) by_all: Duration,
    pub(super) by_compute: Duration,
}

/// The governor of a compute lane.
#[derive(Default)]
pub(crate) struct Governor {
    is_on: AtomicBool,
    /// Compute workers pause until then.
    until_ns: AtomicU64,
    /// How many of them pause now.
    pausing: AtomicUsize,
    bucket: Mutex<Option<Bucket>>,
}

impl Governor {
    /// True if there is a quota.
    #[inline]
    pub(crate) fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    /// There is this quota from now on, or none. False if it is to be tried again.
    pub(crate) fn set_quota(&self, quota: Option<CpuQuota>) -> bool {
        let Some(mut bucket) = self.bucket.try_lock() else {
            return false;
        };
        match (&mut *bucket, quota) {
            (Some(bucket), Some(quota)) => bucket.quota = quota,
            (bucket, quota) => *bucket = quota.map(Bucket::new),
        }
        self.is_on.store(quota.is_some(), Ordering::Relaxed);
        true
    }

    /// True while a compute worker pauses.
    pub(crate) fn is_anybody_pausing(&self) -> bool {
        self.pausing.load(Ordering::Relaxed) > 0
    }

    /// A compute worker pauses in `f`.
    pub(super) fn pausing<R>(&self, f: impl FnOnce() -> R) -> R {
        self.pausing.fetch_add(1, Ordering::Relaxed);
        let result = f();
        self.pausing.fetch_sub(1, Ordering::Relaxed);
        result
    }

    /// How long compute workers have to pause before they begin anything more.
    pub(super) fn pause(&self, used: impl FnOnce() -> Option<Used>) -> Option<Duration> {
        let now_ns = clock::now_ns();
        if let Some(mut bucket) = self.bucket.try_lock()
            && let Some(bucket) = &mut *bucket
        {
            let pause_ns = bucket.pause_ns(now_ns, used);
            self.until_ns.store(now_ns + pause_ns, Ordering::Relaxed);
        }
        let left_ns = self.until_ns.load(Ordering::Relaxed).saturating_sub(now_ns);
        (left_ns > 0).then(|| Duration::from_nanos(left_ns))
    }
}

struct Bucket {
    quota: CpuQuota,
    /// What compute may use now, in seconds of CPU; less than 0 if it has used too much.
    left: f64,
    /// What is kept for the rest of the process, in CPUs: the most that it has used of late.
    kept: f64,
    last: Option<Used>,
    /// The start of the time over which it is found out what the rest of the process uses. A
    /// period, since the process's clock has what other threads use in steps of the kernel's tick.
    window: Option<Used>,
}

impl Bucket {
    fn new(quota: CpuQuota) -> Bucket {
        Bucket {
            quota,
            left: 0.0,
            kept: 0.0,
            last: None,
            window: None,
        }
    }

    fn pause_ns(&mut self, now_ns: u64, used: impl FnOnce() -> Option<Used>) -> u64 {
        let is_old = |last: Used| now_ns.saturating_sub(last.at_ns) >= READ_INTERVAL_NS;
        if self.last.is_none_or(is_old)
            && let Some(used) = used()
        {
            self.account(used);
        }
        if self.left >= 0.0 {
            return 0;
        }
        // As much as can be expressed, where there is no rate.
        let pause_ns = (-self.left / self.rate() * 1e9) as u64;
        pause_ns.min(PAUSE_MAX_NS)
    }

    /// CPUs' worth of time for compute.
    fn rate(&self) -> f64 {
        let CpuQuota { cpus, .. } = self.quota;
        (cpus * (1.0 - MARGIN) - self.kept).max(cpus * LEAST)
    }

    fn account(&mut self, used: Used) {
        self.keep_for_others(used);
        let Some(last) = self.last.replace(used) else {
            return;
        };
        let since = seconds(used.at_ns, last.at_ns);
        let by_compute = used.by_compute.saturating_sub(last.by_compute);
        let CpuQuota { cpus, period } = self.quota;
        let most = MARGIN * cpus * period.as_secs_f64();
        let left = self.left + since * self.rate() - by_compute.as_secs_f64();
        self.left = left.min(most);
    }

    fn keep_for_others(&mut self, used: Used) {
        let window = *self.window.get_or_insert(used);
        let CpuQuota { cpus, period } = self.quota;
        let since = seconds(used.at_ns, window.at_ns);
        if since < period.as_secs_f64() {
            return;
        }
        self.window = Some(used);
        let by_all = used.by_all.saturating_sub(window.by_all);
        let by_compute = used.by_compute.saturating_sub(window.by_compute);
        let by_others = by_all.saturating_sub(by_compute).as_secs_f64() / since;
        let kept = self.kept * (-since / MEMORY_S).exp();
        self.kept = kept.max(by_others).min(cpus);
    }
}

fn seconds(later_ns: u64, earlier_ns: u64) -> f64 {
    Duration::from_nanos(later_ns.saturating_sub(earlier_ns)).as_secs_f64()
}

#[cfg(all(test, not(evenkeel_loom)))]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_millis(100);
    const STEP: Duration = Duration::from_micros(250);
    /// The clock of the process has what other threads use in such steps.
    const TICK: u32 = 16;
    const STEPS_IN_PERIOD: usize = 400;

    /// Compute workers with tasks of one length without end, beside IO, in small steps.
    struct World {
        bucket: Bucket,
        step: u32,
        /// What IO uses, in CPUs; it comes in polls of 5 ms.
        io: f64,
        by_io: Duration,
        io_left: Duration,
        workers: Vec<Worker>,
        /// What the process's clock shows.
        shown: Duration,
        used_by_step: Vec<Duration>,
    }

    #[derive(Clone, Default)]
    struct Worker {
        /// What is left of the task that it is in.
        task: Duration,
        pauses_until: u32,
        used: Duration,
    }

    impl World {
        fn new(cpus: f64, io: f64, workers: usize) -> World {
            World {
                bucket: Bucket::new(CpuQuota {
                    cpus,
                    period: PERIOD,
                }),
                step: 0,
                io,
                by_io: Duration::ZERO,
                io_left: Duration::ZERO,
                workers: vec![Worker::default(); workers],
                shown: Duration::ZERO,
                used_by_step: Vec::new(),
            }
        }

        fn by_compute(&self) -> Duration {
            self.workers.iter().map(|worker| worker.used).sum()
        }

        /// Returns what compute has had of the CPU meanwhile, in CPUs.
        fn run(&mut self, task: Duration, periods: usize) -> f64 {
            let before = self.by_compute();
            for _ in 0..periods * STEPS_IN_PERIOD {
                self.one_step(task);
            }
            let used = self.by_compute() - before;
            used.as_secs_f64() / (PERIOD * periods as u32).as_secs_f64()
        }

        fn one_step(&mut self, task: Duration) {
            let poll = Duration::from_millis(5);
            let poll_steps = poll.as_secs_f64() / STEP.as_secs_f64() / self.io.max(1e-9);
            if self.io > 0.0 && self.step.is_multiple_of(poll_steps as u32) {
                self.io_left += poll;
            }
            let mut used = self.io_left.min(STEP);
            self.io_left -= used;
            self.by_io += used;
            for index in 0..self.workers.len() {
                used += self.work(index, task);
            }
            if self.step.is_multiple_of(TICK) {
                self.shown = self.by_io + self.by_compute();
            }
            self.used_by_step.push(used);
            self.step += 1;
        }

        fn work(&mut self, index: usize, task: Duration) -> Duration {
            let now_used = Used {
                at_ns: (STEP * self.step).as_nanos() as u64,
                by_all: self.shown,
                by_compute: self.by_compute(),
            };
            let worker = &mut self.workers[index];
            if worker.task.is_zero() && self.step >= worker.pauses_until {
                match self.bucket.pause_ns(now_used.at_ns, || Some(now_used)) {
                    0 => worker.task = task,
                    pause_ns => {
                        let steps = pause_ns.div_ceil(STEP.as_nanos() as u64);
                        worker.pauses_until = self.step + steps as u32;
                    }
                }
            }
            if worker.task.is_zero() {
                return Duration::ZERO;
            }
            worker.task = worker.task.saturating_sub(STEP);
            worker.used += STEP;
            STEP
        }

        /// How many of the last periods used the quota up.
        fn over(&self, periods: usize, cpus: f64) -> usize {
            let quota = PERIOD.mul_f64(cpus);
            let last = self.used_by_step.len() - periods * STEPS_IN_PERIOD;
            let periods = self.used_by_step[last..].chunks(STEPS_IN_PERIOD);
            periods
                .filter(|period| period.iter().sum::<Duration>() > quota)
                .count()
        }
    }

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn compute_has_what_io_leaves_and_the_quota_is_not_used_up() {
        // Quota, IO, workers, a task, and the least share of what IO leaves.
        let table = [
            (0.5, 0.0, 1, MS, 0.9),
            (1.0, 0.0, 1, MS, 0.9),
            (1.0, 0.1, 1, MS, 0.75),
            (2.0, 0.0, 2, MS, 0.85),
            (2.0, 0.0, 2, 5 * MS, 0.85),
            (2.0, 0.2, 2, 5 * MS, 0.75),
            (4.0, 0.0, 4, 20 * MS, 0.85),
        ];
        for (cpus, io, workers, task, least) in table {
            let mut world = World::new(cpus, io, workers);
            world.run(task, 10);
            let share = world.run(task, 30) / (cpus - io);
            let over = world.over(30, cpus);
            assert!(
                share >= least && over <= 1,
                "{cpus} {io} {workers} {task:?}: {share}, {over} over"
            );
        }
    }

    #[test]
    fn what_io_used_is_kept_for_it_for_a_while() {
        let mut world = World::new(1.0, 0.5, 1);
        world.run(MS, 20);
        world.io = 0.0;
        let just_after = world.run(MS, 1);
        assert!(just_after < 0.6, "{just_after}");
        world.run(MS, 50);
        let later = world.run(MS, 1);
        assert!(later > 0.9, "{later}");
    }

    #[test]
    fn a_long_task_is_paid_back() {
        let mut world = World::new(0.5, 0.0, 1);
        let share = world.run(20 * MS, 40);
        assert!((0.42..=0.5).contains(&share), "{share}");
    }

    #[test]
    fn compute_gets_a_little_where_io_uses_all_and_more_soon_after() {
        let mut world = World::new(0.5, 0.6, 1);
        world.run(MS, 10);
        let share = world.run(MS, 40);
        assert!((0.005..0.02).contains(&share), "{share}");
        // In debt, which is paid back at the rate of later.
        world.run(200 * MS, 10);
        world.io = 0.0;
        world.run(MS, 30);
        let share = world.run(MS, 10);
        assert!(share > 0.4, "{share}");
    }

    #[test]
    fn without_a_quota_nobody_pauses() {
        let governor = Governor::default();
        assert!(!governor.is_on());
        assert_eq!(governor.pause(|| unreachable!()), None);
        let quota = CpuQuota {
            cpus: 1.0,
            period: PERIOD,
        };
        assert!(governor.set_quota(Some(quota)) && governor.is_on());
        assert!(governor.set_quota(None) && !governor.is_on());
    }

    #[test]
    fn whoever_does_not_get_the_lock_goes_by_what_was_found_out_last() {
        let governor = Governor::default();
        let mut bucket = Bucket::new(CpuQuota {
            cpus: 1.0,
            period: PERIOD,
        });
        bucket.left = -1.0;
        *governor.bucket.lock() = Some(bucket);
        let unknown = || None;
        assert!(governor.pause(unknown).is_some());
        let _lock = governor.bucket.lock();
        let pause = governor.pause(|| unreachable!());
        assert!(pause.is_some_and(|pause| pause <= PAUSE_MAX));
    }

    const PAUSE_MAX: Duration = Duration::from_nanos(PAUSE_MAX_NS);
}
