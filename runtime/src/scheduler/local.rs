//! The tasks of a `LocalSet`: futures that stay on the thread that has spawned them.
//!
//! The set is itself a future on that thread, its *owner*, and runs its tasks when it is polled.
//! Only the owner queues, polls and drops them. What other threads ask for (a wake-up, an abort)
//! they leave to it, as threads of low priority do in a lane:
//!
//! ```text
//! another thread                            owner, in a poll of the set
//! 1. push the wake-up                       1. keep the waker of this poll
//! 2. fence (SeqCst)                         2. fence (SeqCst)
//! 3. wake the waker that is there           3. take the wake-ups out, run tasks; none left:
//!                                              `Pending`
//! ```
//!
//! Either the other thread finds the waker of this poll, or the owner finds the wake-up. Loom
//! model: `models::locals`.

use super::tuning::{ARRIVALS_INTERVAL, LOOK_AFTER};
use crate::tasks::{
    self, Completed, DeferredWake, Id, JoinRef, Registered, Registry, Schedule, Shard as TaskShard,
    Task,
};
use arc_swap::ArcSwapOption;
use evenkeel_sync::atomic::{AtomicBool, Ordering, fence};
use evenkeel_sync::panics::drop_quietly;
use evenkeel_sync::{Mutex, Stack, const_thread_local};
use std::cell::Cell;
use std::collections::VecDeque;
use std::future::Future;
use std::marker::PhantomData;
use std::mem;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::task::Waker;

const_thread_local! {
    static HERE: Cell<u64> = Cell::new(0);
}

/// A thread. No other one, before or after it, is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ThreadToken(u64);

impl ThreadToken {
    fn of_current() -> ThreadToken {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        HERE.with(|here| {
            if here.get() == 0 {
                here.set(NEXT.fetch_add(1, Ordering::Relaxed));
            }
            ThreadToken(here.get())
        })
    }
}

/// The right to a set on its own thread, which it never leaves.
#[derive(Clone)]
pub(crate) struct LocalTasks {
    shared: Arc<Shared>,
    not_send: PhantomData<*const ()>,
}

/// What the tasks have of their set, on whatever thread their wakers are.
struct Shared {
    owner: ThreadToken,
    /// Only the owner takes the lock.
    queues: Mutex<Queues>,
    /// Only the owner enters tasks and takes them out.
    registry: Registry,
    deferred: Stack<DeferredWake>,
    /// Of the last poll. No lock, since threads of low priority read it.
    waker: ArcSwapOption<Waker>,
    /// The owner is in a poll of the set, which looks at the queues once more before it ends.
    is_running: AtomicBool,
    is_closed: AtomicBool,
}

#[derive(Default)]
struct Queues {
    /// What the owner has spawned or woken.
    own: VecDeque<Task>,
    /// What others have.
    arrived: VecDeque<Task>,
    tick: u32,
}

impl LocalTasks {
    /// On the calling thread.
    pub(crate) fn new() -> Self {
        LocalTasks {
            shared: Arc::new(Shared {
                owner: ThreadToken::of_current(),
                queues: Mutex::new(Queues::default()),
                registry: Registry::new(),
                deferred: Stack::new(),
                waker: ArcSwapOption::empty(),
                is_running: AtomicBool::new(false),
                is_closed: AtomicBool::new(false),
            }),
            not_send: PhantomData,
        }
    }

    /// No other set has it as long as this one lives.
    pub(crate) fn address(&self) -> usize {
        Arc::as_ptr(&self.shared).addr()
    }

