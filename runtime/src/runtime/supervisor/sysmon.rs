//! Looking for workers that are stuck, on the supervisor.
//!
//! A look compares what each worker is at with what it was at the look before. Looks are [`COARSE`]
//! apart while polls are short, because each costs a CPU some microseconds and somebody the CPU.
//! Once a worker was replaced, and for [`ALERT`] after that, they are half of the policy's `after`
//! apart, or less where a poll is about to be too long. So is the next one, if something has not
//! got on since the last ([`progress`](crate::scheduler::progress)), or if a worker on standby has
//! seen that and raised the alarm.
//!
//! A poll that has computed for a quarter of `after` while short tasks wait is asked to end after
//! some more operations (`tasks::budget`): one that gets through a backlog bit by bit is not stuck.
//! So is one that is about to be lowered.
//!
//! A long poll is one that computes or sleeps. A worker that is just kept from the CPU is not
//! stuck: somebody in its place would not get the CPU either. The CPU clock of the thread tells the
//! one from the other.

use super::compute_watch::ComputeWatch;
use super::look::{COARSE, Look, PATIENCE, log_elsewhere};
use super::poll_watch::have_somebody_poll;
use super::stuck::{Beside, Decision, LOWER_AFTER, Stuck, Verdict, decide};
use super::takeover::{CpuUse, Displaced};
use crate::runtime::shared::Shared;
use crate::scheduler::kind::Kind;
use crate::scheduler::progress::Progress;
use crate::scheduler::seat::{Poll, WorkerThread};
use crate::tasks::Place;
use crate::timers::NEVER;
use evenkeel_topology::{thread_cpu_time, thread_is_asleep, thread_wait_channel};
use std::collections::HashSet;
use std::panic::Location;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// No look follows another sooner.
const FINEST: Duration = Duration::from_micros(100);

/// After a worker was replaced the looks stay fine for this long.
const ALERT: Duration = Duration::from_secs(2);

/// At most this many displaced threads are looked at each time, in turn.
const DISPLACED_A_LOOK: usize = 16;

/// At most this many spawn sites are logged.
const SITES_MAX: usize = 1024;

pub(super) struct Sysmon {
    seen: Vec<Option<Seen>>,
    alert_until: Instant,
    /// All workers were stuck at the last look, and are to stay so.
    all_stuck: bool,
    /// Tasks waited at the last look.
    waiting: bool,
    /// How far the workers had come,
    progress: Progress,
    /// when that was seen,
    progress_at: Instant,
    /// and whether something had not got on by then.
    is_suspect: bool,
    /// How often a worker had found events that nobody had looked for.
    rescues: u64,
    compute: ComputeWatch,
    /// Where the round over the displaced goes on.
    next_displaced: usize,
    logged: HashSet<*const Location<'static>>,
    refusal_logged: bool,
}

/// A worker that was in a poll.
#[derive(Clone, Copy)]
struct Seen {
    poll: Poll,
    since: Instant,
    cpu: CpuUse,
    /// What was in its LIFO slot.
    next: Option<usize>,
    /// It was asked to end.
    is_asked: bool,
    /// What was found out about it when it had taken too long.
    verdict: Option<Verdict>,
    /// Nobody could take its place, so that is not tried before then.
    refused_until: Option<Instant>,
}

/// A worker that has been in a poll for too long, and in which.
struct Found {
    worker: usize,
    seen: Seen,
    verdict: Verdict,
}

impl Sysmon {
    pub(super) fn new(shared: &Shared) -> Self {
        Sysmon {
            seen: vec![None; shared.io.workers()],
            alert_until: Instant::now(),
            all_stuck: false,
            waiting: false,
            progress: Progress::default(),
            progress_at: Instant::now(),
            is_suspect: false,
            rescues: 0,
            compute: ComputeWatch::new(),
            next_displaced: 0,
            logged: HashSet::new(),
            refusal_logged: false,
        }
    }

