//! The real lane: threads that run [`run`] in its seats, with the real cells, queues and parkers.
//!
//! Beside them loom's are the deque, which has crossbeam's guarantees and no more, the futex, and
//! the IO driver, which has no events. No time passes, and no worker spins or is on standby.
//!
//! A task that is left while a worker sleeps, or a wake-up that is lost, shows as a deadlock, which
//! loom reports; two threads that use a seat at once as a race on its ends.
//!
//! Caught: `Idle::notify` without its fence; a last look that leaves the deferred wake-ups out;
//! `Lease::acquire` without its fence, or that is not asked; `submit` or `push_back` that tells
//! nobody. Left to the models of the parts, which are smaller and go further: `fall_asleep` without
//! its fence and a last searcher that tells nobody ([`sleepers`](super::sleepers)), `try_revoke`
//! that does not look whether the seat is held ([`leases`](super::leases)).

use crate::scheduler::driver_lock::DriverLock;
use crate::scheduler::hooks::LaneHooks;
use crate::scheduler::idle::Idle;
use crate::scheduler::kind::Kind;
use crate::scheduler::lane::{Lane, LaneParts, Limits};
use crate::scheduler::model_driver::Driver;
use crate::scheduler::queue::LaneRef;
use crate::scheduler::run::{Exit, run};
use crate::scheduler::seat::{FreeSeat, WorkerThread};
use crate::scheduler::tuning::{Intervals, Tuning};
use crate::scheduler::worker::{Caller, become_supervisor, leave_seat};
use crate::tasks::{Id, JoinRef, Place, Task, new};
use loom::sync::Notify;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread::{self, JoinHandle};
use std::future::{Future, poll_fn};
use std::panic::Location;
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::task::{Poll, Waker};
use std::time::Duration;

pub(super) fn explore(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 20_000;
    builder.check(model);
}

/// A runtime that has nothing but a lane.
#[derive(Default)]
struct Hooks {
    lane: OnceLock<Weak<Lane>>,
    /// Those that have sat down in a surrendered seat.
    spares: Mutex<Vec<JoinHandle<Exit>>>,
}

impl LaneHooks for Arc<Hooks> {
    fn worker_awake(&self) {}
    fn worker_stuck(&self) {}
    fn wake_supervisor(&self) {}

    fn has_room(&self, _: Place) -> bool {
        true
    }

    fn send(&self, _: Task, _: Place) {
        unreachable!("no time passes, so nothing is long")
    }

    fn replace(
        &self,
        _: usize,
        _: &Arc<WorkerThread>,
        surrender: &mut dyn FnMut() -> FreeSeat,
    ) -> bool {
        let lane = self.lane.get().and_then(Weak::upgrade).expect("it runs");
        let spare = sit_down(&lane, surrender());
        self.spares.lock().unwrap().push(spare);
        true
    }

    fn task_moved(&self, _: Place) {}
}

/// A lane whose workers have threads.
struct Running {
    lane: Arc<Lane>,
    hooks: Arc<Hooks>,
    workers: Vec<JoinHandle<Exit>>,
}

fn sit_down(lane: &Arc<Lane>, seat: FreeSeat) -> JoinHandle<Exit> {
    let lane = lane.clone();
    thread::spawn(move || run(lane, seat, || {}))
}

/// A lane whose workers have no threads.
fn new_lane(
    workers: usize,
    with_driver: bool,
    is_current_thread: bool,
    hooks: Box<dyn LaneHooks>,
) -> Arc<Lane> {
    let others = |worker| vec![(0..workers).filter(|&other| other != worker).collect()];
    Lane::new(LaneParts {
        kind: Kind::Io,
        victims: (0..workers).map(others).collect(),
        idle: Arc::new(Idle::new(workers)),
        partner: Arc::new(Idle::new(workers)),
        driver: with_driver.then(|| Arc::new(DriverLock::new(Driver::new()))),
        hooks,
        limits: Limits {
            after: Duration::from_millis(1),
            sorts: false,
            moves: false,
        },
        tuning: Tuning {
            spin: false,
            standby: false,
            lifo_slot: !is_current_thread,
            ..Tuning::default()
        },
        intervals: Intervals::default(),
        clock: Arc::default(),
        is_current_thread,
    })
}

/// A lane that is driven, and the seat of whoever does.
pub(super) fn driven_lane() -> (Arc<Lane>, FreeSeat) {
    let lane = new_lane(1, true, true, Box::new(Arc::<Hooks>::default()));
    let seat = lane.be_driven().unwrap();
    (lane, seat)
}

