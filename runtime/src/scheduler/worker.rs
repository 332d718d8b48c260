//! Who the calling thread is to the scheduler: a worker, the supervisor, or any other.

use super::current_thread::{Yielded, ahead_of_arrivals};
use super::kind::Kind;
use super::lane::Lane;
use super::measure::Measure;
use super::poll_time::Stretch;
use super::seat::{FreeSeat, Held, Seat, Sitting, WorkerThread};
use super::turns::Turns;
use crate::latency_critical::LatencyCritical;
use crate::tasks::budget::PreemptRequest;
use crate::timers::{NEVER, OwnTimers, clock};
use evenkeel_sync::{SpinBackoff, const_thread_local};
use std::cell::Cell;
use std::marker::PhantomData;
use std::ops::Deref;
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

const_thread_local! {
    static CURRENT: Cell<*const WorkerState> = Cell::new(ptr::null());
    static IS_SUPERVISOR: Cell<bool> = Cell::new(false);
}

/// What a thread that works in a seat knows; it lives as long as the thread works there.
pub(crate) struct WorkerState {
    pub(super) lane: Arc<Lane>,
    sitting: Sitting,
    /// How many tasks in a row came from the LIFO slot.
    pub(super) lifo_streak: Cell<u32>,
    /// How many more tasks come before the next look for events.
    pub(super) until_look: Cell<u32>,
    pub(super) is_searching: Cell<bool>,
    /// Wakes come from the driver or the timers: they queue up in order, and are told of once.
    pub(super) is_batching: Cell<bool>,
    pub(super) batched: Cell<usize>,
    /// How many tasks are ahead of what has come in since this worker looked.
    pub(super) ahead: Cell<u32>,
    /// Where the next search starts among victims of equal distance.
    pub(super) first_victim: Cell<usize>,
    pub(super) spin: SpinBackoff,
    /// The polls of the others when a standby ended because nobody had polled the driver: until one
    /// of them begins another poll, it is stuck.
    pub(super) stuck_at: Cell<Option<u64>>,
    pub(super) stretch: Stretch,
    pub(super) measure: Measure,
    /// Polls are long enough for the clock to be looked at before each.
    pub(super) is_measuring: Cell<bool>,
    /// How many polls there had been when it last asked whether to pause for the sake of a quota,
    /// and what it had used of the CPU.
    pub(super) used_before: Cell<(u64, Duration)>,
    /// When it last slept.
    pub(super) awake_ns: Cell<u64>,
    /// When it last looked for events, or slept.
    pub(super) looked_ns: Cell<u64>,
    pub(super) turns: Turns,
    /// In `block_on` of a current-thread runtime, the tasks that have yielded.
    pub(super) yielded: Yielded,
    /// The thread never pauses for long, while it holds the seat.
    is_critical: bool,
}

impl WorkerState {
    pub(super) fn new(lane: Arc<Lane>, seat: FreeSeat) -> Self {
        let sitting = seat.sit_down();
        let now_ns = clock::now_ns();
        let polls = sitting.seat().status.polls();
        let index = sitting.seat().index;
        let until_look = lane.intervals.events;
        let ahead = lane
            .arrivals
            .as_ref()
            .map_or(0, |_| ahead_of_arrivals(&lane));
        let is_critical = lane.kind == Kind::Io && lane.arrivals.is_none();
        let after_ns = clock::saturating_ns(lane.limits.after);
        let turn_ns = match lane.tuning.preempt {
            true => after_ns,
            false => NEVER,
        };
        WorkerState {
            lane,
            sitting,
            is_batching: Cell::new(false),
            batched: Cell::new(0),
            ahead: Cell::new(ahead),
            lifo_streak: Cell::new(0),
            until_look: Cell::new(until_look),
            is_searching: Cell::new(false),
            first_victim: Cell::new(index),
            spin: SpinBackoff::default(),
            stuck_at: Cell::new(None),
            stretch: Stretch::new(now_ns, polls),
            measure: Measure::new(turn_ns),
            is_measuring: Cell::new(false),
            used_before: Cell::new((polls, Duration::MAX)),
            awake_ns: Cell::new(now_ns),
            looked_ns: Cell::new(now_ns),
            turns: Turns::new(after_ns),
            yielded: Yielded::default(),
            is_critical,
        }
    }

