//! Polls on threads that may not enter a task in a registry, because they have lost their seat or
//! never had one: what comes after the poll is handed to a worker (HANDED, in `tasks::state` and
//! `tasks::cell`).
//!
//! One thread is displaced; the model's own thread plays the worker and all others. The count of
//! `alive` shows that the future is dropped; loom's own count of it shows that this happens once,
//! and that the cell is freed.

use super::cells::{Lane, counter, displaced, spawn};
use super::explore;
use crate::tasks::{JoinRef, Task};
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::sync::{Arc, Mutex};
use loom::thread::{self, JoinHandle};
use std::future::poll_fn;
use std::task::{Poll, Waker};

/// A task that leaves its waker in `waker` and is ready, with `alive`, once `flag` is set.
struct Waiting {
    lane: Arc<Lane>,
    flag: Arc<AtomicUsize>,
    waker: Arc<Mutex<Option<Waker>>>,
    alive: Arc<()>,
}

impl Waiting {
    fn new() -> (Waiting, Task, JoinRef<Arc<()>>) {
        let waiting = Waiting {
            lane: Lane::new(),
            flag: Arc::new(AtomicUsize::new(0)),
            waker: Arc::new(Mutex::new(None)),
            alive: Arc::new(()),
        };
        let (flag, waker) = (waiting.flag.clone(), waiting.waker.clone());
        let alive = waiting.alive.clone();
        let future = poll_fn(move |cx| {
            *waker.lock().unwrap() = Some(cx.waker().clone());
            if flag.load(Ordering::SeqCst) == 1 {
                Poll::Ready(alive.clone())
            } else {
                Poll::Pending
            }
        });
        let (task, handle) = spawn(&waiting.lane, future);
        (waiting, task, handle)
    }

    /// A task that is registered, and queued because it can complete.
    fn registered() -> (Waiting, Task, JoinRef<Arc<()>>) {
        let (waiting, task, handle) = Waiting::new();
        assert!(task.run().is_none());
        waiting.wake();
        let task = waiting.lane.queue.take_all().next().expect("it was woken");
        (waiting, task, handle)
    }

    fn wake(&self) {
        self.flag.store(1, Ordering::SeqCst);
        let waker: Option<Waker> = self.waker.lock().unwrap().take();
        waker.into_iter().for_each(Waker::wake);
    }

    fn drop_waker(&self) {
        let waker = self.waker.lock().unwrap().take();
        drop(waker);
    }

    /// Polls the task on a displaced thread of its own.
    fn run_displaced(&self, task: Task) -> JoinHandle<()> {
        let lane = self.lane.clone();
        let run = move || task.run().into_iter().for_each(|task| lane.schedule(task));
        thread::spawn(|| displaced(run))
    }

    /// Nothing is left of the task but its handle, and wakers. (Its output, if it was not read.)
    fn end(&self, handle: Option<JoinRef<Arc<()>>>) {
        drop(handle);
        self.drop_waker();
        assert_eq!(Arc::strong_count(&self.alive), 1, "the future is left");
    }
}

fn is_done(handle: &mut JoinRef<Arc<()>>) -> bool {
    matches!(handle.poll_result(Waker::noop()), Poll::Ready(Ok(_)))
}

fn is_cancelled(handle: &mut JoinRef<Arc<()>>) -> bool {
    matches!(handle.poll_result(Waker::noop()), Poll::Ready(Err(_)))
}

/// A first poll on a displaced thread returns `Pending`, and the task is woken at any time after
/// that: it is polled again.
///
/// Caught: `to_running` that takes no notice of HANDED, or leaves it set; `notify` that queues a
/// task that is handed already; `to_idle` that ignores NOTIFIED; `leave_here` that gives back one
/// reference where there are two.
#[test]
fn a_wake_of_a_handed_task() {
    explore(Some(2), || {
        let (waiting, task, mut handle) = Waiting::new();
        let waiting = Arc::new(waiting);
        let thread = waiting.run_displaced(task);
        let waker = thread::spawn({
            let waiting = waiting.clone();
            move || waiting.wake()
        });
        waiting.lane.run();
        waker.join().unwrap();
        thread.join().unwrap();
        waiting.lane.run();
        assert!(is_done(&mut handle), "the wake was lost");
        waiting.lane.close();
        waiting.end(Some(handle));
    });
}

/// The same with an abort in place of the wake, and with a handle that goes away.
///
/// Caught: `hand_back` without a reference of its own (the scheduler is used when it is gone);
/// HANDED set when the task is queued already; `notify` that queues a task that is handed already.
#[test]
fn an_abort_of_a_handed_task() {
    for drop_handle in [false, true] {
        explore(Some(3), move || {
            let (waiting, task, handle) = Waiting::new();
            let mut handle = Some(handle);
            let thread = waiting.run_displaced(task);
            handle.iter().for_each(JoinRef::abort);
            if drop_handle {
                handle = None;
                waiting.drop_waker();
            }
            waiting.lane.run();
            thread.join().unwrap();
            waiting.lane.run();
            assert!(handle.as_mut().is_none_or(is_cancelled));
            waiting.lane.close();
            waiting.end(handle);
        });
    }
}

