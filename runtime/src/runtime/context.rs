//! What a thread knows of the runtime it is in.

use super::handle::Handle;
use super::shared::Shared;
use crate::panics::wake;
use crate::scheduler::worker::Caller;
use crate::timers::{OwnTimers, ThreadTimers, TimerShard};
use crate::tokio_context;
use crossbeam_utils::CachePadded;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::marker::PhantomData;
use std::mem;
use std::sync::{Arc, MutexGuard};

thread_local! {
    static CONTEXT: Context = const {
        Context {
            runtime: RefCell::new(None),
            entered: RefCell::new(Vec::new()),
            entries: Cell::new(0),
            role: Cell::new(Role::Outside),
            may_block: Cell::new(false),
            timers: RefCell::new(None),
            tokio: RefCell::new(None),
        }
    };
}

/// The runtime behind a count of its own, which only one thread touches as a rule. The runtime's
/// own count is every thread's, and would go from core to core.
pub(crate) type ThreadShared = Arc<CachePadded<Arc<Shared>>>;

struct Context {
    runtime: RefCell<Option<ThreadShared>>,
    /// One for each `enter` guard, the oldest first.
    entered: RefCell<Vec<Entered>>,
    /// How many there have ever been.
    entries: Cell<u64>,
    role: Cell<Role>,
    /// It may drive a future all the same.
    may_block: Cell<bool>,
    /// The timers of a thread in `block_on`.
    timers: RefCell<Option<Arc<TimerShard>>>,
    /// What `enter` guards have entered of tokio's.
    tokio: RefCell<Option<tokio_context::Entered>>,
}

/// Of one `enter` guard.
struct Entered {
    entry: u64,
    /// The runtime that was current before.
    before: Option<ThreadShared>,
}

impl Context {
    fn enter(&self, runtime: ThreadShared) -> u64 {
        let entry = self.entries.get() + 1;
        self.entries.set(entry);
        let before = self.runtime.replace(Some(runtime));
        self.entered.borrow_mut().push(Entered { entry, before });
        entry
    }

    /// Returns the runtime that was entered, which may be the last handle of it.
    fn leave(&self, entry: u64) -> Option<ThreadShared> {
        let mut entered = self.entered.borrow_mut();
        let place = entered.iter().rposition(|entered| entered.entry == entry)?;
        let before = entered.remove(place).before;
        match entered.get_mut(place) {
            // Another has been entered since: it is not the current one, but the one before that.
            Some(next) => mem::replace(&mut next.before, before),
            None => self.runtime.replace(before),
        }
    }
}

/// What a thread does for a runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Nothing; or it runs a blocking closure, and may block.
    Outside,
    /// A worker, or the driver thread.
    Worker,
    BlockOn,
}

/// The runtime of this thread.
pub(crate) fn try_current() -> Option<Arc<Shared>> {
    let runtime = CONTEXT.try_with(|context| context.runtime.borrow().as_deref().cloned());
    runtime.ok().flatten().map(CachePadded::into_inner)
}

/// The runtime whose thread this is, or that this thread was in before it entered any other.
pub(crate) fn try_own() -> Option<Arc<Shared>> {
    let own = |context: &Context| match context.entered.borrow().first() {
        Some(first) => first.before.as_deref().cloned(),
        None => context.runtime.borrow().as_deref().cloned(),
    };
    let own = CONTEXT.try_with(own).ok().flatten();
    own.map(CachePadded::into_inner)
}

/// As [`try_current`], for what is kept by something that is made and dropped often.
pub(crate) fn try_current_shared() -> Option<ThreadShared> {
    CONTEXT
        .try_with(|context| context.runtime.borrow().clone())
        .ok()
        .flatten()
}

/// # Panics
///
/// Outside a runtime.
#[track_caller]
pub(crate) fn current_shared() -> ThreadShared {
    // No closure, so that the message names the caller's place.
    match try_current_shared() {
        Some(runtime) => runtime,
        None => panic!("{}", TryCurrentError::of_thread()),
    }
}

/// The handle of the IO driver of the current runtime.
///
/// # Panics
///
/// Outside a runtime.
#[track_caller]
pub(crate) fn io_handle() -> evenkeel_io_driver::Handle {
    current_shared().io_driver.clone()
}