    /// The worker whose thread this is or was, if any.
    #[inline]
    pub(super) fn of_thread<R>(f: impl FnOnce(Option<&WorkerState>) -> R) -> R {
        let state = CURRENT.try_with(Cell::get).unwrap_or(ptr::null());
        // SAFETY: null, or set by `Current` on this thread to a state that outlives the setting;
        // and only shared references to it are ever made.
        f(unsafe { state.as_ref() })
    }

    /// `None` if the seat is lost.
    #[inline]
    pub(super) fn hold(&self) -> Option<Worker<'_>> {
        let held = self.sitting.hold()?;
        Some(Worker { state: self, held })
    }

    pub(super) fn seat(&self) -> &Seat {
        self.sitting.seat()
    }

    pub(crate) fn index(&self) -> usize {
        self.seat().index
    }

    pub(super) fn thread(&self) -> &Arc<WorkerThread> {
        self.sitting.thread()
    }

    pub(super) fn is_of(&self, lane: &Lane) -> bool {
        ptr::eq(Arc::as_ptr(&self.lane), lane)
    }

    pub(crate) fn kind(&self) -> Kind {
        self.lane.kind
    }

    pub(super) fn polls(&self) -> u64 {
        self.seat().status.polls()
    }
}

/// Makes a worker the current one of its thread, until it is dropped.
pub(super) struct Current<'a> {
    /// Not null on a displaced thread, in `block_on` in `block_in_place`.
    before: *const WorkerState,
    preempt_before: Option<Arc<PreemptRequest>>,
    state: PhantomData<&'a WorkerState>,
}

impl<'a> Current<'a> {
    pub(super) fn set(state: &'a WorkerState) -> Self {
        if state.is_critical {
            clock::wake_on_time();
        }
        Current {
            before: CURRENT.with(|current| current.replace(state)),
            preempt_before: PreemptRequest::listen(Some(state.thread().preempt.clone())),
            state: PhantomData,
        }
    }
}

impl Drop for Current<'_> {
    fn drop(&mut self) {
        CURRENT.with(|current| current.set(self.before));
        PreemptRequest::listen(self.preempt_before.take());
    }
}

/// A worker that holds its seat.
pub(crate) struct Worker<'a> {
    state: &'a WorkerState,
    held: Held<'a>,
}

impl<'a> Worker<'a> {
    /// What the thread knows whether or not it holds its seat.
    #[inline]
    pub(super) fn state(&self) -> &'a WorkerState {
        self.state
    }

    #[inline]
    pub(super) fn held(&self) -> &Held<'a> {
        &self.held
    }

    /// Runs `f`, the user's code, without the seat held. `None` with its result if the seat was
    /// lost.
    #[inline]
    pub(super) fn release_while<R>(self, f: impl FnOnce() -> R) -> (Option<Worker<'a>>, R) {
        let state = self.state;
        let (held, result) = self.held.release_while(f);
        (held.map(|held| Worker { state, held }), result)
    }

    pub(crate) fn lane(&self) -> &'a Arc<Lane> {
        &self.state.lane
    }

    /// It has to pause before it begins anything more.
    pub(crate) fn has_to_pause(&self) -> bool {
        self.lane().pause().is_some()
    }

    /// Some for an IO worker: the others keep none.
    fn timers(&self) -> Option<OwnTimers<'_>> {
        (self.kind() == Kind::Io).then(|| self.held.timers())
    }

    /// The worker of the other lane on the same core has something to do.
    pub(crate) fn partner_is_awake(&self) -> bool {
        self.lane().partner_is_awake(self.index())
    }

    /// Some for an IO worker whose thread is the runtime's.
    #[inline]
    pub(super) fn latency_critical(&self) -> Option<LatencyCritical<'_>> {
        self.is_critical.then(LatencyCritical::assume)
    }

    /// Gives the seat away, in the midst of a poll or between two.
    pub(super) fn surrender(self) -> FreeSeat {
        self.held.surrender()
    }

    pub(super) fn origin(&self) -> Origin<'_> {
        Origin {
            near: self.index(),
            critical: self.latency_critical(),
        }
    }
}

impl Deref for Worker<'_> {
    type Target = WorkerState;

    fn deref(&self) -> &WorkerState {
        self.state
    }
}

