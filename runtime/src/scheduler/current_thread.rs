//! A lane of one worker that has no thread of its own: whoever is in `block_on` runs its tasks,
//! beside the future that it was given.
//!
//! The order is tokio's. Tasks that this thread spawns or wakes queue up behind one another; there
//! is no slot for the last of them. What other threads send is taken one at a time, when nothing of
//! that is left, and before every 31st task. The future is polled when it was woken, before the
//! next 61 tasks; and after these, or after one that has used up its budget, come timers, events,
//! and tasks that have yielded.
//!
//! Everything else is as in any lane: the thread sits down in the worker's [seat](super::seat),
//! sleeps and is woken as a worker is ([`idle`](super::idle)), and gives the seat back in the end.
//! Nobody takes it away meanwhile. While nobody drives, the worker counts as asleep.
//!
//! It is no latency-critical thread: it is the user's, and nobody knows its priority. It marks and
//! queues the tasks of its own lane all the same, which only it would run.

use super::lane::Lane;
use super::seat::FreeSeat;
use super::tuning::ARRIVALS_INTERVAL;
use super::worker::{Current, Worker, WorkerState};
use crate::panics::wake;
use crate::tasks::budget::take_put_off;
use crate::tasks::{DeferredWake, Task};
use crate::timers::clock;
use evenkeel_sync::Mutex;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::task::Waker;

/// Nobody looks for polls that take long.
const NOT_TAKEN: &str = "nobody takes the seat of a lane that is driven";

/// What such a lane has beside what all have.
pub(super) struct Arrivals {
    /// What has come in from other threads, in its order. Taken out by the thread that drives, and
    /// by a shutdown.
    tasks: Mutex<VecDeque<Task>>,
}

impl Arrivals {
    pub(super) fn new() -> Self {
        Arrivals {
            tasks: Mutex::new(VecDeque::new()),
        }
    }

    pub(super) fn cancel_all(&self) {
        let tasks = mem::take(&mut *self.tasks.lock());
        drop(tasks);
    }
}

/// How many tasks may go before the next of what other threads have sent.
pub(super) fn ahead_of_arrivals(lane: &Lane) -> u32 {
    lane.intervals.inbox.unwrap_or(ARRIVALS_INTERVAL) - 1
}

/// The future of `block_on`.
pub(crate) trait Root {
    /// True if it was woken since the last time that this was asked, or was never polled.
    fn take_woken(&self) -> bool;

    /// True if it was woken since then.
    fn is_woken(&self) -> bool;

    /// Polls it. True if it is complete. Does not panic.
    fn poll(&mut self) -> bool;
}

/// Runs the lane's tasks and `root` until that is complete. Gives the seat back.
///
/// The lane must not be shut down meanwhile.
pub(crate) fn drive(lane: &Arc<Lane>, seat: FreeSeat, root: &mut dyn Root) -> FreeSeat {
    let state = WorkerState::new(lane.clone(), seat);
    let _current = Current::set(&state);
    let worker = state.hold().expect(NOT_TAKEN);
    lane.idle.wake_up(worker.index());
    worker.is_searching.set(true);
    let worker = worker.drive(root);
    worker.wake_yielded();
    let awake_ns = clock::now_ns().saturating_sub(worker.awake_ns.get());
    worker.seat().status.add_busy(awake_ns);
    // What is left waits for whoever drives next.
    let is_searching = worker.is_searching.take();
    lane.idle.fall_asleep(worker.index(), is_searching);
    state.thread().leave();
    worker.surrender()
}

impl<'a> Worker<'a> {
    fn drive(mut self, root: &mut dyn Root) -> Worker<'a> {
        loop {
            if root.take_woken() {
                let (worker, is_complete) = self.release_while(|| root.poll());
                self = worker.expect(NOT_TAKEN);
                if is_complete {
                    return self;
                }
            }
            self = self.run_tasks(root);
        }
    }

    /// Runs some tasks, then looks for more to do; sleeps if there are none.
    fn run_tasks(mut self, root: &dyn Root) -> Worker<'a> {
        // What the future has put off says nothing of these tasks.
        take_put_off();
        for _ in 0..self.lane().intervals.events {
            let Some(task) = self.next_in_order() else {
                if self.yielded.borrow().is_empty() && !root.is_woken() {
                    self.wait();
                    return self;
                }
                break;
            };
            self = self.run_here(task);
            // It could have gone on, and lets events come first.
            if take_put_off() {
                break;
            }
        }
        self.fire_timers();
        self.look_for_events();
        self.wake_yielded();
        self
    }

    pub(super) fn wake_yielded(&self) {
        let yielded = mem::take(&mut *self.yielded.borrow_mut());
        yielded.into_iter().for_each(wake);
    }

    fn run_here(self, task: Task) -> Worker<'a> {
        self.stop_searching();
        let (worker, again) = self.run_task(task, Task::run);
        let worker = worker.expect(NOT_TAKEN);
        if let Some(task) = again {
            worker.push_again(task);
        }
        worker
    }

    fn next_in_order(&self) -> Option<Task> {
        let ahead = self.ahead.get();
        if ahead == 0 {
            self.ahead.set(ahead_of_arrivals(self.lane()));
            self.next_arrival().or_else(|| self.held().queue().pop())
        } else {
            self.ahead.set(ahead - 1);
            self.held().queue().pop().or_else(|| self.next_arrival())
        }
    }

    fn next_arrival(&self) -> Option<Task> {
        let lane = self.lane();
        let arrivals = lane.arrivals.as_ref()?;
        if lane.has_injected() {
            let woken = lane.deferred.take_all().filter_map(DeferredWake::notify);
            let new: Vec<Task> = woken.chain(lane.inbox.take_all()).collect();
            arrivals.tasks.lock().extend(new);
        }
        arrivals.tasks.lock().pop_front()
    }
}

/// The tasks that have yielded, of a thread that drives.
pub(super) type Yielded = RefCell<Vec<Waker>>;

/// Wakes a task that yields: at once; or, on a thread that drives a lane of this kind, after all
/// that there is to do, and after the next look for events.
#[inline]
pub(crate) fn wake_after_others(waker: &Waker) {
    let is_left = WorkerState::of_thread(|state| {
        state.is_some_and(|state| state.lane.arrivals.is_some() && state.leave(waker))
    });
    if !is_left {
        waker.wake_by_ref();
    }
}

impl WorkerState {
    /// False if the tasks that have yielded are being woken at this moment.
    #[cold]
    fn leave(&self, waker: &Waker) -> bool {
        let Ok(mut yielded) = self.yielded.try_borrow_mut() else {
            return false;
        };
        if !yielded.last().is_some_and(|last| last.will_wake(waker)) {
            yielded.push(waker.clone());
        }
        true
    }
}
