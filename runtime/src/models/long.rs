//! Tasks that wait for a place among the long polls: `lane::long`.
//!
//! A place and a task may come at the same moment, and a worker fall asleep. A task that is left beside a free place and a
//! sleeping worker shows as a deadlock, which loom reports.

use super::explore;
use crate::lane::long::Long;
use crate::lane::sleep::Sleep;
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::sync::{Arc, Notify};
use loom::thread;

struct Lane {
    sleep: Sleep,
    long: Long<u32>,
    parkers: Vec<Notify>,
    begun: AtomicUsize,
    limit: usize,
    at_once: AtomicUsize,
    all_begun: Notify,
    stop: AtomicBool,
}

impl Lane {
    fn new(workers: usize, limit: usize) -> Arc<Lane> {
        Arc::new(Lane {
            sleep: Sleep::new(workers),
            long: Long::new(limit),
            parkers: (0..workers).map(|_| Notify::new()).collect(),
            begun: AtomicUsize::new(0),
            limit,
            at_once: AtomicUsize::new(0),
            all_begun: Notify::new(),
            stop: AtomicBool::new(false),
        })
    }

    fn submit(&self, task: u32) {
        assert!(self.long.push(task).is_ok());
        self.notify(true);
    }

    fn notify(&self, is_prompt: bool) {
        let worker = if is_prompt {
            self.sleep.notify(0, None, false)
        } else {
            self.sleep.notify_without_claim(0, None, false)
        };
        if let Some(worker) = worker {
            self.parkers[worker].notify();
        }
    }

    /// `Lane::leave_place`, by a thread that may be of low priority.
    fn leave_place(&self) {
        self.long.leave();
        if self.long.may_begin() {
            self.notify(false);
        }
    }

    /// The loop of `lane::worker` and `lane::rest`: polls long tasks until `tasks` of them have begun, and tells then.
    fn work(&self, index: usize, tasks: usize) {
        let mut searching = false;
        loop {
            if self.long.begin().is_some() {
                if searching && self.sleep.stop_searching() && self.long.may_begin() {
                    self.notify(true);
                }
                searching = false;
                let now = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
                assert!(now <= self.limit, "more polls than places");
                let begun = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
                self.at_once.fetch_sub(1, Ordering::SeqCst);
                // In its seat: it looks for the next one itself.
                self.long.leave();
                if begun == tasks {
                    self.all_begun.notify();
                }
                continue;
            }
            self.sleep.fall_asleep(index, searching);
            if !self.long.may_begin() && !self.stop.load(Ordering::SeqCst) {
                self.parkers[index].wait();
            }
            self.sleep.wake_up(index);
            searching = true;
            if self.stop.load(Ordering::SeqCst) {
                return;
            }
        }
    }

    fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
        self.parkers.iter().for_each(Notify::notify);
    }
}

/// The one place is a displaced thread's, which leaves while a task comes and the worker falls asleep.
///
/// Caught: `leave` without its fence; a thread that leaves and wakes nobody; a last look that leaves out the long tasks.
#[test]
fn a_place_and_a_task_come_at_once() {
    explore(Some(2), || {
        let lane = Lane::new(1, 1);
        lane.long.enter();
        let displaced = thread::spawn({
            let lane = lane.clone();
            move || lane.leave_place()
        });
        let worker = thread::spawn({
            let lane = lane.clone();
            move || lane.work(0, 1)
        });
        lane.submit(1);
        // Deadlocks here if the task is left.
        lane.all_begun.wait();
        displaced.join().unwrap();
        lane.stop();
        worker.join().unwrap();
    });
}

/// Two workers and one place: the tasks are polled one after the other, and none is left.
///
/// Caught: a place that is claimed before it is known to be free, and given back then (whoever left meanwhile saw none).
#[test]
fn one_place_for_two_workers() {
    explore(Some(2), || {
        let lane = Lane::new(2, 1);
        let workers: Vec<_> = (0..2)
            .map(|index| {
                let lane = lane.clone();
                thread::spawn(move || lane.work(index, 2))
            })
            .collect();
        lane.submit(1);
        lane.submit(2);
        // Deadlocks here if a task is left.
        lane.all_begun.wait();
        lane.stop();
        workers
            .into_iter()
            .for_each(|worker| worker.join().unwrap());
    });
}

/// A task comes while the lane is shut down: it is taken out, or given back.
///
/// Caught: `close` that leaves the queue open.
#[test]
fn a_task_comes_in_a_shutdown() {
    explore(None, || {
        let long = Arc::new(Long::new(1));
        let closer = thread::spawn({
            let long = long.clone();
            move || long.close().len()
        });
        let given_back = usize::from(long.push(1).is_err());
        assert_eq!(closer.join().unwrap() + given_back, 1);
    });
}
