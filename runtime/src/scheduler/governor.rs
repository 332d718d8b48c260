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
//! So much for the mean. A task that is long in comparison to the quota may still use up that of
//! the period which it is begun in. Once it is known when [periods](super::period) begin, a task is
//! begun if what is left of this period's quota will do for as long as recent ones took; or else so
//! late that it goes on in the next.
//!
//! The lock is only ever tried: a compute thread may be stopped while it has it. Who does not get
//! it goes by what was found out last.

use super::period::{LOOK_INTERVAL_NS, Periods};
use crate::timers::clock;
use evenkeel_topology::{CpuQuota, PeriodCount};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// This part of the quota is left unused: the kernel hands a quota out to the CPUs in slices, and
/// some of it is on a CPU where nobody wants it.
const MARGIN: f64 = 0.03;

/// Whoever pauses for the mean does so until this part of a period's quota has flowed in: else
/// there would be a pause, which is a wake-up, for each short task.
const BURST: f64 = 0.05;

/// Compute gets this part of the quota, whatever IO uses.
const LEAST: f64 = 0.02;

/// What IO has used for a while is forgotten in this time, about.
const MEMORY_S: f64 = 1.0;

/// One part in this many of how long tasks are expected to be is forgotten with each.
const FORGET: u32 = 8;

/// What had been used of the CPU by a moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Used {
    pub(super) at_ns: u64,
    pub(super) by_all: Duration,
    pub(super) by_compute: Duration,
}

/// What a compute worker says that asks whether it may begin a task.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Begins {
    /// What the one before used of the CPU, if it has not said so yet.
    pub(super) before: Option<Duration>,
    /// How many other workers are in tasks.
    pub(super) others: usize,
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
    pub(crate) fn set_quota(&self, quota: Option<(CpuQuota, PeriodCount)>) -> bool {
        let Some(mut bucket) = self.bucket.try_lock() else {
            return false;
        };
        self.is_on.store(quota.is_some(), Ordering::Relaxed);
        match (&mut *bucket, quota) {
            (Some(bucket), Some((quota, count)))
                if bucket.quota.period == quota.period && bucket.count == count =>
            {
                bucket.quota = quota;
            }
            (bucket, quota) => *bucket = quota.map(|(quota, count)| Bucket::new(quota, count)),
        }
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

    /// How long compute workers have to pause before they begin anything more. For one that is in a
    /// task, how long it has to if that is to be its end.
    pub(super) fn pause(
        &self,
        begins: Option<Begins>,
        used: impl FnOnce() -> Option<Used>,
    ) -> Option<Duration> {
        if let Some(mut bucket) = self.bucket.try_lock()
            && let Some(bucket) = &mut *bucket
        {
            bucket.look_at_count();
            let now_ns = clock::now_ns();
            let pause_ns = bucket.pause_ns(now_ns, begins, used);
            self.until_ns.store(now_ns + pause_ns, Ordering::Relaxed);
        }
        let until_ns = self.until_ns.load(Ordering::Relaxed);
        let left_ns = until_ns.saturating_sub(clock::now_ns());
        (left_ns > 0).then(|| Duration::from_nanos(left_ns))
    }
}

struct Bucket {
    quota: CpuQuota,
    count: PeriodCount,
    periods: Periods,
    /// What compute may use now, in seconds of CPU; less than 0 if it has used too much.
    left: f64,
    /// What is kept for the rest of the process, in CPUs: the most that it has used of late.
    kept: f64,
    /// How long the longest tasks of late took, in seconds of CPU.
    expected: f64,
    last: Option<Used>,
    /// What had been used by the beginning of this period.
    begun: Option<Used>,
    /// The start of the time over which it is found out what the rest of the process uses. A
    /// period, since the process's clock has what other threads use in steps of the kernel's tick.
    window: Option<Used>,
}

impl Bucket {
    fn new(quota: CpuQuota, count: PeriodCount) -> Bucket {
        Bucket {
            quota,
            count,
            periods: Periods::new(quota.period),
            left: 0.0,
            kept: 0.0,
            expected: 0.0,
            last: None,
            begun: None,
            window: None,
        }
    }

    fn look_at_count(&mut self) {
        let before_ns = clock::now_ns();
        if self.periods.is_look_due(before_ns) {
            let count = self.count.read();
            self.periods.look((before_ns, clock::now_ns()), count);
        }
    }

    fn pause_ns(
        &mut self,
        now_ns: u64,
        begins: Option<Begins>,
        used: impl FnOnce() -> Option<Used>,
    ) -> u64 {
        let is_old = |last: Used| now_ns.saturating_sub(last.at_ns) >= LOOK_INTERVAL_NS;
        if self.last.is_none_or(is_old)
            && let Some(used) = used()
        {
            self.account(used);
        }
        let for_mean = self.until_it_flowed_in();
        let for_period = begins.map_or(0, |begins| self.until_it_fits(now_ns, begins));
        let pause_ns = for_mean.max(for_period);
        if pause_ns == 0 {
            return 0;
        }
        // No shorter than until the clocks may be read again, since each of many short pauses is a
        // wake-up. After a period it is looked at again: IO may use less by then, and the quota may
        // be another.
        let period_ns = self.quota.period.as_nanos() as u64;
        pause_ns.min(period_ns).max(LOOK_INTERVAL_NS)
    }

