//! How much of a CPU quota the compute lane may use.
//!
//! `SCHED_IDLE` ranks threads, but a quota counts the CPU time of all of them: a group that has
//! used it up stands still until the period is over, its IO workers too. So compute workers leave
//! IO what it has used of late, and rest between tasks once they have had what is left. How much
//! they have had is paid back by resting, so tasks of any length are allowed.
//!
//! The budget is a token bucket. The quota, less what the rest of the process uses, flows in
//! evenly; what compute workers use flows out. It holds very little, since a period in which
//! nothing was used does not lend to the next.
//!
//! Compute threads alone take the lock, and the supervisor only tries to.

use evenkeel_topology::CpuQuota;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// This part of the quota is left unused: the kernel hands a quota out to the CPUs in slices, and
/// some of it is on a CPU where nobody wants it.
const MARGIN: f64 = 0.05;

/// Compute gets this part of the quota, whatever IO uses.
const LEAST: f64 = 0.02;

/// What IO has used for a while is forgotten in this time, about.
const MEMORY: Duration = Duration::from_secs(1);

/// The clocks are not read more often than this.
const READ_INTERVAL: Duration = Duration::from_millis(1);

/// How much has been used of the CPU at a time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Used {
    pub(super) at: Instant,
    pub(super) by_all: Duration,
    pub(super) by_compute: Duration,
}

/// The budget of a compute lane.
#[derive(Default)]
pub(crate) struct Governor {
    is_on: AtomicBool,
    /// How many compute workers rest.
    resting: AtomicUsize,
    budget: Mutex<Option<Budget>>,
}

impl Governor {
    /// True if there is a quota.
    #[inline]
    pub(crate) fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    /// There is this quota from now on, or none. False if it is to be tried again.
    pub(crate) fn set_quota(&self, quota: Option<CpuQuota>) -> bool {
        let Some(mut budget) = self.budget.try_lock() else {
            return false;
        };
        match (&mut *budget, quota) {
            (Some(budget), Some(quota)) => budget.quota = quota,
            (budget, quota) => *budget = quota.map(Budget::new),
        }
        self.is_on.store(quota.is_some(), Ordering::Relaxed);
        true
    }

    /// True while a compute worker rests.
    pub(crate) fn has_resting(&self) -> bool {
        self.resting.load(Ordering::Relaxed) > 0
    }

    /// A compute worker rests in `f`.
    pub(super) fn resting<R>(&self, f: impl FnOnce() -> R) -> R {
        self.resting.fetch_add(1, Ordering::Relaxed);
        let result = f();
        self.resting.fetch_sub(1, Ordering::Relaxed);
        result
    }

    /// How long compute workers have to rest before they begin anything more.
    pub(super) fn rest(&self, used: impl FnOnce() -> Option<Used>) -> Option<Duration> {
        let mut budget = self.budget.lock();
        budget.as_mut()?.rest(Instant::now(), used)
    }
}

struct Budget {
    quota: CpuQuota,
    /// What compute may use now, in seconds of CPU; less than 0 if it has used too much.
    left: f64,
    /// What the rest of the process uses, in CPUs: the most of late.
    reserve: f64,
    last: Option<Used>,
}

impl Budget {
    fn new(quota: CpuQuota) -> Budget {
        Budget {
            quota,
            left: 0.0,
            reserve: 0.0,
            last: None,
        }
    }

    fn rest(&mut self, now: Instant, used: impl FnOnce() -> Option<Used>) -> Option<Duration> {
        let is_old = |last: Used| now.saturating_duration_since(last.at) >= READ_INTERVAL;
        if self.last.is_none_or(is_old) {
            self.account(used()?);
        }
        (self.left < 0.0).then(|| Duration::from_secs_f64(-self.left / self.rate()))
    }

    /// CPUs' worth of time for compute.
    fn rate(&self) -> f64 {
        let CpuQuota { cpus, .. } = self.quota;
        (cpus * (1.0 - MARGIN) - self.reserve).max(cpus * LEAST)
    }

    fn account(&mut self, used: Used) {
        let Some(last) = self.last.replace(used) else {
            return;
        };
        let since = (used.at - last.at).as_secs_f64();
        if since <= 0.0 {
            return;
        }
        let of = |now: Duration, before: Duration| now.saturating_sub(before).as_secs_f64();
        let by_compute = of(used.by_compute, last.by_compute);
        let by_others = (of(used.by_all, last.by_all) - by_compute).max(0.0);
        let kept = self.reserve * (-since / MEMORY.as_secs_f64()).exp();
        self.reserve = kept.max(by_others / since);
        let CpuQuota { cpus, period } = self.quota;
        let most = MARGIN * cpus * period.as_secs_f64();
        self.left = (self.left + since * self.rate() - by_compute).min(most);
    }
}

