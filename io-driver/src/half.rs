//! One half, reading or writing, of a registered source: its readiness and who waits for it.
//!
//! Each half counts its own events. With a count shared by both, every write event between a read
//! that would block and its `clear` makes the clear fail, and a reader beside a busy writer spins
//! (tokio#8054).

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use evenkeel_sync::atomic::{AtomicU64, Ordering};
use evenkeel_sync::thread::yield_in_model;

use crate::ready::Ready;
use crate::waiters::{Contended, Ticket, Waiters};

#[derive(Debug, Default)]
pub(crate) struct Half {
    state: AtomicU64,
    pub(crate) waiters: Waiters,
}

/// The word that the driver and the owner of a slot share. From the lowest bit:
///
/// - 9 bits of `Ready`: set by the driver, cleared by the owner;
/// - `SHUTDOWN`: set once, by the driver that goes away, whoever owns the slot;
/// - 22 bits of generation: changed when the owner frees the slot, so that a late event of the
///   last owner's source changes nothing;
/// - 32 bits of tick: how many events came. A clear is for one tick. 32 bits, because a stale clear
///   must fail after any number of events that can come while it is on its way: eight bits were
///   too few (tokio#6133, #8331).
#[derive(Clone, Copy)]
struct State(u64);

const SHUTDOWN: u64 = 1 << Ready::BITS;
const GENERATION_SHIFT: u32 = Ready::BITS + 1;
const TICK_SHIFT: u32 = 32;

/// Generations are counted modulo this, a power of two.
pub(crate) const GENERATIONS: u32 = 1 << (TICK_SHIFT - GENERATION_SHIFT);

impl State {
    fn ready(self) -> Ready {
        Ready::from_bits((self.0 & (SHUTDOWN - 1)) as u16)
    }

    fn is_shutdown(self) -> bool {
        self.0 & SHUTDOWN != 0
    }

    fn generation(self) -> u32 {
        (self.0 as u32) >> GENERATION_SHIFT
    }

    fn tick(self) -> u32 {
        (self.0 >> TICK_SHIFT) as u32
    }

    fn with_event(self, ready: Ready) -> State {
        let mut ready = ready;
        if ready.contains(Ready::READ_CLOSED) {
            ready |= Ready::PRIORITY_CLOSED;
        }
        if ready.contains(Ready::PRIORITY) {
            ready |= Ready::MARKED;
        }
        if ready.contains(Ready::ERROR) {
            ready |= Ready::ERROR_ALONE;
        }
        State((self.0 | u64::from(ready.bits())).wrapping_add(1 << TICK_SHIFT))
    }

    fn without(self, ready: Ready) -> State {
        State(self.0 & !u64::from(ready.bits()))
    }

    /// A free slot: not ready, not shut down, of the next generation, the ticks going on.
    fn freed(self) -> State {
        let generation = (self.generation() + 1) % GENERATIONS;
        let tick = u64::from(self.tick()) << TICK_SHIFT;
        State(tick | u64::from(generation) << GENERATION_SHIFT)
    }
}

/// What one look at a half found: the flags, and the tick that clears them.
pub(crate) type Seen = (Ready, u32);

#[derive(Debug)]
struct ShutDown;

impl fmt::Display for ShutDown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the IO driver has shut down")
    }
}

impl Error for ShutDown {}

pub(crate) fn shutdown_error() -> io::Error {
    io::Error::other(ShutDown)
}

/// True if an operation has failed because its driver has shut down.
pub fn is_shutdown_error(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<ShutDown>())
}

impl Half {
    /// Of a slot whose first owner is of this generation.
    pub(crate) fn of_generation(generation: u32) -> Half {
        let state = u64::from(generation % GENERATIONS) << GENERATION_SHIFT;
        Half {
            state: AtomicU64::new(state),
            waiters: Waiters::default(),
        }
    }

