//! Taking the seat of a worker that is stuck in a poll.
//!
//! The LIFO slot, the deque, the timers, the registry and the parker all belong to the seat, so the
//! thread that sits down there has them, and nothing is moved. The displaced thread finds out when
//! it next acquires its seat ([`lease`](super::lease)), and is a thread like any other until its
//! poll is over: what it wakes or spawns goes through the inbox, its timers are the supervisor's,
//! and what comes after its poll is left to a worker. When to take a seat, and who sits down there,
//! is the runtime's business.

use super::kind::Kind;
use super::lane::Lane;
use super::seat::{FreeSeat, Poll, WorkerThread, try_take};
use super::worker::Caller;
use crate::tasks::Place;
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Lane {
    /// How often a worker on standby has found events that nobody had looked for.
    pub(crate) fn rescues(&self) -> u64 {
        self.rescues.load(Ordering::Relaxed)
    }

    /// Tasks wait for some worker, long ones left aside.
    pub(crate) fn has_waiting(&self) -> bool {
        self.waiting() > 0
    }

    /// All workers are in long polls, and the supervisor is about to rest until something waits.
    /// False if something does.
    pub(crate) fn rest_beside_stuck(&self) -> bool {
        self.all_stuck.try_rest(|| self.has_waiting())
    }

    /// It does not rest any more.
    pub(crate) fn resume_beside_stuck(&self) {
        self.all_stuck.resume();
    }

    /// A task waits whose next poll is expected to be long.
    pub(crate) fn has_long_waiting(&self) -> bool {
        self.long.is_waiting()
    }

    /// How many long polls are in progress on the worker's core.
    pub(crate) fn long_polls_on(&self, worker: usize) -> usize {
        self.long.count(worker)
    }

    /// Which task is in the worker's LIFO slot, where nobody else can get it: an address, for
    /// comparison.
    pub(crate) fn lifo_task(&self, worker: usize) -> Option<usize> {
        self.seat(worker).lifo_task()
    }

    /// A poll has taken so long already.
    pub(crate) fn record_stuck(&self, ns: u64) {
        self.poll_time.record(1, ns);
    }

    /// Takes the seat from `thread`, which is in `poll`. `None` if it is in it no longer, or is
    /// about to touch the seat. A poll that computes counts as a long one from now on, on the core
    /// of the worker that comes with the result: where there are the fewest if it `may_move`, else
    /// on its own.
    pub(crate) fn try_take_seat(
        &self,
        caller: &Caller<'_>,
        worker: usize,
        thread: &Arc<WorkerThread>,
        poll: Poll,
        verdict: Option<Place>,
        may_move: bool,
    ) -> Option<(FreeSeat, usize)> {
        debug_assert_eq!(self.kind, Kind::Io);
        let is_same_poll = || self.current_poll(worker) == Some(poll) && !self.is_shut_down();
        thread.set_verdict(verdict);
        let computes = verdict == Some(Place::Compute);
        // Before the thread can be done with the poll.
        let mut tell = self.long.leave(&thread.counted);
        let core = if may_move && computes {
            self.long.least(worker)
        } else {
            worker
        };
        if computes {
            tell |= self.long.enter(core, &thread.counted);
        }
        let taken = try_take(&self.seats[worker], thread, is_same_poll);
        if taken.is_some() {
            self.seat(worker).status.end();
        } else {
            tell |= self.long.leave(&thread.counted);
        }
        if tell {
            self.notify_long(caller.origin());
        }
        Some((taken?, core))
    }
}