/// Calls `f` with what this thread may do with timers: it keeps its own if it is an IO worker or in
/// `block_on`. An IO worker stays one meanwhile.
pub(crate) fn with_timers<R>(f: impl FnOnce(ThreadTimers<'_>) -> R) -> R {
    Caller::with(|caller| {
        let critical = caller.latency_critical();
        if let own @ Some(_) = caller.timers() {
            return f(ThreadTimers { own, critical });
        }
        let own = CONTEXT.try_with(|context| context.timers.borrow().clone());
        let own = own.ok().flatten();
        f(ThreadTimers {
            own: own.as_ref().map(OwnTimers::assume),
            critical,
        })
    })
}

/// As [`enter`], for code that is not the runtime's: what needs tokio's context finds it as well.
fn enter_with_tokio(runtime: Arc<Shared>) -> LeaveOnDrop {
    let entered = enter(runtime);
    follow_with_tokio();
    entered
}

/// Makes tokio's context that of the runtime that is current by an [`enter`] guard.
///
/// Guards of tokio's have to be dropped in order, ours need not be: so there is at most one of
/// tokio's at a time. While this thread drives tasks, it is inside of a context already, and what
/// guards do meanwhile is made up for at the end.
fn follow_with_tokio() {
    if role() != Role::Outside {
        return;
    }
    let wanted = if is_entered() { try_current() } else { None };
    let is_there = |context: &Context| match (&*context.tokio.borrow(), &wanted) {
        (Some(entered), Some(runtime)) => entered.is_of(&runtime.tokio),
        _ => false,
    };
    // Left and entered again, it would be out of order with a guard of tokio's made since.
    if CONTEXT.try_with(is_there).unwrap_or(false) {
        return;
    }
    let before = CONTEXT.try_with(|context| context.tokio.take());
    let before = before.ok().flatten();
    let now = match before.map_or(Ok(()), tokio_context::Entered::leave) {
        Ok(()) => wanted.and_then(|runtime| {
            runtime.want_tokio();
            runtime.tokio.enter()
        }),
        Err(kept) => Some(kept),
    };
    if now.is_some() {
        let _ = CONTEXT.try_with(|context| context.tokio.replace(now));
    }
}

/// Makes `runtime` the current one of this thread until the guard is dropped. On a thread that is
/// ending, whose context is gone, it does nothing.
pub(crate) fn enter(runtime: Arc<Shared>) -> LeaveOnDrop {
    let runtime = shared(runtime);
    let entry = CONTEXT.try_with(|context| context.enter(runtime));
    LeaveOnDrop {
        entry: entry.ok(),
        not_send: PhantomData,
    }
}

/// Makes `runtime` the current one of this thread for the rest of its life.
pub(crate) fn enter_for_good(runtime: Arc<Shared>) {
    CONTEXT.with(|context| context.runtime.replace(Some(shared(runtime))));
}

fn shared(runtime: Arc<Shared>) -> ThreadShared {
    Arc::new(CachePadded::new(runtime))
}

/// True if an [`enter`] guard may have made another runtime the current one than the thread's own.
pub(crate) fn is_entered() -> bool {
    CONTEXT
        .try_with(|context| !context.entered.borrow().is_empty())
        .unwrap_or(false)
}

/// Ends [`enter`](super::Runtime::enter).
///
/// Guards of one thread may be dropped in any order: the runtime that was entered last, of those
/// that are still entered, is the current one.
#[must_use = "the runtime is entered only for as long as the guard lives"]
#[derive(Debug)]
pub struct EnterGuard<'a> {
    _entered: LeaveOnDrop,
    /// tokio's guard has this lifetime, so that programs may write it. Nothing depends on it.
    handle: PhantomData<&'a Handle>,
}

impl EnterGuard<'_> {
    pub(super) fn new(runtime: Arc<Shared>) -> Self {
        EnterGuard {
            _entered: enter_with_tokio(runtime),
            handle: PhantomData,
        }
    }
}

/// Ends [`enter`].
#[must_use = "the runtime is entered only for as long as this lives"]
#[derive(Debug)]
pub(crate) struct LeaveOnDrop {
    /// `None` on a thread that was ending.
    entry: Option<u64>,
    /// It belongs to this thread: it is `Sync`, but not `Send`.
    not_send: PhantomData<MutexGuard<'static, ()>>,
}

impl Drop for LeaveOnDrop {
    fn drop(&mut self) {
        let Some(entry) = self.entry else {
            return;
        };
        // The last handle of a runtime may go here; not while the cell is borrowed.
        let _ = CONTEXT.try_with(|context| context.leave(entry));
        follow_with_tokio();
    }
}

/// Makes this thread one that must not block: a worker, for the rest of its life.
pub(crate) fn become_worker() {
    CONTEXT.with(|context| context.role.set(Role::Worker));
}

