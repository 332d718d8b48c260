//! Taking the seat of a worker that is stuck in a poll.
//!
//! The next-slot, the deque, the timers, the registry and the parker all belong to the seat, so whoever sits down there has
//! them, and nothing is moved. The thread that lost it finds out when it next takes hold ([`tenure`](super::tenure)),
//! and is a thread like any other until its poll is over: what it wakes or spawns goes through the inbox, its timers
//! are the driver thread's, and what comes after its poll is left to a worker. When to take a seat, and who sits down
//! there, is the runtime's business (`runtime::takeover`).

use super::seat::Tenant;
use super::{Kind, Lane};
use crate::tasks::{Place, Task};
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A poll, as seen from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Poll {
    /// Its number among the polls of its worker.
    number: u64,
    pub(crate) task: u64,
    pub(crate) spawned_at: &'static Location<'static>,
}

impl Poll {
    pub(super) fn number(self) -> u64 {
        self.number
    }
}

impl Lane {
    /// The poll that the worker is in.
    pub(crate) fn current_poll(&self, worker: usize) -> Option<Poll> {
        let status = &self.seats[worker].status;
        let number = status.polls();
        let (task, spawned_at) = status.current()?;
        Some(Poll {
            number,
            task,
            spawned_at,
        })
    }

    /// How many polls the worker has begun.
    pub(crate) fn polls(&self, worker: usize) -> u64 {
        self.seats[worker].status.polls()
    }

    /// How many polls all workers have begun.
    pub(crate) fn polls_in_all(&self) -> u64 {
        let polls = self.seats.iter().map(|seat| seat.status.polls());
        polls.fold(0, u64::wrapping_add)
    }

    /// How often a worker that dozed has found events that nobody had looked for.
    pub(crate) fn rescues(&self) -> u64 {
        self.rescues.load(Ordering::Relaxed)
    }

    /// Wakes a worker that sleeps, if there is one and none is on its way already. It finds its work itself.
    pub(crate) fn wake_somebody(&self) {
        self.notify(usize::MAX);
    }

    /// Tasks wait for some worker, long ones left aside.
    pub(crate) fn has_waiting(&self) -> bool {
        self.waiting() > 0
    }

    /// All workers are in long polls, and the driver thread is about to rest until something waits. False if something does.
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

    /// The worker is in a poll that was expected to be long.
    pub(crate) fn is_in_long_poll(&self, worker: usize) -> bool {
        self.tenant(worker)
            .is_some_and(|tenant| tenant.is_counted())
    }

    /// How many long polls are in progress on the worker's core.
    pub(crate) fn long_polls_on(&self, worker: usize) -> usize {
        self.long.count(worker)
    }

    /// How many, about; those in the inbox count as one.
    pub(crate) fn waiting(&self) -> usize {
        let queued: usize = self.seats.iter().map(|seat| seat.queued()).sum();
        queued + usize::from(self.has_injected())
    }

    /// Queues a task of the IO lane in this one, the compute lane.
    pub(crate) fn submit_guest(&self, task: Task) {
        // Before anybody can take it out; and sequentially consistent, for the driver thread that is about to rest.
        self.guests.fetch_add(1, Ordering::SeqCst);
        self.submit(task);
    }

    pub(crate) fn has_guests(&self) -> bool {
        self.guests.load(Ordering::SeqCst) > 0
    }

    /// A task of the IO lane was taken out of the queues of this one.
    pub(super) fn guest_leaves(&self) {
        self.guests.fetch_sub(1, Ordering::Relaxed);
    }

    /// Takes the tasks of the IO lane out of this one, the compute lane, where they wait, to be polled at `home`. Returns
    /// how many.
    pub(crate) fn send_home(&self, home: &Lane) -> u64 {
        let waiting = self.inbox.take_all();
        let queued = self.seats.iter().flat_map(|seat| {
            // No more than there are now: what is not to go home comes back.
            let stealer = &seat.stealer;
            (0..stealer.len()).map_while(|_| stealer.steal().success())
        });
        let mut sent = 0;
        for mut task in waiting.chain(queued) {
            if task.class().place() == Place::Compute {
                self.guest_leaves();
                task.forgive();
                home.submit(task);
                sent += 1;
            } else {
                self.submit(task);
            }
        }
        sent
    }

    /// Which task is in the worker's next-slot, where nobody else can get it: an address, for comparison.
    pub(crate) fn next_task(&self, worker: usize) -> Option<usize> {
        self.seats[worker].next.peek()
    }

    /// The thread in the seat.
    pub(crate) fn tenant(&self, worker: usize) -> Option<Arc<Tenant>> {
        self.seats[worker].tenant.lock().clone()
    }

    /// Takes the seat from `tenant`, who is in `poll`. `None` if it is in it no longer, or is about to touch the seat.
    /// Called by one thread at a time, which then has to have somebody sit down there. A poll that computes counts as a long one from
    /// now on, on the core of the worker that is the result: where there are the fewest if it `may_move`, else on its own.
    pub(crate) fn try_take_seat(
        &self,
        worker: usize,
        tenant: &Tenant,
        poll: Poll,
        verdict: Option<Place>,
        may_move: bool,
    ) -> Option<usize> {
        debug_assert_eq!(self.kind, Kind::Io);
        let is_same_poll = || self.current_poll(worker) == Some(poll) && !self.is_shut_down();
        tenant.set_verdict(verdict);
        let computes = verdict == Some(Place::Compute);
        // Before the thread can be done with the poll.
        let mut tell = self.long.leave(&tenant.counted);
        let core = if may_move && computes {
            self.long.least(worker)
        } else {
            worker
        };
        if computes {
            tell |= self.long.enter(core, &tenant.counted);
        }
        let taken = tenant.tenure.try_take(is_same_poll);
        if taken {
            self.seats[worker].status.end();
        } else {
            tell |= self.long.leave(&tenant.counted);
        }
        if tell {
            self.notify_long();
        }
        taken.then_some(core)
    }

    /// A poll has taken so long already.
    pub(crate) fn record_stuck(&self, ns: u64) {
        self.pace.record(1, ns);
    }
}