/// Where a wake-up comes from.
#[derive(Clone, Copy)]
pub(crate) struct Origin<'a> {
    /// The worker on whose core the work was made, most likely: it finds it in its cache.
    pub(super) near: usize,
    pub(super) critical: Option<LatencyCritical<'a>>,
}

/// The calling thread.
pub(crate) enum Caller<'a> {
    /// A worker of any lane, which holds its seat for as long as this lives.
    Worker(Worker<'a>),
    /// The supervisor of a runtime.
    Supervisor,
    Other,
}

impl Caller<'_> {
    #[inline]
    pub(crate) fn with<R>(f: impl FnOnce(&Caller<'_>) -> R) -> R {
        WorkerState::of_thread(|state| {
            let caller = match state {
                Some(state) => match state.hold() {
                    Some(worker) => Caller::Worker(worker),
                    // It is a thread like any other until its poll is over.
                    None => Caller::Other,
                },
                None if is_supervisor() => Caller::Supervisor,
                None => Caller::Other,
            };
            f(&caller)
        })
    }

    #[inline]
    pub(crate) fn worker(&self) -> Option<&Worker<'_>> {
        match self {
            Caller::Worker(worker) => Some(worker),
            Caller::Supervisor | Caller::Other => None,
        }
    }

    /// The worker, if it is one of the lane's.
    #[inline]
    pub(super) fn worker_of(&self, lane: &Lane) -> Option<&Worker<'_>> {
        self.worker().filter(|worker| worker.is_of(lane))
    }

    #[inline]
    pub(crate) fn latency_critical(&self) -> Option<LatencyCritical<'_>> {
        match self {
            Caller::Worker(worker) => worker.latency_critical(),
            Caller::Supervisor => Some(LatencyCritical::assume()),
            Caller::Other => None,
        }
    }

    /// The timers that it keeps as a worker.
    pub(crate) fn timers(&self) -> Option<OwnTimers<'_>> {
        self.worker()?.timers()
    }

    #[inline]
    pub(super) fn origin(&self) -> Origin<'_> {
        Origin {
            near: self.worker().map_or(0, |worker| worker.index()),
            critical: self.latency_critical(),
        }
    }
}

fn is_supervisor() -> bool {
    IS_SUPERVISOR.try_with(Cell::get).unwrap_or(false)
}

/// Declares the calling thread the supervisor of a runtime.
pub(crate) fn become_supervisor() {
    IS_SUPERVISOR.with(|is_supervisor| is_supervisor.set(true));
    clock::wake_on_time();
}

/// Where a worker's thread works, or did until it was displaced.
pub(crate) struct Workplace {
    pub(crate) lane: Kind,
    pub(crate) worker: usize,
    pub(crate) thread: Arc<WorkerThread>,
}

/// That of the calling thread, if it is a worker's of one of these lanes.
pub(crate) fn workplace(lanes: [&Lane; 2]) -> Option<Workplace> {
    WorkerState::of_thread(|state| {
        let state = state.filter(|state| lanes.iter().any(|lane| state.is_of(lane)))?;
        Some(Workplace {
            lane: state.kind(),
            worker: state.index(),
            thread: state.thread().clone(),
        })
    })
}

/// Has another thread take the place of the calling one, if that is an IO worker in a poll. False
/// if the thread is still one whose tasks will have to wait if it blocks.
pub(crate) fn leave_seat() -> bool {
    WorkerState::of_thread(|state| {
        let Some(state) = state else {
            // The supervisor has none, and is no less needed.
            return !is_supervisor();
        };
        if state.sitting.is_held() {
            // This is not the code of a task, but a waker that the worker calls.
            return false;
        }
        match state.hold() {
            None => true,
            // Its lane is for work that keeps its thread.
            Some(worker) if worker.kind() == Kind::Compute => true,
            // There is nobody else to drive its lane.
            Some(worker) if worker.lane().arrivals.is_some() => false,
            Some(worker) => {
                let (lane, thread) = (worker.lane(), worker.thread().clone());
                let index = worker.index();
                let mut worker = Some(worker);
                lane.hooks.replace(index, &thread, &mut || {
                    let worker = worker.take().expect("surrendered once");
                    worker.surrender()
                })
            }
        }
    })
}
