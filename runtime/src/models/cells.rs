//! The task cell: `tasks::state`.

use super::explore;
use crate::tasks::{
    Completed, DeferredWake, Id, Inbox, Registered, Registry, Schedule, Shard, Task, new,
};
use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::thread;
use std::cell::Cell;
use std::future::poll_fn;
use std::panic::Location;
use std::task::{Poll, Wake, Waker};

/// A lane that is a queue and a registry.
pub(super) struct Lane {
    pub(super) queue: Inbox,
    registry: Registry,
}

impl Lane {
    pub(super) fn new() -> Arc<Lane> {
        Arc::new(Lane {
            queue: Inbox::new(),
            registry: Registry::new(),
        })
    }

    /// Runs what is queued until nothing is.
    pub(super) fn run(&self) {
        loop {
            let mut idle = true;
            for task in self.queue.take_all() {
                idle = false;
                if let Some(again) = task.run() {
                    let _ = self.queue.push(again);
                }
            }
            if idle {
                return;
            }
        }
    }

    pub(super) fn schedule(&self, task: Task) {
        if let Err(task) = self.queue.push(task) {
            task.abandon();
        }
    }

    pub(super) fn registered(&self) -> usize {
        self.registry.len()
    }

    pub(super) fn close(&self) {
        drop(self.queue.close());
        self.registry.close();
    }
}

loom::thread_local! {
    /// The thread has no seat: it may not settle what it has polled.
    static DISPLACED: Cell<bool> = Cell::new(false);
}

/// Calls `f` as on a thread that has lost its seat, or never had one.
pub(super) fn displaced(f: impl FnOnce()) {
    DISPLACED.with(|displaced| displaced.set(true));
    f();
    DISPLACED.with(|displaced| displaced.set(false));
}

struct LaneRef {
    lane: Arc<Lane>,
    /// The task's cell, and this with it, was freed. Not loom's `Arc`: nothing is modelled with it.
    freed: std::sync::Arc<AtomicBool>,
}

impl LaneRef {
    fn new(lane: &Arc<Lane>) -> LaneRef {
        LaneRef {
            lane: lane.clone(),
            freed: std::sync::Arc::new(AtomicBool::new(false)),
        }
    }
}

impl Drop for LaneRef {
    fn drop(&mut self) {
        self.freed.store(true, Ordering::Relaxed);
    }
}

impl Schedule for LaneRef {
    type Caller<'a> = ();

    fn with_caller<R>(f: impl FnOnce(&()) -> R) -> R {
        f(&())
    }

    fn schedule(&self, (): &(), task: Task) {
        self.lane.schedule(task);
    }

    fn may_wake(&self, (): &()) -> bool {
        true
    }

    fn defer(&self, (): &(), _: DeferredWake) {
        unreachable!("not refused")
    }

    fn may_settle(&self, (): &()) -> bool {
        !DISPLACED.with(Cell::get)
    }

    fn hand_back(&self, (): &(), task: Task) -> Result<(), Task> {
        let freed = self.freed.clone();
        self.lane.queue.push(task)?;
        // The lane's own then wakes a worker.
        assert!(!freed.load(Ordering::Relaxed), "the scheduler is gone");
        Ok(())
    }

    fn register(&self, (): &(), task: Registered) -> Option<Shard> {
        self.lane.registry.insert(task).ok()?;
        Some(Shard(0))
    }

    unsafe fn unregister(&self, task: &Completed) -> Option<Registered> {
        // SAFETY: by the caller's word `register` has inserted it, and the lane has one registry.
        unsafe { self.lane.registry.remove(task) }
    }
}

/// Counts wakes; loom sees it if the last waker leaks.
struct Count(Arc<AtomicUsize>);