    pub(crate) fn spawn<F>(
        &self,
        future: F,
        spawned_at: &'static Location<'static>,
    ) -> JoinRef<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let scheduler = LocalRef(self.shared.clone());
        // SAFETY: `self` is on the owner, and this scheduler's tasks are queued, taken out and
        // settled there only: its `Caller` is the thread, and others are refused.
        let (task, handle) = unsafe { tasks::new_local(future, scheduler, Id::next(), spawned_at) };
        self.shared.push(task);
        handle
    }

    /// Has `waker` woken when there is something to do after this. Not in the midst of a poll of
    /// the set: who makes that looks once more, and this may be the waker of one of its own tasks.
    pub(crate) fn listen(&self, waker: &Waker) {
        if self.shared.is_running.load(Ordering::Relaxed) {
            return;
        }
        let present = self.shared.waker.load_full();
        if !present.is_some_and(|present| present.will_wake(waker)) {
            self.shared.waker.store(Some(Arc::new(waker.clone())));
        }
        fence(Ordering::SeqCst);
    }

    /// Runs `f`, after which [`run`](LocalTasks::run) is to be called before the poll ends.
    pub(crate) fn while_running<R>(&self, f: impl FnOnce() -> R) -> R {
        struct Restore<'a>(&'a AtomicBool, bool);
        impl Drop for Restore<'_> {
            fn drop(&mut self) {
                self.0.store(self.1, Ordering::Relaxed);
            }
        }
        let is_running = &self.shared.is_running;
        let _restore = Restore(is_running, is_running.load(Ordering::Relaxed));
        is_running.store(true, Ordering::Relaxed);
        f()
    }

    /// Runs some of the tasks. True if there are more to run.
    pub(crate) fn run(&self) -> bool {
        self.while_running(|| {
            for _ in 0..LOOK_AFTER {
                let Some(task) = self.shared.next() else {
                    return false;
                };
                if let Some(again) = task.run() {
                    self.shared.push(again);
                }
            }
            true
        })
    }

    /// True if a task waits to be run.
    pub(crate) fn has_work(&self) -> bool {
        let queues = self.shared.queues.lock();
        let is_queued = !queues.own.is_empty() || !queues.arrived.is_empty();
        is_queued || !self.shared.deferred.is_empty()
    }

    /// True if no task is left, after a [`run`](LocalTasks::run) that has left none to run.
    pub(crate) fn is_empty(&self) -> bool {
        let queues = self.shared.queues.lock();
        queues.own.is_empty() && queues.arrived.is_empty() && self.shared.registry.len() == 0
    }

    /// Cancels all tasks, and those that come from now on.
    pub(crate) fn close(&self) {
        let shared = &self.shared;
        shared.is_closed.store(true, Ordering::SeqCst);
        shared.registry.close();
        // The drop of a future may wake others.
        loop {
            let queues = mem::take(&mut *shared.queues.lock());
            if queues.own.is_empty() && queues.arrived.is_empty() {
                break;
            }
            drop(queues);
        }
        shared.drop_deferred();
        drop_quietly(shared.waker.swap(None));
    }
}

impl Shared {
    /// For the owner.
    fn push(&self, task: Task) {
        if self.is_closed.load(Ordering::Relaxed) {
            return task.abandon();
        }
        self.queues.lock().own.push_back(task);
        if !self.is_running.load(Ordering::Relaxed) {
            self.wake();
        }
    }

    /// For the owner.
    fn next(&self) -> Option<Task> {
        if !self.deferred.is_empty() {
            let woken = self.deferred.take_all().filter_map(DeferredWake::notify);
            let woken: Vec<Task> = woken.collect();
            self.queues.lock().arrived.extend(woken);
        }
        self.queues.lock().pop()
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.load_full() {
            waker.wake_by_ref();
        }
    }

    fn drop_deferred(&self) {
        self.deferred.take_all().for_each(drop_quietly);
    }
}

impl Queues {
    fn pop(&mut self) -> Option<Task> {
        self.tick = self.tick.wrapping_add(1);
        let Queues { own, arrived, tick } = self;
        if tick.is_multiple_of(ARRIVALS_INTERVAL) {
            arrived.pop_front().or_else(|| own.pop_front())
        } else {
            own.pop_front().or_else(|| arrived.pop_front())
        }
    }
}

/// The scheduler of a set's tasks.
struct LocalRef(Arc<Shared>);

impl Schedule for LocalRef {
    type Caller<'a> = ThreadToken;

    fn with_caller<R>(f: impl FnOnce(&ThreadToken) -> R) -> R {
        f(&ThreadToken::of_current())
    }

    fn schedule(&self, _: &ThreadToken, task: Task) {
        self.0.push(task);
    }

    fn may_wake(&self, caller: &ThreadToken) -> bool {
        *caller == self.0.owner
    }

    fn defer(&self, _: &ThreadToken, wake: DeferredWake) {
        self.0.deferred.push(wake);
        fence(Ordering::SeqCst);
        // Mirrors `close`: one of the two sees it.
        if self.0.is_closed.load(Ordering::SeqCst) {
            self.0.drop_deferred();
        } else {
            self.0.wake();
        }
    }

    fn may_settle(&self, caller: &ThreadToken) -> bool {
        *caller == self.0.owner
    }

    fn hand_back(&self, _: &ThreadToken, _: Task) -> Result<(), Task> {
        unreachable!("the owner alone polls and cancels, and it may settle")
    }

    fn register(&self, _: &ThreadToken, task: Registered) -> Option<TaskShard> {
        self.0.registry.insert(task).ok()?;
        Some(TaskShard(0))
    }

    unsafe fn unregister(&self, task: &Completed) -> Option<Registered> {
        // SAFETY: by the caller's word `register` has inserted it, and here.
        unsafe { self.0.registry.remove(task) }
    }
}