    /// All workers were stuck at the last look, and are to stay so: somebody has to be at the
    /// driver for them.
    pub(super) fn all_stuck(&self) -> bool {
        self.all_stuck
    }

    /// To be called while workers are awake. The time until the next look, if there is to be one.
    pub(super) fn look(&mut self, look: Look<'_>) -> Option<Duration> {
        self.look_at_displaced(look);
        self.compute.look(look);
        let stood_in = self.all_stuck;
        let next = self.look_at_workers(look);
        if stood_in && !self.all_stuck {
            // Whoever sat down may have found the turn taken, by this thread.
            look.shared.io.wake_somebody(look.caller);
        }
        have_somebody_poll(look);
        next
    }

    fn look_at_workers(&mut self, look: Look<'_>) -> Option<Duration> {
        let Look { shared, now, .. } = look;
        let takeover = &shared.takeover;
        // In a shutdown the workers are about to leave, or their threads are waited for where they
        // are.
        if !takeover.policy.is_enabled() || shared.is_shut_down() {
            self.all_stuck = false;
            return None;
        }
        shared.io.resume_beside_stuck();
        let alarm = takeover.alarm.swap(false, Ordering::AcqRel);
        let stuck = self.find_stuck(look);
        let replaced = self.replace(look, &stuck);
        // One that blocks its worker will do so again.
        if replaced || stuck.iter().any(|found| found.verdict == Verdict::Sleeps) {
            self.alert_until = now + ALERT;
        }
        if self.seen.iter().any(Option::is_some) {
            shared.prepare_spare();
        }
        let alert = now < self.alert_until && shared.tuning.alert;
        takeover.alert.store(alert, Ordering::Release);
        let suspect = self.may_be_stuck(look);
        let rests = self.all_stuck && !self.waiting;
        if replaced && self.waiting || rests && !shared.io.rest_beside_stuck() {
            // The next task in the queue may be like the last one; or one has come just now.
            Some(FINEST)
        } else if alert || suspect || alarm {
            Some(self.until_needed(shared, takeover.policy.after, alert || alarm))
        } else {
            Some(COARSE)
        }
    }

    /// The time until the next look if it is to be in time for whatever waits, or comes. With
    /// `alert` any poll may be long.
    fn until_needed(&self, shared: &Shared, after: Duration, alert: bool) -> Duration {
        if self.waiting {
            return self.until_next_is_long(after);
        }
        let may_be_long = |seen: &Seen| seen.verdict.is_none();
        if !self.all_stuck && (alert || self.seen.iter().flatten().any(may_be_long)) {
            // An event may have come that nobody has looked for.
            return (after / 2).min(COARSE);
        }
        // Somebody waits for events: an idle worker, or this thread, which is told of tasks. Timers
        // are left.
        self.until_timer(shared).clamp(FINEST, COARSE)
    }

    /// The time until the first timer is due whose worker is in a poll.
    fn until_timer(&self, shared: &Shared) -> Duration {
        let workers = (0..self.seen.len()).filter(|&worker| self.seen[worker].is_some());
        let due_ns = workers
            .map(|worker| shared.io.timers(worker).next_ns())
            .min();
        let left_ns = due_ns
            .unwrap_or(NEVER)
            .saturating_sub(shared.clock.now_ns());
        Duration::from_nanos(left_ns)
    }

    /// The time until the first poll that was seen has taken too long, but no more than half of
    /// that.
    fn until_next_is_long(&self, after: Duration) -> Duration {
        let seen = self.seen.iter().flatten();
        let left = seen.filter_map(|seen| seen.until_long(after));
        left.fold(after / 2, Duration::min).clamp(FINEST, COARSE)
    }

