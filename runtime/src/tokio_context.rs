//! What tokio's own crates find of tokio on the threads of a runtime.
//!
//! `tokio::sync`, `tokio::io` and what is built on them look in a thread-local of tokio's for three
//! things: the budget of the poll they are in, whether the thread may block, and tokio's timers,
//! blocking pool and spawner. Without these a timeout around a loop over a channel never fires,
//! `blocking_recv` in a task blocks its worker, and `send_timeout` panics. So each runtime has a
//! small one of tokio's beside it, of one thread, and the polls of tasks are made inside of it:
//!
//! - An IO or compute worker, or a thread in `block_on`, is [inside](TokioContext::inside) for as
//!   long as it works, not anew for each poll, which would cost ten times as much as what is left
//!   to do there. From inside code steps out that may block ([`outside`]).
//! - The budget would then be one for the whole life of the worker. It is [renewed](renew) before
//!   each poll, so that each begins with all of it: an executor inside a task never gets on with
//!   less than it needs.
//! - A context of tokio's that was there before (of a program that calls `block_on` in a task of
//!   tokio's) stays as it is, and has no budget for as long as that lasts.

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use std::cell::Cell;
use std::future::Future;
use std::io;
use std::mem::{self, ManuallyDrop};
use std::pin::{Pin, pin};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::runtime::{Builder, EnterGuard, Handle, Id, Runtime};
use tokio::sync::Notify;
use tokio::task::coop::{RestoreOnPending, has_budget_remaining, poll_proceed, unconstrained};

pub(crate) struct TokioContext {
    /// Gone once it is stopped: a handle that is kept would keep descriptors. No lock, since
    /// threads of low priority read it.
    handle: ArcSwapOption<Handle>,
    /// Until its thread has begun.
    left: Mutex<Option<Runtime>>,
    stop: Notify,
}

thread_local! {
    /// The context of this thread, if it is one of ours.
    static OURS: Cell<Option<Id>> = const { Cell::new(None) };
    /// The budget as it was when this thread stepped inside: its drop brings that back. (It is
    /// never dropped, so that there is no destructor to register: nothing is in it once the thread
    /// has stepped outside.)
    static FULL: ManuallyDrop<Cell<Option<RestoreOnPending>>> =
        const { ManuallyDrop::new(Cell::new(None)) };
    /// Made right before what tokio parks a thread with, and so gone right after that: then tokio's
    /// `block_on` panics.
    static OLD: Old = const { Old };
}

struct Old;

impl Drop for Old {
    fn drop(&mut self) {
        // Only what has a destructor is ever gone.
    }
}

/// A runtime of tokio's that has ended, for all that are stopped: it gives a budget, cancels what
/// is spawned there, and has no descriptors.
fn ended() -> Arc<Handle> {
    static ENDED: OnceLock<Arc<Handle>> = OnceLock::new();
    let end = || {
        // With timers, so that they say in their panic that it has ended, not that there are none.
        let runtime = Builder::new_current_thread().enable_time().build();
        let runtime = runtime.expect("nothing in it is of the system");
        let handle = Arc::new(runtime.handle().clone());
        runtime.shutdown_background();
        handle
    };
    ENDED.get_or_init(end).clone()
}

/// The context of tokio's that a thread is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Current {
    None,
    Ours,
    Foreign,
    /// The thread is ending, and nothing of tokio's works on it any more.
    Destroyed,
}

fn current() -> Current {
    match Handle::try_current() {
        Ok(handle) if OURS.get() == Some(handle.id()) => Current::Ours,
        Ok(_) => Current::Foreign,
        Err(error) if error.is_thread_local_destroyed() => Current::Destroyed,
        Err(_) => Current::None,
    }
}

/// True on a thread that is in a runtime of tokio's which is none of ours.
pub(crate) fn is_foreign() -> bool {
    current() == Current::Foreign
}

