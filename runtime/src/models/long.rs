//! Tasks that wait until a core is free of long polls: `scheduler::long_queue`.
//!
//! A core may become free, a task come, and a worker fall asleep at the same moment. A task that is
//! left while a worker sleeps whose core is free shows as a deadlock, which loom reports.

use super::explore;
use crate::latency_critical::LatencyCritical;
use crate::scheduler::idle::Idle;
use crate::scheduler::long_queue::{Counted, LongQueue};
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::sync::{Arc, Notify};
use loom::thread;

struct Lane {
    sleep: Idle,
    long: LongQueue<u32>,
    parkers: Vec<Notify>,
    /// How many long polls there are on each core.
    on_core: Vec<AtomicUsize>,
    begun: AtomicUsize,
    all_begun: Notify,
    stop: AtomicBool,
}

impl Lane {
    fn new(workers: usize) -> Arc<Lane> {
        Arc::new(Lane {
            sleep: Idle::new(workers),
            long: LongQueue::new(workers),
            parkers: (0..workers).map(|_| Notify::new()).collect(),
            on_core: (0..workers).map(|_| AtomicUsize::new(0)).collect(),
            begun: AtomicUsize::new(0),
            all_begun: Notify::new(),
            stop: AtomicBool::new(false),
        })
    }

    fn submit(&self, task: u32) {
        assert!(self.long.push(task, LatencyCritical::assume()).is_ok());
        self.notify(true);
    }

    /// `Lane::notify_long`.
    fn notify(&self, is_critical: bool) {
        let critical = is_critical.then(LatencyCritical::assume);
        let free = |word| self.long.free_from(word * 64);
        if let Some(worker) = self.sleep.notify_among(0, free, critical) {
            self.parkers[worker].notify();
        }
    }

    /// A poll of a thread that has lost its seat counts as long on the core from now on, as in
    /// `Lane::try_take_seat`.
    fn enter(&self, core: usize, displaced: &Counted) {
        if self.long.enter(core, displaced) {
            self.notify(true);
        }
    }

    /// `Lane::end_long`.
    fn leave(&self, counted: &Counted, is_critical: bool) {
        if self.long.leave(counted) {
            self.notify(is_critical);
        }
    }

    /// The loop of `scheduler::{run, wait}`: polls long tasks until `tasks` of them have begun, and
    /// tells then.
    fn work(&self, index: usize, tasks: usize) {
        let counted = Counted::new();
        let mut searching = false;
        loop {
            if self
                .long
                .begin(index, &counted, LatencyCritical::assume())
                .is_some()
            {
                if searching {
                    self.sleep.stop_searching();
                }
                searching = false;
                let here = self.on_core[index].fetch_add(1, Ordering::SeqCst) + 1;
                assert_eq!(here, 1, "two long polls begun on one core");
                let begun = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
                self.on_core[index].fetch_sub(1, Ordering::SeqCst);
                self.leave(&counted, true);
                if begun == tasks {
                    self.all_begun.notify();
                }
                continue;
            }
            self.sleep.fall_asleep(index, searching);
            if !self.long.may_begin(index) && !self.stop.load(Ordering::SeqCst) {
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

fn start(lane: &Arc<Lane>, tasks: usize) -> Vec<thread::JoinHandle<()>> {
    let worker = |index| {
        let lane = lane.clone();
        thread::spawn(move || lane.work(index, tasks))
    };
    (0..lane.parkers.len()).map(worker).collect()
}

fn end(lane: &Lane, workers: Vec<thread::JoinHandle<()>>) {
    // Deadlocks here if a task is left.
    lane.all_begun.wait();
    lane.stop();
    workers
        .into_iter()
        .for_each(|worker| worker.join().unwrap());
}

/// On the one core a thread without a seat is in a long poll, which ends while a task comes and the
/// worker falls asleep.
///
/// Caught: `leave` without its fence; a thread that leaves and wakes nobody; a last look that
/// leaves out the long tasks.
#[test]
fn a_core_becomes_free_and_a_task_comes() {
    explore(Some(3), || {
        let lane = Lane::new(1);
        lane.on_core[0].store(1, Ordering::SeqCst);
        let counted = Counted::new();
        lane.long.enter(0, &counted);
        let displaced = thread::spawn({
            let lane = lane.clone();
            move || {
                lane.on_core[0].fetch_sub(1, Ordering::SeqCst);
                // Of low priority, maybe.
                lane.leave(&counted, false);
            }
        });
        let workers = start(&lane, 1);
        lane.submit(1);
        end(&lane, workers);
        displaced.join().unwrap();
    });
}

/// Two tasks for two workers, and the core of the first is taken: the other begins both.
///
/// Caught: a worker of a core that is not free is woken; a worker that is done with a poll tells
/// nobody of what waits.
#[test]
fn a_core_that_is_taken_is_left_out() {
    explore(Some(2), || {
        let lane = Lane::new(2);
        lane.on_core[0].store(1, Ordering::SeqCst);
        lane.long.enter(0, &Counted::new());
        let workers = start(&lane, 2);
        lane.submit(1);
        lane.submit(2);
        end(&lane, workers);
    });
}

/// A core is taken when its worker was woken and has not begun yet: another worker is told.
///
/// Caught: `enter` that tells nobody.
#[test]
fn a_core_is_taken_before_its_worker_begins() {
    explore(Some(2), || {
        let lane = Lane::new(2);
        let taker = thread::spawn({
            let lane = lane.clone();
            move || lane.enter(0, &Counted::new())
        });
        let workers = start(&lane, 1);
        lane.submit(1);
        end(&lane, workers);
        taker.join().unwrap();
    });
}

/// A seat is taken, or about to be, when its poll ends: no count is left, and none is taken off
/// twice.
///
/// Caught: `enter` that puts first and counts then; a taker that leaves what it has counted, and
/// has not got the seat.
#[test]
fn a_poll_ends_when_its_seat_is_taken() {
    for taken in [false, true] {
        explore(None, move || {
            let long = Arc::new(LongQueue::<u32>::new(2));
            let counted = Arc::new(Counted::new());
            long.enter(0, &counted);
            let thread = thread::spawn({
                let (long, counted) = (long.clone(), counted.clone());
                move || long.leave(&counted)
            });
            long.leave(&counted);
            long.enter(1, &counted);
            if !taken {
                long.leave(&counted);
            }
            thread.join().unwrap();
            if taken {
                // When its poll is over.
                long.leave(&counted);
            }
            assert_eq!(long.running(), 0);
        });
    }
}

/// A task comes while the lane is shut down: it is taken out, or given back.
///
/// Caught: `close` that leaves the queue open.
#[test]
fn a_task_comes_in_a_shutdown() {
    explore(None, || {
        let long = Arc::new(LongQueue::new(1));
        let closer = thread::spawn({
            let long = long.clone();
            move || long.close().len()
        });
        let given_back = usize::from(long.push(1, LatencyCritical::assume()).is_err());
        assert_eq!(closer.join().unwrap() + given_back, 1);
    });
}