    /// Something has not got on between the last two of [`COARSE`] looks, while workers are in
    /// polls.
    fn may_be_stuck(&mut self, look: Look<'_>) -> bool {
        if look.now - self.progress_at >= COARSE {
            let now = look.shared.io.progress();
            let suspicion = self.progress.suspicion(&now);
            // Somebody may be in the poll, and nothing have come.
            let nobody_polls = || look.shared.driver_lock.try_lock().is_some();
            self.is_suspect = suspicion.left || suspicion.unpolled && nobody_polls();
            self.progress = now;
            self.progress_at = look.now;
        }
        self.is_suspect && self.seen.iter().any(Option::is_some)
    }

    fn find_stuck(&mut self, look: Look<'_>) -> Vec<Found> {
        let shared = look.shared;
        let mut stuck = Vec::new();
        let waiting = shared.io.has_waiting();
        for (worker, seen) in self.seen.iter_mut().enumerate() {
            let Some(poll) = shared.io.current_poll(worker) else {
                *seen = None;
                continue;
            };
            let known = seen.filter(|seen| seen.poll == poll);
            let mut now_seen = known.unwrap_or_else(|| Seen::new(look, worker, poll));
            let verdict = now_seen.judge(look, worker, waiting);
            *seen = Some(now_seen);
            stuck.extend(verdict.map(|verdict| Found {
                worker,
                seen: now_seen,
                verdict,
            }));
        }
        stuck
    }

    /// Replaces those whose place is worth more to others. True if there was one.
    fn replace(&mut self, look: Look<'_>, stuck: &[Found]) -> bool {
        let Look { shared, now, .. } = look;
        self.all_stuck = stuck.len() == shared.io.workers();
        let Some(since) = stuck.iter().map(|found| found.seen.since).min() else {
            if self.seen.iter().all(Option::is_some) {
                // All are busy, and nobody may have been at the driver for long.
                look_for_events(look);
            }
            self.waiting = shared.io.has_waiting();
            return false;
        };
        // So that the others do not count on them.
        shared.io.record_stuck((now - since).as_nanos() as u64);
        let mut beside = self.look_beside(look);
        let after = shared.takeover.policy.after;
        let mut replaced = false;
        for found in stuck {
            match decide(found.stuck(look), beside, after) {
                Decision::Leave => {}
                decision if self.take_over(look, found, decision) => {
                    replaced = true;
                    beside.somebody_sits_down();
                }
                _ => {}
            }
        }
        self.all_stuck &= !replaced;
        replaced
    }

    fn look_beside(&mut self, look: Look<'_>) -> Beside {
        let Look { shared, caller, .. } = look;
        let io = &shared.io;
        let rescues = io.rescues();
        let rescued = std::mem::replace(&mut self.rescues, rescues) != rescues;
        look_for_events(look);
        if self.all_stuck {
            io.sort_arrivals(caller);
        }
        let waiting = io.waiting();
        let short_waits = waiting > 0;
        let waited = std::mem::replace(&mut self.waiting, short_waits) && short_waits;
        if waited {
            // Whoever sleeps may not have been worth waking for so little.
            io.wake_somebody(caller);
        }
        Beside {
            nobody: rescued || self.all_stuck,
            waiting,
            short_waits,
            short_waited: waited,
            long_waits: io.has_long_waiting(),
        }
    }