    /// How long until there is something to use again, if there is nothing.
    fn until_it_flowed_in(&self) -> u64 {
        if self.left >= 0.0 {
            return 0;
        }
        // As much as can be expressed, where there is no rate.
        ((self.part(BURST) - self.left) / self.rate() * 1e9) as u64
    }

    /// How long until one more task uses no more of this period's quota than is left of it: none of
    /// it, or as much as there is, at the period's end.
    fn until_it_fits(&mut self, now_ns: u64, begins: Begins) -> u64 {
        if let Some(before) = begins.before {
            let kept = self.expected * (1.0 - 1.0 / f64::from(FORGET));
            self.expected = kept.max(before.as_secs_f64());
        }
        let Some(next_ns) = self.periods.next_ns(now_ns) else {
            return 0;
        };
        let rest = seconds(next_ns, now_ns);
        let workers = (1 + begins.others) as f64;
        let each = self.room(rest) / workers;
        if self.expected <= each {
            return 0;
        }
        // What the next period has for it.
        let most = self.rate() * self.quota.period.as_secs_f64() / workers;
        let least = self.expected - most;
        let waits = if least <= each || least > most {
            rest - each.max(0.0)
        } else {
            rest
        };
        (waits.max(0.0) * 1e9) as u64
    }

    /// What compute may use of this period's quota, in seconds, of which there is a `rest`.
    fn room(&self, rest: f64) -> f64 {
        let (Some(begun), Some(last)) = (self.begun, self.last) else {
            return f64::INFINITY;
        };
        let by_all = last.by_all.saturating_sub(begun.by_all).as_secs_f64();
        let by_compute = last.by_compute.saturating_sub(begun.by_compute);
        let left = self.part(1.0 - MARGIN) - by_all - self.kept * rest;
        left.max(self.part(LEAST) - by_compute.as_secs_f64())
    }

    /// A part of a period's quota, in seconds of CPU.
    fn part(&self, part: f64) -> f64 {
        let CpuQuota { cpus, period } = self.quota;
        part * cpus * period.as_secs_f64()
    }

    /// CPUs' worth of time for compute.
    fn rate(&self) -> f64 {
        let CpuQuota { cpus, .. } = self.quota;
        (cpus * (1.0 - MARGIN) - self.kept).max(cpus * LEAST)
    }

    /// The most that the bucket holds, in seconds: a part of a period's quota; or a task more,
    /// which had to wait for its period, as [`room`](Bucket::room) sees to what that leaves.
    fn most(&self) -> f64 {
        let most = self.part(2.0 * BURST);
        if self.begun.is_some() {
            return most.max(self.expected);
        }
        most
    }

    fn account(&mut self, used: Used) {
        self.keep_for_others(used);
        let last = self.last.replace(used);
        self.begin_period(last, used);
        let Some(last) = last else {
            return;
        };
        let since = seconds(used.at_ns, last.at_ns);
        let by_compute = used.by_compute.saturating_sub(last.by_compute);
        let left = self.left + since * self.rate() - by_compute.as_secs_f64();
        self.left = left.min(self.most());
    }

