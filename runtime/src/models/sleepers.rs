//! Falling asleep and being woken: `scheduler::idle`.
//!
//! The queue is a counter of tasks; what is modelled is that no task stays in it while a worker
//! sleeps. A lost wake-up shows as a deadlock, which loom reports.

use super::explore;
use crate::latency_critical::LatencyCritical;
use crate::scheduler::idle::{Idle, Search};
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::sync::{Arc, Notify};
use loom::thread;

struct Lane {
    sleep: Idle,
    /// Relaxed on purpose wherever the real queues are no stronger: the protocol's fences must do.
    queue: AtomicUsize,
    run: AtomicUsize,
    tasks: usize,
    parkers: Vec<Notify>,
    ran: Notify,
    stop: AtomicBool,
}

#[derive(Clone, Copy)]
enum Submitter {
    Critical,
    Preemptible,
}

impl Lane {
    fn new(workers: usize, tasks: usize) -> Arc<Lane> {
        Arc::new(Lane {
            sleep: Idle::new(workers),
            queue: AtomicUsize::new(0),
            run: AtomicUsize::new(0),
            tasks,
            parkers: (0..workers).map(|_| Notify::new()).collect(),
            ran: Notify::new(),
            stop: AtomicBool::new(false),
        })
    }

    fn submit(&self, submitter: Submitter) {
        self.queue.fetch_add(1, Ordering::Release);
        self.notify(submitter);
    }

    fn notify(&self, submitter: Submitter) {
        let critical = match submitter {
            Submitter::Critical => Some(LatencyCritical::assume()),
            Submitter::Preemptible => None,
        };
        let worker = self.sleep.notify(Search::default(), critical);
        if let Some(worker) = worker {
            self.parkers[worker].notify();
        }
    }

    fn take(&self) -> bool {
        self.queue
            .fetch_update(Ordering::Acquire, Ordering::Relaxed, |n| n.checked_sub(1))
            .is_ok()
    }

    fn has_work(&self) -> bool {
        self.queue.load(Ordering::Relaxed) > 0
    }

    /// The loop of `scheduler::run` and `scheduler::wait`, with a task that stays in its poll until
    /// all tasks have begun: so each must be found by another worker.
    fn work(&self, index: usize, mut searching: bool, all_begun: &Notify) {
        loop {
            if !searching {
                searching = self.sleep.try_search();
            }
            if self.take() {
                if searching && self.sleep.stop_searching() && self.has_work() {
                    self.notify(Submitter::Critical);
                }
                if self.run.fetch_add(1, Ordering::SeqCst) + 1 == self.tasks {
                    all_begun.notify();
                    self.ran.notify();
                }
                return;
            }
            self.sleep.fall_asleep(index, searching);
            if !self.has_work() && !self.stop.load(Ordering::SeqCst) {
                self.parkers[index].wait();
            }
            self.sleep.wake_up(index);
            searching = true;
            if self.stop.load(Ordering::SeqCst) {
                return;
            }
        }
    }
}

fn model(workers: usize, submitters: &'static [Submitter], preemptions: usize) {
    explore(Some(preemptions), move || {
        let lane = Lane::new(workers, submitters.len());
        let all_begun = Arc::new(Notify::new());
        let threads: Vec<_> = (0..workers)
            .map(|index| {
                let (lane, all_begun) = (lane.clone(), all_begun.clone());
                thread::spawn(move || lane.work(index, false, &all_begun))
            })
            .collect();
        submitters
            .iter()
            .for_each(|&submitter| lane.submit(submitter));
        // Deadlocks here if a task is left beside a sleeping worker.
        all_begun.wait();
        lane.stop.store(true, Ordering::SeqCst);
        lane.parkers.iter().for_each(Notify::notify);
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
    });
}

/// One task against one worker that falls asleep.
///
/// Caught: the fence of `choose` left out; that of `fall_asleep` (with its bit set Relaxed) left
/// out; no last look before the park.
#[test]
fn submit_against_sleep() {
    model(1, &[Submitter::Critical], 3);
    model(1, &[Submitter::Preemptible], 3);
}

/// Two submitters against one worker that falls asleep: neither may rely on the other one, who has
/// woken nobody yet.
///
/// Caught: `notify` that counts the searcher before it has claimed a worker, and takes it back when
/// there is none.
#[test]
fn two_submitters_against_sleep() {
    explore(Some(3), || {
        let lane = Lane::new(1, 2);
        let submitter = thread::spawn({
            let lane = lane.clone();
            move || lane.submit(Submitter::Critical)
        });
        let worker = thread::spawn({
            let lane = lane.clone();
            move || {
                let all_begun = Notify::new();
                lane.work(0, false, &all_begun);
                lane.work(0, false, &all_begun);
            }
        });
        lane.submit(Submitter::Critical);
        submitter.join().unwrap();
        // Deadlocks here if a task is left.
        worker.join().unwrap();
    });
}