impl Running {
    fn new(workers: usize, with_driver: bool) -> Running {
        let hooks = Arc::new(Hooks::default());
        let lane = new_lane(workers, with_driver, false, Box::new(hooks.clone()));
        hooks.lane.set(Arc::downgrade(&lane)).unwrap();
        lane.set_started(workers);
        let seats = (0..workers).map(|worker| lane.first_seat(worker).unwrap());
        let workers = seats.map(|seat| sit_down(&lane, seat)).collect();
        Running {
            lane,
            hooks,
            workers,
        }
    }

    fn shut_down(self) -> Vec<Exit> {
        self.lane.begin_shutdown();
        let workers = self
            .workers
            .into_iter()
            .map(|worker| worker.join().unwrap());
        let mut exits: Vec<_> = workers.collect();
        let spares = std::mem::take(&mut *self.hooks.spares.lock().unwrap());
        exits.extend(spares.into_iter().map(|spare| spare.join().unwrap()));
        self.lane.finish_shutdown();
        exits
    }
}

#[track_caller]
pub(super) fn spawn<F>(lane: &Arc<Lane>, future: F) -> JoinRef<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let (task, handle) = new(
        future,
        LaneRef(lane.clone()),
        Id::next(),
        Location::caller(),
    );
    Caller::with(|caller| lane.schedule(caller, task));
    handle
}

/// Counts what has been done, for one thread that waits for all of it. (Loom's `Notify` may wake
/// for no reason.)
struct Done {
    left: AtomicUsize,
    changed: Notify,
}

impl Done {
    fn new(count: usize) -> Arc<Done> {
        Arc::new(Done {
            left: AtomicUsize::new(count),
            changed: Notify::new(),
        })
    }

    fn one(&self) {
        self.left.fetch_sub(1, Ordering::AcqRel);
        self.changed.notify();
    }

    /// A deadlock if something is never done.
    fn wait(&self) {
        while self.left.load(Ordering::Acquire) > 0 {
            self.changed.wait();
        }
    }
}

/// Something that a task waits for, once. Its lock is not loom's: nothing happens while it is
/// locked.
#[derive(Default)]
pub(super) struct Event(Mutex<(bool, Option<Waker>)>);

impl Event {
    pub(super) fn happen(&self) {
        let mut event = self.0.lock().unwrap();
        event.0 = true;
        let waker = event.1.take();
        drop(event);
        waker.into_iter().for_each(Waker::wake);
    }