impl TokioContext {
    /// With threads for blocking calls of these names, so many at most, which end after
    /// `keep_alive`.
    ///
    /// # Errors
    ///
    /// Of the system, which may have no descriptors left, if tokio's own sockets are built in.
    pub(crate) fn new(
        threads_name: impl Fn() -> String + Send + Sync + 'static,
        threads_max: usize,
        keep_alive: Duration,
        stack_size: Option<usize>,
        on_thread_start: impl Fn() + Send + Sync + 'static,
    ) -> io::Result<TokioContext> {
        let mut builder = Builder::new_current_thread();
        builder
            .enable_all()
            .thread_name_fn(threads_name)
            .max_blocking_threads(threads_max)
            .thread_keep_alive(keep_alive);
        if let Some(bytes) = stack_size {
            builder.thread_stack_size(bytes);
        }
        builder.on_thread_start(move || {
            if let Ok(handle) = Handle::try_current() {
                OURS.set(Some(handle.id()));
                outlive_other_locals(&handle);
            }
            on_thread_start();
        });
        let runtime = builder.build()?;
        Ok(TokioContext {
            handle: ArcSwapOption::from_pointee(runtime.handle().clone()),
            left: Mutex::new(Some(runtime)),
            stop: Notify::new(),
        })
    }

    /// The body of its thread, once. After a stop it only waits for the blocking calls that have
    /// begun.
    pub(crate) fn run(&self) {
        let runtime = self.left.lock().take();
        if let Some(runtime) = runtime {
            runtime.block_on(self.stop.notified());
        }
    }

    /// Its thread leaves, and drops what tasks it has. There is a budget from now on, and all else
    /// has [ended]. If it has had no thread, it is to be [run](TokioContext::run) all the same, by
    /// somebody who may wait.
    pub(crate) fn stop(&self) {
        self.handle.store(None);
        self.stop.notify_one();
    }

    /// The same. If nobody has run it until now, what it has is dropped here, without waiting.
    pub(crate) fn abandon(&self) {
        self.stop();
        let left = self.left.lock().take();
        // Where this thread must not block, the drop would panic.
        left.into_iter().for_each(Runtime::shutdown_background);
    }

    /// How many tasks there are, if it is not stopped.
    pub(crate) fn tasks(&self) -> Option<usize> {
        Some(self.handle.load_full()?.metrics().num_alive_tasks())
    }

    fn handle(&self) -> Arc<Handle> {
        self.handle.load_full().unwrap_or_else(ended)
    }

    /// Runs `f`, which polls tasks, or one future again and again.
    pub(crate) fn inside<R>(&self, f: impl FnOnce() -> R) -> R {
        match current() {
            Current::None | Current::Ours => {}
            Current::Foreign => return without_budget(f),
            Current::Destroyed => return f(),
        }
        if OLD.try_with(|_| ()).is_err() {
            return f();
        }
        let handle = self.handle();
        let _ours = SetOnDrop(OURS.replace(Some(handle.id())));
        handle.block_on(async {
            let _full = Full::take();
            f()
        })
    }

    /// Lets code on this thread, which may block, find the context for as long as the thread lives.
    pub(crate) fn enter_for_good(&self) {
        let handle = self.handle();
        OURS.set(Some(handle.id()));
        outlive_other_locals(&handle);
        // It would only put back what was there before.
        mem::forget(handle.enter());
    }

    /// Lets code on this thread find the context until [`Entered::leave`]. `None` if the thread has
    /// another one of tokio's, or is ending.
    pub(crate) fn enter(&self) -> Option<Entered> {
        if let Current::Foreign | Current::Destroyed = current() {
            return None;
        }
        let handle = self.handle();
        let guard = handle.enter();
        // SAFETY: `guard` may refer to the handle. That one is behind an `Arc`, which is beside the
        // guard wherever that goes, and given up after it, or after it was forgotten.
        let guard = unsafe { mem::transmute::<EnterGuard<'_>, EnterGuard<'static>>(guard) };
        Some(Entered {
            guard: ManuallyDrop::new(guard),
            ours: SetOnDrop(OURS.replace(Some(handle.id()))),
            handle,
        })
    }
}

impl Drop for TokioContext {
    fn drop(&mut self) {
        self.abandon();
    }
}

