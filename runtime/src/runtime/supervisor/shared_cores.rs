//! Whose the CPUs are: which workers are in reserve, and whether IO workers are pinned.
//!
//! A program that uses the same CPUs is pushed off them again and again by work that fewer workers
//! could have done. (An echo server with its client beside it, on two CPUs: 100,000 requests a
//! second with both workers at it, 180,000 with one.) And a pinned worker cannot make way for it,
//! as an unpinned thread would. So the supervisor measures what others use of each CPU, while the
//! runtime is awake.
//! - While others use a large part of all CPUs, and the IO workers much of the rest in short polls,
//!   the workers are let go of, if the runtime has pinned them by its own choice, and as many of
//!   them as others have CPUs are in [reserve](crate::scheduler).
//! - Else those pinned workers are in reserve on whose CPU others are; and of workers that share a
//!   group of CPUs (a fence), as many as others have CPUs of that group.
//!
//! "Others" is everything but the workers, by the kernel's own count: other processes, and threads
//! of this one that are no workers.

use super::look::{Look, PATIENCE, log_elsewhere};
use crate::runtime::shared::Shared;
use crate::scheduler::kind::Kind;
use crate::scheduler::lane::Lane;
use evenkeel_topology::{busy_times, current_thread_id, thread_cpu_time, thread_cpus};
use std::mem;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Time between two measurements. The kernel counts in steps of 10 ms.
const INTERVAL: Duration = Duration::from_millis(100);

/// The pause after a measurement is this many times what the measurement took, so that many CPUs
/// cost no more than few.
const REST_FACTOR: u32 = 200;

/// But no longer than this.
const INTERVAL_MAX: Duration = Duration::from_secs(10);

/// Two measurements that are more than ten intervals apart say nothing about now.
const AGE_MAX: u32 = 10;

/// A CPU is contended when others have more than this of it,
const ENTER_OTHERS: f64 = 0.4;

/// and there is nothing left of it: the compute lane, which gives way, does not count.
const ENTER_BUSY: f64 = 0.95;

/// All CPUs are shared when others have more than this part of them,
const OTHERS_OF_ALL: f64 = 0.2;

/// and IO workers and others together more than this, while polls are short, so that fewer workers
/// will do. (With long ones there is work for all workers, and those that are not pinned may get in
/// each other's way.)
const BUSY_OF_ALL: f64 = 0.6;

/// What holds goes on until there is less by this part: of others on a contended CPU, or of either
/// on all CPUs.
const LEAVE_BELOW: f64 = 0.1;

/// The measuring of the CPUs.
pub(super) struct SharedCores {
    state: State,
    /// How many takeovers there had been.
    takeovers: u64,
    last: Option<Sample>,
    /// When it was last known what others use.
    known: Instant,
    interval: Duration,
    next: Instant,
}

/// What is so until the next measurement.
struct State {
    /// Others use a large part of all CPUs.
    are_shared: bool,
    groups: Vec<Group>,
    /// For each IO worker.
    reserve: Vec<bool>,
}

/// IO workers that are kept to the same CPUs.
struct Group {
    workers: Vec<usize>,
    /// Others use a large part of these CPUs,
    are_shared: bool,
    /// or nothing is left of them.
    is_contended: bool,
}

/// How the IO workers are pinned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pins {
    None,
    /// As the user wants it.
    Wanted,
    /// By the runtime's own choice.
    Auto,
}

/// The time that CPUs were busy until now: with anything, and with workers of the lanes.
struct Sample {
    at: Instant,
    /// The CPUs of each [`Group`], one group after the other; or, if nobody is pinned, all that the
    /// process may use. Within a group the workers are on them in any order.
    cpus: Vec<usize>,
    /// How many of these are of each group.
    sizes: Vec<usize>,
    busy: Vec<Duration>,
    io: Vec<Duration>,
    compute: Vec<Duration>,
}