    /// The driver: adds readiness and wakes, unless the slot has a new owner.
    pub(crate) fn deliver(&self, generation: u32, ready: Ready) -> bool {
        let added = self
            .state
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| {
                let state = State(word);
                (state.generation() == generation).then(|| state.with_event(ready).0)
            });
        if added.is_ok() {
            self.waiters.wake_all();
        }
        added.is_ok()
    }

    /// The driver: goes away.
    pub(crate) fn shut_down(&self) {
        self.state.fetch_or(SHUTDOWN, Ordering::AcqRel);
        self.waiters.wake_all();
    }

    /// The owner: what is there of `mask`?
    pub(crate) fn look(&self, mask: Ready) -> io::Result<Seen> {
        let state = State(self.state.load(Ordering::Acquire));
        if state.is_shutdown() {
            return Err(shutdown_error());
        }
        Ok((state.ready() & mask, state.tick()))
    }

    /// The owner: takes `ready` away, unless an event came since `tick`, or any of `unless` is set.
    pub(crate) fn clear_unless(&self, unless: Ready, tick: u32, ready: Ready) {
        // A failure is a fresh event: that readiness stays.
        let _ = self
            .state
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| {
                let state = State(word);
                let clears = state.tick() == tick && !state.ready().intersects(unless);
                clears.then(|| state.without(ready).0)
            });
    }

    /// The owner: looks for `wanted`, with the context's waker left behind if there is none of it.
    /// Reports all that is there of `mask`.
    pub(crate) fn poll(
        &self,
        cx: &mut Context<'_>,
        wanted: Ready,
        mask: Ready,
    ) -> Poll<io::Result<Seen>> {
        if let ready @ Poll::Ready(_) = self.poll_look(wanted, mask) {
            return ready;
        }
        let registered = self.waiters.set_poller(cx.waker().clone());
        let looked = self.poll_look(wanted, mask);
        if looked.is_pending() && registered.is_err() {
            come_back(cx);
        }
        looked
    }

    fn poll_look(&self, wanted: Ready, mask: Ready) -> Poll<io::Result<Seen>> {
        match self.look(mask) {
            Ok((ready, _)) if !ready.intersects(wanted) => Poll::Pending,
            seen => Poll::Ready(seen),
        }
    }

    /// The owner: as `poll`, for one of many futures, and without the looks.
    pub(crate) fn wait(
        &self,
        cx: &mut Context<'_>,
        ticket: &Arc<Ticket>,
        key: &mut Option<usize>,
    ) -> Result<(), Contended> {
        self.waiters.set_future(ticket, key, cx.waker().clone())
    }

    pub(crate) fn generation(&self) -> u32 {
        State(self.state.load(Ordering::Acquire)).generation()
    }

    /// The owner, last: makes late events miss.
    pub(crate) fn free(&self) {
        let freed = |word| Some(State(word).freed().0);
        let _ = self
            .state
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, freed);
        self.waiters.forget_all();
    }
}

/// Instead of waiting for a contended lock: lets the executor run something else first.
pub(crate) fn come_back(cx: &Context<'_>) {
    yield_in_model();
    cx.waker().wake_by_ref();
}

#[cfg(all(test, not(evenkeel_loom)))]
mod tests {
    use super::*;

    #[test]
    fn freeing_changes_the_generation_only_and_keeps_the_ticks() {
        let half = Half::default();
        assert!(half.deliver(0, Ready::READABLE));
        half.free();
        assert_eq!(half.generation(), 1);
        assert!(!half.deliver(0, Ready::READABLE));
        assert_eq!(half.look(Ready::ALL).unwrap(), (Ready::EMPTY, 1));
    }

    #[test]
    fn generations_and_ticks_wrap_each_in_its_place() {
        let last = State(u64::MAX << GENERATION_SHIFT);
        assert_eq!(last.generation(), GENERATIONS - 1);
        assert_eq!(last.freed().generation(), 0);
        assert_eq!(last.freed().tick(), u32::MAX);
        let event = last.with_event(Ready::READABLE);
        assert_eq!((event.tick(), event.generation()), (0, GENERATIONS - 1));
        assert_eq!(event.ready(), Ready::READABLE);
    }

    #[test]
    fn a_clear_takes_what_it_names_of_its_own_tick() {
        let half = Half::default();
        half.deliver(0, Ready::READABLE | Ready::READ_CLOSED);
        half.deliver(0, Ready::PRIORITY);
        half.clear_unless(Ready::EMPTY, 1, Ready::READABLE);
        let all = Ready::READABLE | Ready::READ_CLOSED | Ready::PRIORITY;
        assert_eq!(half.look(Ready::ALL).unwrap(), (all, 2));
        half.clear_unless(Ready::MARKED, 2, Ready::READABLE);
        assert_eq!(half.look(Ready::ALL).unwrap(), (all, 2));
        half.clear_unless(Ready::EMPTY, 2, Ready::READABLE | Ready::READ_CLOSED);
        assert_eq!(half.look(Ready::ALL).unwrap(), (Ready::PRIORITY, 2));
    }

    #[test]
    fn who_waits_for_priority_is_told_of_the_end_apart() {
        let half = Half::default();
        half.deliver(0, Ready::READ_CLOSED);
        half.clear_unless(Ready::EMPTY, 1, Ready::READ_CLOSED);
        let both = Ready::READ_CLOSED | Ready::PRIORITY_CLOSED;
        assert_eq!(half.look(both).unwrap().0, Ready::PRIORITY_CLOSED);
        half.deliver(0, Ready::READ_CLOSED);
        half.clear_unless(Ready::EMPTY, 2, Ready::PRIORITY_CLOSED);
        assert_eq!(half.look(both).unwrap().0, Ready::READ_CLOSED);
    }
}