    /// True if it was.
    fn take_over(&mut self, look: Look<'_>, found: &Found, decision: Decision) -> bool {
        let Look {
            shared,
            caller,
            now,
        } = look;
        let &Found {
            worker,
            seen,
            verdict,
        } = found;
        let takeover = &shared.takeover;
        let Some(thread) = thread_in(look, worker) else {
            return false;
        };
        if seen.refused_until.is_some_and(|until| now < until) {
            return false;
        }
        let Some(spare) = shared.spare() else {
            let refused_until = Some(now + PATIENCE);
            self.seen[worker] = Some(Seen {
                refused_until,
                ..seen
            });
            self.log_refusal(shared);
            return false;
        };
        let place = place_of(verdict);
        let (io, poll) = (&shared.io, seen.poll);
        let may_move = shared.cpus.is_pinned(Kind::Io) && !shared.cpus.let_io_go();
        let taken = io.try_take_seat(caller, worker, &thread, poll, place, may_move);
        let Some((seat, core)) = taken else {
            shared.put_back(spare);
            return false;
        };
        self.seen[worker] = None;
        takeover.counts.takeovers.fetch_add(1, Ordering::Relaxed);
        let (age, id) = (now - seen.since, thread.id());
        let mut displaced = Displaced::new(thread, worker, seen.poll, seen.since, seen.cpu);
        if decision == Decision::ReplaceAndLower {
            displaced.lower(caller, shared);
        } else if verdict == Verdict::Computes {
            displaced.pin(shared, core);
        } else {
            displaced.unpin(shared);
        }
        takeover.new_displaced.push(displaced);
        shared.fill(seat, &spare);
        self.log(shared, seen.poll, age, verdict, id);
        true
    }

    /// Lowers the displaced threads that have computed for too long, and lets others have the cores
    /// of those that sleep.
    fn look_at_displaced(&mut self, look: Look<'_>) {
        let Look { shared, caller, .. } = look;
        let Some(mut displaced) = shared.takeover.sweep() else {
            return;
        };
        let count = displaced.len();
        for index in 0..count.min(DISPLACED_A_LOOK) {
            displaced[(self.next_displaced + index) % count].look(caller, shared);
        }
        self.next_displaced = self.next_displaced.wrapping_add(DISPLACED_A_LOOK);
    }

    fn log(&mut self, shared: &Shared, poll: Poll, age: Duration, verdict: Verdict, thread: u32) {
        let Poll {
            task, spawned_at, ..
        } = poll;
        let site = ptr::from_ref(spawned_at);
        if self.logged.len() >= SITES_MAX || !self.logged.insert(site) {
            return;
        }
        let asleep = verdict == Verdict::Sleeps;
        let asleep_in = asleep.then(|| thread_wait_channel(thread)).flatten();
        log_elsewhere(shared, move || match asleep_in {
            Some(asleep_in) => {
                tracing::warn!(task, %spawned_at, ?age, asleep_in, "a task blocks its worker, which was replaced; \
                    `spawn_blocking` is made for such calls. Said once for each place that spawns");
            }
            None => {
                tracing::warn!(task, %spawned_at, ?age, asleep, "a task keeps its worker from others, and it was \
                    replaced; `spawn_compute` and `spawn_blocking` are made for such work. Said once for each \
                    place that spawns");
            }
        });
    }

    fn log_refusal(&mut self, shared: &Shared) {
        let max_threads = shared.takeover.policy.max_threads;
        if !std::mem::replace(&mut self.refusal_logged, true) {
            log_elsewhere(shared, move || {
                tracing::warn!(
                    max_threads,
                    "a worker is stuck and cannot be replaced: so many tasks block already, \
                    or the system refuses a thread. Said once"
                );
            });
        }
    }
}

/// Polls for IO if nobody else does while a worker is stuck. Then somebody polls after this.
fn look_for_events(look: Look<'_>) {
    let Look { shared, caller, .. } = look;
    let Some(mut driver) = shared.driver_lock.try_lock() else {
        return;
    };
    let events = driver.look();
    drop(driver);
    if events == 0 {
        // Somebody who sleeps, so that the next event finds it.
        shared.io.wake_somebody(caller);
    }
}

/// The thread that sits in a worker's seat.
fn thread_in(look: Look<'_>, worker: usize) -> Option<Arc<WorkerThread>> {
    let Look { shared, caller, .. } = look;
    shared.io.thread(worker, caller.latency_critical()?)
}

/// Where such a poll should be.
fn place_of(verdict: Verdict) -> Option<Place> {
    match verdict {
        Verdict::Computes => Some(Place::Compute),
        Verdict::Sleeps => Some(Place::Blocking),
        Verdict::Unknown => None,
    }
}