/// The shares of a CPU, or of several, between two samples.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Use {
    io: f64,
    others: f64,
}

impl SharedCores {
    pub(super) fn new(shared: &Shared) -> Self {
        SharedCores {
            state: State::new(groups(shared)),
            takeovers: 0,
            last: None,
            known: Instant::now(),
            interval: INTERVAL,
            // Not for a runtime that is over sooner.
            next: Instant::now() + PATIENCE,
        }
    }

    /// Measures, if it is time to, and tells the workers.
    pub(super) fn look(&mut self, look: Look<'_>) {
        let shared = look.shared;
        let start = Instant::now();
        if shared.io.workers() < 2 || start < self.next || !shared.tuning.reserve {
            return;
        }
        let sample = self.sample(shared);
        let age_max = self.interval * AGE_MAX;
        let uses = self.last.as_ref().zip(sample.as_ref());
        let uses = uses.filter(|(last, now)| {
            now.at - last.at < age_max && now.cpus == last.cpus && now.sizes == last.sizes
        });
        let pins = pins(shared);
        match uses.map(|(last, now)| (uses_between(last, now), &now.sizes)) {
            Some((uses, sizes)) => {
                let polls_are_short = shared.io.polls_are_short();
                self.state.judge(&uses, sizes, pins, polls_are_short);
                self.known = start;
            }
            // Not known, so nobody is.
            None => {
                self.state.reserve.fill(false);
                // And has not been for long: there may be nobody any more.
                self.state.are_shared &= start - self.known < age_max;
            }
        }
        for (worker, &reserve) in self.state.reserve.iter().enumerate() {
            shared.io.set_reserve(worker, reserve);
        }
        let_go(shared, self.state.are_shared && pins == Pins::Auto);
        self.last = sample;
        self.interval = (start.elapsed() * REST_FACTOR).clamp(INTERVAL, INTERVAL_MAX);
        self.next = Instant::now() + self.interval;
    }

    fn sample(&mut self, shared: &Shared) -> Option<Sample> {
        // What a worker's thread has used says little if it is not the same thread, or has company.
        let counts = &shared.takeover.counts;
        let takeovers = counts.takeovers.load(Ordering::Relaxed);
        let before = mem::replace(&mut self.takeovers, takeovers);
        if takeovers != before || counts.displaced.load(Ordering::Relaxed) > 0 {
            return None;
        }
        let of_groups = self.cpus_of_groups(shared)?;
        let cpus = of_groups.concat();
        let busy = busy_times(&cpus)?;
        Some(Sample {
            at: Instant::now(),
            io: self.times(&shared.io, &of_groups),
            compute: self.times(&shared.compute, &of_groups),
            busy,
            cpus,
            sizes: of_groups.iter().map(Vec::len).collect(),
        })
    }

    /// See [`Sample::cpus`].
    fn cpus_of_groups(&self, shared: &Shared) -> Option<Vec<Vec<usize>>> {
        if !shared.cpus.is_pinned(Kind::Io) {
            return Some(vec![thread_cpus(current_thread_id())?.iter().collect()]);
        }
        let allowed = shared.cpus.allowed();
        let of_group = |group: &Group| {
            // Also while they are let go of: the compute workers beside them stay there.
            let first = *group.workers.first()?;
            let cpus = (shared.cpus).planned_within(Kind::Io, first, allowed.as_ref())?;
            Some(cpus.iter().collect())
        };
        self.state.groups.iter().map(of_group).collect()
    }