#[cfg(all(test, not(evenkeel_loom)))]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_millis(100);

    /// A compute worker with tasks of one length without end, beside IO, in steps of 0.25 ms.
    struct World {
        budget: Budget,
        start: Instant,
        step: u32,
        io: f64,
        by_io: Duration,
        by_compute: Duration,
        /// What is left of the task that it is in.
        task: Duration,
        rests_until: u32,
        used_by_step: Vec<Duration>,
    }

    const STEP: Duration = Duration::from_micros(250);

    impl World {
        fn new(cpus: f64, io: f64) -> World {
            World {
                budget: Budget::new(CpuQuota {
                    cpus,
                    period: PERIOD,
                }),
                start: Instant::now(),
                step: 0,
                io,
                by_io: Duration::ZERO,
                by_compute: Duration::ZERO,
                task: Duration::ZERO,
                rests_until: 0,
                used_by_step: Vec::new(),
            }
        }

        fn run(&mut self, length: Duration, for_long: Duration) {
            let steps = for_long.as_micros() / STEP.as_micros();
            for _ in 0..steps {
                self.one_step(length);
            }
        }

        fn one_step(&mut self, length: Duration) {
            let at = self.start + STEP * self.step;
            let mut used = STEP.mul_f64(self.io);
            self.by_io += used;
            if self.task.is_zero() && self.step >= self.rests_until {
                let now_used = Used {
                    at,
                    by_all: self.by_io + self.by_compute,
                    by_compute: self.by_compute,
                };
                match self.budget.rest(at, || Some(now_used)) {
                    None => self.task = length,
                    Some(rest) => {
                        let steps = rest.as_secs_f64() / STEP.as_secs_f64();
                        self.rests_until = self.step + steps.ceil() as u32;
                    }
                }
            }
            if !self.task.is_zero() {
                self.task = self.task.saturating_sub(STEP);
                self.by_compute += STEP;
                used += STEP;
            }
            self.used_by_step.push(used);
            self.step += 1;
        }

        /// The most that was used in any time as long as a period.
        fn worst(&self) -> Duration {
            let steps = (PERIOD.as_micros() / STEP.as_micros()) as usize;
            let settled = &self.used_by_step[10 * steps..];
            let windows = settled.windows(steps);
            windows.map(|window| window.iter().sum()).max().unwrap()
        }
    }

    #[test]
    fn short_tasks_never_use_the_quota_up_and_get_what_io_leaves() {
        for cpus in [0.2, 0.5, 1.0] {
            for io in [0.0, 0.05, 0.1] {
                let mut world = World::new(cpus, io);
                let length = Duration::from_millis(1);
                world.run(length, Duration::from_secs(4));
                let (worst, quota) = (world.worst(), PERIOD.mul_f64(cpus));
                assert!(worst <= quota, "{cpus} {io}: {worst:?}");
                let share = world.by_compute.as_secs_f64() / 4.0 / (cpus - io);
                assert!(share > 0.85, "{cpus} {io}: {share}");
            }
        }
    }

    #[test]
    fn what_io_used_is_kept_for_it_for_a_while() {
        let mut world = World::new(1.0, 0.5);
        let length = Duration::from_millis(1);
        world.run(length, Duration::from_secs(2));
        world.io = 0.0;
        let before = world.by_compute;
        world.run(length, PERIOD);
        let share = (world.by_compute - before).as_secs_f64() / PERIOD.as_secs_f64();
        assert!(share < 0.6, "{share}");
        world.run(length, Duration::from_secs(5));
        let before = world.by_compute;
        world.run(length, PERIOD);
        let share = (world.by_compute - before).as_secs_f64() / PERIOD.as_secs_f64();
        assert!(share > 0.9, "{share}");
    }

    #[test]
    fn a_long_task_is_paid_back() {
        let mut world = World::new(0.5, 0.0);
        world.run(Duration::from_millis(20), Duration::from_secs(4));
        let share = world.by_compute.as_secs_f64() / 4.0;
        assert!((0.42..=0.5).contains(&share), "{share}");
    }

    #[test]
    fn compute_gets_a_little_where_io_uses_all() {
        let mut world = World::new(0.5, 0.6);
        world.run(Duration::from_millis(1), Duration::from_secs(4));
        let share = world.by_compute.as_secs_f64() / 4.0;
        assert!((0.005..0.02).contains(&share), "{share}");
    }

    #[test]
    fn without_a_quota_nobody_rests() {
        let governor = Governor::default();
        assert!(!governor.is_on());
        assert_eq!(governor.rest(|| unreachable!()), None);
        let quota = CpuQuota {
            cpus: 1.0,
            period: PERIOD,
        };
        assert!(governor.set_quota(Some(quota)) && governor.is_on());
        assert!(governor.set_quota(None) && !governor.is_on());
    }
}