    pub(super) async fn wait(&self) {
        poll_fn(|cx| {
            // Loom may switch threads here, so not while it is locked.
            let waker = cx.waker().clone();
            let mut event = self.0.lock().unwrap();
            let (happened, before) = (event.0, event.1.replace(waker));
            drop(event);
            drop(before);
            if happened {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }
}

/// Two tasks come from outside while the worker falls asleep, by a thread that may be preempted or
/// by one that is latency-critical.
#[test]
fn tasks_from_outside() {
    for is_critical in [false, true] {
        explore(2, move || {
            let running = Running::new(1, false);
            let done = Done::new(2);
            if is_critical {
                become_supervisor();
            }
            for _ in 0..2 {
                let done = done.clone();
                drop(spawn(&running.lane, async move { done.one() }));
            }
            done.wait();
            assert_eq!(running.shut_down(), [Exit::ShutDown]);
        });
    }
}

/// A task spawns two others, and its poll ends only when the first of them has been polled: the
/// other worker is woken and steals it.
#[test]
fn a_second_worker_is_woken_and_steals() {
    explore(1, || {
        let running = Running::new(2, false);
        let done = Done::new(2);
        let (lane, of_task) = (running.lane.clone(), done.clone());
        let first = spawn(&running.lane, async move {
            let stolen = Done::new(1);
            let told = stolen.clone();
            drop(spawn(&lane, async move { told.one() }));
            // The first goes from the LIFO slot into the deque.
            let next = of_task.clone();
            drop(spawn(&lane, async move { next.one() }));
            stolen.wait();
            of_task.one();
        });
        done.wait();
        drop(first);
        running.shut_down();
    });
}

/// A thread that may be preempted wakes a task, whose poll has just ended or is about to, and which
/// its worker polls, or has polled: the wake-up is deferred, and the task goes on.
#[test]
fn a_deferred_wake_against_a_poll_and_sleep() {
    explore(2, || {
        let running = Running::new(1, false);
        let (event, done) = (Arc::new(Event::default()), Done::new(1));
        let task = spawn(&running.lane, {
            let (event, done) = (event.clone(), done.clone());
            async move {
                event.wait().await;
                done.one();
            }
        });
        event.happen();
        done.wait();
        drop(task);
        running.shut_down();
    });
}

/// Counts its drop.
struct Dropped(Arc<AtomicUsize>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// The lane is shut down while a wake-up is deferred, or a task comes: each future is dropped,
/// once.
#[test]
fn what_comes_in_a_shutdown() {
    for wakes in [false, true] {
        explore(2, move || {
            let running = Running::new(1, false);
            let (event, drops) = (Arc::new(Event::default()), Arc::new(AtomicUsize::new(0)));
            let waiting = spawn(&running.lane, {
                let (event, drops) = (event.clone(), Dropped(drops.clone()));
                async move {
                    event.wait().await;
                    drop(drops);
                }
            });
            let other = thread::spawn({
                let (lane, drops) = (running.lane.clone(), Dropped(drops.clone()));
                move || {
                    if wakes {
                        event.happen();
                    } else {
                        drop(spawn(&lane, async move { drop(drops) }));
                    }
                }
            });
            running.shut_down();
            other.join().unwrap();
            drop(waiting);
            assert_eq!(drops.load(Ordering::Relaxed), 2, "a future is left");
        });
    }
}

/// A worker is in a poll that ends only when another task has been polled, which is queued behind
/// it: in its LIFO slot, if the poll spawned it. Its seat is taken, and the next thread there polls
/// that task.
#[test]
fn a_seat_is_taken_from_a_poll() {
    for is_spawned_inside in [false, true] {
        explore(2, move || {
            let running = Running::new(1, false);
            let (inside, unblocked) = (Done::new(1), Done::new(1));
            let done = Done::new(2);
            let stuck = spawn(&running.lane, {
                let lane = running.lane.clone();
                let (inside, unblocked, done) = (inside.clone(), unblocked.clone(), done.clone());
                async move {
                    if is_spawned_inside {
                        drop(spawn(&lane, {
                            let unblocked = unblocked.clone();
                            async move { unblocked.one() }
                        }));
                    }
                    inside.one();
                    unblocked.wait();
                    done.one();
                    // It has lost its seat, or not: what it spawns is polled all the same.
                    drop(spawn(&lane, async move { done.one() }));
                }
            });
            inside.wait();
            if !is_spawned_inside {
                drop(spawn(&running.lane, {
                    let unblocked = unblocked.clone();
                    async move { unblocked.one() }
                }));
            }
            let seat = take_seat(&running.lane);
            let spare = sit_down(&running.lane, seat);
            done.wait();
            drop(stuck);
            running.lane.begin_shutdown();
            assert_eq!(spare.join().unwrap(), Exit::ShutDown);
            assert_eq!(running.shut_down(), [Exit::Displaced]);
        });
    }
}

/// Takes the seat of the lane's worker, which is stuck in a poll.
fn take_seat(lane: &Arc<Lane>) -> FreeSeat {
    become_supervisor();
    loop {
        let seat = Caller::with(|caller| {
            let thread = lane.thread(0, caller.latency_critical()?)?;
            let poll = lane.current_poll(0)?;
            lane.try_take_seat(caller, 0, &thread, poll, None, false)
        });
        if let Some((seat, _)) = seat {
            return seat;
        }
        // It is about to touch its seat.
        thread::yield_now();
    }
}

/// A poll surrenders its seat, as `block_in_place` does, and waits for a task that the next thread
/// there polls.
#[test]
fn a_poll_surrenders_its_seat() {
    explore(2, || {
        let running = Running::new(1, false);
        let done = Done::new(1);
        let blocks = spawn(&running.lane, {
            let (lane, done) = (running.lane.clone(), done.clone());
            async move {
                let unblocked = Done::new(1);
                let told = unblocked.clone();
                drop(spawn(&lane, async move { told.one() }));
                assert!(leave_seat());
                unblocked.wait();
                done.one();
            }
        });
        done.wait();
        drop(blocks);
        let exits = running.shut_down();
        assert_eq!(exits, [Exit::Displaced, Exit::ShutDown]);
    });
}

/// Two workers, one of which sleeps in the IO driver: whoever is woken is woken where it sleeps.
#[test]
fn workers_that_sleep_in_the_driver_are_woken() {
    explore(1, || {
        let running = Running::new(2, true);
        let done = Done::new(1);
        drop(spawn(&running.lane, {
            let done = done.clone();
            async move { done.one() }
        }));
        done.wait();
        running.shut_down();
    });
}