/// Two tasks that must run at the same time, on two workers: the second submitter may find a
/// searcher, who then has to wake the other worker.
///
/// Caught: the last searcher that finds a task and does not look for more work.
#[test]
fn two_tasks_for_two_workers() {
    model(2, &[Submitter::Critical, Submitter::Critical], 2);
}

/// The same with submitters that claim nothing.
///
/// Caught: a worker that was not claimed wakes up as no searcher (it takes one task, and looks for
/// no other).
#[test]
fn two_tasks_for_two_workers_without_claims() {
    model(2, &[Submitter::Preemptible, Submitter::Preemptible], 2);
}

/// Two workers fall asleep at once, each of which would leave the driver to the other: one of them
/// sees that it is the last, and goes there.
///
/// Caught: a worker that looks whether others are awake before its own bit is set.
#[test]
fn the_last_one_to_sleep_goes_to_the_driver() {
    explore(None, || {
        let sleep = Arc::new(Idle::new(2));
        let falls_asleep = |worker: usize| {
            let sleep = sleep.clone();
            move || {
                sleep.fall_asleep(worker, false);
                !sleep.anybody_awake()
            }
        };
        let other = thread::spawn(falls_asleep(1));
        let first = falls_asleep(0)();
        assert!(first | other.join().unwrap(), "nobody is at the driver");
    });
}

/// A worker in reserve leaves the driver to another, which falls asleep at the same time, and finds
/// the driver taken if the first just looks at it: one of them is there in the end.
///
/// Caught: `notify_another` that may choose the caller.
#[test]
fn one_in_reserve_leaves_the_driver_to_another() {
    explore(None, || {
        let sleep = Arc::new(Idle::new(2));
        let driver = Arc::new(AtomicBool::new(false));
        let parker = Arc::new(Notify::new());
        let other = thread::spawn({
            let (sleep, driver, parker) = (sleep.clone(), driver.clone(), parker.clone());
            move || {
                sleep.fall_asleep(1, false);
                let is_in_driver = || !driver.swap(true, Ordering::AcqRel);
                if !is_in_driver() {
                    // Deadlocks here if nobody is in the driver.
                    parker.wait();
                    sleep.wake_up(1);
                    sleep.fall_asleep(1, true);
                    driver.store(true, Ordering::Release);
                }
            }
        });
        sleep.fall_asleep(0, false);
        sleep.begin_reserve(0);
        if !driver.swap(true, Ordering::AcqRel) {
            driver.store(false, Ordering::Release);
            match sleep.notify_another(0, Some(LatencyCritical::assume())) {
                Some(worker) => {
                    assert_eq!(worker, 1, "itself");
                    parker.notify();
                }
                None => {
                    sleep.end_standby(0);
                    driver.store(true, Ordering::Release);
                    // The other one, once it has found that taken, waits until there is work.
                    parker.notify();
                }
            }
        }
        other.join().unwrap();
        assert!(driver.load(Ordering::Acquire), "nobody is in the driver");
    });
}

/// A little work is submitted while one worker is on standby and the other falls asleep: it is left
/// to the latter only if that one comes to look. (The one on standby does not, here: that is about
/// parallelism.)
///
/// Caught: `choose` that reads who is awake before its fence; `fall_asleep` without its fence.
#[test]
fn little_work_against_sleep() {
    for in_reserve in [false, true] {
        explore(Some(2), move || {
            let lane = Lane::new(2, 1);
            lane.sleep.fall_asleep(1, false);
            lane.sleep.begin_standby(1, in_reserve);
            let standby = thread::spawn({
                let lane = lane.clone();
                move || {
                    lane.parkers[1].wait();
                    lane.sleep.end_standby(1);
                    lane.sleep.wake_up(1);
                    if !lane.stop.load(Ordering::SeqCst) {
                        lane.work(1, true, &Notify::new());
                    }
                }
            });
            let awake = thread::spawn({
                let lane = lane.clone();
                move || lane.work(0, false, &Notify::new())
            });
            lane.queue.fetch_add(1, Ordering::Release);
            let little = Search {
                is_little: true,
                ..Search::default()
            };
            let worker = lane.sleep.notify(little, Some(LatencyCritical::assume()));
            if let Some(worker) = worker {
                lane.parkers[worker].notify();
            }
            // Deadlocks here if the task is left beside two sleeping workers.
            while lane.run.load(Ordering::SeqCst) == 0 {
                lane.ran.wait();
            }
            lane.stop.store(true, Ordering::SeqCst);
            lane.parkers.iter().for_each(Notify::notify);
            standby.join().unwrap();
            awake.join().unwrap();
        });
    }
}