    /// What the workers of a lane have used of each CPU, on which there may be several.
    fn times(&self, lane: &Lane, of_groups: &[Vec<usize>]) -> Vec<Duration> {
        let io_workers = self.state.reserve.len();
        let of_group = |(group, cpus): (&Group, &Vec<usize>)| {
            let mut times = vec![Duration::ZERO; cpus.len()];
            // Compute workers go round the CPUs of the IO workers.
            let is_of_group = |worker: &usize| group.workers.contains(&(worker % io_workers));
            let workers = (0..lane.workers()).filter(is_of_group);
            for (worker, cpu) in workers.zip((0..cpus.len()).cycle()) {
                let time = lane.thread_id(worker).and_then(thread_cpu_time);
                times[cpu] += time.unwrap_or_default();
            }
            times
        };
        self.state
            .groups
            .iter()
            .zip(of_groups)
            .flat_map(of_group)
            .collect()
    }
}

fn pins(shared: &Shared) -> Pins {
    match &shared.cpus {
        cpus if !cpus.is_pinned(Kind::Io) => Pins::None,
        cpus if cpus.are_auto() => Pins::Auto,
        _ => Pins::Wanted,
    }
}

/// The IO workers by the CPUs that they are kept to. All are one group if nobody is pinned.
fn groups(shared: &Shared) -> Vec<Vec<usize>> {
    let plan = shared.cpus.plan(Kind::Io);
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for worker in 0..plan.workers() {
        let mask = plan.mask(worker);
        let mut known = groups.iter_mut();
        match known.find(|group| plan.mask(group[0]) == mask) {
            Some(group) => group.push(worker),
            None => groups.push(vec![worker]),
        }
    }
    groups
}

/// Has the IO workers let go of, or pinned again.
fn let_go(shared: &Shared, lets_io_go: bool) {
    if lets_io_go != shared.cpus.let_io_go() {
        shared.cpus.set_let_io_go(lets_io_go);
        log_elsewhere(shared, move || {
            if lets_io_go {
                tracing::debug!("others use the CPUs: IO workers are not pinned for now");
            } else {
                tracing::debug!("IO workers are pinned again");
            }
        });
    }
}

/// Who has used the CPUs between two samples.
fn uses_between(from: &Sample, to: &Sample) -> Vec<Use> {
    let wall = (to.at - from.at).as_secs_f64();
    let share = |from: &[Duration], to: &[Duration], cpu: usize| {
        to[cpu].saturating_sub(from[cpu]).as_secs_f64() / wall
    };
    let of_cpu = |cpu| {
        let io = share(&from.io, &to.io, cpu);
        let compute = share(&from.compute, &to.compute, cpu);
        let others = share(&from.busy, &to.busy, cpu) - io - compute;
        Use { io, others }
    };
    (0..to.busy.len()).map(of_cpu).collect()
}

impl State {
    fn new(groups: Vec<Vec<usize>>) -> Self {
        let workers = groups.iter().map(Vec::len).sum();
        let group = |workers| Group {
            workers,
            are_shared: false,
            is_contended: false,
        };
        State {
            are_shared: false,
            groups: groups.into_iter().map(group).collect(),
            reserve: vec![false; workers],
        }
    }

    /// By what each CPU is used for, of which each group has so many.
    fn judge(&mut self, uses: &[Use], sizes: &[usize], pins: Pins, polls_are_short: bool) {
        let (all, cpus) = (sum(uses), uses.len());
        self.are_shared = are_shared(self.are_shared, all, cpus as f64, polls_are_short);
        if self.are_shared && pins != Pins::Wanted {
            let kept = self.reserve.len() - in_reserve(all.others, cpus, self.reserve.len());
            for (worker, reserve) in self.reserve.iter_mut().enumerate() {
                *reserve = worker >= kept;
            }
            return;
        }
        self.judge_groups(&split(uses, sizes), polls_are_short);
    }

