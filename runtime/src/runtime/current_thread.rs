//! `block_on` of a runtime of the current-thread flavour: the calling thread runs the tasks.
//!
//! One thread at a time *drives*: it has the seat of the runtime's one IO worker
//! ([`scheduler::current_thread`](crate::scheduler::current_thread)). Others that are in `block_on`
//! meanwhile poll their own futures, as in any runtime, until the seat is free.
//!
//! ```text
//! who wakes the future                      the thread in `block_on`
//! 1. woken = true                           1. has got the seat: drives = true
//! 2. fence (SeqCst)                         2. fence (SeqCst)
//! 3. drives: unpark the seat's sleeper;     3. woken: poll the future
//!    else unpark the thread                 4. sleep in the seat, until it is unparked
//! ```
//!
//! Either the waker finds the place where the thread is about to sleep, whose unpark is kept, or
//! the thread finds that it was woken. Loom model: `models::roots`.
//!
//! Meanwhile the runtime is borrowed, and so is not shut down.

use super::block_on::check_process;
use super::context::BlockOnGuard;
use super::shared::Shared;
use crate::panics::wake;
use crate::scheduler::current_thread::{Root, drive};
use crate::scheduler::root_waker::RootWaker;
use crate::scheduler::seat::FreeSeat;
use crate::tasks::budget;
use crate::timers::{Sleeper, clock};
use evenkeel_sync::Mutex;
use std::future::Future;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread;

/// Whose turn it is to drive.
pub(super) struct Turn(Mutex<State>);

struct State {
    /// `None` while somebody drives.
    seat: Option<FreeSeat>,
    /// Those who are to be told when it is there again.
    waiting: Vec<Arc<RootWaker>>,
}

impl Turn {
    pub(super) fn new(seat: FreeSeat) -> Turn {
        Turn(Mutex::new(State {
            seat: Some(seat),
            waiting: Vec::new(),
        }))
    }

    /// The seat; or `None` while another thread drives, and `root` is unparked when that ends.
    fn take(&self, root: &Arc<RootWaker>) -> Option<FreeSeat> {
        let mut state = self.0.lock();
        let seat = state.seat.take();
        let is_waiting = state.waiting.iter().any(|other| Arc::ptr_eq(other, root));
        if seat.is_none() && !is_waiting {
            state.waiting.push(root.clone());
        }
        seat
    }

    /// Tells all that wait: the first to be woken may have no more to do.
    fn give_back(&self, seat: FreeSeat) {
        let mut state = self.0.lock();
        state.seat = Some(seat);
        let waiting = mem::take(&mut state.waiting);
        drop(state);
        waiting.iter().for_each(|root| root.unpark());
    }

    fn forget(&self, root: &Arc<RootWaker>) {
        let mut state = self.0.lock();
        state.waiting.retain(|other| !Arc::ptr_eq(other, root));
    }
}

#[track_caller]
pub(super) fn block_on<F: Future>(shared: &Arc<Shared>, turn: &Turn, future: F) -> F::Output {
    check_process(shared);
    let guard = BlockOnGuard::new(shared.clone());
    let woken = Arc::new(RootWaker::new(shared.io.clone()));
    let waker = Waker::from(woken.clone());
    let mut root = PinnedRoot {
        future: pin!(future),
        waker: &waker,
        woken: &woken,
        output: None,
    };
    shared.want_tokio();
    let output = shared.tokio.inside(|| run(shared, turn, &guard, &mut root));
    match output {
        Ok(output) => output,
        Err(panic) => resume_unwind(panic),
    }
}

fn run<F: Future>(
    shared: &Arc<Shared>,
    turn: &Turn,
    guard: &BlockOnGuard,
    root: &mut PinnedRoot<'_, F>,
) -> thread::Result<F::Output> {
    let clock = &shared.clock;
    let mut sleeper = None;
    loop {
        if let Some(seat) = turn.take(root.woken) {
            sleeper = None;
            // From now on its timers are with those of the tasks.
            guard.timers().shard().drain().into_iter().for_each(wake);
            root.woken.set_drives();
            turn.give_back(drive(&shared.io, seat, root));
        } else {
            // From its first poll on.
            let shard = guard.timers().shard();
            sleeper.get_or_insert_with(|| Sleeper::new(clock, root.woken, shard));
            if root.take_woken() && root.poll() {
                turn.forget(root.woken);
            }
        }
        if let Some(output) = root.output.take() {
            return output;
        }
        // Whatever wakes us from here on leaves its mark in the parker.
        let timers = guard.timers();
        let deadline_ns = timers.prepare_sleep(clock.now_ns(), wake);
        let timeout = clock::timeout(clock.to_system(deadline_ns));
        sleeper
            .get_or_insert_with(|| Sleeper::new(clock, root.woken, timers.shard()))
            .sleep(|| root.woken.park(timeout));
        let due = timers.fire(clock.now_ns());
        due.into_iter().for_each(wake);
    }
}

struct PinnedRoot<'a, F: Future> {
    future: Pin<&'a mut F>,
    waker: &'a Waker,
    woken: &'a Arc<RootWaker>,
    /// Once it is complete, or has panicked.
    output: Option<thread::Result<F::Output>>,
}

impl<F: Future> Root for PinnedRoot<'_, F> {
    fn take_woken(&self) -> bool {
        self.woken.take_woken()
    }

    fn is_woken(&self) -> bool {
        self.woken.is_woken()
    }

    fn poll(&mut self) -> bool {
        let mut cx = Context::from_waker(self.waker);
        let poll = || budget::with_budget(|| self.future.as_mut().poll(&mut cx));
        // Not through the seat, which has to be given back.
        self.output = match catch_unwind(AssertUnwindSafe(poll)) {
            Ok(Poll::Pending) => return false,
            Ok(Poll::Ready(output)) => Some(Ok(output)),
            Err(panic) => Some(Err(panic)),
        };
        true
    }
}