impl Wake for Count {
    fn wake(self: std::sync::Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &std::sync::Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

pub(super) fn counter() -> (Waker, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    (
        Waker::from(std::sync::Arc::new(Count(count.clone()))),
        count,
    )
}

pub(super) fn spawn<F: Future<Output: Send> + Send + 'static>(
    lane: &Arc<Lane>,
    future: F,
) -> (Task, crate::tasks::JoinRef<F::Output>) {
    new(future, LaneRef::new(lane), Id::next(), Location::caller())
}

/// The runner completes while the handle sets its waker. Either the handle finds the output, or it
/// is woken and finds it then.
///
/// Caught: `set_join_waker` sets the bit although COMPLETE is set; `to_complete` with Relaxed in
/// place of AcqRel.
#[test]
fn completion() {
    explore(None, || {
        let lane = Lane::new();
        let output = Arc::new(());
        let (task, mut handle) = spawn(&lane, {
            let output = output.clone();
            async move { output }
        });
        let runner = thread::spawn(move || assert!(task.run().is_none()));
        let (waker, woken) = counter();
        let first = handle.poll_result(&waker);
        let pending = first.is_pending();
        drop(first);
        runner.join().unwrap();
        if pending {
            assert_eq!(
                woken.load(Ordering::SeqCst),
                1,
                "a pending handle was not woken"
            );
            assert!(handle.poll_result(&waker).is_ready());
        }
    });
}

/// The handle changes its waker while the runner completes: the last one set must be woken, or the
/// output found.
///
/// Caught: `poll_join` writes the slot without `unset_join_waker` (loom: concurrent access).
#[test]
fn completion_with_another_waker() {
    explore(Some(3), || {
        let lane = Lane::new();
        let (task, mut handle) = spawn(&lane, async {});
        let (first, _) = counter();
        assert!(handle.poll_result(&first).is_pending());
        let runner = thread::spawn(move || assert!(task.run().is_none()));
        let (second, woken) = counter();
        let pending = handle.poll_result(&second).is_pending();
        runner.join().unwrap();
        assert!(!pending || woken.load(Ordering::SeqCst) == 1);
    });
}

/// The handle is dropped while the runner completes: the output and the waker are dropped once, by
/// one of them.
///
/// Caught: `drop_join_handle` reports the waker as the handle's while JOIN_WAKER is set.
#[test]
fn drop_of_the_handle() {
    explore(Some(3), || {
        let lane = Lane::new();
        let output = Arc::new(());
        let (task, mut handle) = spawn(&lane, async move { output });
        let (waker, _) = counter();
        assert!(handle.poll_result(&waker).is_pending());
        drop(waker);
        let runner = thread::spawn(move || assert!(task.run().is_none()));
        drop(handle);
        runner.join().unwrap();
    });
}

/// A wake that meets the end of a poll: the task is polled again.
///
/// Caught: `to_idle` that ignores NOTIFIED; `notify` that answers false when RUNNING is set without
/// setting NOTIFIED.
#[test]
fn a_wake_during_the_poll() {
    explore(Some(3), || {
        let lane = Lane::new();
        let flag = Arc::new(AtomicUsize::new(0));
        let slot = Arc::new(loom::sync::Mutex::new(None));
        let (task, mut handle) = spawn(&lane, {
            let (flag, slot) = (flag.clone(), slot.clone());
            poll_fn(move |cx| {
                *slot.lock().unwrap() = Some(cx.waker().clone());
                if flag.load(Ordering::SeqCst) == 1 {
                    Poll::Ready(())
                } else {
                    Poll::Pending
                }
            })
        });
        let waker = thread::spawn(move || {
            flag.store(1, Ordering::SeqCst);
            let waker: Option<Waker> = slot.lock().unwrap().take();
            waker.into_iter().for_each(Waker::wake);
        });
        let _ = lane.queue.push(task);
        lane.run();
        waker.join().unwrap();
        lane.run();
        assert!(
            handle.poll_result(Waker::noop()).is_ready(),
            "the wake was lost"
        );
        drop(handle);
        lane.close();
    });
}

/// A shutdown meets a first poll that returns `Pending`, and a wake: the future is dropped once,
/// the handle gives an error, nothing leaks.
///
/// Caught: `register` that hands over a `Registered` without a reference of its own (loom: use
/// after free as a leaked or doubly dropped Arc); `to_idle` that ignores CANCELLED.
#[test]
fn shutdown_against_a_poll_and_a_wake() {
    explore(Some(2), || {
        let lane = Lane::new();
        let alive = Arc::new(());
        let slot = Arc::new(loom::sync::Mutex::new(None));
        let (task, mut handle) = spawn(&lane, {
            let (slot, alive) = (slot.clone(), alive.clone());
            poll_fn(move |cx| -> Poll<()> {
                let _alive = &alive;
                *slot.lock().unwrap() = Some(cx.waker().clone());
                Poll::Pending
            })
        });
        let waker = thread::spawn({
            let lane = lane.clone();
            move || {
                let waker: Option<Waker> = slot.lock().unwrap().take();
                waker.into_iter().for_each(Waker::wake);
                lane.close();
            }
        });
        if let Some(again) = task.run() {
            lane.schedule(again);
        }
        waker.join().unwrap();
        lane.close();
        assert!(matches!(
            handle.poll_result(Waker::noop()),
            Poll::Ready(Err(_))
        ));
        assert_eq!(Arc::strong_count(&alive), 1, "the future was not dropped");
    });
}

/// An abort meets a run.
///
/// Caught: an abort that does not wake the task.
#[test]
fn abort_against_a_poll() {
    explore(Some(3), || {
        let lane = Lane::new();
        let (task, mut handle) = spawn(&lane, std::future::pending::<()>());
        let remote = handle.abort_ref();
        let aborter = thread::spawn(move || remote.abort());
        let _ = lane.queue.push(task);
        lane.run();
        aborter.join().unwrap();
        lane.run();
        assert!(matches!(
            handle.poll_result(Waker::noop()),
            Poll::Ready(Err(_))
        ));
        drop(handle);
        lane.close();
    });
}