    /// Each group for itself, and those as a whole of whose CPUs nothing is left.
    fn judge_groups(&mut self, uses: &[&[Use]], polls_are_short: bool) {
        let mean = |uses: &&[Use]| {
            let (all, cpus) = (sum(uses), uses.len() as f64);
            Use {
                io: all.io / cpus,
                others: all.others / cpus,
            }
        };
        let mut contended: Vec<_> = self.groups.iter().map(|group| group.is_contended).collect();
        judge_each(&mut contended, &uses.iter().map(mean).collect::<Vec<_>>());
        for ((group, uses), is_contended) in self.groups.iter_mut().zip(uses).zip(contended) {
            let (all, cpus, workers) = (sum(uses), uses.len(), group.workers.len());
            let are_shared = are_shared(group.are_shared, all, cpus as f64, polls_are_short);
            // On one CPU there is nowhere to make way to.
            group.are_shared = cpus > 1 && are_shared;
            group.is_contended = is_contended;
            let kept = match (is_contended, group.are_shared) {
                (true, _) => 0,
                (false, true) => workers - in_reserve(all.others, cpus, workers),
                (false, false) => workers,
            };
            for (index, worker) in group.workers.iter().enumerate() {
                self.reserve[*worker] = index >= kept;
            }
        }
    }
}

fn sum(uses: &[Use]) -> Use {
    uses.iter().fold(Use::default(), |all, of_cpu| Use {
        io: all.io + of_cpu.io,
        others: all.others + of_cpu.others,
    })
}

/// One after another, so many each.
fn split<'a>(mut uses: &'a [Use], sizes: &[usize]) -> Vec<&'a [Use]> {
    let next = |size: &usize| {
        let (first, rest) = uses.split_at(*size);
        uses = rest;
        first
    };
    sizes.iter().map(next).collect()
}

/// Whether others use a large part of all CPUs, by whether they did before.
fn are_shared(before: bool, all: Use, cpus: f64, polls_are_short: bool) -> bool {
    let less = if before { LEAVE_BELOW } else { 0.0 };
    let is_busy = all.others + all.io > (BUSY_OF_ALL - less) * cpus;
    polls_are_short && is_busy && all.others > (OTHERS_OF_ALL - less) * cpus
}

/// How many workers have no CPU when others have theirs: those of which they would use more than
/// [`ENTER_OTHERS`], were they to use as few as can be, and at least one. Never all.
fn in_reserve(others: f64, cpus: usize, workers: usize) -> usize {
    let theirs = ((others + 1.0 - ENTER_OTHERS) as usize).max(1);
    let left = cpus.saturating_sub(theirs).max(1);
    workers.saturating_sub(left)
}