    /// What had been used at the beginning of a period, if one has begun since the `last` look: as
    /// if it had been used evenly since.
    fn begin_period(&mut self, last: Option<Used>, now: Used) {
        let began_ns = self.periods.this_ns(now.at_ns);
        let (Some(began_ns), Some(last)) = (began_ns, last) else {
            self.begun = None;
            return;
        };
        if self.begun.is_some_and(|begun| begun.at_ns >= began_ns) {
            return;
        }
        let part = seconds(began_ns, last.at_ns) / seconds(now.at_ns, last.at_ns).max(1e-9);
        let then = |before: Duration, now: Duration| {
            before + now.saturating_sub(before).mul_f64(part.min(1.0))
        };
        self.begun = Some(Used {
            at_ns: began_ns,
            by_all: then(last.by_all, now.by_all),
            by_compute: then(last.by_compute, now.by_compute),
        });
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
    use std::mem;

    const PERIOD: Duration = Duration::from_millis(100);
    const STEP: Duration = Duration::from_micros(250);
    /// The clock of the process has what other threads use in such steps.
    const TICK: u32 = 16;
    const STEPS_IN_PERIOD: usize = 400;
    /// When the first period begins.
    const FIRST: u32 = 148;

    /// Compute workers with tasks of one length without end, beside IO, in small steps.
    struct World {
        bucket: Bucket,
        step: u32,
        /// What IO uses, in CPUs; it comes in polls of 5 ms.
        io: f64,
        by_io: Duration,
        io_left: Duration,
        workers: Vec<Worker>,
        /// What the process's clock shows of it.
        shown: Duration,
        used_by_step: Vec<Duration>,
    }

    #[derive(Clone, Default)]
    struct Worker {
        /// What is left of the task that it is in.
        task: Duration,
        last: Option<Duration>,
        pauses_until: u32,
        used: Duration,
    }

    fn bucket(cpus: f64) -> Bucket {
        let period = PERIOD;
        Bucket::new(CpuQuota { cpus, period }, PeriodCount::new("no such file"))
    }

    impl World {
        fn new(cpus: f64, io: f64, workers: usize) -> World {
            World {
                bucket: bucket(cpus),
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
                self.shown = self.by_io;
            }
            self.used_by_step.push(used);
            self.step += 1;
        }

        fn work(&mut self, index: usize, task: Duration) -> Duration {
            if self.workers[index].task.is_zero() && self.step >= self.workers[index].pauses_until {
                self.begin(index, task);
            }
            let worker = &mut self.workers[index];
            if worker.task.is_zero() {
                return Duration::ZERO;
            }
            worker.task = worker.task.saturating_sub(STEP);
            worker.used += STEP;
            STEP
        }

        /// A worker begins a task, if it may.
        fn begin(&mut self, index: usize, task: Duration) {
            let now_used = Used {
                at_ns: (STEP * self.step).as_nanos() as u64,
                by_all: self.shown + self.by_compute(),
                by_compute: self.by_compute(),
            };
            let count = (self.step + STEPS_IN_PERIOD as u32 - FIRST) / STEPS_IN_PERIOD as u32;
            let read = (now_used.at_ns, now_used.at_ns);
            if self.bucket.periods.is_look_due(now_used.at_ns) {
                self.bucket.periods.look(read, Some(count.into()));
            }
            let busy = |worker: &&Worker| !worker.task.is_zero();
            let others = self.workers.iter().filter(busy).count();
            let worker = &mut self.workers[index];
            let before = mem::take(&mut worker.last);
            let begins = Some(Begins { before, others });
            match self
                .bucket
                .pause_ns(now_used.at_ns, begins, || Some(now_used))
            {
                0 => (worker.task, worker.last) = (task, Some(task)),
                pause_ns => {
                    let steps = pause_ns.div_ceil(STEP.as_nanos() as u64);
                    worker.pauses_until = self.step + steps as u32;
                }
            }
        }

        /// How many of the last periods used the quota up.
        fn over(&self, periods: usize, cpus: f64) -> usize {
            let quota = PERIOD.mul_f64(cpus);
            let last = self.used_by_step.len() - periods * STEPS_IN_PERIOD + FIRST as usize;
            let periods = self.used_by_step[last..].chunks(STEPS_IN_PERIOD);
            periods
                .filter(|period| period.iter().sum::<Duration>() > quota)
                .count()
        }
    }

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn compute_has_what_io_leaves_and_the_quota_is_not_used_up() {
        // Quota, IO, workers, a task.
        let table = [
            (0.5, 0.0, 1, MS),
            (1.0, 0.0, 1, MS),
            (1.0, 0.1, 1, MS),
            (2.0, 0.0, 2, MS),
            (2.0, 0.0, 2, 5 * MS),
            (2.0, 0.2, 2, 5 * MS),
            (4.0, 0.0, 4, 20 * MS),
            // A task is as long as a part of a period's quota, or all of it.
            (0.5, 0.05, 1, 20 * MS),
            (0.2, 0.0, 1, 20 * MS),
            (1.5, 0.1, 2, 20 * MS),
        ];
        for (cpus, io, workers, task) in table {
            let mut world = World::new(cpus, io, workers);
            world.run(task, 10);
            let share = world.run(task, 30) / (cpus - io);
            let over = world.over(30, cpus);
            assert!(
                share >= 0.9 && over <= 1,
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
        assert_eq!(governor.pause(None, || unreachable!()), None);
        let Bucket { quota, count, .. } = bucket(1.0);
        assert!(governor.set_quota(Some((quota, count))) && governor.is_on());
        assert!(governor.set_quota(None) && !governor.is_on());
    }

    #[test]
    fn whoever_does_not_get_the_lock_goes_by_what_was_found_out_last() {
        let governor = Governor::default();
        let mut bucket = bucket(1.0);
        bucket.left = -1.0;
        *governor.bucket.lock() = Some(bucket);
        let unknown = || None;
        assert!(governor.pause(None, unknown).is_some());
        let _lock = governor.bucket.lock();
        let pause = governor.pause(None, || unreachable!());
        assert!(pause.is_some_and(|pause| pause <= PERIOD));
    }
}
