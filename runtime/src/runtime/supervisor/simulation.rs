//! The policy against seeded streams of polls, in virtual time: what [`decide`] and [`TaskClass`]
//! make of them together.
//!
//! Two cores with a worker each, which has its core to itself but for threads that have lost their
//! seats: they share it equally. What is lowered, and the compute lane, get what is left.

use super::stuck::{Beside, Decision, Stuck, Verdict, decide};
use crate::tasks::{Length, Place, Polled, TaskClass};
use std::collections::VecDeque;
use std::time::Duration;

/// In steps of a tenth of a millisecond.
type Time = u64;

const MS: Time = 10;
const AFTER: Time = MS;
const LOOK: Time = MS / 2;
const CORES: usize = 2;

fn duration(time: Time) -> Duration {
    Duration::from_micros(100) * time as u32
}

/// xorshift64*.
struct Random(u64);

impl Random {
    /// Exponentially distributed, as what comes at random is.
    fn about(&mut self, mean: Time) -> Time {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let random = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11;
        let uniform = (random as f64 + 1.0) / (1_u64 << 53) as f64;
        (-uniform.ln() * mean as f64).ceil() as Time
    }
}

/// A task that computes for so long, and then waits for something; or goes on at once if that is
/// `None`.
#[derive(Clone, Copy)]
struct Kind {
    poll: Time,
    wait: Option<Time>,
}

const SHORT: Kind = Kind {
    poll: 1,
    wait: Some(10 * MS),
};
const HOG: Kind = Kind {
    poll: 20 * MS,
    wait: None,
};

/// A handler of 5 ms, of which so many use so many hundredths of the CPUs.
const fn handler(of: u64, load: u64) -> Kind {
    Kind {
        poll: 5 * MS,
        wait: Some(of * 5 * MS * 100 / (load * CORES as u64)),
    }
}

struct Task {
    kind: Kind,
    class: TaskClass,
    /// When it wakes up, while it waits for something.
    wakes: Option<Time>,
    ready: Time,
    polls: u64,
    /// The longest that it was ready and not polled.
    waited: Time,
    ever_moved: bool,
}

/// A poll in progress.
struct Poll {
    task: usize,
    begun: Time,
    used: Time,
    /// When the task had come to the long queue, from which it was taken.
    long_since: Option<Time>,
    lowered: bool,
}

#[derive(Default)]
struct Core {
    worker: Option<Poll>,
    displaced: Vec<Poll>,
    compute: Option<Poll>,
    turn: usize,
}

struct World {
    now: Time,
    random: Random,
    tasks: Vec<Task>,
    cores: [Core; CORES],
    short: VecDeque<usize>,
    long: VecDeque<(usize, Time)>,
    compute: VecDeque<usize>,
    waited_before: bool,
    takeovers: u64,
}

impl World {
    fn new(seed: u64, kinds: &[(usize, Kind)]) -> World {
        let mut random = Random(seed);
        let kinds = kinds
            .iter()
            .flat_map(|&(count, kind)| std::iter::repeat_n(kind, count));
        let tasks = kinds.map(|kind| Task {
            kind,
            class: TaskClass::default(),
            wakes: Some(random.about(kind.wait.unwrap_or(1))),
            ready: 0,
            polls: 0,
            waited: 0,
            ever_moved: false,
        });
        World {
            now: 0,
            tasks: tasks.collect(),
            random,
            cores: Default::default(),
            short: VecDeque::new(),
            long: VecDeque::new(),
            compute: VecDeque::new(),
            waited_before: false,
            takeovers: 0,
        }
    }

    fn run(&mut self, time: Time) {
        let end = self.now + time;
        while self.now < end {
            self.now += 1;
            for index in 0..self.tasks.len() {
                if self.tasks[index].wakes.is_some_and(|at| at <= self.now) {
                    self.queue(index);
                }
            }
            (0..CORES).for_each(|core| self.run_core(core));
            if self.now.is_multiple_of(LOOK) {
                self.look();
            }
        }
    }

    /// What happens in that time does not count.
    fn learn(&mut self, time: Time) {
        self.run(time);
        self.takeovers = 0;
        for task in &mut self.tasks {
            (task.waited, task.polls) = (0, 0);
        }
    }

    fn queue(&mut self, index: usize) {
        let task = &mut self.tasks[index];
        (task.wakes, task.ready) = (None, self.now);
        match (task.class.place(), task.class.expected()) {
            (Place::Compute, _) => self.compute.push_back(index),
            (_, Some(Length::Long)) => self.long.push_back((index, self.now)),
            _ => self.short.push_back(index),
        }
    }