pub(crate) fn role() -> Role {
    CONTEXT
        .try_with(|context| context.role.get())
        .unwrap_or(Role::Outside)
}

/// What a thread is for as long as this lives.
pub(crate) struct Playing {
    role: Role,
    may_block: bool,
}

/// The thread may drive a future with `block_on`, whatever else it is.
pub(crate) fn allow_blocking() -> Playing {
    play(role(), true)
}

/// The thread does what a worker does.
pub(crate) fn play_worker() -> Playing {
    play(Role::Worker, false)
}

fn play(role: Role, may_block: bool) -> Playing {
    let before = CONTEXT.try_with(|context| Playing {
        role: context.role.replace(role),
        may_block: context.may_block.replace(may_block),
    });
    // Made only when it is needed: its drop changes what the thread is.
    before.unwrap_or_else(|_| Playing {
        role: Role::Outside,
        may_block: false,
    })
}

impl Drop for Playing {
    fn drop(&mut self) {
        let _ = CONTEXT.try_with(|context| {
            context.role.set(self.role);
            context.may_block.set(self.may_block);
        });
    }
}

/// A thread that drives one future.
pub(crate) struct BlockOnGuard {
    /// Its own, also on a thread of the runtime: that one may be shut down while the future goes
    /// on.
    timers: Arc<TimerShard>,
    timers_before: Option<Arc<TimerShard>>,
    _playing: Playing,
    _entered: LeaveOnDrop,
}

impl BlockOnGuard {
    /// # Panics
    ///
    /// On a thread that drives tasks already.
    #[track_caller]
    pub(crate) fn new(runtime: Arc<Shared>) -> BlockOnGuard {
        let role = role();
        let may_block = CONTEXT
            .try_with(|context| context.may_block.get())
            .unwrap_or(false);
        match role {
            _ if may_block => {}
            Role::Outside => {}
            Role::BlockOn => panic!(
                "`block_on` was called inside another `block_on`: it would block the thread that drives \
                 the outer future. Use `.await`, or call it in `spawn_blocking` or `block_in_place`"
            ),
            Role::Worker => panic!(
                "`block_on` was called on a worker of a runtime: it would block the thread that drives \
                 the other tasks. Use `.await`, or call it in `spawn_blocking` or `block_in_place`"
            ),
        }
        let entered = enter(runtime);
        let timers = Arc::new(TimerShard::new());
        // Not on a thread that is ending: there it has a place among those of the supervisor.
        let timers_before = CONTEXT
            .try_with(|context| context.timers.replace(Some(timers.clone())))
            .ok()
            .flatten();
        BlockOnGuard {
            timers,
            timers_before,
            // A runtime that is dropped in there must not wait for a thread of its own.
            _playing: play(Role::BlockOn, false),
            _entered: entered,
        }
    }

    pub(crate) fn timers(&self) -> OwnTimers<'_> {
        OwnTimers::assume(&self.timers)
    }
}

impl Drop for BlockOnGuard {
    fn drop(&mut self) {
        let before = self.timers_before.take();
        let _ = CONTEXT.try_with(|context| context.timers.replace(before));
        // Timers that were moved to other threads look for another home when they are polled.
        self.timers.drain().into_iter().for_each(wake);
    }
}

/// There is no runtime on this thread.
#[derive(Debug)]
pub struct TryCurrentError {
    is_thread_local_destroyed: bool,
    /// The thread is in a runtime of tokio's that does not belong to one of Evenkeel's.
    is_in_tokios: bool,
}

impl TryCurrentError {
    /// To be called where there is none.
    pub(super) fn of_thread() -> TryCurrentError {
        TryCurrentError {
            is_thread_local_destroyed: CONTEXT.try_with(|_| ()).is_err(),
            is_in_tokios: tokio_context::is_foreign(),
        }
    }

    /// True if the thread could have one, but has none.
    pub fn is_missing_context(&self) -> bool {
        !self.is_thread_local_destroyed
    }

    /// True if the thread is ending, and has none any more.
    pub fn is_thread_local_destroyed(&self) -> bool {
        self.is_thread_local_destroyed
    }
}

impl fmt::Display for TryCurrentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("there is no Evenkeel runtime on this thread")?;
        if self.is_in_tokios {
            f.write_str(", only one of tokio's")?;
        }
        f.write_str(
            ": call this inside `Runtime::block_on`, a spawned task or `#[evenkeel::main]`, or hold the \
             guard of `Handle::enter`",
        )
    }
}

impl std::error::Error for TryCurrentError {}
