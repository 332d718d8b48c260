//! Threads that wait for a seat to become free.
//!
//! One is always ready, once the runtime has had something to do, and it waits without a limit: an
//! idle process has no periodic wake-ups. Those beyond it end after the keep-alive time.
//!
//! Threads of low priority cannot be spares, but wait here as well before they end: *retired*. To
//! end, a thread unmaps its stacks, and the kernel's lock for that is one for the whole process.
//! Held by a thread that does not get the CPU, it stops every other that maps memory or makes a
//! thread. (A dozen of them that ended while a dozen computed kept the supervisor waiting for 75
//! ms.) So they end later, when the storm is over, and one after another.

use crate::runtime::workers_alive::WorkersAlive;
use crate::scheduler::seat::FreeSeat;
use evenkeel_topology::current_thread_id;
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// A thread without a seat. Locked by itself, by threads of normal priority, and when all is over.
#[derive(Default)]
pub(super) struct Spare {
    called: Mutex<Option<Order>>,
    changed: Condvar,
    /// Zero until the thread has started.
    thread: AtomicU32,
}

/// A seat for a spare.
pub(super) struct Call {
    pub(super) seat: FreeSeat,
    /// The spare belongs to them from now on.
    pub(super) alive: Arc<WorkersAlive>,
}

enum Order {
    Sit(Call),
    /// Another one has come, so this one need not be ready without end.
    Reconsider,
    End,
}

impl Spare {
    /// To be called by its thread first.
    pub(super) fn arrive(&self) {
        self.thread.store(current_thread_id(), Ordering::Relaxed);
    }

    pub(super) fn thread(&self) -> Option<u32> {
        let thread = self.thread.load(Ordering::Relaxed);
        (thread != 0).then_some(thread)
    }

    /// For a spare that was taken from the list, or never was on it.
    pub(super) fn call(&self, call: Call) {
        self.wake(Order::Sit(call));
    }

    fn wake(&self, order: Order) {
        *self.called.lock() = Some(order);
        self.changed.notify_one();
    }

    /// `None` after `timeout`.
    fn wait(&self, timeout: Option<Duration>) -> Option<Order> {
        let mut called = self.called.lock();
        let none = |called: &mut Option<Order>| called.is_none();
        match timeout {
            Some(timeout) => drop(self.changed.wait_while_for(&mut called, none, timeout)),
            None => self.changed.wait_while(&mut called, none),
        }
        called.take()
    }
}

/// The spares of a runtime.
pub(super) struct Spares {
    list: Mutex<List>,
    retired: Mutex<Retired>,
    keep_alive: Duration,
    numbers: AtomicUsize,
}

#[derive(Default)]
struct List {
    /// The one that came last is used first, so that the others may end.
    waiting: Vec<Arc<Spare>>,
    /// One that is to be ready is on its way.
    coming: bool,
    closed: bool,
}

/// Between the ends of two retired threads.
const END_PAUSE: Duration = Duration::from_millis(2);

/// At most this many wait.
const RETIRED_MAX: usize = 64;

/// Locked by retired threads, which are of low priority, and when all is over.
#[derive(Default)]
struct Retired {
    waiting: Vec<Arc<Spare>>,
    /// When the last of them ends.
    last_end: Option<Instant>,
    closed: bool,
}

impl Spares {
    pub(super) fn new(keep_alive: Duration) -> Self {
        Spares {
            list: Mutex::default(),
            retired: Mutex::default(),
            keep_alive,
            numbers: AtomicUsize::new(0),
        }
    }

    /// For the name of a thread.
    pub(super) fn next_number(&self) -> usize {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// True if none is ready, nor on its way: then the caller has to see to it that one comes.
    pub(super) fn is_one_wanted(&self) -> bool {
        let mut list = self.list.lock();
        let wanted = list.waiting.is_empty() && !list.coming && !list.closed;
        list.coming |= wanted;
        wanted
    }

    /// The one that was wanted does not come.
    pub(super) fn none_comes(&self) {
        self.list.lock().coming = false;
    }

    /// A spare that waits. It has to be called, or listed again.
    pub(super) fn take(&self) -> Option<Arc<Spare>> {
        self.list.lock().waiting.pop()
    }

    /// False if there are to be no spares any more; then it is told to end.
    pub(super) fn list(&self, spare: Arc<Spare>) -> bool {
        let mut list = self.list.lock();
        if list.closed {
            drop(list);
            spare.wake(Order::End);
            return false;
        }
        list.coming = false;
        if let [only] = &list.waiting[..] {
            // Not called meanwhile: it is on the list, which is locked.
            only.wake(Order::Reconsider);
        }
        list.waiting.push(spare);
        true
    }

    pub(super) fn close(&self) {
        let mut list = self.list.lock();
        list.closed = true;
        let waiting = std::mem::take(&mut list.waiting);
        drop(list);
        let mut retired = self.retired.lock();
        retired.closed = true;
        let retired = std::mem::take(&mut retired.waiting);
        let all = waiting.iter().chain(&retired);
        all.for_each(|spare| spare.wake(Order::End));
    }

    /// Waits until the calling thread, which is of low priority, may end.
    pub(super) fn retire(&self) {
        let now = Instant::now();
        let spare = Arc::new(Spare::default());
        let mut retired = self.retired.lock();
        if retired.closed || retired.waiting.len() >= RETIRED_MAX {
            return;
        }
        let after_last = retired
            .last_end
            .and_then(|last| last.checked_add(END_PAUSE));
        // Never, where the clock cannot express it: then it waits until all is over.
        let end = now.checked_add(self.keep_alive / 2);
        let end = end.map(|end| after_last.map_or(end, |after_last| end.max(after_last)));
        retired.last_end = end.or(retired.last_end);
        retired.waiting.push(spare.clone());
        drop(retired);
        if spare.wait(end.map(|end| end - now)).is_none() {
            let mut retired = self.retired.lock();
            retired.waiting.retain(|other| !Arc::ptr_eq(other, &spare));
        }
    }

    /// Waits for a seat. `None` when the thread is to end.
    pub(super) fn wait(&self, spare: &Arc<Spare>) -> Option<Call> {
        loop {
            let timeout = (!self.is_last(spare)).then_some(self.keep_alive);
            match spare.wait(timeout) {
                Some(Order::Sit(call)) => return Some(call),
                Some(Order::End) => return None,
                None if self.try_leave(spare) => return None,
                Some(Order::Reconsider) | None => {}
            }
        }
    }

    /// No other is ready.
    fn is_last(&self, spare: &Arc<Spare>) -> bool {
        match &self.list.lock().waiting[..] {
            [only] => Arc::ptr_eq(only, spare),
            _ => false,
        }
    }

    /// Takes the spare off the list, unless it is the last; or has been taken from it, and is about
    /// to be called.
    fn try_leave(&self, spare: &Arc<Spare>) -> bool {
        let mut list = self.list.lock();
        let before = list.waiting.len();
        if before > 1 {
            list.waiting.retain(|other| !Arc::ptr_eq(other, spare));
        }
        list.waiting.len() < before
    }
}