    fn begin(&mut self, task: usize, long_since: Option<Time>) -> Poll {
        let begins = &mut self.tasks[task];
        begins.waited = begins.waited.max(self.now - begins.ready);
        Poll {
            task,
            begun: self.now,
            used: 0,
            long_since,
            lowered: false,
        }
    }

    /// A worker takes a short task, or else a long one if there is none on its core.
    fn find(&mut self, core: usize) -> Option<Poll> {
        if let Some(task) = self.short.pop_front() {
            return Some(self.begin(task, None));
        }
        let is_free = self.cores[core].displaced.iter().all(|poll| poll.lowered);
        let (task, since) = if is_free {
            self.long.pop_front()?
        } else {
            return None;
        };
        Some(self.begin(task, Some(since)))
    }

    fn run_core(&mut self, core: usize) {
        if self.cores[core].worker.is_none() {
            self.cores[core].worker = self.find(core);
        }
        if self.cores[core].compute.is_none()
            && let Some(task) = self.compute.pop_front()
        {
            self.cores[core].compute = Some(self.begin(task, None));
        }
        let here = &mut self.cores[core];
        here.turn += 1;
        let normal = |poll: &&mut Poll| !poll.lowered;
        let count = usize::from(here.worker.is_some())
            + here.displaced.iter().filter(|poll| !poll.lowered).count();
        let mut of_normal = here
            .worker
            .iter_mut()
            .chain(here.displaced.iter_mut().filter(normal));
        if count > 0 {
            let runs = of_normal.nth(here.turn % count);
            runs.into_iter().for_each(|poll| poll.used += 1);
        } else {
            let mut idle = here.displaced.iter_mut().chain(here.compute.iter_mut());
            idle.next().into_iter().for_each(|poll| poll.used += 1);
        }
        self.end_polls(core);
    }

    fn end_polls(&mut self, core: usize) {
        let tasks = &self.tasks;
        let is_over = |poll: &mut Poll| poll.used >= tasks[poll.task].kind.poll;
        let here = &mut self.cores[core];
        let of_worker = here.worker.take_if(is_over);
        let on_io: Vec<Poll> = here
            .displaced
            .extract_if(.., is_over)
            .chain(of_worker)
            .collect();
        let on_compute = here.compute.take_if(is_over);
        on_io
            .into_iter()
            .for_each(|poll| self.end(poll, TaskClass::polled));
        on_compute.into_iter().for_each(|poll| {
            self.end(poll, |class, polled| {
                class.polled_elsewhere(!polled.busy, true)
            });
        });
    }

    fn end(&mut self, poll: Poll, judge: impl FnOnce(TaskClass, Polled) -> TaskClass) {
        let task = &mut self.tasks[poll.task];
        let goes_on = task.kind.wait.is_none();
        let length = match poll.used {
            used if used >= AFTER => Length::Long,
            used if used < AFTER / 2 => Length::Short,
            _ => Length::Between,
        };
        let busy = goes_on && length == Length::Long;
        let waited = poll.long_since.map(|since| poll.begun - since);
        let large_share = waited.is_some_and(|waited| poll.used * 8 >= waited + poll.used);
        let polled = Polled {
            length,
            blocked: false,
            busy,
            hogs: busy && large_share,
            counts: true,
        };
        task.class = judge(task.class, polled);
        task.ever_moved |= task.class.place() != Place::Io;
        task.polls += 1;
        let wait = task.kind.wait.map_or(0, |mean| self.random.about(mean));
        task.wakes = Some(self.now + wait);
    }

    /// What the monitor does.
    fn look(&mut self) {
        let waits = !self.short.is_empty();
        let waited = std::mem::replace(&mut self.waited_before, waits) && waits;
        let is_stuck = |core: &Core| core.worker.as_ref().is_some_and(|poll| poll.used >= AFTER);
        let mut beside = Beside {
            nobody: self.cores.iter().all(is_stuck),
            waiting: self.short.len(),
            short_waits: waits,
            short_waited: waited,
            long_waits: !self.long.is_empty(),
        };
        for core in 0..CORES {
            let Some(poll) = self.cores[core].worker.take_if(|poll| poll.used >= AFTER) else {
                continue;
            };
            let stuck = Stuck {
                verdict: Verdict::Computes,
                age: duration(self.now - poll.begun),
                used: Some(duration(poll.used)),
                owes: false,
            };
            match decide(stuck, beside, duration(AFTER)) {
                Decision::Leave => self.cores[core].worker = Some(poll),
                decision => {
                    let lowered = decision == Decision::ReplaceAndLower;
                    self.displace(core, Poll { lowered, ..poll });
                    beside.somebody_sits_down();
                }
            }
        }
        for poll in self.cores.iter_mut().flat_map(|core| &mut core.displaced) {
            poll.lowered |= duration(poll.used) >= super::stuck::LOWER_AFTER;
        }
    }