/// That a thread has [entered](TokioContext::enter) the context. Dropped when the thread ends, it
/// forgets the guard: that would look for tokio's thread-locals, which may be gone.
pub(crate) struct Entered {
    guard: ManuallyDrop<EnterGuard<'static>>,
    ours: SetOnDrop,
    handle: Arc<Handle>,
}

impl Entered {
    /// Whether it is this context that was entered.
    pub(crate) fn is_of(&self, context: &TokioContext) -> bool {
        self.handle.id() == context.handle().id()
    }

    /// The thread finds what it found before.
    ///
    /// # Errors
    ///
    /// The context is still entered if another of tokio's has been entered inside of it: tokio
    /// panics if guards are not dropped in order.
    pub(crate) fn leave(self) -> Result<(), Entered> {
        let current = current();
        if current == Current::Foreign {
            return Err(self);
        }
        let Entered {
            guard,
            ours,
            handle,
        } = self;
        if current != Current::Destroyed {
            drop(ManuallyDrop::into_inner(guard));
        }
        drop((ours, handle));
        Ok(())
    }
}

/// Makes the thread-locals of tokio's and of this module, at the start of a thread: they are
/// destroyed in the opposite order, and `block_on` is to work in the destructors of others.
fn outlive_other_locals(handle: &Handle) {
    OLD.with(|_| ());
    handle.block_on(async {});
}

struct SetOnDrop(Option<Id>);

impl Drop for SetOnDrop {
    fn drop(&mut self) {
        OURS.set(self.0);
    }
}

/// The budget that this thread began with is kept; dropped, that of the context around it is again.
struct Full(Option<RestoreOnPending>);

impl Full {
    fn take() -> Full {
        Full(FULL.with(|full| full.replace(unit())))
    }
}

impl Drop for Full {
    fn drop(&mut self) {
        // Neither destructor is other people's code.
        FULL.with(|full| full.replace(self.0.take()));
    }
}

fn unit() -> Option<RestoreOnPending> {
    match poll_proceed(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(unit) => Some(unit),
        Poll::Pending => None,
    }
}

/// To be called before each poll: all of the budget is there again, also if tokio's own
/// `block_in_place` took it away, which gives it back on threads of tokio's only.
#[inline]
pub(crate) fn renew() {
    FULL.with(|full| {
        if let Some(before) = full.take() {
            drop(before);
            full.set(unit());
        }
    });
}

/// The budget of this poll is used up, and tokio's with it: its channels and its `select!` end the
/// poll as well.
#[cold]
pub(crate) fn use_up() {
    let is_ours = FULL.with(|full| {
        let before = full.take();
        let is_ours = before.is_some();
        full.set(before);
        is_ours
    });
    if is_ours {
        use_up_what_is_left();
    }
}

fn use_up_what_is_left() {
    // More than any budget has.
    for unit in (0..=u8::MAX).map_while(|_| unit()) {
        unit.made_progress();
    }
}

/// True if operations of tokio's are put off.
#[inline]
pub(crate) fn is_used_up() -> bool {
    !has_budget_remaining()
}

/// Runs `f`, which may block, on a thread that may be inside: `blocking_recv` and another runtime's
/// `block_on` work in it.
pub(crate) fn outside<R>(f: impl FnOnce() -> R) -> R {
    if current() != Current::Ours {
        return f();
    }
    // tokio takes the budget away, and would give it back to a worker of its own only.
    let _before = GiveBack(unit());
    tokio::task::block_in_place(f)
}

/// Drops the unit, which brings the budget back that was there; or has it used up again, if there
/// was none.
struct GiveBack(Option<RestoreOnPending>);

impl Drop for GiveBack {
    fn drop(&mut self) {
        if self.0.is_none() {
            renew();
            use_up_what_is_left();
        }
    }
}

/// Polls `future` without a limit.
#[inline]
pub(crate) fn poll_without_budget<F: Future>(
    future: Pin<&mut F>,
    cx: &mut Context<'_>,
) -> Poll<F::Output> {
    pin!(unconstrained(future)).poll(cx)
}

fn without_budget<R>(f: impl FnOnce() -> R) -> R {
    let once = pin!(async { f() });
    match poll_without_budget(once, &mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => unreachable!("it awaits nothing"),
    }
}