/// Which groups of workers are in reserve as a whole, by what is used of a CPU of theirs; a pinned
/// worker is a group. Never all: somebody has to do the work, where others take the least.
fn judge_each(reserve: &mut [bool], uses: &[Use]) {
    for (reserve, Use { io, others }) in reserve.iter_mut().zip(uses) {
        *reserve = if *reserve {
            *others > ENTER_OTHERS - LEAVE_BELOW
        } else {
            *others > ENTER_OTHERS && others + io > ENTER_BUSY
        };
    }
    if reserve.iter().all(|reserve| *reserve) {
        let others = uses.iter().map(|of_cpu| of_cpu.others).enumerate();
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
            cpus: vec![0, 1],
            sizes: vec![1, 1],
            busy: seconds([10.0, 20.0]),
            io: seconds([1.0, 2.0]),
            compute: seconds([0.0, 7.0]),
        };
        let to = Sample {
            at: at + Duration::from_secs(2),
            cpus: vec![0, 1],
            sizes: vec![1, 1],
            busy: seconds([12.0, 22.0]),
            io: seconds([1.5, 3.0]),
            compute: seconds([0.0, 8.0]),
        };
        let use_of = |io, others| Use { io, others };
        assert_eq!(
            uses_between(&from, &to),
            [use_of(0.25, 0.75), use_of(0.5, 0.0)]
        );
    }

    #[test]
    fn a_worker_enters_when_two_want_the_core_and_leaves_when_it_is_free() {
        let mut reserve = [false, false];
        let mut after = |io, others| {
            let first = Use {
                io: 1.0,
                others: 0.0,
            };
            judge_each(&mut reserve, &[first, Use { io, others }]);
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
        judge_each(&mut reserve, &[0.6, 0.5, 0.7].map(contended));
        assert_eq!(reserve, [true, false, true]);
    }

    const fn of(io: f64, others: f64) -> Use {
        Use { io, others }
    }

    #[test]
    fn workers_are_let_go_of_when_others_use_much_of_all_cpus() {
        const SHORT: bool = true;
        const LONG: bool = false;
        let table = [
            // The client of a server, on two CPUs.
            (false, of(0.9, 0.6), 2.0, SHORT, true),
            (false, of(0.9, 1.1), 2.0, LONG, false),
            (false, of(1.3, 0.2), 2.0, SHORT, false),
            (false, of(0.1, 0.6), 2.0, SHORT, false),
            (true, of(0.5, 0.6), 2.0, SHORT, true),
            (true, of(0.3, 0.6), 2.0, SHORT, false),
            (true, of(1.3, 0.1), 2.0, SHORT, false),
            (true, of(0.9, 1.1), 2.0, LONG, false),
            // One busy program, on sixteen.
            (false, of(14.0, 1.0), 16.0, SHORT, false),
            (false, of(8.0, 6.0), 16.0, SHORT, true),
        ];
        for (before, all, cpus, polls_are_short, expected) in table {
            let found = are_shared(before, all, cpus, polls_are_short);
            assert_eq!(found, expected, "{before} {all:?} {cpus} {polls_are_short}");
        }
    }

    #[test]
    fn as_many_are_in_reserve_as_others_have_cpus() {
        let table = [
            (0.35, 2, 2, 1),
            (0.6, 2, 2, 1),
            (2.0, 2, 2, 1),
            (6.0, 16, 16, 6),
            (6.5, 16, 16, 7),
            // Fewer workers than CPUs.
            (6.0, 16, 4, 0),
            (14.0, 16, 4, 2),
            (16.0, 16, 1, 0),
        ];
        for (others, cpus, workers, expected) in table {
            let found = in_reserve(others, cpus, workers);
            assert_eq!(found, expected, "{others} of {cpus}, {workers} workers");
        }
    }

    #[test]
    fn pins_that_the_user_wants_are_kept() {
        let uses = [of(0.3, 0.6), of(0.9, 0.1)];
        let after = |pins, groups, sizes: &[usize]| {
            let mut state = State::new(groups);
            state.judge(&uses, sizes, pins, true);
            assert!(state.are_shared);
            state.reserve
        };
        let each = || vec![vec![0], vec![1]];
        assert_eq!(after(Pins::Wanted, each(), &[1, 1]), [false, false]);
        assert_eq!(after(Pins::Auto, each(), &[1, 1]), [false, true]);
        assert_eq!(after(Pins::None, vec![vec![0, 1]], &[2]), [false, true]);
    }

    #[test]
    fn workers_of_a_fence_are_in_reserve_where_others_are() {
        // Two fences of two CPUs, whose workers take turns.
        let after = |uses: [Use; 4]| {
            let mut state = State::new(vec![vec![0, 2], vec![1, 3]]);
            state.judge(&uses, &[2, 2], Pins::Wanted, true);
            state.reserve
        };
        let (busy, free) = (of(0.9, 0.0), of(0.1, 0.0));
        let none = [false; 4];
        assert_eq!(after([busy, busy, busy, busy]), none);
        // One of the CPUs of the second fence is somebody else's: one worker is left there.
        assert_eq!(
            after([free, free, of(0.0, 1.0), of(0.5, 0.0)]),
            [false, false, false, true]
        );
        // Both are.
        let others = of(0.2, 0.8);
        assert_eq!(
            after([free, free, others, others]),
            [false, true, false, true]
        );
        // All are: somebody is left.
        let reserve = after([others, others, of(0.0, 1.0), of(0.0, 1.0)]);
        assert_eq!(reserve, [false, true, true, true]);
    }
}