    fn displace(&mut self, from: usize, poll: Poll) {
        self.takeovers += 1;
        let here = [from, 1 - from];
        let least = here
            .iter()
            .min_by_key(|core| self.cores[**core].displaced.len());
        self.cores[*least.expect("two cores")].displaced.push(poll);
    }

    fn of(&self, is: impl Fn(&Task) -> bool) -> impl Iterator<Item = &Task> {
        self.tasks.iter().filter(move |task| is(task))
    }
}

fn is_short(task: &Task) -> bool {
    task.kind.poll == SHORT.poll
}

fn is_hog(task: &Task) -> bool {
    task.kind.wait.is_none()
}

const SEEDS: std::ops::Range<u64> = 1..9;

#[test]
fn handlers_that_are_all_long_have_the_cores_one_after_another() {
    for seed in SEEDS {
        let mut world = World::new(seed, &[(64, handler(64, 80))]);
        // Each has its first three polls.
        world.learn(2_000 * MS);
        world.run(5_000 * MS);
        assert_eq!(world.takeovers, 0, "seed {seed}");
        assert!(
            !world.tasks.iter().any(|task| task.ever_moved),
            "seed {seed}"
        );
    }
}

#[test]
fn short_tasks_do_not_wait_for_long_ones() {
    for seed in SEEDS {
        let mut world = World::new(seed, &[(20, SHORT), (64, handler(64, 80))]);
        world.learn(2_000 * MS);
        world.run(5_000 * MS);
        for task in world.of(is_short) {
            assert!(task.waited <= 4 * MS, "seed {seed}: {} ticks", task.waited);
        }
        assert!(
            !world.tasks.iter().any(|task| task.ever_moved),
            "seed {seed}"
        );
    }
}

#[test]
fn hogs_are_moved_and_neither_they_nor_handlers_starve() {
    for seed in SEEDS {
        let mut world = World::new(seed, &[(8, HOG), (64, handler(64, 30)), (20, SHORT)]);
        world.learn(1_000 * MS);
        assert!(world.of(is_hog).all(|hog| hog.ever_moved), "seed {seed}");
        world.run(4_000 * MS);
        for task in &world.tasks {
            match task.kind {
                _ if is_hog(task) => assert!(task.polls >= 10, "seed {seed}: {}", task.polls),
                _ => assert!(task.waited <= 60 * MS, "seed {seed}: {} ticks", task.waited),
            }
        }
        assert!(world.of(|task| !is_hog(task)).all(|task| !task.ever_moved));
    }
}

#[test]
fn what_computes_for_long_is_lowered_and_the_others_get_their_cores_back() {
    const MISTAKE: Kind = Kind {
        poll: 2_000 * MS,
        wait: Some(1),
    };
    for seed in SEEDS {
        let mut world = World::new(seed, &[(4, MISTAKE), (64, handler(64, 50)), (20, SHORT)]);
        world.learn(1_000 * MS);
        world.run(2_000 * MS);
        for task in world.of(|task| task.kind.poll < MISTAKE.poll) {
            assert!(task.waited <= 40 * MS, "seed {seed}: {} ticks", task.waited);
        }
    }
}

#[test]
fn after_an_overload_no_task_is_in_a_wrong_place() {
    for seed in SEEDS {
        let mut world = World::new(seed, &[(64, handler(64, 130)), (20, SHORT)]);
        world.run(2_000 * MS);
        for task in &mut world.tasks {
            let wait = task.kind.wait.as_mut().expect("no hog is among them");
            *wait *= 3;
        }
        world.learn(2_000 * MS);
        world.run(2_000 * MS);
        for task in &world.tasks {
            assert!(!task.ever_moved, "seed {seed}");
            assert!(task.waited <= 60 * MS, "seed {seed}: {} ticks", task.waited);
        }
    }
}