/// The lane is shut down while a first poll on a displaced thread returns `Pending`, before or
/// after a worker has taken the task up; or while nobody does. A wake comes as well.
///
/// Caught: the drop of a `Task` that takes no notice of HANDED, or that only gives its reference
/// back; `hand_back` that loses the task when the queue is closed; HANDED set when the task is
/// queued already; `hand_over` that gives RUNNING up.
#[test]
fn a_shutdown_against_a_handed_task() {
    for (worker, woken) in [(false, false), (true, false), (false, true)] {
        explore(Some(3), move || {
            let (waiting, task, mut handle) = Waiting::new();
            let thread = waiting.run_displaced(task);
            if woken {
                let waker = waiting.waker.lock().unwrap().take();
                waker.into_iter().for_each(Waker::wake);
            }
            if worker {
                waiting.lane.run();
            }
            waiting.lane.close();
            thread.join().unwrap();
            assert!(is_cancelled(&mut handle), "the task did not end");
            waiting.end(Some(handle));
        });
    }
}

/// A worker takes the task up while another thread shuts the lane down.
///
/// Caught: `to_idle` that ignores CANCELLED; the drop of a `Task` that takes no notice of HANDED.
#[test]
fn a_shutdown_against_the_worker_that_takes_up() {
    explore(Some(3), || {
        let (waiting, task, mut handle) = Waiting::new();
        displaced(|| assert!(task.run().is_none()));
        let worker = thread::spawn({
            let lane = waiting.lane.clone();
            move || lane.run()
        });
        waiting.lane.close();
        worker.join().unwrap();
        assert!(is_cancelled(&mut handle));
        waiting.end(Some(handle));
    });
}

/// A registered task completes on a displaced thread, while a worker takes up what comes after
/// that, its handle reads the output, or goes away.
///
/// Caught: `handed` that takes no notice of COMPLETE; `hand_back` without a reference of its own;
/// HANDED set when the task is queued already; `leave_here` that gives back one reference where
/// there are two.
#[test]
fn completion_on_a_displaced_thread() {
    for drop_handle in [false, true] {
        explore(Some(3), move || {
            let (waiting, task, handle) = Waiting::registered();
            let thread = waiting.run_displaced(task);
            let (waker, woken) = counter();
            let mut handle = Some(handle).filter(|_| !drop_handle);
            let first = handle.as_mut().map(|handle| handle.poll_result(&waker));
            if drop_handle {
                waiting.drop_waker();
            }
            waiting.lane.run();
            thread.join().unwrap();
            waiting.lane.run();
            assert_eq!(waiting.lane.registered(), 0, "it is still in the registry");
            if matches!(first, Some(Poll::Pending)) {
                assert_eq!(woken.load(Ordering::SeqCst), 1);
                assert!(handle.as_mut().is_none_or(is_done));
            }
            drop(first);
            waiting.lane.close();
            waiting.end(handle);
        });
    }
}

/// A registered task completes on a displaced thread, or waits on, while the lane is shut down: its
/// registry and the queue both have it.
///
/// Caught: `leave_here` that gives back a reference too many (loom crashes) or too few; `handed`
/// that takes no notice of COMPLETE (likewise); `hand_back` that loses the task when the queue is
/// closed.
#[test]
fn a_shutdown_against_completion_on_a_displaced_thread() {
    for (worker, ready) in [(false, true), (true, true), (false, false), (true, false)] {
        explore(Some(3), move || {
            let (waiting, task, handle) = Waiting::registered();
            waiting.flag.store(usize::from(ready), Ordering::SeqCst);
            let thread = waiting.run_displaced(task);
            if worker {
                waiting.lane.run();
            }
            waiting.lane.close();
            thread.join().unwrap();
            waiting.end(Some(handle));
        });
    }
}

/// A registered task is cancelled by a displaced thread that drops it from a queue of its own (a
/// pool that is shut down), and by the shutdown of its lane.
///
/// Caught: the same.
#[test]
fn two_cancellations_of_which_one_is_on_a_displaced_thread() {
    explore(Some(3), || {
        let (waiting, task, mut handle) = Waiting::registered();
        let thread = thread::spawn(move || displaced(|| drop(task)));
        waiting.lane.run();
        waiting.lane.close();
        thread.join().unwrap();
        assert!(is_cancelled(&mut handle));
        waiting.end(Some(handle));
    });
}

/// The lane is shut down by a thread that may not take a task out of a registry either, while
/// another thread runs the task or drops it: what is left to do after the cancellation is handed
/// over while the first `Task` is still there, and either does it.
///
/// Caught: the same; and `handed` that takes no notice of COMPLETE. Not a fault: a drop that sees
/// HANDED and does not clear it, because to leave twice is to leave once.
#[test]
fn a_shutdown_on_a_thread_without_a_seat() {
    for run in [false, true] {
        explore(Some(3), move || {
            let (waiting, task, handle) = Waiting::registered();
            let other = thread::spawn(move || {
                if run {
                    assert!(task.run().is_none());
                } else {
                    drop(task);
                }
            });
            displaced(|| waiting.lane.close());
            other.join().unwrap();
            waiting.end(Some(handle));
        });
    }
}