impl Found {
    fn stuck(&self, look: Look<'_>) -> Stuck {
        let Look { shared, now, .. } = look;
        let (io, seen) = (&shared.io, &self.seen);
        let due = io.timers(self.worker).next_ns();
        let timer_waits = due != NEVER && due <= shared.clock.now_ns();
        // Not what has come just now.
        let next_waits =
            seen.since < now && seen.next.is_some() && seen.next == io.lifo_task(self.worker);
        Stuck {
            verdict: self.verdict,
            age: now - seen.since,
            used: seen.cpu.used,
            owes: timer_waits || next_waits,
        }
    }
}

impl Seen {
    fn new(look: Look<'_>, worker: usize, poll: Poll) -> Seen {
        let Look { shared, now, .. } = look;
        let io = &shared.io;
        let thread = thread_in(look, worker);
        let is_in_long_poll = thread.is_some_and(|thread| thread.is_counted());
        Seen {
            poll,
            since: now,
            cpu: CpuUse::since(io.thread_id(worker).and_then(thread_cpu_time)),
            next: io.lifo_task(worker),
            is_asked: false,
            // One that was expected to be long is.
            verdict: is_in_long_poll.then_some(Verdict::Computes),
            refused_until: None,
        }
    }

    /// The time until it can have taken too long. Not if that has been found out already.
    fn until_long(&self, after: Duration) -> Option<Duration> {
        let age = self.since.elapsed();
        let used = self.cpu.used.unwrap_or_default();
        // A little more, since a poll's CPU time is what counts: at least so much is missing.
        let left = after.saturating_add(FINEST / 2).saturating_sub(age);
        let left = match left {
            Duration::ZERO => after.saturating_sub(used),
            left => left,
        };
        self.verdict.is_none().then_some(left)
    }

    /// Whether the worker is stuck, and in what.
    fn judge(&mut self, look: Look<'_>, worker: usize, waiting: bool) -> Option<Verdict> {
        let shared = look.shared;
        let thread = shared.io.thread_id(worker)?;
        let got_on = self.cpu.look(thread);
        self.ask_to_end(look, worker, waiting);
        self.verdict = match self.verdict {
            None => self.find_out(look, worker, thread),
            // It may do now the one, now the other.
            Some(Verdict::Computes) if !got_on && thread_is_asleep(thread) == Some(true) => {
                Some(Verdict::Sleeps)
            }
            Some(Verdict::Sleeps) if self.cpu.used >= Some(LOWER_AFTER) => Some(Verdict::Computes),
            verdict => verdict,
        };
        self.verdict
    }

    /// Once, if tasks wait that may be short, or the poll is about to be lowered.
    fn ask_to_end(&mut self, look: Look<'_>, worker: usize, waiting: bool) {
        let Look { shared, now, .. } = look;
        let used = self.cpu.used.unwrap_or(now - self.since);
        let limit = if waiting {
            shared.takeover.policy.after / 4
        } else {
            LOWER_AFTER / 2
        };
        if !self.is_asked
            && shared.tuning.preempt
            && used >= limit
            && let Some(thread) = thread_in(look, worker)
        {
            self.is_asked = true;
            thread.request_preemption();
        }
    }

    fn find_out(&mut self, look: Look<'_>, worker: usize, thread: u32) -> Option<Verdict> {
        let Look { shared, now, .. } = look;
        let after = shared.takeover.policy.after;
        let age = now - self.since;
        if age < after {
            return None;
        }
        // It shares its core with others that have lost their seats.
        let sharing = 1 + shared.io.long_polls_on(worker) as u32;
        if self.cpu.used.is_some_and(|used| used >= after / sharing) {
            return Some(Verdict::Computes);
        }
        match thread_is_asleep(thread) {
            Some(true) => Some(Verdict::Sleeps),
            // It waits for a CPU.
            Some(false) => None,
            // Not known, so it has to take longer.
            None => (age >= PATIENCE).then_some(Verdict::Unknown),
        }
    }
}
