//! The driver thread: it polls for IO when no worker does, fires timers, and makes threads.
//!
//! Idle workers poll the driver themselves. But one that leaves the poll with an event may get stuck in a
//! task, with nobody behind it: so while any IO worker is awake, the driver thread looks every
//! [`LOOK_INTERVAL`], and if nobody has polled since its last look, it does so itself. It also fires the
//! timers of workers that are stuck. When all have slept for a while it stops looking, so that an idle
//! process has no periodic wake-ups; a worker that wakes up makes it look again
//! ([`watch`](crate::lane::watch)).
//!
//! It stops looking only while somebody is in the poll: a worker that has to sleep elsewhere, because
//! another thread is polling, cannot know that this thread is about to leave. If that was the driver
//! thread, it looks again; if it was a worker, that one is awake, and is watched over.

use super::cores::Cores;
use super::{Shared, context};
use crate::lane::parker::Parker;
use crate::lane::turn::Turn;
use crate::lane::watch::Watching;
use crate::lane::worker::set_prompt;
use crate::time::clock;
use crate::time::shard::{NEVER, wake};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How often the driver thread looks after the workers while they poll as they should. Each look
/// preempts somebody: at 2 ms instead, the compute lane did 7% less work beside busy IO.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// How often it does when it had to poll itself, because they may be stuck.
const ANXIOUS_INTERVAL: Duration = Duration::from_millis(2);

/// For how many looks at sleeping workers it goes on looking.
const QUIET_LOOKS: u32 = 10;

/// A worker's timer is overdue by more than this when the worker must be stuck: 2 ms.
const OVERDUE_NS: u64 = 2_000_000;

/// How long to wait before asking for a thread again that the operating system refused.
const THREAD_RETRY: Duration = Duration::from_millis(100);

/// How others reach the driver thread.
pub(super) struct Watch {
    watching: Watching,
    stop: AtomicBool,
    parker: Parker,
    turn: Arc<Turn>,
}

impl Watch {
    pub(super) fn new(turn: Arc<Turn>) -> Self {
        Watch {
            watching: Watching::new(),
            stop: AtomicBool::new(false),
            parker: Parker::new(),
            turn,
        }
    }

    /// To be called by a worker that wakes up.
    pub(super) fn worker_awake(&self) {
        if self.watching.worker_awake() {
            self.unpark();
        }
    }

    /// Makes the driver thread see to what there is for it.
    pub(super) fn unpark(&self) {
        self.parker.unpark(Some(self.turn.handle()));
    }

    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.unpark();
    }
}

/// The body of the driver thread.
pub(super) fn run(shared: &Arc<Shared>) {
    set_prompt();
    // A waker that drops the runtime here must not wait for this thread to end.
    context::become_worker();
    let watch = &*shared.watch;
    let mut maker = Maker::default();
    let mut starter = Starter::default();
    let mut cores = Cores::new(shared);
    let mut quiet = 0;
    let mut polls_before = watch.turn.polls();
    let mut interval = LOOK_INTERVAL;
    while !watch.stop.load(Ordering::Acquire) {
        let retries = [maker.make_threads(shared), starter.start_compute(shared)];
        let deadline_ns = shared.driver_timers.prepare_sleep(clock::now_ns(), wake);
        let due = clock::timeout(deadline_ns);
        fire_overdue(shared);

        let looking = keep_looking(shared, &mut quiet);
        if looking {
            cores.look(shared);
        }
        let timeout = shortest([retries[0], retries[1], due, looking.then_some(interval)]);
        // Somebody has to be in the poll before this thread goes to sleep for long.
        let polls = watch.turn.polls();
        let wanted = polls == polls_before || !looking;
        polls_before = polls;
        if wanted && let Some(mut my_turn) = watch.turn.try_take() {
            if my_turn.wait(&watch.parker, timeout) == 0 {
                // Nothing came, and the next look may poll again. After events it may not: the worker
                // that was woken is to have the next turn, without this thread in between.
                polls_before = watch.turn.polls();
            }
            interval = ANXIOUS_INTERVAL;
        } else {
            watch.parker.park(timeout);
            interval = LOOK_INTERVAL;
        }
    }
}

fn shortest(timeouts: [Option<Duration>; 4]) -> Option<Duration> {
    timeouts.into_iter().flatten().min()
}

/// The making of threads for the blocking pool, which paces it.
#[derive(Default)]
struct Maker {
    /// Not before this.
    again_at: Option<Instant>,
}

impl Maker {
    /// Makes threads if the pool wants some. Some time if it has to be tried again.
    fn make_threads(&mut self, shared: &Shared) -> Option<Duration> {
        let wanted = shared.threads_wanted.load(Ordering::Acquire);
        if !wanted && self.again_at.is_none() {
            return None;
        }
        let now = Instant::now();
        if let Some(at) = self.again_at.filter(|at| *at > now) {
            return Some(at - now);
        }
        shared.threads_wanted.swap(false, Ordering::AcqRel);
        // The pool has logged the error.
        let pause = shared.blocking.make_threads().unwrap_or(Some(THREAD_RETRY));
        self.again_at = pause.map(|pause| now + pause);
        pause
    }
}

/// The starting of the compute workers.
#[derive(Default)]
struct Starter {
    /// Not before this: the system has refused a thread.
    again_at: Option<Instant>,
}

impl Starter {
    /// Starts the compute workers if somebody wants them. Some time if it has to be tried again.
    fn start_compute(&mut self, shared: &Arc<Shared>) -> Option<Duration> {
        if !shared.compute_start.is_wanted() {
            return None;
        }
        let now = Instant::now();
        if let Some(at) = self.again_at.filter(|at| *at > now) {
            return Some(at - now);
        }
        let Err(error) = shared.start_compute() else {
            return None;
        };
        if self.again_at.is_none() {
            let (started, wanted) = (shared.compute.started(), shared.compute.workers());
            tracing::error!(%error, started, wanted, "a thread of the compute lane could not be made; \
                tried again until it can");
        }
        self.again_at = Some(now + THREAD_RETRY);
        Some(THREAD_RETRY)
    }
}

/// Fires the timers of workers that do not get to it, and clears up for those that sleep.
fn fire_overdue(shared: &Shared) {
    for worker in 0..shared.io.workers() {
        let timers = shared.io.timers(worker);
        if timers.is_crowded() {
            timers.fire(clock::now_ns()).into_iter().for_each(wake);
        }
        let next = timers.next_ns();
        if next != NEVER && !shared.io.is_asleep(worker) {
            let now = clock::now_ns();
            if next.saturating_add(OVERDUE_NS) <= now {
                timers.fire(now).into_iter().for_each(wake);
            }
        }
    }
}

/// True if there is an IO worker to look after, or has been lately; false if the driver thread may
/// sleep until it is woken.
fn keep_looking(shared: &Shared, quiet: &mut u32) -> bool {
    let watching = &shared.watch.watching;
    if shared.io.awake_count() > 0 {
        watching.resume();
        *quiet = 0;
        return true;
    }
    *quiet = quiet.saturating_add(1);
    if *quiet < QUIET_LOOKS {
        return true;
    }
    let rest = watching.try_rest(|| shared.io.awake_count() > 0);
    if !rest {
        *quiet = 0;
    }
    !rest
}
